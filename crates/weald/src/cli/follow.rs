//! Following a collection: when to stop, what to say beside the items, Ctrl-C.

use std::{future::Future, io, pin::Pin};

use clap::Args;
use serde_json::json;

use super::{failure::Failure, output::Output};

/// When following ends.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct FollowOptions {
    /// End after this many
    #[arg(long, value_name = "COUNT")]
    limit: Option<u64>,
    /// End when everything that was there has been printed
    #[arg(long)]
    until_caught_up: bool,
}

/// Counts items and knows when to stop. Once caught up, each item is handed on at once.
#[derive(Debug)]
pub(crate) struct Follower {
    options: FollowOptions,
    item_count: u64,
    is_caught_up: bool,
}

impl Follower {
    pub(crate) const fn new(options: FollowOptions) -> Self {
        Self { options, item_count: 0, is_caught_up: false }
    }

    /// Whether following has come to its end.
    pub(crate) fn is_done(&self) -> bool {
        let is_full = self.options.limit.is_some_and(|limit| self.item_count >= limit);
        is_full || (self.is_caught_up && self.options.until_caught_up)
    }

    /// An item was printed.
    pub(crate) fn item(&mut self, output: &mut Output) -> Result<(), Failure> {
        self.item_count += 1;
        if self.is_caught_up { output.flush() } else { Ok(()) }
    }

    /// Everything that was there has been printed.
    pub(crate) fn caught_up(&mut self, output: &mut Output) -> Result<(), Failure> {
        self.is_caught_up = true;
        if output.is_json() {
            output.answer(String::new, || json!({ "caught_up": true }))?;
        }
        output.flush()
    }

    /// Items from `from` to just below `next` are no longer kept.
    pub(crate) fn gap(&mut self, from: u64, next: u64, output: &mut Output) -> Result<(), Failure> {
        output.answer(
            || format!("# {from} to {} are no longer kept", next.saturating_sub(1)),
            || json!({ "gap": { "from": from, "next": next } }),
        )
    }
}

/// Ctrl-C, which ends following like its natural end.
pub(crate) struct Interrupt(Pin<Box<dyn Future<Output = io::Result<()>> + Send>>);

impl Interrupt {
    pub(crate) fn new() -> Self {
        Self(Box::pin(tokio::signal::ctrl_c()))
    }

    /// What `next` gives; `None` when Ctrl-C comes first.
    pub(crate) async fn or<T>(&mut self, next: impl Future<Output = Option<T>>) -> Option<T> {
        tokio::select! {
            item = next => item,
            _ = &mut self.0 => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn following_ends_by_count_or_when_caught_up() {
        let mut output = Output::new(false);
        let limited = FollowOptions { limit: Some(2), until_caught_up: false };
        let mut follower = Follower::new(limited);
        assert!(!follower.is_done());
        follower.item(&mut output).unwrap();
        follower.item(&mut output).unwrap();
        assert!(follower.is_done());

        let mut follower = Follower::new(FollowOptions { limit: None, until_caught_up: true });
        follower.item(&mut output).unwrap();
        assert!(!follower.is_done());
        follower.caught_up(&mut output).unwrap();
        assert!(follower.is_done());
        assert!(Follower::new(FollowOptions { limit: Some(0), until_caught_up: false }).is_done());
    }
}
