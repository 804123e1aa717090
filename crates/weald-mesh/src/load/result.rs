//! What a load was told, all clients together.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use weald_sim::history::{Event, History, Recorder};

use super::Objects;
use super::worker::Told;
use crate::statistics::Summary;

/// An acknowledged write of a tree. Times are nanoseconds since the load began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ack {
    pub(crate) tree: usize,
    /// When the attempt began that was answered.
    pub(crate) attempted: u64,
    pub(crate) acked: u64,
}

/// What a whole load was told.
#[derive(Debug)]
pub(crate) struct LoadResult {
    pub(crate) objects: Objects,
    pub(crate) acks: Vec<Ack>,
    pub(crate) duration: Duration,
    /// Committed and answered operations.
    pub(crate) completed_count: usize,
    pub(crate) rejected_count: usize,
    /// Writes of which nobody could tell what became of them.
    pub(crate) unknown_count: usize,
    /// Attempts beyond the first of each operation.
    pub(crate) retry_count: usize,
    /// Writes whose outcome was found by resolving them.
    pub(crate) resolved_count: usize,
    /// Answers that an operation was refused, by kind.
    pub(crate) refusals: BTreeMap<String, usize>,
    pub(crate) writes: Vec<Duration>,
    pub(crate) reads: Vec<Duration>,
    events: Vec<Event>,
}

impl LoadResult {
    pub(super) fn new(objects: Objects) -> Self {
        Self {
            objects,
            acks: Vec::new(),
            duration: Duration::ZERO,
            completed_count: 0,
            rejected_count: 0,
            unknown_count: 0,
            retry_count: 0,
            resolved_count: 0,
            refusals: BTreeMap::new(),
            writes: Vec::new(),
            reads: Vec::new(),
            events: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, told: Told) {
        self.acks.extend(told.acks);
        self.completed_count += told.completed_count;
        self.rejected_count += told.rejected_count;
        self.unknown_count += told.unknown_count;
        self.retry_count += told.retry_count;
        self.resolved_count += told.resolved_count;
        self.writes.extend(told.writes);
        self.reads.extend(told.reads);
        self.events.extend(told.events);
    }

    /// The tick after everything that was recorded.
    pub(crate) fn end(&self) -> u64 {
        u64::try_from(self.duration.as_nanos()).expect("a run ends before 500 years")
    }

    /// Adds what others have seen, of processes that are not the load's.
    pub(crate) fn add_events(&mut self, events: impl IntoIterator<Item = Event>) {
        self.events.extend(events);
    }

    /// The history of all clients.
    pub(crate) fn history(&self) -> Result<History> {
        let mut recorder = Recorder::default();
        for event in &self.events {
            recorder.record(event.clone()).context("the load kept no history")?;
        }
        Ok(recorder.finish())
    }

    /// The history as JSON lines.
    pub(crate) fn json_lines(&self) -> String {
        self.events.iter().map(Event::to_json_line).collect()
    }

    /// From `since` to the first acknowledgement on one of `trees` whose attempt began after it.
    pub(crate) fn next_ack(&self, trees: &[usize], since: u64) -> Option<Duration> {
        let later = |ack: &&Ack| trees.contains(&ack.tree) && ack.attempted >= since;
        let acked = self.acks.iter().filter(later).map(|ack| ack.acked).min()?;
        Some(Duration::from_nanos(acked - since))
    }

    /// Write and read times, for a table.
    pub(crate) fn latencies(&self) -> (Option<Summary>, Option<Summary>) {
        (Summary::of(self.writes.clone()), Summary::of(self.reads.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_acknowledgement_is_one_whose_attempt_began_later() {
        let mut result = LoadResult::new(Objects::default());
        let ack = |tree, attempted, acked| Ack { tree, attempted, acked };
        result.acks = vec![ack(0, 90, 150), ack(0, 300, 420), ack(0, 110, 400), ack(1, 100, 130)];
        assert_eq!(result.next_ack(&[0], 100), Some(Duration::from_nanos(300)));
        assert_eq!(result.next_ack(&[0, 1], 100), Some(Duration::from_nanos(30)));
        assert_eq!(result.next_ack(&[1], 101), None);
    }
}
