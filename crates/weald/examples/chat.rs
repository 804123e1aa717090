//! A chat between processes. Whoever comes late is told what was said before.
//!
//! ```text
//! cargo run --example chat -- Ada
//! cargo run --example chat -- Bo --bootstrap /ip4/127.0.0.1/tcp/PORT
//! ```
//!
//! The first process founds a network and tells where it listens. The others join it with nodes that
//! store nothing. Each line of the input is published; the end of the input ends the process.

#![expect(clippy::print_stdout, reason = "a program tells on standard output")]

use std::{env, error::Error, io, thread, time::Duration};

use tokio::sync::mpsc;
use weald::{NodeConfig, SubscribeOptions, Topic, TopicEvent, Weald};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Result<()> {
    let (name, bootstrap) = arguments(env::args().skip(1))?;
    let folder = tempfile::tempdir()?;
    let node = Weald::node(NodeConfig {
        network: "chat".into(),
        data_dir: folder.path().into(),
        listen: vec!["/ip4/127.0.0.1/tcp/0".into()],
        light: bootstrap.is_some(),
        bootstrap: bootstrap.into_iter().collect(),
        found_after: Duration::ZERO,
        partitions: 1,
        mdns: false,
        ..NodeConfig::default()
    });
    let node = node.start().await?;
    while let Err(reason) = node.readiness() {
        println!("# {reason}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    for address in node.addresses() {
        println!("# others join with --bootstrap {address}");
    }
    let chat = node.topic("chat").open_or_create().await?;
    talk(&chat, &name).await?;
    Ok(node.close().await?)
}

/// The caller's name, and the node to join.
fn arguments(mut given: impl Iterator<Item = String>) -> Result<(String, Option<String>)> {
    let usage = "usage: chat NAME [--bootstrap ADDRESS]";
    let name = given.next().filter(|name| !name.starts_with('-')).ok_or(usage)?;
    match (given.next().as_deref(), given.next(), given.next()) {
        (None, ..) => Ok((name, None)),
        (Some("--bootstrap"), Some(address), None) => Ok((name, Some(address))),
        _ => Err(usage.into()),
    }
}

/// Publishes what is typed and prints what is told, until the input ends.
async fn talk(chat: &Topic, name: &str) -> Result<()> {
    let mut typed = typed();
    let mut told = chat.subscribe(SubscribeOptions::default()).await?;
    loop {
        tokio::select! {
            line = typed.recv() => match line {
                Some(line) => {
                    chat.publish(format!("{name}: {line}")).await?;
                }
                None => break,
            },
            event = told.next() => match event.ok_or("the subscription ended")?? {
                TopicEvent::Message(message) => {
                    println!("{}", String::from_utf8_lossy(&message.body));
                }
                TopicEvent::CaughtUp { .. } => println!("# that is all so far"),
                TopicEvent::Gap { first, last } => println!("# {first} to {last} are gone"),
                _ => {}
            },
        }
    }
    Ok(told.unsubscribe().await?)
}

/// The lines of the input, read on a thread of their own: a read of a terminal cannot be called off.
fn typed() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(16);
    thread::spawn(move || {
        for line in io::stdin().lines().map_while(io::Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}
