//! How long the phases of a write take at the coordinator. One write of each turn is timed, which
//! costs a turn and not a write.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use weald_core::LogIndex;

use super::limits::TIMED_MAX;
use crate::metric::{Metric, MetricValue, Times};

/// The times of all partitions.
#[derive(Debug, Default)]
pub(super) struct Phases {
    sync: Times,
    commit: Times,
    apply: Times,
}

impl Phases {
    /// What was counted, by phase.
    pub(super) fn metrics(&self) -> Vec<Metric> {
        let phases = [("sync", &self.sync), ("commit", &self.commit), ("apply", &self.apply)];
        let metric = |(phase, times): (&str, &Times)| Metric {
            name: "weald_write_phase_seconds".to_owned(),
            help: "Time from a write's place in the log until it is synced here (sync) and committed \
                   (commit), and from then until it is applied (apply), where this node coordinates.",
            labels: vec![("phase", phase.to_owned())],
            value: MetricValue::Times(times.read()),
        };
        phases.into_iter().map(metric).collect()
    }
}

/// Times some writes of one partition.
#[derive(Debug, Default)]
pub(super) struct Stopwatch {
    timed: VecDeque<Timed>,
}

/// A write that is timed.
#[derive(Debug)]
struct Timed {
    index: LogIndex,
    placed: Instant,
    is_synced: bool,
    committed: Option<Instant>,
}

impl Stopwatch {
    /// The write at `index` has its place. What there is no room for is not timed.
    pub(super) fn place(&mut self, index: LogIndex) {
        if self.timed.len() < TIMED_MAX {
            let placed = Instant::now();
            self.timed.push_back(Timed { index, placed, is_synced: false, committed: None });
        }
    }

    /// All up to `index` is durable here.
    pub(super) fn sync(&mut self, index: LogIndex, phases: &Phases) {
        let mut now = None;
        for timed in self.timed.iter_mut().filter(|timed| timed.index <= index && !timed.is_synced)
        {
            timed.is_synced = true;
            phases.sync.count(since(timed.placed, &mut now));
        }
    }

    /// All up to `index` is committed.
    pub(super) fn commit(&mut self, index: LogIndex, phases: &Phases) {
        let mut now = None;
        let is_news = |timed: &&mut Timed| timed.index <= index && timed.committed.is_none();
        for timed in self.timed.iter_mut().filter(is_news) {
            phases.commit.count(since(timed.placed, &mut now));
            timed.committed = now;
        }
    }

    /// All up to `index` is applied.
    pub(super) fn apply(&mut self, index: LogIndex, phases: &Phases) {
        let mut now = None;
        while let Some(timed) = self.timed.pop_front_if(|timed| timed.index <= index) {
            // What another coordinator has committed says nothing of this one.
            if let Some(committed) = timed.committed {
                phases.apply.count(since(committed, &mut now));
            }
        }
    }

    /// Entries from `from` on are gone.
    pub(super) fn cut(&mut self, from: LogIndex) {
        self.timed.retain(|timed| timed.index < from);
    }
}

/// How long ago `then` was; the clock is read once.
fn since(then: Instant, now: &mut Option<Instant>) -> Duration {
    now.get_or_insert_with(Instant::now).duration_since(then)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(phases: &Phases) -> Vec<u64> {
        let times = [&phases.sync, &phases.commit, &phases.apply];
        times.iter().map(|times| times.read().counts.iter().sum()).collect()
    }

    #[test]
    fn each_phase_of_a_timed_write_is_counted_once() {
        let (mut watch, phases) = (Stopwatch::default(), Phases::default());
        watch.place(LogIndex(3));
        watch.place(LogIndex(7));
        watch.commit(LogIndex(2), &phases);
        assert_eq!(counts(&phases), [0, 0, 0]);
        for _ in 0..2 {
            watch.sync(LogIndex(3), &phases);
            watch.commit(LogIndex(5), &phases);
            watch.apply(LogIndex(4), &phases);
        }
        assert_eq!(counts(&phases), [1, 1, 1]);
        watch.sync(LogIndex(9), &phases);
        watch.commit(LogIndex(9), &phases);
        watch.apply(LogIndex(9), &phases);
        assert_eq!(counts(&phases), [2, 2, 2]);
    }

    #[test]
    fn what_is_cut_is_not_counted_and_only_so_many_are_timed() {
        let (mut watch, phases) = (Stopwatch::default(), Phases::default());
        for index in 1..=u64::try_from(TIMED_MAX).unwrap() + 5 {
            watch.place(LogIndex(index));
        }
        watch.cut(LogIndex(3));
        watch.commit(LogIndex(1_000_000), &phases);
        assert_eq!(counts(&phases), [0, 2, 0]);
    }
}
