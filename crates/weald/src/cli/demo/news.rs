//! The topic of the demo: one who publishes numbers, and a subscriber that comes late.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use tokio::{sync::watch, task::JoinSet};
use weald::{Effect, SubscribeOptions, Subscription, Topic, TopicEvent, Weald};

use super::nodes::STEP_TIME_MAX;
use crate::cli::failure::{Class, Failure};

/// The topic.
const NEWS: &str = "demo/news";
/// How long one message is tried.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two attempts, and between two messages.
const PAUSE: Duration = Duration::from_millis(10);

/// Publishes 1, 2, 3 and so on, whatever happens to nodes meanwhile.
pub(super) struct Newsroom {
    task: JoinSet<Result<(), Failure>>,
    acknowledged: watch::Receiver<BTreeSet<u64>>,
    stop: watch::Sender<bool>,
}

impl Newsroom {
    /// Makes the topic and begins.
    pub(super) async fn start(node: &Weald) -> Result<Self, Failure> {
        let topic = node.topic(NEWS).open_or_create().await?;
        let (stop, stopping) = watch::channel(false);
        let (tell, acknowledged) = watch::channel(BTreeSet::new());
        let mut task = JoinSet::new();
        task.spawn(publish_all(topic, tell, stopping));
        Ok(Self { task, acknowledged, stop })
    }

    /// Waits until so many more are acknowledged.
    pub(super) async fn go_on(&mut self, more: usize) -> Result<(), Failure> {
        let wanted = self.acknowledged.borrow().len() + more;
        until(&mut self.acknowledged, &mut self.task, |numbers| numbers.len() >= wanted).await
    }

    /// Stops behind the message that is under way; the numbers that were acknowledged.
    pub(super) async fn stop(mut self) -> Result<BTreeSet<u64>, Failure> {
        self.stop.send_replace(true);
        while let Some(ended) = self.task.join_next().await {
            ended.map_err(|error| stopped(&error))??;
        }
        Ok(self.acknowledged.borrow().clone())
    }
}

