//! The log against vectors: any batches, cuts and releases on a disk that stops and loses power at any moment.
//! What was reported durable is there afterwards, and what is there was submitted.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use weald_core::{
    Epoch, LogBatch, LogIndex, LogRecord, LogStore, PartitionHealth, PartitionId, SeededEntropy,
    StoreId, SyncTicket, Synced,
};
use weald_storage::log::testing::{PowerCut, SimDisk};
use weald_storage::log::{DiskLog, LogHome, LogOptions};

use crate::script::Script;

/// What one partition holds: entry `n` is at `n - 1`.
#[derive(Clone, Default, PartialEq)]
struct Held {
    entries: Vec<LogRecord>,
    state: Option<Bytes>,
}

struct Subject {
    disk: SimDisk,
    /// `None` only while it is reopened.
    log: Option<DiskLog>,
    /// By partition, what it held after each ticket that touched it; the first is surely durable.
    history: BTreeMap<PartitionId, Vec<(SyncTicket, Held)>>,
    /// By partition, entries below this may be gone.
    released: BTreeMap<PartitionId, LogIndex>,
    openings: u64,
}

/// Reads `data` as what happens to a log.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let disk = SimDisk::new(script.byte().into());
    let log = open(&disk, 0).expect("an empty disk takes a log");
    let mut subject = Subject {
        disk,
        log: Some(log),
        history: BTreeMap::new(),
        released: BTreeMap::new(),
        openings: 1,
    };
    for _ in 0..80 {
        if script.is_finished() {
            break;
        }
        subject.step(&mut script);
    }
    subject.reopen(PowerCut::LoseAll);
}

pub(crate) fn open(disk: &SimDisk, seed: u64) -> Option<DiskLog> {
    let home = LogHome {
        disk: Arc::new(disk.clone()),
        store: StoreId([7; 16]),
        entropy: Box::new(SeededEntropy::new(seed)),
        notifier: Arc::new(|| {}),
    };
    let options = LogOptions {
        segment_bytes: SEGMENT_BYTES,
        cache_bytes: 16 * 1024,
        ..LogOptions::default()
    };
    DiskLog::open_without_threads(home, options).ok()
}

/// Small ones, so that short inputs fill several.
const SEGMENT_BYTES: u64 = 128 * 1024;

impl Subject {
    fn step(&mut self, script: &mut Script<'_>) {
        match script.byte() % 16 {
            0 => self.reopen(PowerCut::LoseAll),
            1 => self.reopen(PowerCut::KeepAll),
            2 => self.reopen(PowerCut::Tear),
            3 => self.disk.stop_after(script.byte().into()),
            4 => self.release(script),
            5..=8 => self.log().run(),
            9 => self.check_reads(),
            _ => self.submit(script),
        }
    }

    fn log(&self) -> &DiskLog {
        self.log.as_ref().expect("the log is open between steps")
    }

    fn newest(&self, partition: PartitionId) -> Held {
        self.history
            .get(&partition)
            .and_then(|history| history.last())
            .map(|(_, held)| held.clone())
            .unwrap_or_default()
    }

    fn submit(&mut self, script: &mut Script<'_>) {
        let partition = PartitionId(u32::from(script.byte() % 3));
        let mut held = self.newest(partition);
        let kept = self.released.get(&partition).map_or(0, |below| below.0.saturating_sub(1));
        let mut cut_from = None;
        if script.byte().is_multiple_of(8) {
            let len = held.entries.len();
            let above = usize::try_from(kept).expect("few entries").min(len);
            held.entries.truncate(above + script.below(len - above + 1));
            cut_from = Some(LogIndex(held.entries.len() as u64 + 1));
        }
        let epoch = Epoch { number: self.openings, ..Epoch::default() };
        let mut entries = Vec::new();
        for _ in 0..script.below(8) {
            let byte = script.byte();
            let len =
                if byte.is_multiple_of(16) { script.below(20_000) } else { usize::from(byte) };
            let index = LogIndex(held.entries.len() as u64 + 1);
            let record = LogRecord { index, epoch, bytes: vec![byte; len].into() };
            held.entries.push(record.clone());
            entries.push(record);
        }
        let state = script
            .byte()
            .is_multiple_of(4)
            .then(|| Bytes::from(vec![script.byte(); script.below(200)]));
        held.state = state.clone().or(held.state);
        let batch = LogBatch { partition, cut_from, entries, state, ..LogBatch::default() };
        if let Ok(ticket) = self.log().submit(batch) {
            let history = self
                .history
                .entry(partition)
                .or_insert_with(|| vec![(SyncTicket(0), Held::default())]);
            history.push((ticket, held));
        }
    }

