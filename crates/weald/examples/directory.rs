//! A directory of topics, which is the application's: nodes know no names of topics and list none.
//! Whoever wants a topic to be found writes it into a tree that all of the application know.
//!
//! ```text
//! cargo run --example directory -- DIR announce shop/news 'what is new in the shop'
//! cargo run --example directory -- DIR publish shop/news 'apples are in'
//! cargo run --example directory -- DIR find shop
//! cargo run --example directory -- DIR read shop/news
//! ```

#![expect(clippy::print_stdout, reason = "a program tells on standard output")]

use std::{env, error::Error};

use weald::{SubscribeOptions, TopicEvent, Tree, Weald};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What each topic is about, by its name.
type Directory = Tree<String, String>;
type Entry = weald::Entry<String, String>;

const USAGE: &str =
    "usage: directory DIR (announce TOPIC ABOUT | publish TOPIC TEXT | find WORD | read TOPIC)";

#[tokio::main]
async fn main() -> Result<()> {
    let given: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = given.iter().map(String::as_str).collect();
    let [folder, words @ ..] = words.as_slice() else { return Err(USAGE.into()) };
    let node = Weald::open(folder).await?;
    let directory = node.tree("topics").open_or_create().await?;
    match words {
        ["announce", topic, about] => announce(&node, &directory, (topic, about)).await?,
        ["publish", topic, text] => publish(&node, &directory, (topic, text)).await?,
        ["find", word] => find(&directory, word).await?,
        ["read", topic] => read(&node, topic).await?,
        _ => return Err(USAGE.into()),
    }
    Ok(node.close().await?)
}

/// Makes a topic and lets others find it.
async fn announce(node: &Weald, directory: &Directory, (topic, about): (&str, &str)) -> Result<()> {
    node.topic(topic).open_or_create().await?;
    directory.put(topic, &about.to_owned()).await?;
    Ok(())
}

/// Publishes in a topic that was announced, so that no slip of the pen makes one that nobody finds.
async fn publish(node: &Weald, directory: &Directory, (topic, text): (&str, &str)) -> Result<()> {
    if directory.get(topic).await?.is_none() {
        return Err(format!("nobody has announced {topic}").into());
    }
    node.topic(topic).open().await?.publish(text.to_owned()).await?;
    Ok(())
}

/// Prints the topics whose name, or what they are about, has the word.
async fn find(directory: &Directory, word: &str) -> Result<()> {
    let mut pages = directory.range(..).pages().await?;
    while let Some(page) = pages.next().await? {
        let has_word = |entry: &&Entry| entry.key.contains(word) || entry.value.contains(word);
        for Entry { key, value, .. } in page.iter().filter(has_word) {
            println!("{key}\t{value}");
        }
    }
    Ok(())
}

/// Prints what was published in a topic.
async fn read(node: &Weald, topic: &str) -> Result<()> {
    let mut told = node.topic(topic).open().await?.subscribe(SubscribeOptions::default()).await?;
    while let Some(event) = told.next().await {
        match event? {
            TopicEvent::Message(message) => {
                println!("{}", String::from_utf8_lossy(&message.body));
            }
            TopicEvent::CaughtUp { .. } => break,
            _ => {}
        }
    }
    Ok(told.unsubscribe().await?)
}
