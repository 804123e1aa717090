//! Writers that note what was acknowledged, when, and where in the log; and what has to be there of it once one
//! survivor has gone on alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};

use crate::client::{Answer, Client};
use crate::report::Report;

/// Trees, each in a group of its own, so that partitions share them out.
const TREES: usize = 6;
const WRITERS: usize = 4;
/// How long an attempt waits for its answer, and the pause before the next.
const ATTEMPT_MAX: Duration = Duration::from_secs(2);
const ATTEMPT_PAUSE: Duration = Duration::from_millis(10);
/// How long so many acknowledgements may take.
const ACKNOWLEDGE_MAX: Duration = Duration::from_secs(120);

/// Indexes by partition.
pub(super) type Indexes = BTreeMap<u64, u64>;

/// One write. Its value is its key, and nobody else writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    tree: String,
    key: String,
    /// When it was first asked for.
    begun: Instant,
    acked: Option<Acked>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Acked {
    at: Instant,
    partition: u64,
    index: u64,
}

/// What the survivor had when it ended for the last time before the recovery.
#[derive(Clone, Debug)]
pub(super) struct Held {
    /// It ended between these two moments, and did not run with the others again.
    pub(super) ended: (Instant, Instant),
    /// What it had applied, as it said itself shortly before.
    pub(super) applied: Indexes,
    /// Up to where its log is kept, as the command says.
    pub(super) kept: Indexes,
}

/// What has to become of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Kept,
    Gone,
    /// The survivor may or may not have had it when it ended.
    Either,
}

impl Held {
    /// Indexes of what was written while the survivor was away may be below what is kept: the end of its log may
    /// hold what it alone had written down.
    fn fate(&self, line: &Line) -> Fate {
        let (before, after) = self.ended;
        let Some(acked) = line.acked else { return Fate::Either };
        if line.begun > after {
            return Fate::Gone;
        }
        let is_up_to = |indexes: &Indexes| indexes.get(&acked.partition) >= Some(&acked.index);
        if is_up_to(&self.applied) || (acked.at < before && is_up_to(&self.kept)) {
            return Fate::Kept;
        }
        if acked.at < before { Fate::Gone } else { Fate::Either }
    }
}

#[derive(Debug)]
struct Shared {
    clients: Vec<Client>,
    is_over: AtomicBool,
    acked_count: AtomicUsize,
}

/// Writers at work.
#[derive(Debug)]
pub(super) struct Journal {
    shared: Arc<Shared>,
    writers: Vec<JoinHandle<Vec<Line>>>,
}

impl Journal {
    pub(super) fn begin(clients: Vec<Client>) -> Self {
        let clients = clients.into_iter().map(|client| client.within(ATTEMPT_MAX)).collect();
        let (is_over, acked_count) = (AtomicBool::new(false), AtomicUsize::new(0));
        let shared = Arc::new(Shared { clients, is_over, acked_count });
        let writer = |writer| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || write(&shared, writer))
        };
        let writers = (0..WRITERS).map(writer).collect();
        Self { shared, writers }
    }

    /// Waits until `count` more writes are acknowledged.
    pub(super) fn wait_acknowledged(&self, count: usize) -> Result<()> {
        let acked = || self.shared.acked_count.load(Ordering::Relaxed);
        let (started, wanted) = (Instant::now(), acked() + count);
        while acked() < wanted {
            ensure!(
                started.elapsed() < ACKNOWLEDGE_MAX,
                "only {} of {wanted} writes are acknowledged",
                acked()
            );
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Ends the writers, whatever they wait for; all that they asked for.
    pub(super) fn end(self) -> Result<Vec<Line>> {
        self.shared.is_over.store(true, Ordering::Relaxed);
        let mut lines = Vec::new();
        for writer in self.writers {
            lines.extend(writer.join().map_err(|_| anyhow!("a writer panicked"))?);
        }
        Ok(lines)
    }
}

fn write(shared: &Shared, writer: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    while !shared.is_over.load(Ordering::Relaxed) {
        lines.push(write_one(shared, writer, lines.len()));
    }
    lines
}

/// The same write through one node after the other until one acknowledges it.
fn write_one(shared: &Shared, writer: usize, number: usize) -> Line {
    let (tree, key) = (tree(number % TREES), format!("k{writer}-{number}"));
    let id = format!("journal-{key}");
    let (begun, mut turn) = (Instant::now(), writer + number);
    while !shared.is_over.load(Ordering::Relaxed) {
        let client = &shared.clients[turn % shared.clients.len()];
        if let Ok((partition, index)) = client.put_placed((&tree, &key), key.as_bytes(), &id) {
            shared.acked_count.fetch_add(1, Ordering::Relaxed);
            let acked = Some(Acked { at: Instant::now(), partition, index });
            return Line { tree, key, begun, acked };
        }
        turn += 1;
        thread::sleep(ATTEMPT_PAUSE);
    }
    Line { tree, key, begun, acked: None }
}

fn tree(number: usize) -> String {
    format!("journal-{number}")
}

/// What became of the acknowledged writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// They have to be there and are.
    pub(super) kept: usize,
    /// They have to be there and are not.
    pub(super) lost: usize,
    /// Only the lost nodes had them, and they are not there.
    pub(super) gone: usize,
    /// Only the lost nodes had them, and they are there.
    pub(super) returned: usize,
    /// They were under way when the survivor ended.
    pub(super) open: usize,
}

