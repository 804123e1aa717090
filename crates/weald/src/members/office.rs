//! What all members of a node work with, inside the loop: its clocks, its clerks, its post.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use weald_cluster::{
    configuration::Member,
    replica::{Now, Standing},
};
use weald_core::{Executor, LogStore, PartitionId, PeerId, SyncTicket, Time, identity::KeyStore};

use super::{
    Answer, Auditor, Caller, Courier, MembersConfig,
    clerk::Clerk,
    clocks::Clocks,
    figures::{Counters, count},
    post::Post,
    stores::Stores,
};

/// See the module's page.
pub(super) struct Office {
    pub(super) config: MembersConfig,
    pub(super) clocks: Clocks,
    /// The time of this turn.
    pub(super) now: Now,
    pub(super) me: Member,
    pub(super) incarnation: u64,
    pub(super) seed: u64,
    pub(super) keys: Arc<dyn KeyStore>,
    pub(super) log: Arc<dyn LogStore>,
    pub(super) stores: Stores,
    pub(super) executor: Arc<dyn Executor>,
    pub(super) post: Post,
    pub(super) counters: Arc<Counters>,
    pub(super) reader: Clerk,
    pub(super) writer: Clerk,
    pub(super) fetcher: Clerk,
    /// What nodes last said of themselves.
    pub(super) standings: BTreeMap<PeerId, Standing>,
    /// Carries messages between coordinators; `None` until it was given.
    pub(super) courier: Option<Arc<dyn Courier>>,
    /// Looks at what other coordinators have logged; `None` until it was given.
    pub(super) auditor: Option<Arc<dyn Auditor>>,
    /// Replicas that have something for the log.
    pub(super) to_submit: BTreeSet<PartitionId>,
    /// Replicas that have something to apply.
    pub(super) to_apply: BTreeSet<PartitionId>,
    /// Replicas that could work out what the entry on its way will come to.
    pub(super) to_speculate: BTreeSet<PartitionId>,
    /// Answers of this turn, given when everything else is done.
    pub(super) answers: Vec<(Caller<Answer>, Answer)>,
    /// The members of some partition have changed.
    pub(super) has_peers_changed: bool,
    /// Whether this node can coordinate (rule C9).
    pub(super) is_healthy: bool,
    /// Nothing more is proposed here.
    pub(super) is_closing: bool,
    /// The states take all the memory that they may.
    pub(super) is_over_budget: bool,
    pub(super) disk: DiskWatch,
}

impl Office {
    /// Gives the answers of this turn.
    pub(super) fn answer(&mut self) {
        for (caller, answer) in self.answers.drain(..) {
            caller.tell(answer);
        }
    }

    /// Notes that something was handed to the log.
    pub(super) fn count_batch(&mut self) {
        count(&self.counters.batches);
        let now = self.now.steady;
        self.disk.handed(now);
    }
}

/// How fast the log is (rule C9).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DiskWatch {
    /// Since when something is on its way that no sync has covered.
    unsynced_since: Option<Time>,
    /// Since when syncs are slow.
    slow_since: Option<Time>,
    /// When the last one ended.
    ended: Time,
    synced: SyncTicket,
}

impl DiskWatch {
    /// A batch was handed over.
    fn handed(&mut self, now: Time) {
        self.unsynced_since.get_or_insert(now);
    }

    /// The log is durable up to `synced`; `is_all` tells whether nothing more is on its way. A sync
    /// that takes longer than `slow` is slow.
    pub(super) fn synced(&mut self, now: Time, synced: (SyncTicket, bool), slow: Duration) {
        let (synced, is_all) = synced;
        if synced == self.synced {
            return;
        }
        if self.unsynced_since.is_none_or(|since| now.since(since) <= slow) {
            self.slow_since = None;
        }
        (self.synced, self.ended) = (synced, now);
        self.unsynced_since = (!is_all).then_some(now);
    }

    /// Whether syncs have been slower than `slow` for at least `long`. A disk that nothing is asked
    /// of for so long is taken for well again.
    pub(super) fn is_slow(&mut self, now: Time, slow: Duration, long: Duration) -> bool {
        match self.unsynced_since {
            Some(since) if now.since(since) > slow => drop(self.slow_since.get_or_insert(since)),
            None if now.since(self.ended) >= long => self.slow_since = None,
            _ => {}
        }
        self.slow_since.is_some_and(|since| now.since(since) >= long)
    }
}
