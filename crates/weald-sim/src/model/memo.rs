//! What members did before: a member in one state does the same for the same cause, and the network
//! is in far more states than any of its members.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use weald_cluster::replica::Envelope;

use super::node::Node;

/// A member after a step, and what it did.
pub(super) struct Step {
    pub(super) node: Arc<Node>,
    pub(super) did: Did,
    /// The letters that are carried, by their keys.
    pub(super) sent: Vec<(u64, Arc<Envelope>)>,
}

/// What a step shows to the world beside letters.
#[derive(Clone, Copy, Default)]
pub(super) struct Did {
    pub(super) watermark: Option<weald_core::LogIndex>,
    pub(super) has_cut: bool,
    pub(super) has_refused: bool,
    /// Something was said before what it speaks of was synced.
    pub(super) is_early: bool,
}

/// Why a member does something, and whether syncs are done at once.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Cause {
    Letter(u64),
    Sync,
    Settle,
    Command(u8),
    Beat,
    Resign,
    Change,
    Crash,
    Wipe,
}

type Key = (u64, Cause, bool);

const SHARD_COUNT: usize = 16;

/// Steps that were taken. Shared by the threads of one exploration.
#[derive(Default)]
pub(super) struct Memo([Mutex<HashMap<Key, Arc<Step>>>; SHARD_COUNT]);

impl Memo {
    /// The step, taken now if it never was before.
    pub(super) fn recall(&self, key: Key, take: impl FnOnce() -> Step) -> Arc<Step> {
        let shard = usize::try_from(key.0 % SHARD_COUNT as u64).expect("it is small");
        let shard = &self.0[shard];
        let known = shard.lock().expect("no thread panics").get(&key).cloned();
        known.unwrap_or_else(|| {
            let step = Arc::new(take());
            shard.lock().expect("no thread panics").insert(key, Arc::clone(&step));
            step
        })
    }
}
