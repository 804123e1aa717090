//! Exhaustive exploration of one transaction over two partitions: every order of messages and log
//! entries, losses, repetitions, waiting times that end, and coordinators that end at any moment.
//!
//! The partitions and their coordinators are those of [`weald_cluster::partition`], with trees; what
//! is abstract:
//!
//! - **A log commits what it has taken, in order**, or its coordination ends and the successor
//!   commits a part of it: this is what [`model`](crate::model) shows of the replica.
//! - **The network is the set of all that was sent**, so that loss and delay need no steps of their own; a
//!   letter arrives once each time that it is sent, and a few of them again.
//! - **Time stands still**, and leaps past every waiting time at once; each coordinator notices when the
//!   exploration lets it.
//!
//! From every state a kind network and enough time must lead to an end: no lock is left, and both
//! accounts say the same of the transfer.

mod properties;
mod side;
#[cfg(test)]
mod tests;
mod world;

use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model, Property};
use weald_cluster::mutation::Mutation;

use crate::model::{Explored, explored};

pub use world::World;

/// How much may happen in an exploration.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Coordinations that end, of either partition.
    pub ends: u8,
    /// Letters that arrive again though they were not sent again.
    pub repeats: u8,
    /// Leaps of time past the deadlines of locks and every other waiting time.
    pub leaps: u8,
    /// Whether the client may send its transaction twice.
    pub has_repetition: bool,
    /// Whether a reader may meet the lock and want to know what it is.
    pub has_reader: bool,
    /// The rule that is left out.
    pub mutation: Option<Mutation>,
}

impl Bounds {
    /// A transfer while one coordination ends.
    pub const fn crash() -> Self {
        Self {
            ends: 1,
            repeats: 0,
            leaps: 1,
            has_repetition: false,
            has_reader: false,
            mutation: None,
        }
    }

    /// The same, with a reader at the lock.
    pub const fn read() -> Self {
        Self { has_reader: true, ..Self::crash() }
    }

    /// A transfer whose client asks twice; every coordination lives.
    pub const fn repetition() -> Self {
        Self { has_repetition: true, ends: 0, ..Self::crash() }
    }

    /// Bounds by their names.
    pub fn named() -> Vec<(&'static str, Self)> {
        vec![
            ("transfer-crash", Self::crash()),
            ("transfer-read", Self::read()),
            ("transfer-repetition", Self::repetition()),
            ("transfer-again", Self { repeats: 1, ..Self::crash() }),
            ("transfer-repetition-again", Self { repeats: 1, ..Self::repetition() }),
            ("transfer-two-crashes", Self { ends: 2, ..Self::crash() }),
        ]
    }
}

/// One thing that happens. Partitions are named by their number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The client asks the primary for its transfer.
    Ask,
    /// A letter arrives, for the first time or again: the n-th of those that were sent, in the order of
    /// their bytes.
    Deliver(usize),
    /// A partition's log commits the next entry, which is applied.
    Commit(usize),
    /// A coordination ends; of its entries that are not committed so many are, by the successor.
    End(usize, usize),
    /// Time passes.
    Leap,
    /// A coordinator notices that it did.
    Tick(usize),
    /// A reader meets the partition's lock.
    Meet(usize),
}

/// The model.
#[derive(Clone, Debug)]
pub struct Explorer {
    bounds: Bounds,
}

impl Model for Explorer {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::founded(&self.bounds)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        world.offer(&self.bounds, actions);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        world.after(&action)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::of(&self.bounds)
    }
}

/// Explores everything within `bounds`, on `threads` threads, for at most `limit`, which one thread alone does not
/// look at.
pub fn check(bounds: Bounds, threads: usize, limit: Duration) -> Explored {
    let begin = Instant::now();
    let checker = Explorer { bounds }
        .checker()
        .threads(threads)
        .finish_when(HasDiscoveries::AnyFailures)
        .timeout(limit)
        .spawn_dfs()
        .join();
    let duration = begin.elapsed();
    explored(&checker, (duration, duration < limit), |_, action| format!("{action:?}"))
}
