//! Any history over many partitions against a plain model: submissions, cuts, jumps, releases, damage,
//! scrubs, repairs, new lives, restarts and power cuts. After each opening the log is the model, or
//! tells exactly what it lacks.

use std::collections::BTreeMap;

use bytes::Bytes;
use weald_core::{LogBatch, LogIndex, LogPoint, LogRecord, LogStore, PartitionHealth, PartitionId};

use super::rig::{
    Choices, entry, epoch, health_now, missing, open, read_all, repair, segment_names, state,
    try_write,
};
use crate::log::{
    DiskLog, LogEnd, ScrubCursor,
    testing::{PowerCut, SimDisk},
};

const PARTITIONS: u64 = 6;

/// What a partition has acknowledged; peers hold the same.
#[derive(Clone, Debug, Default)]
struct Model {
    base: LogPoint,
    entries: Vec<LogRecord>,
    state: Option<Bytes>,
}

impl Model {
    fn last(&self) -> LogPoint {
        let last = self.entries.last();
        last.map_or(self.base, |entry| LogPoint { index: entry.index, epoch: entry.epoch })
    }

    fn apply(&mut self, batch: LogBatch) {
        if let Some(base) = batch.restart_at {
            (self.base, self.entries) = (base, Vec::new());
        }
        self.entries.retain(|entry| batch.cut_from.is_none_or(|from| entry.index < from));
        self.state = batch.state.or(self.state.take());
        self.entries.extend(batch.entries);
    }

    fn release(&mut self, below: u64) {
        let before = LogIndex(below - 1);
        let Some(entry) = self.entries.iter().find(|entry| entry.index == before) else { return };
        self.base = LogPoint { index: before, epoch: entry.epoch };
        self.entries.retain(|entry| entry.index > before);
    }

    fn held(&self, range: (u64, u64)) -> Vec<LogRecord> {
        let wanted = LogIndex(range.0)..=LogIndex(range.1);
        self.entries.iter().filter(|entry| wanted.contains(&entry.index)).cloned().collect()
    }
}

/// How often something was seen, so that the test shows what it reached.
#[derive(Debug, Default)]
struct Seen {
    damaged: u64,
    amnesiac: u64,
    lost: u64,
    torn: u64,
    scrubbed: u64,
    half_repaired: u64,
}

