//! What the members have done, counted.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{refusals::Refusals, stopwatch::Phases};
use crate::metric::{Metric, MetricValue, Times};

/// What is told of the figures: name, sentence, figure.
type Row = (&'static str, &'static str, fn(&Figures) -> u64);

const TOLD: [Row; 15] = [
    ("proposed", "Entries that this node gave a place in a log.", |figures| figures.proposed),
    ("applied", "Entries applied.", |figures| figures.applied),
    (
        "applied_speculated",
        "Entries applied that were executed while they were replicated.",
        |figures| figures.applied_speculated,
    ),
    ("speculated", "Entries executed while they were replicated.", |figures| figures.speculated),
    ("log_batches", "Batches handed to the log.", |figures| figures.batches),
    ("frames_sent", "Frames of replication sent to peers.", |figures| figures.frames_sent),
    ("sent_bytes", "Bytes of frames of replication sent to peers.", |figures| figures.bytes_sent),
    ("frames_unsent", "Frames for which a peer's queue had no room, or no way to it.", |figures| {
        figures.frames_unsent
    }),
    ("frames_received", "Frames of replication received.", |figures| figures.frames_received),
    ("coordinations", "Times that a member here began to coordinate.", |figures| {
        figures.coordinations
    }),
    ("stops", "Times that a member here stopped for a fault.", |figures| figures.stops),
    ("snapshots_installed", "Snapshots taken from peers.", |figures| figures.snapshots_installed),
    ("checkpoints", "Checkpoints written.", |figures| figures.checkpoints),
    ("reads", "Reads that were given an index.", |figures| figures.reads),
    ("turns", "Turns of the loop.", |figures| figures.turns),
];

/// Counts since the members started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    /// Entries proposed here.
    pub(crate) proposed: u64,
    /// Entries applied here.
    pub(crate) applied: u64,
    /// Those of them that were executed before they were committed.
    pub(crate) applied_speculated: u64,
    /// Entries executed before they were committed.
    pub(crate) speculated: u64,
    /// Batches handed to the log.
    pub(crate) batches: u64,
    /// Frames sent to peers, and their bytes.
    pub(crate) frames_sent: u64,
    /// Bytes of frames sent.
    pub(crate) bytes_sent: u64,
    /// Frames that found no room in a peer's queue, or no way to it.
    pub(crate) frames_unsent: u64,
    /// Frames received.
    pub(crate) frames_received: u64,
    /// Frames or messages from peers that were refused: malformed, forged, or for nobody here.
    pub(crate) refused: u64,
    /// How often a member here began to coordinate.
    pub(crate) coordinations: u64,
    /// How often a member here stopped for a fault.
    pub(crate) stops: u64,
    /// Snapshots installed here.
    pub(crate) snapshots_installed: u64,
    /// Checkpoints written.
    pub(crate) checkpoints: u64,
    /// Reads that were given an index.
    pub(crate) reads: u64,
    /// Turns of the loop.
    pub(crate) turns: u64,
}

/// The same, while they are counted.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) proposed: AtomicU64,
    pub(super) applied: AtomicU64,
    pub(super) applied_speculated: AtomicU64,
    pub(super) speculated: AtomicU64,
    pub(super) batches: AtomicU64,
    pub(super) frames_sent: AtomicU64,
    pub(super) bytes_sent: AtomicU64,
    pub(super) frames_unsent: AtomicU64,
    pub(super) frames_received: AtomicU64,
    pub(super) refused: Refusals,
    pub(super) coordinations: AtomicU64,
    pub(super) stops: AtomicU64,
    pub(super) snapshots_installed: AtomicU64,
    pub(super) checkpoints: AtomicU64,
    pub(super) reads: AtomicU64,
    pub(super) turns: AtomicU64,
    /// How long writes took.
    pub(super) phases: Phases,
    /// How long partitions were without a coordinator before this node took them over.
    pub(super) takeovers: Times,
}

impl Counters {
    /// All of it, for whoever watches over the node.
    pub(super) fn metrics(&self) -> Vec<Metric> {
        let figures = self.read();
        let metric = |(name, help, of): Row| {
            Metric::counter(format!("weald_members_{name}_total"), help, of(&figures))
        };
        let mut metrics: Vec<_> = TOLD.into_iter().map(metric).collect();
        metrics.extend(self.refused.metrics());
        metrics.extend(self.phases.metrics());
        metrics.push(Metric {
            name: "weald_takeover_seconds".to_owned(),
            help: "Time from when a coordinator was last heard, or this node last was it, until this \
                   node, in its place, had an entry of its own applied; hand-overs are among them.",
            labels: Vec::new(),
            value: MetricValue::Times(self.takeovers.read()),
        });
        metrics
    }

    pub(super) fn read(&self) -> Figures {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Figures {
            proposed: of(&self.proposed),
            applied: of(&self.applied),
            applied_speculated: of(&self.applied_speculated),
            speculated: of(&self.speculated),
            batches: of(&self.batches),
            frames_sent: of(&self.frames_sent),
            bytes_sent: of(&self.bytes_sent),
            frames_unsent: of(&self.frames_unsent),
            frames_received: of(&self.frames_received),
            refused: self.refused.sum(),
            coordinations: of(&self.coordinations),
            stops: of(&self.stops),
            snapshots_installed: of(&self.snapshots_installed),
            checkpoints: of(&self.checkpoints),
            reads: of(&self.reads),
            turns: of(&self.turns),
        }
    }
}

/// Counts one more.
pub(super) fn count(counter: &AtomicU64) {
    add(counter, 1);
}

/// Counts `number` more.
pub(super) fn add(counter: &AtomicU64, number: usize) {
    counter.fetch_add(u64::try_from(number).unwrap_or(u64::MAX), Ordering::Relaxed);
}