    fn release(&mut self, script: &mut Script<'_>) {
        let partition = PartitionId(u32::from(script.byte() % 3));
        let last = self.newest(partition).entries.len();
        let below = LogIndex(script.below(last + 2) as u64);
        if self.log().release(partition, below).is_ok() {
            let released = self.released.entry(partition).or_default();
            *released = below.max(*released);
        }
    }

    fn durable(&self) -> SyncTicket {
        match self.log().poll_synced() {
            Synced::UpTo(ticket) | Synced::Failed(ticket) => ticket,
        }
    }

    /// What was submitted last can be read before it is durable, or cannot yet; what can is right.
    fn check_reads(&self) {
        for partition in self.history.keys() {
            let held = self.newest(*partition);
            let from = self.released.get(partition).copied().unwrap_or_default().max(LogIndex(1));
            let Ok(found) = self.log().read(*partition, from, usize::MAX) else { continue };
            for record in &found {
                let place = usize::try_from(record.index.0 - 1).expect("few entries");
                let known = self.history[partition]
                    .iter()
                    .any(|(_, held)| held.entries.get(place) == Some(record));
                assert!(
                    known,
                    "an entry was read that nobody wrote partition={partition} held={}",
                    held.entries.len()
                );
            }
        }
    }

    fn reopen(&mut self, cut: PowerCut) {
        let durable = self.durable();
        // A process that dies does not tidy up: what it would still write meets a stopped disk.
        self.disk.stop_after(0);
        self.log = None;
        self.disk.power_cut(cut);
        self.openings += 1;
        let log = open(&self.disk, self.openings).expect("a log without damage opens");
        let recovered = log.recovered();
        for (partition, history) in &mut self.history {
            let possible = history.iter().rposition(|(ticket, _)| *ticket <= durable).unwrap_or(0);
            let found = recovered.get(partition);
            if let Some(found) = found {
                let whole = matches!(found.health, PartitionHealth::Intact | PartitionHealth::Torn);
                assert!(whole, "lost power was taken for damage: {found:?}");
            }
            let (last, state) =
                found.map_or((LogIndex(0), None), |found| (found.last, found.state.clone()));
            let released = self.released.get(partition).copied().unwrap_or_default();
            let first = found.map_or(LogIndex(1), |found| found.first);
            assert!(
                first <= released.max(LogIndex(1)).max(last),
                "entries are gone that nobody released: {found:?}"
            );
            let read = read_all(&log, *partition, first, last);
            let is = |held: &Held| {
                let place = usize::try_from(first.0.saturating_sub(1)).expect("few entries");
                held.entries.len() as u64 == last.0
                    && held.state == state
                    && held.entries.get(place..) == Some(&read[..])
            };
            let held =
                history[possible..].iter().map(|(_, held)| held).find(|held| is(held)).cloned();
            let held = held.unwrap_or_else(|| {
                panic!("partition {partition} holds what it never did: {found:?}")
            });
            *history = vec![(SyncTicket(0), held)];
        }
        self.log = Some(log);
    }
}

fn read_all(
    log: &DiskLog,
    partition: PartitionId,
    first: LogIndex,
    last: LogIndex,
) -> Vec<LogRecord> {
    let mut read = Vec::new();
    let mut next = first;
    while next <= last {
        let page = log.read(partition, next, 4096).expect("what recovery found can be read");
        next = LogIndex(page.last().expect("at least one entry").index.0 + 1);
        read.extend(page);
    }
    read
}
