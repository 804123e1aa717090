//! Reading several partitions at one point in time.
//!
//! Two rounds, the second begun after the first has ended. Revisions that are equal in both were
//! so at every moment between, and a transaction whose decision one partition shows already is
//! resolved in every other or still locks it. So equal revisions, and no lock in the second round,
//! are the state at one moment. Otherwise it is read again, a bounded number of times; at last
//! with marks, which keep the collections as they are while they are read.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use weald_core::{BlockId, Lock, PartitionId, Revision};

use crate::mutation::Mutation;

/// Rounds that are read before marks are taken.
pub const ROUNDS_MAX: u32 = 8;
/// Attempts with marks.
pub const MARKS_MAX: u32 = 3;

/// What one partition shows in one round, read linearizably.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Shown {
    /// The revision of each collection that is read; absent ones are left out.
    pub revisions: BTreeMap<BlockId, Revision>,
    /// Locks on them.
    pub locks: Vec<Lock>,
}

/// What a reading hears.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// A partition's answer in a round. One of an earlier round is ignored.
    Shown(PartitionId, u32, Shown),
    /// Whether all partitions have marked what is read. If so, they hold the marks from now on.
    Marked(bool),
    /// Whether the transaction of the marks was committed, so that they were held until then.
    Confirmed(bool),
}

/// What a reading wants done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Output {
    /// Read from this partition, in this round.
    Read(PartitionId, u32),
    /// See to it that this lock is resolved; the partition says where it stands.
    Resolve(PartitionId, Lock),
    /// Pend a transaction that only marks what is read, in every partition.
    Mark,
    /// Commit that transaction.
    Confirm,
    /// What this round gave is one state.
    Done(u32),
    /// Too much is written; the caller may try again later.
    GaveUp,
}

/// One reading. Inputs in, outputs out; it ends with `Done` or `GaveUp`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reading {
    partitions: BTreeSet<PartitionId>,
    round: u32,
    phase: Phase,
    before: Option<BTreeMap<PartitionId, Shown>>,
    shown: BTreeMap<PartitionId, Shown>,
    marks_count: u32,
    outputs: VecDeque<Output>,
    #[cfg(feature = "mutations")]
    pub(crate) mutation: Option<crate::mutation::Mutation>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    Rounds,
    Marking,
    Marked,
    Confirming,
    Ended,
}

impl Reading {
    /// Begins to read from `partitions`.
    pub fn new(partitions: impl IntoIterator<Item = PartitionId>) -> Self {
        let mut reading = Self {
            partitions: partitions.into_iter().collect(),
            round: 0,
            phase: Phase::Rounds,
            before: None,
            shown: BTreeMap::new(),
            marks_count: 0,
            outputs: VecDeque::new(),
            #[cfg(feature = "mutations")]
            mutation: None,
        };
        reading.begin_round();
        reading
    }

    /// Leaves out a rule, to show that the checks would notice.
    #[cfg(feature = "mutations")]
    #[must_use]
    pub fn without(self, mutation: Option<crate::mutation::Mutation>) -> Self {
        Self { mutation, ..self }
    }

    /// Takes an input in.
    pub fn handle(&mut self, input: Input) {
        match (input, self.phase) {
            (Input::Shown(partition, round, shown), Phase::Rounds | Phase::Marked) => {
                self.shown(partition, round, shown);
            }
            (Input::Marked(true), Phase::Marking) => {
                self.phase = Phase::Marked;
                self.begin_round();
            }
            (Input::Confirmed(true), Phase::Confirming) => self.end(Output::Done(self.round)),
            (Input::Marked(false), Phase::Marking)
            | (Input::Confirmed(false), Phase::Confirming) => {
                self.mark();
            }
            _ => {}
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn begin_round(&mut self) {
        self.round += 1;
        self.shown.clear();
        let round = self.round;
        self.outputs.extend(self.partitions.iter().map(|id| Output::Read(*id, round)));
    }

    fn shown(&mut self, partition: PartitionId, round: u32, shown: Shown) {
        if round != self.round || !self.partitions.contains(&partition) {
            return;
        }
        let locks = shown.locks.iter().map(|lock| Output::Resolve(partition, *lock));
        if self.phase == Phase::Rounds {
            self.outputs.extend(locks);
        }
        self.shown.insert(partition, shown);
        if self.shown.len() == self.partitions.len() {
            self.round_ended();
        }
    }

    fn round_ended(&mut self) {
        if self.phase == Phase::Marked {
            self.phase = Phase::Confirming;
            self.outputs.push_back(Output::Confirm);
            return;
        }
        let has_locks = self.shown.values().any(|shown| !shown.locks.is_empty())
            && !self.breaks(Mutation::ReadPastLocks);
        let revisions = |all: &BTreeMap<PartitionId, Shown>| -> Vec<_> {
            all.values().map(|shown| shown.revisions.clone()).collect()
        };
        let now = revisions(&self.shown);
        let is_equal = self.before.as_ref().is_some_and(|before| revisions(before) == now)
            || self.breaks(Mutation::ReadPartitionsOnce);
        if is_equal && !has_locks {
            self.end(Output::Done(self.round));
        } else if self.round >= ROUNDS_MAX {
            self.mark();
        } else {
            self.before = Some(std::mem::take(&mut self.shown));
            self.begin_round();
        }
    }

    fn mark(&mut self) {
        if self.marks_count >= MARKS_MAX {
            self.end(Output::GaveUp);
            return;
        }
        self.marks_count += 1;
        self.phase = Phase::Marking;
        self.outputs.push_back(Output::Mark);
    }

    fn end(&mut self, output: Output) {
        self.phase = Phase::Ended;
        self.outputs.push_back(output);
    }
}