struct World {
    disk: SimDisk,
    log: Option<DiskLog>,
    choices: Choices,
    models: BTreeMap<PartitionId, Model>,
    seen: Seen,
    seed: u64,
    lives: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let disk = SimDisk::new(seed);
        let log = Some(open(&disk));
        let choices = Choices(seed);
        let (models, seen) = (BTreeMap::new(), Seen::default());
        Self { disk, log, choices, models, seen, seed, lives: 0 }
    }

    fn log(&self) -> &DiskLog {
        self.log.as_ref().unwrap()
    }

    fn partition(&mut self) -> PartitionId {
        PartitionId(u32::try_from(self.choices.below(PARTITIONS)).unwrap())
    }

    /// Writes something that is acknowledged.
    fn write(&mut self) {
        let partition = self.partition();
        let model = self.models.get(&partition).cloned().unwrap_or_default();
        let batch = self.batch(partition, &model);
        if batch == (LogBatch { partition, ..LogBatch::default() }) {
            return;
        }
        try_write(self.log(), batch.clone())
            .unwrap_or_else(|error| panic!("seed={} {partition} {error}", self.seed));
        self.models.entry(partition).or_default().apply(batch);
    }

    fn batch(&mut self, partition: PartitionId, model: &Model) -> LogBatch {
        let mut batch = LogBatch { partition, ..LogBatch::default() };
        let mut next = model.last().index.0 + 1;
        match self.choices.below(10) {
            0 => {
                next -= self.choices.below(model.entries.len() as u64 + 1);
                batch.cut_from = Some(LogIndex(next));
            }
            1 => {
                let index = LogIndex(next - 1 + self.choices.below(20));
                batch.restart_at = Some(LogPoint { index, epoch: epoch(self.choices.below(9)) });
                next = index.0 + 1;
            }
            _ => {}
        }
        if self.choices.below(3) == 0 {
            batch.state = Some(Bytes::from(format!("state {}", self.choices.below(1_000_000))));
        }
        let number = self.choices.below(1_000_000);
        for index in next..next + self.choices.below(5) {
            let size = [20, 300, 3000, 18_000][usize::try_from(self.choices.below(4)).unwrap()];
            let bytes = batch.entries.iter().map(|entry| entry.bytes.len()).sum::<usize>();
            if bytes + size < 30_000 {
                batch.entries.push(entry(index, number, size));
            } else {
                break;
            }
        }
        batch
    }

    fn release(&mut self) {
        let partition = self.partition();
        let Some(model) = self.models.get_mut(&partition) else { return };
        let below = model.base.index.0 + 1 + self.choices.below(model.entries.len() as u64 + 1);
        if below > 1 {
            self.log.as_ref().unwrap().release(partition, LogIndex(below)).unwrap();
            model.release(below);
        }
    }

    /// Loses power while a batch that nobody acknowledged may be under way, and opens again.
    fn cut_power(&mut self) {
        self.log().run();
        self.disk.stop_after(self.choices.below(3));
        let partition = self.partition();
        // It changes nothing but itself: a state that says the same again.
        let state = self.models.get(&partition).and_then(|model| model.state.clone());
        let batch = LogBatch { partition, state, ..LogBatch::default() };
        if batch.state.is_some() {
            try_write(self.log(), batch).ok();
        }
        self.log = None;
        let cut = [PowerCut::Tear, PowerCut::LoseAll, PowerCut::KeepAll];
        self.disk.power_cut(cut[usize::try_from(self.choices.below(3)).unwrap()]);
        self.log = Some(open(&self.disk));
        self.seen.torn += u64::from(self.log().end() == LogEnd::Torn);
        assert_ne!(self.log().end(), LogEnd::Lost, "seed={}", self.seed);
        self.check(false);
    }

    /// Rots something on the disk, while the log runs or before it is opened again.
    fn rot(&mut self) {
        self.log().run();
        let names = segment_names(&self.disk);
        let name = &names[usize::try_from(self.choices.below(names.len() as u64)).unwrap()];
        let at = usize::try_from(self.choices.below(31)).unwrap() * 4096;
        match self.choices.below(3) {
            0 => {
                let bit = u8::try_from(self.choices.below(8)).unwrap();
                let at = at + usize::try_from(self.choices.below(4096)).unwrap();
                self.disk.flip(name, at, bit);
            }
            kind => self.disk.rot(name, at, if kind == 1 { 512 } else { 8192 }),
        }
        if self.choices.below(2) == 0 {
            self.scrub();
        } else {
            self.log = None;
            self.log = Some(open(&self.disk));
        }
        self.recover();
    }

    fn scrub(&mut self) {
        let mut cursor = Some(ScrubCursor::default());
        while let Some(from) = cursor {
            let step = self.log().scrub(from, 20_000).unwrap();
            let entries = step.report.damages.iter().map(|damage| damage.entries.len() as u64);
            self.seen.scrubbed += entries.sum::<u64>();
            cursor = step.next;
        }
        // What was damaged is written again where that is possible.
        self.log().run();
    }

    /// Does what a driver does about whatever was found.
    fn recover(&mut self) {
        if self.log().end() == LogEnd::Lost {
            return self.begin_anew_all();
        }
        self.check(true);
        for partition in (0..PARTITIONS).map(|at| PartitionId(u32::try_from(at).unwrap())) {
            let Some(status) = self.log().status(partition) else { continue };
            match status.health {
                PartitionHealth::Amnesiac => self.begin_anew(partition),
                PartitionHealth::Damaged { .. } => self.repair(partition),
                _ => {}
            }
        }
        self.check(false);
    }

    /// The end of the log is lost: each partition begins a new life.
    fn begin_anew_all(&mut self) {
        self.seen.lost += 1;
        if let Err(error) = self.log().begin_anew(state(PartitionId(0), "")) {
            assert!(error.is_retryable(), "a segment is prepared first: seed={}", self.seed);
        }
        self.log().run();
        for at in 0..PARTITIONS {
            self.begin_anew(PartitionId(u32::try_from(at).unwrap()));
        }
        self.check(false);
    }

    fn begin_anew(&mut self, partition: PartitionId) {
        self.seen.amnesiac += 1;
        self.lives += 1;
        let batch = state(partition, &format!("life {}", self.lives));
        self.log().begin_anew(batch.clone()).unwrap();
        self.log().run();
        self.models.insert(partition, Model { state: batch.state, ..Model::default() });
    }

    /// Fetches what is missing from peers, sometimes with a restart half way.
    fn repair(&mut self, partition: PartitionId) {
        self.seen.damaged += 1;
        for range in missing(self.log(), partition) {
            let entries = self.models[&partition].held(range);
            assert_eq!(entries.len() as u64, range.1 - range.0 + 1, "seed={}", self.seed);
            for page in entries.chunks(2) {
                repair(self.log(), partition, page.to_vec());
            }
            if self.choices.below(3) == 0 {
                self.seen.half_repaired += 1;
                self.log = None;
                self.disk.power_cut(PowerCut::LoseAll);
                self.log = Some(open(&self.disk));
            }
        }
        assert_eq!(
            health_now(self.log(), partition),
            PartitionHealth::Intact,
            "seed={}",
            self.seed
        );
    }

    /// Compares the log with the model; with `may_lack`, damage and amnesia are allowed, but only
    /// where the log says so.
    fn check(&self, may_lack: bool) {
        let (log, seed) = (self.log(), self.seed);
        for (partition, model) in &self.models {
            let Some(status) = log.status(*partition) else {
                let is_empty = model.entries.is_empty() && model.state.is_none();
                assert!(is_empty, "seed={seed} {partition} is gone");
                continue;
            };
            match status.health {
                PartitionHealth::Amnesiac => {
                    assert!(may_lack, "seed={seed} {partition} {status:?}");
                    continue;
                }
                PartitionHealth::Damaged { known_end } => {
                    assert!(may_lack && known_end == model.last().index, "seed={seed} {status:?}");
                }
                PartitionHealth::Intact | PartitionHealth::Torn => {
                    assert_eq!(missing(log, *partition), [], "seed={seed}");
                }
            }
            assert_eq!(
                (status.base, status.last),
                (model.base, model.last()),
                "seed={seed} {partition}"
            );
            self.check_entries(*partition, model);
        }
    }

    fn check_entries(&self, partition: PartitionId, model: &Model) {
        let (log, seed) = (self.log(), self.seed);
        let gaps = missing(log, partition);
        if gaps.is_empty() {
            let all = read_all(log, partition, model.base.index.0 + 1);
            assert_eq!(all, model.entries, "seed={seed} {partition}");
        }
        for entry in &model.entries {
            let is_missing = gaps.iter().any(|gap| (gap.0..=gap.1).contains(&entry.index.0));
            let read = log.read(partition, entry.index, 0);
            match is_missing {
                true => assert!(read.is_err(), "seed={seed} {partition} {}", entry.index),
                false => {
                    assert_eq!(read.as_deref(), Ok(std::slice::from_ref(entry)), "seed={seed}")
                }
            }
        }
    }
}

fn run(seed: u64) -> Seen {
    let mut world = World::new(seed);
    for _ in 0..60 {
        match world.choices.below(16) {
            0 => world.rot(),
            1 => world.cut_power(),
            2 | 3 => world.release(),
            _ => world.write(),
        }
    }
    world.log().run();
    world.check(false);
    world.seen
}

#[test]
fn w196_w138_any_history_leaves_the_log_as_the_model_or_telling_what_it_lacks() {
    let mut all = Seen::default();
    for seed in 0..300 {
        let seen = run(seed);
        all.damaged += seen.damaged;
        all.amnesiac += seen.amnesiac;
        all.lost += seen.lost;
        all.torn += seen.torn;
        all.scrubbed += seen.scrubbed;
        all.half_repaired += seen.half_repaired;
    }
    let counts = [all.damaged, all.amnesiac, all.lost, all.torn, all.scrubbed, all.half_repaired];
    assert!(counts.iter().all(|count| *count > 20), "rare ways must be gone: {all:?}");
}