impl Tally {
    fn of(lines: &[Line], held: &Held, is_there: impl Fn(&Line) -> bool) -> Self {
        let mut tally = Self::default();
        for line in lines.iter().filter(|line| line.acked.is_some()) {
            let count = match (held.fate(line), is_there(line)) {
                (Fate::Kept, true) => &mut tally.kept,
                (Fate::Kept, false) => &mut tally.lost,
                (Fate::Gone, false) => &mut tally.gone,
                (Fate::Gone, true) => &mut tally.returned,
                (Fate::Either, _) => &mut tally.open,
            };
            *count += 1;
        }
        tally
    }

    /// Reads everything through `client`.
    pub(super) fn read(lines: &[Line], held: &Held, client: &Client) -> Result<Self> {
        let trees: Answer<BTreeMap<String, BTreeMap<String, Vec<u8>>>> = (0..TREES)
            .map(|number| Ok((tree(number), client.scan(&tree(number))?.into_iter().collect())))
            .collect();
        let trees = trees?;
        let is_there = |line: &Line| {
            trees[&line.tree].get(&line.key).is_some_and(|value| value == line.key.as_bytes())
        };
        Ok(Self::of(lines, held, is_there))
    }

    /// Nothing is lost that was to be kept, and nothing is back that is gone.
    pub(super) fn judge(&self, report: &mut Report, whom: &str) {
        let Self { kept, lost, gone, returned, open } = self;
        let text = format!(
            "{kept} there, {gone} gone with the lost nodes, {open} were under way as the survivor ended; \
             lost {lost}, back {returned}"
        );
        let is_well = *lost == 0 && *returned == 0 && *kept > 0 && *gone > 0;
        report.expect(is_well, &format!("acknowledged, through {whom}"), text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A write that was begun and acknowledged so many seconds after the survivor's end, at an index.
    fn line(start: Instant, begun: u64, acked: Option<(u64, u64)>) -> Line {
        let at = |seconds| start + Duration::from_secs(seconds);
        let acked = acked.map(|(seconds, index)| Acked { at: at(seconds), partition: 3, index });
        Line { tree: tree(0), key: "k".into(), begun: at(begun), acked }
    }

    fn held(start: Instant) -> Held {
        let at = |seconds| start + Duration::from_secs(seconds);
        let indexes = |index| Indexes::from([(3, index)]);
        Held { ended: (at(10), at(11)), applied: indexes(50), kept: indexes(60) }
    }

    #[test]
    fn a_write_is_kept_if_the_survivor_had_it() {
        let start = Instant::now();
        let check = |begun, acked, expect| {
            assert_eq!(held(start).fate(&line(start, begun, acked)), expect, "{begun} {acked:?}");
        };
        check(1, Some((2, 50)), Fate::Kept);
        check(1, Some((2, 60)), Fate::Kept);
        check(1, Some((2, 61)), Fate::Gone);
        check(9, Some((10, 55)), Fate::Either);
        check(9, Some((12, 50)), Fate::Kept);
        check(9, Some((12, 61)), Fate::Either);
        check(12, Some((13, 55)), Fate::Gone);
        check(12, Some((13, 90)), Fate::Gone);
        check(1, None, Fate::Either);
    }

    #[test]
    fn what_is_lost_or_comes_back_fails_the_report() {
        let start = Instant::now();
        let lines = [line(start, 1, Some((2, 50))), line(start, 12, Some((13, 90)))];
        let is_passed = |there: [bool; 2]| {
            let is_there = |one: &Line| if *one == lines[0] { there[0] } else { there[1] };
            let mut report = Report::default();
            Tally::of(&lines, &held(start), is_there).judge(&mut report, "n2");
            report.is_passed()
        };
        assert!(is_passed([true, false]));
        assert!(!is_passed([false, false]), "the kept one is lost");
        assert!(!is_passed([true, true]), "the gone one is back");
    }
}
