//! What can be wrong, by its name.

use std::collections::BTreeMap;
use std::fmt;

use super::super::limits::ANOMALIES_MAX;
use super::Level;

/// The kinds of anomalies, the worst first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum AnomalyKind {
    /// Something was read that nobody wrote.
    UnwrittenRead,
    /// An entry stands in a diary more often than it was appended.
    DuplicateAppend,
    /// Two answers put different versions at one place of the order.
    IncompatibleOrders,
    /// A committed append is in none of the reads of the diary, and one began after it.
    LostAppend,
    /// A transaction did not see what it had read or written itself.
    InternalInconsistency,
    /// G1a: a value of a rejected transaction was read.
    AbortedRead,
    /// G1b: a value was read that its transaction overwrote.
    IntermediateRead,
    /// G0: a cycle of write-write dependencies.
    G0,
    /// G1c: a cycle of write-write and write-read dependencies.
    G1c,
    /// A cycle with exactly one read-write dependency.
    GSingle,
    /// A cycle with several read-write dependencies.
    G2,
    /// As [`AnomalyKind::G0`], closed by real time.
    G0Realtime,
    /// As [`AnomalyKind::G1c`], closed by real time.
    G1cRealtime,
    /// As [`AnomalyKind::GSingle`], closed by real time.
    GSingleRealtime,
    /// As [`AnomalyKind::G2`], closed by real time.
    G2Realtime,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anomaly {
    /// Its name.
    pub kind: AnomalyKind,
    /// The places in the history of the transactions concerned; of a cycle in its order.
    pub places: Vec<usize>,
    /// What happened, for people.
    pub explanation: String,
}

/// All that is wrong with a history, by kind.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Anomalies {
    kept: BTreeMap<AnomalyKind, Vec<Anomaly>>,
    counts: BTreeMap<AnomalyKind, usize>,
}

impl AnomalyKind {
    /// The name in reports and in the literature, where it has one there.
    pub fn name(self) -> &'static str {
        match self {
            Self::UnwrittenRead => "unwritten read",
            Self::DuplicateAppend => "duplicate append",
            Self::IncompatibleOrders => "incompatible orders",
            Self::LostAppend => "lost append",
            Self::InternalInconsistency => "internal inconsistency",
            Self::AbortedRead => "G1a aborted read",
            Self::IntermediateRead => "G1b intermediate read",
            Self::G0 => "G0",
            Self::G1c => "G1c",
            Self::GSingle => "G-single",
            Self::G2 => "G2",
            Self::G0Realtime => "G0-realtime",
            Self::G1cRealtime => "G1c-realtime",
            Self::GSingleRealtime => "G-single-realtime",
            Self::G2Realtime => "G2-realtime",
        }
    }

    /// The weakest level that forbids it.
    pub fn forbidden_from(self) -> Level {
        match self {
            Self::UnwrittenRead
            | Self::DuplicateAppend
            | Self::IncompatibleOrders
            | Self::InternalInconsistency
            | Self::AbortedRead
            | Self::IntermediateRead
            | Self::G0
            | Self::G1c => Level::ReadCommitted,
            Self::GSingle | Self::G2 => Level::Serializable,
            Self::LostAppend
            | Self::G0Realtime
            | Self::G1cRealtime
            | Self::GSingleRealtime
            | Self::G2Realtime => Level::StrictSerializable,
        }
    }
}

impl Anomalies {
    /// Those that were kept, the worst first; at most [`ANOMALIES_MAX`] of a kind.
    pub fn iter(&self) -> impl Iterator<Item = &Anomaly> {
        self.kept.values().flatten()
    }

    /// The kinds with how many there are of each.
    pub fn counts(&self) -> &BTreeMap<AnomalyKind, usize> {
        &self.counts
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    pub(super) fn add(&mut self, anomaly: Anomaly) {
        *self.counts.entry(anomaly.kind).or_default() += 1;
        let of_kind = self.kept.entry(anomaly.kind).or_default();
        if of_kind.len() < ANOMALIES_MAX {
            of_kind.push(anomaly);
        }
    }

    pub(super) fn keep_forbidden(&mut self, level: Level) {
        self.kept.retain(|kind, _| kind.forbidden_from() <= level);
        self.counts.retain(|kind, _| kind.forbidden_from() <= level);
    }
}

impl std::error::Error for Anomalies {}

impl fmt::Display for Anomalies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (kind, count)) in self.counts.iter().enumerate() {
            write!(f, "{}{}: {count}", if index == 0 { "" } else { ", " }, kind.name())?;
        }
        for anomaly in self.iter() {
            write!(f, "\n{anomaly}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.explanation)
    }
}
