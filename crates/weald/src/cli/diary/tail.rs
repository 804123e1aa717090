//! `weald diary tail`.

use clap::Args;
use weald::TailEvent;

use super::print_entry;
use crate::cli::{
    failure::Failure,
    follow::{FollowOptions, Follower, Interrupt},
    output::Output,
    session::{self, Target},
};

/// Prints entries: those so far, then each new one.
#[derive(Args, Debug)]
pub(crate) struct Tail {
    /// The diary
    diary: String,
    /// The first sequence
    #[arg(long, value_name = "SEQUENCE", default_value_t = 0)]
    from: u64,
    #[command(flatten)]
    follow: FollowOptions,
}

impl Tail {
    pub(super) async fn run(&self, target: &Target, output: &mut Output) -> Result<(), Failure> {
        session::existing(target, async |database| {
            let mut tail = database.tail(&self.diary, self.from).await?;
            let mut follower = Follower::new(self.follow);
            let mut interrupt = Interrupt::new();
            while !follower.is_done() {
                let Some(event) = interrupt.or(tail.next()).await else { break };
                match event? {
                    TailEvent::Entry(entry) => {
                        print_entry(&entry, output)?;
                        follower.item(output)?;
                    }
                    TailEvent::CaughtUp => follower.caught_up(output)?,
                    TailEvent::Gap { from, next } => follower.gap(from.0, next.0, output)?,
                }
            }
            Ok(())
        })
        .await
    }
}
