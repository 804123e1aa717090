//! `weald topic sub`.

use clap::Args;
use serde_json::{Map, json};
use weald::{StartAt, TopicPosition};

use crate::cli::{
    database::{Subscribing, TopicFeed, TopicMessage, TopicNews},
    failure::Failure,
    follow::{FollowOptions, Follower, Interrupt},
    output::Output,
    session::{self, Target},
    text::{plain, put_bytes},
};

/// Prints messages: those that are retained, then each new one.
#[derive(Args, Debug)]
pub(crate) struct Subscribe {
    /// The topic
    topic: String,
    /// The first position, or `now` for what is published from now on [default: the oldest message
    /// that is retained]
    #[arg(long, value_name = "POSITION", value_parser = start)]
    from: Option<StartAt>,
    /// Go on behind what was printed under this name before, whichever node it was printed through
    #[arg(long, value_name = "NAME")]
    durable: Option<String>,
    /// Share the messages with all who subscribe for this group: each is acknowledged once it is printed,
    /// and given to another when it was not in time
    #[arg(long, value_name = "NAME", conflicts_with_all = ["from", "durable", "until_caught_up"])]
    group: Option<String>,
    #[command(flatten)]
    follow: FollowOptions,
}

/// Positions that are printed before a durable subscription keeps where it is, until it has caught up.
const ACKNOWLEDGED_EVERY: u64 = 256;

/// How far a durable subscription has printed, and how far it has kept that.
#[derive(Default)]
struct Progress {
    printed: u64,
    kept: u64,
    is_caught_up: bool,
}

impl Progress {
    /// Keeps where the subscription is, once that is worth it; what is printed is handed on first.
    async fn keep(
        &mut self,
        subscription: &TopicFeed,
        output: &mut Output,
        is_due: bool,
    ) -> Result<(), Failure> {
        let ahead = self.printed.saturating_sub(self.kept);
        if ahead == 0 || !(is_due || self.is_caught_up || ahead >= ACKNOWLEDGED_EVERY) {
            return Ok(());
        }
        output.flush()?;
        subscription.acknowledge(self.printed).await?;
        self.kept = self.printed;
        Ok(())
    }
}

impl Subscribe {
    pub(super) async fn run(&self, target: &Target, output: &mut Output) -> Result<(), Failure> {
        session::existing(target, async |database| {
            let subscribing = Subscribing {
                from: self.from,
                durable: self.durable.as_deref(),
                group: self.group.as_deref(),
            };
            let mut subscription = database.subscribe(&self.topic, subscribing).await?;
            let printed = self.print(&mut subscription, output).await;
            subscription.end().await;
            printed
        })
        .await
    }

    async fn print(
        &self,
        subscription: &mut TopicFeed,
        output: &mut Output,
    ) -> Result<(), Failure> {
        let mut follower = Follower::new(self.follow);
        let mut interrupt = Interrupt::new();
        let mut progress = Progress::default();
        while !follower.is_done() {
            let Some(news) = interrupt.or(subscription.next()).await else { break };
            match news? {
                TopicNews::Message(message) => {
                    print_message(&message, output)?;
                    follower.item(output)?;
                    progress.printed = message.position;
                    if self.group.is_some() {
                        output.flush()?;
                        subscription.acknowledge(message.position).await?;
                    }
                }
                TopicNews::CaughtUp => {
                    follower.caught_up(output)?;
                    progress.is_caught_up = true;
                }
                TopicNews::Gap { from, next } => {
                    follower.gap(from, next, output)?;
                    progress.printed = next.saturating_sub(1);
                }
                // Whoever reads the output is slow, and sees everything all the same.
                TopicNews::Lagged => {}
                TopicNews::Reset { generation } => {
                    output.answer(
                        || format!("# the topic began anew: generation {generation}"),
                        || json!({ "reset": { "generation": generation } }),
                    )?;
                    progress = Progress::default();
                }
            }
            if self.durable.is_some() {
                progress.keep(subscription, output, follower.is_done()).await?;
            }
        }
        if self.durable.is_some() {
            progress.keep(subscription, output, true).await?;
        }
        Ok(())
    }
}

fn print_message(message: &TopicMessage, output: &mut Output) -> Result<(), Failure> {
    output.answer(
        || format!("{}\t{}", message.position, plain(&message.body)),
        || {
            let mut object = Map::new();
            object.insert("position".into(), message.position.into());
            object.insert("id".into(), message.id.as_str().into());
            object.insert("publisher".into(), message.publisher.as_str().into());
            object.insert("sequence".into(), message.sequence.into());
            object.insert("published_at_ms".into(), message.published_at.into());
            put_bytes(&mut object, "body", &message.body);
            object.into()
        },
    )
}

fn start(text: &str) -> Result<StartAt, String> {
    if text == "now" {
        return Ok(StartAt::Now);
    }
    let first = text.parse::<u64>().map_err(|_| "say a position, or `now`".to_owned())?;
    Ok(StartAt::After(TopicPosition(first.saturating_sub(1))))
}