async fn publish_all(
    topic: Topic,
    tell: watch::Sender<BTreeSet<u64>>,
    stopping: watch::Receiver<bool>,
) -> Result<(), Failure> {
    for number in 1_u64.. {
        if *stopping.borrow() {
            break;
        }
        if publish(&topic, number).await? {
            tell.send_modify(|acknowledged| {
                acknowledged.insert(number);
            });
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// Publishes a message, once; whether it was acknowledged. What did not happen is tried again; what
/// is unknown the node itself brings to the topic.
async fn publish(topic: &Topic, number: u64) -> Result<bool, Failure> {
    let started = Instant::now();
    loop {
        match topic.publish(number.to_string()).await {
            Ok(receipt) => return Ok(!receipt.is_queued()),
            Err(error) if error.effect() == Effect::Unknown => return Ok(false),
            Err(error) if !error.is_retryable() || started.elapsed() > PATIENCE => {
                return Err(error.into());
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// What a subscriber was told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Told {
    numbers: Vec<u64>,
    /// The last position.
    last: u64,
    is_caught_up: bool,
}

/// A subscriber on a node of its own, which joins after most of it has happened.
pub(super) struct LateJoiner {
    node: Weald,
    task: JoinSet<Result<(), Failure>>,
    told: watch::Receiver<Told>,
}

impl LateJoiner {
    /// Subscribes and waits until it has caught up; how many messages the history had.
    pub(super) async fn join(node: Weald) -> Result<(Self, usize), Failure> {
        let topic = node.topic(NEWS).open().await?;
        let subscription = topic.subscribe(SubscribeOptions::default()).await?;
        let (tell, told) = watch::channel(Told::default());
        let mut task = JoinSet::new();
        task.spawn(listen(subscription, tell));
        let mut joiner = Self { node, task, told };
        joiner.wait(|told| told.is_caught_up).await?;
        let history = joiner.told.borrow().numbers.len();
        Ok((joiner, history))
    }

    /// Waits until it was told everything that is in the topic, and leaves; the numbers in the order
    /// in which they came.
    pub(super) async fn leave(mut self) -> Result<Vec<u64>, Failure> {
        let last = self.node.topic(NEWS).open().await?.last_position().await?;
        self.wait(|told| told.last >= last.0).await?;
        self.task.shutdown().await;
        self.node.close().await?;
        Ok(self.told.borrow().numbers.clone())
    }

    async fn wait(&mut self, is_enough: impl FnMut(&Told) -> bool) -> Result<(), Failure> {
        until(&mut self.told, &mut self.task, is_enough).await
    }
}

/// Waits until what a task tells is enough, or the task has failed.
async fn until<T>(
    told: &mut watch::Receiver<T>,
    task: &mut JoinSet<Result<(), Failure>>,
    is_enough: impl FnMut(&T) -> bool,
) -> Result<(), Failure> {
    let enough = async {
        tokio::select! {
            Ok(_) = told.wait_for(is_enough) => Ok(()),
            Some(ended) = task.join_next() => ended.map_err(|error| stopped(&error))?,
            else => Err(Failure::internal("nobody publishes or subscribes any more")),
        }
    };
    tokio::time::timeout(STEP_TIME_MAX, enough).await.unwrap_or_else(|_| {
        let message = format_args!("the topic was too slow: longer than {STEP_TIME_MAX:?}");
        Err(Failure::new(Class::Storage, message))
    })
}

fn stopped(error: &tokio::task::JoinError) -> Failure {
    Failure::internal(format_args!("a task of the demo stopped: {error}"))
}

async fn listen(mut subscription: Subscription, tell: watch::Sender<Told>) -> Result<(), Failure> {
    while let Some(event) = subscription.next().await {
        match event? {
            TopicEvent::Message(message) => {
                let text = std::str::from_utf8(&message.body).ok();
                let number = text.and_then(|text| text.parse().ok());
                let number =
                    number.ok_or_else(|| Failure::internal("the topic holds no number"))?;
                tell.send_modify(|told| {
                    told.numbers.push(number);
                    told.last = message.position.0;
                });
            }
            TopicEvent::Gap { last, .. } => tell.send_modify(|told| told.last = last.0),
            TopicEvent::CaughtUp { .. } => tell.send_modify(|told| told.is_caught_up = true),
            _ => {}
        }
    }
    Err(Failure::internal("the subscription ended"))
}

/// What was acknowledged to the publisher against what the subscriber was told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    pub(super) acknowledged: BTreeSet<u64>,
    pub(super) received: Vec<u64>,
}

impl News {
    /// Acknowledged messages that the subscriber was not told.
    pub(super) fn lost(&self) -> u64 {
        let received: BTreeSet<u64> = self.received.iter().copied().collect();
        self.acknowledged.difference(&received).count() as u64
    }

    /// Messages that came again, or before one that was published earlier.
    pub(super) fn doubled(&self) -> u64 {
        self.received.windows(2).filter(|pair| pair[1] <= pair[0]).count() as u64
    }

    /// A line of the table.
    pub(super) fn row(&self) -> String {
        format!(
            "{:>8}  {:>12}  {:>13} received by a subscriber that came late",
            "topic",
            self.acknowledged.len(),
            self.received.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_is_missing_or_comes_again_is_counted() {
        let news = |received: &[u64]| {
            let news = News { acknowledged: [1, 2, 4].into(), received: received.to_vec() };
            (news.lost(), news.doubled())
        };
        assert_eq!(news(&[1, 2, 4]), (0, 0));
        assert_eq!(news(&[1, 2, 3, 4]), (0, 0), "more than was acknowledged is fine");
        assert_eq!(news(&[1, 4]), (1, 0));
        assert_eq!(news(&[1, 2, 2, 4]), (0, 1));
        assert_eq!(news(&[2, 1, 4]), (0, 1));
        assert_eq!(news(&[]), (3, 0));
    }
}
