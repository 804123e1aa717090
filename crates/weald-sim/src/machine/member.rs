//! The state machine that a member runs: the small model, or the real one.

use bytes::Bytes;
use weald_cluster::{
    partition::Applied,
    replica::{LogEntry, Point},
};
use weald_core::{Digest, LogIndex, PartitionId, Time};

use crate::node::PARTITION;

use super::{Machine, Outcome, Request, Shown, real::RealMachine};

/// Which state machine members run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum MachineKind {
    /// The small model.
    Model,
    /// A `Partition` with collections in blocks over a store and an engine in memory.
    Real,
    /// The same for one partition of several, whose log carries real entries.
    Partition(PartitionId),
}

/// The state machine of a member.
#[derive(Debug)]
pub(crate) enum MemberMachine {
    /// See [`MachineKind::Model`].
    Model(Machine),
    /// See [`MachineKind::Real`].
    Real(Box<RealMachine>),
}

/// The durable state of a state machine at one index.
#[derive(Clone, Debug)]
pub(crate) enum Snapshot {
    /// Of the model.
    Model(Box<Machine>),
    /// Of the real one: the pages of its export, and the entry up to which it is.
    Real {
        /// The partition.
        id: PartitionId,
        /// The last entry that it covers.
        point: Point,
        /// What other members are sent.
        pages: Vec<Bytes>,
    },
}

impl MemberMachine {
    /// The state before the first entry.
    pub(crate) fn new(kind: MachineKind) -> Self {
        match kind {
            MachineKind::Model => Self::Model(Machine::default()),
            MachineKind::Real => Self::Real(Box::new(RealMachine::new(PARTITION))),
            MachineKind::Partition(id) => Self::Real(Box::new(RealMachine::new(id))),
        }
    }

    /// The state that a snapshot has.
    pub(crate) fn restore(snapshot: &Snapshot) -> Self {
        match snapshot {
            Snapshot::Model(machine) => Self::Model(Machine::clone(machine)),
            Snapshot::Real { id, point, pages } => {
                Self::Real(Box::new(RealMachine::install(*id, *point, pages)))
            }
        }
    }

    /// Makes the state durable, as it is.
    pub(crate) fn snapshot(&self) -> Snapshot {
        match self {
            Self::Model(machine) => Snapshot::Model(Box::new(machine.clone())),
            Self::Real(machine) => {
                let (id, point) = (machine.partition().id(), machine.point());
                Snapshot::Real { id, point, pages: machine.checkpoint() }
            }
        }
    }

    /// The last applied entry.
    pub(crate) fn point(&self) -> Point {
        match self {
            Self::Model(machine) => machine.point,
            Self::Real(machine) => machine.point(),
        }
    }

    /// Its place.
    pub(crate) fn applied(&self) -> LogIndex {
        self.point().index
    }

    /// Log time there.
    pub(crate) fn time(&self) -> Time {
        match self {
            Self::Model(machine) => machine.time,
            Self::Real(machine) => machine.time(),
        }
    }

    /// A hash over everything that was done.
    pub(crate) fn effect(&self) -> Digest {
        match self {
            Self::Model(machine) => machine.effect,
            Self::Real(machine) => machine.effect(),
        }
    }

    /// Applies the next entry. What it asked for, and what came of it, if it asked for anything.
    pub(crate) fn apply(&mut self, entry: &LogEntry) -> Option<(Request, Outcome)> {
        match self {
            Self::Model(machine) => machine.apply(entry),
            Self::Real(machine) => machine.apply(entry),
        }
    }

    /// What a read of `key` shows.
    pub(crate) fn show(&self, key: u8) -> Shown {
        match self {
            Self::Model(machine) => machine.show(key),
            Self::Real(machine) => machine.show(key),
        }
    }

    /// The real one, where it is that.
    pub(crate) fn real(&self) -> Option<&RealMachine> {
        match self {
            Self::Model(_) => None,
            Self::Real(machine) => Some(machine),
        }
    }

    /// What the last entry did, in the real state machine's words; once.
    pub(crate) fn take_applied(&mut self) -> Option<Applied> {
        match self {
            Self::Model(_) => None,
            Self::Real(machine) => machine.take_applied(),
        }
    }

    /// Something is not what the log says.
    pub(crate) fn corrupt(&mut self) {
        match self {
            Self::Model(machine) => machine.effect = Digest::of("rot", &[]),
            Self::Real(machine) => machine.corrupt(),
        }
    }

    /// A digest over the whole state, of which equal members have the same.
    pub(crate) fn digest(&self) -> Digest {
        match self {
            Self::Model(machine) => machine.effect,
            Self::Real(machine) => machine.digest(),
        }
    }
}
