//! What a node keeps over a restart: its log behind [`MemberLog`], the last checkpoint of its state
//! machine, who it is, and how often it has started.

mod model;
mod real;

use weald_cluster::replica::{
    Health, LogEntry, Persist, PersistTicket, Point, SnapshotMeta, Stored,
};
use weald_core::{LogIndex, StoreId};

use crate::{machine::Snapshot, random::Random};

pub(crate) use model::ModelLog;
pub(crate) use real::RealLog;

/// Which log nodes have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LogKind {
    /// A small model of a log.
    Model,
    /// The log of `weald-storage` on a disk that loses, tears, rots and fills up.
    Real,
}

/// The sync under way has failed: nothing more is made durable in this run (rule C12).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SyncFailed;

/// The log of one member, with syncs that the world lets take their time. What was handed over and
/// not synced may be lost with a crash.
pub(crate) trait MemberLog: std::fmt::Debug {
    /// Takes what is to be made durable.
    fn submit(&mut self, persist: Persist);

    /// Begins a sync of all that has gathered. False when nothing has, or one is under way.
    fn begin_sync(&mut self) -> bool;

    /// The sync under way ends: up to which ticket everything is durable.
    ///
    /// # Errors
    /// When the disk fails.
    fn finish_sync(&mut self) -> Result<PersistTicket, SyncFailed>;

    /// The sync under way fails. Of what it would have written, something may survive.
    fn fail_sync(&mut self, random: &mut Random);

    /// Nothing more can be allocated, or there is room again.
    fn set_full(&mut self, is_full: bool);

    /// Power fails: of what is not synced, something may survive.
    fn crash(&mut self, random: &mut Random);

    /// What is there, as a restart finds it that has the state right after `covered`. `None` when the
    /// log cannot be opened for want of space.
    fn recover(&mut self, covered: Option<Point>) -> Option<Recovered>;

    /// Durable entries from `from` on; none when the first is not held.
    fn read(&self, from: LogIndex, bytes_max: usize) -> Vec<LogEntry>;

    /// Entries below `below` are needed no more.
    fn release(&mut self, below: LogIndex);

    /// Replaces everything by an empty log that begins after `point`, durably.
    fn restart_at(&mut self, point: Point, stored: Stored);

    /// Damages the durable entry that stands `back` places before the last.
    fn rot(&mut self, back: u64, random: &mut Random);

    /// Entries that were damaged are there again, or count no more.
    fn note_repaired(&mut self);

    /// The same log, as a copied disk has it.
    fn copy(&self) -> Box<dyn MemberLog>;
}

/// What a restart finds in a log.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) health: Health,
    pub(crate) stored: Option<Stored>,
    /// The point right before the first entry.
    pub(crate) before: Point,
    pub(crate) entries: Vec<LogEntry>,
}

/// The durable state of a state machine at one index, and what it stands for.
#[derive(Clone, Debug)]
pub(crate) struct Checkpoint {
    pub(crate) machine: Snapshot,
    pub(crate) meta: SnapshotMeta,
}

/// A node's disk.
#[derive(Debug)]
pub(crate) struct Disk {
    pub(crate) store: StoreId,
    pub(crate) incarnation: u64,
    pub(crate) checkpoint: Option<Checkpoint>,
    pub(crate) log: Box<dyn MemberLog>,
    /// Nothing is left of what was on it.
    pub(crate) is_wiped: bool,
    /// Something of the log is damaged, and not repaired yet.
    pub(crate) is_damaged: bool,
}

impl Disk {
    /// A formatted disk with nothing on it.
    pub(crate) fn new(kind: LogKind, random: &mut Random) -> Self {
        let store = draw_store(random);
        let log: Box<dyn MemberLog> = match kind {
            LogKind::Model => Box::<ModelLog>::default(),
            LogKind::Real => Box::new(RealLog::new(store)),
        };
        Self { store, incarnation: 0, checkpoint: None, log, is_wiped: false, is_damaged: false }
    }

    /// Everything is lost; the disk is formatted anew.
    pub(crate) fn wipe(&mut self, kind: LogKind, random: &mut Random) {
        *self = Self { is_wiped: true, ..Self::new(kind, random) };
    }

    /// A copy, as a backup of the whole machine has it.
    pub(crate) fn copy(&self) -> Self {
        Self {
            store: self.store,
            incarnation: self.incarnation,
            checkpoint: self.checkpoint.clone(),
            log: self.log.copy(),
            is_wiped: self.is_wiped,
            is_damaged: self.is_damaged,
        }
    }
}

fn draw_store(random: &mut Random) -> StoreId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&random.next().to_le_bytes());
    bytes[8..].copy_from_slice(&random.next().to_le_bytes());
    StoreId(bytes)
}
