//! Many topics with a message a second each, and a subscriber of each: nothing is lost, and memory stays bounded.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::sync::Semaphore;
use weald::{PublishOptions, StartAt, Subscription, Topic, TopicEvent, Weald};

use super::arrivals::{body, number_of};
use super::rust::{AT_ONCE, Rust, begin};
use super::{is_wanted, resident_mib};
use crate::arguments::TopicBenchOptions;
use crate::statistics::Summary;

/// From one message of a topic to the next.
const EVERY: Duration = Duration::from_secs(1);
/// How long a publish may wait: a machine that does not keep up shows it in the times.
const ACKNOWLEDGED_MAX: Duration = Duration::from_secs(60);
/// How long the last message may be under way.
const ARRIVAL_MAX: Duration = Duration::from_secs(60);
/// The memory that a node is laid out for, by default (`memory-bytes`).
const CONFIGURED_MIB: usize = 256;

/// Publishes to all topics from one client and subscribes to all from another; prints what came of it.
pub(super) fn measure(rust: &Rust<'_>, options: &TopicBenchOptions) -> Result<()> {
    if !is_wanted(options, "many") || options.topics == 0 {
        return Ok(());
    }
    let clients = rust.clients(2)?;
    let before = resident_mib(rust);
    let started = Instant::now();
    let topics = rust.runtime().block_on(make(&clients, options.topics))?;
    let (made, made_mib) = (started.elapsed(), resident_mib(rust));
    let started = Instant::now();
    let subscribed = rust.runtime().block_on(subscribe(&clients, options.topics))?;
    let (begun, begun_mib) = (started.elapsed(), resident_mib(rust));
    let messages = usize::try_from(options.topic_seconds)?;
    let publishing = rust.runtime().spawn(publish_all(topics, messages));
    let hearing = rust.runtime().spawn(hear_all(subscribed, messages));
    let mut peak = begun_mib;
    while !publishing.is_finished() {
        thread::sleep(EVERY);
        peak = peak.max(resident_mib(rust));
    }
    let times = rust.runtime().block_on(publishing).context("a publisher panicked")??;
    let heard = await_all(rust, hearing)?;
    let count = options.topics * messages;
    println!(
        "{} topics x {messages} messages, one a second: {} acknowledged, {heard} of {count} delivered",
        options.topics,
        times.len()
    );
    if let Some(summary) = Summary::of(times) {
        println!("  publish to acknowledgement {summary}");
    }
    println!(
        "  topics made in {:.1} s, subscribed to in {:.1} s; MiB of the largest node: {before:.0} before, \
         {made_mib:.0} with the topics, {begun_mib:.0} with a subscriber each, {peak:.0} at the peak \
         of {CONFIGURED_MIB} that it is laid out for",
        made.as_secs_f64(),
        begun.as_secs_f64(),
    );
    ensure!(heard == count, "messages were lost");
    Ok(())
}

fn await_all(rust: &Rust<'_>, hearing: tokio::task::JoinHandle<Result<usize>>) -> Result<usize> {
    let heard = async { tokio::time::timeout(ARRIVAL_MAX, hearing).await };
    let heard = rust.runtime().block_on(heard).context("the last messages do not come")?;
    heard.context("a subscriber panicked")?
}

fn name(number: usize) -> String {
    format!("many-{number}")
}

/// Runs one task for each number, a few at a time; what they give, in order.
async fn for_each<T: Send + 'static, F: Future<Output = Result<T>> + Send + 'static>(
    count: usize,
    task: impl Fn(usize) -> F,
) -> Result<Vec<T>> {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let tasks: Vec<_> = (0..count)
        .map(|number| {
            let (room, task) = (Arc::clone(&room), task(number));
            tokio::spawn(async move {
                let _room = room.acquire().await?;
                task.await
            })
        })
        .collect();
    let mut done = Vec::with_capacity(count);
    for task in tasks {
        done.push(task.await.context("a task panicked")??);
    }
    Ok(done)
}

/// The topics at the first client, which has begun to publish to each.
async fn make(clients: &[Weald], count: usize) -> Result<Vec<Topic>> {
    for_each(count, |number| {
        let client = clients[0].clone();
        async move {
            let topic = client.topic(&name(number)).create().await?;
            topic.publish(body(0)).await?;
            Ok(topic)
        }
    })
    .await
}

async fn subscribe(clients: &[Weald], count: usize) -> Result<Vec<Subscription>> {
    for_each(count, |number| {
        let client = clients[1].clone();
        async move { begin(&client.topic(&name(number)).open().await?, StartAt::Now).await }
    })
    .await
}

/// Publishes to all topics; how long each took.
async fn publish_all(topics: Vec<Topic>, messages: usize) -> Result<Vec<Duration>> {
    let count = u32::try_from(topics.len())?;
    let tasks: Vec<_> = (0..count)
        .zip(topics)
        .map(|(number, topic)| {
            // They are spread over the second.
            let first = tokio::time::Instant::now() + EVERY * number / count;
            tokio::spawn(publish(topic, first, messages))
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.context("a publisher panicked")??);
    }
    Ok(all)
}

async fn publish(
    topic: Topic,
    first: tokio::time::Instant,
    messages: usize,
) -> Result<Vec<Duration>> {
    let mut ticks = tokio::time::interval_at(first, EVERY);
    let mut times = Vec::with_capacity(messages);
    for number in 0..messages {
        ticks.tick().await;
        let started = Instant::now();
        let options = PublishOptions { timeout: Some(ACKNOWLEDGED_MAX), ..Default::default() };
        topic.publish_with(body(number), options).await?;
        times.push(started.elapsed());
    }
    Ok(times)
}

/// How many messages came, over all topics: each once and in order.
async fn hear_all(subscribed: Vec<Subscription>, messages: usize) -> Result<usize> {
    let tasks: Vec<_> =
        subscribed.into_iter().map(|one| tokio::spawn(hear(one, messages))).collect();
    let mut heard = 0;
    for task in tasks {
        heard += task.await.context("a subscriber panicked")??;
    }
    Ok(heard)
}

async fn hear(mut subscription: Subscription, messages: usize) -> Result<usize> {
    let mut heard = 0;
    while heard < messages {
        match subscription.next().await.context("a subscription has ended")?? {
            TopicEvent::Message(message) => {
                let number = number_of(&message.body)?;
                ensure!(number == heard, "message {number} came in place of {heard}");
                heard += 1;
            }
            TopicEvent::CaughtUp { .. } | TopicEvent::Lagged { .. } => {}
            other => bail!("a subscription was told {other:?}"),
        }
    }
    Ok(heard)
}
