//! An engine that fails when it is told to.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::engine::{
    Batch, Direction, Durability, Engine, EngineError, EngineKind, KeyRange, Keyspace,
    MemoryEngine, Scan, Snapshot, failed_scan, until_error,
};

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The disk is full: [`EngineError::Full`].
    Full,
    /// The device fails: [`EngineError::Io`].
    Io,
    /// A checksum does not match: [`EngineError::Corrupt`].
    Corrupt,
    /// An earlier failure stopped the engine: [`EngineError::Stopped`].
    Stopped,
}

impl Fault {
    fn error(self, during: &'static str) -> EngineError {
        match self {
            Self::Full => EngineError::Full { during, free_bytes: 0, reserve_bytes: 1 },
            Self::Io => EngineError::Io { during, source: io::Error::other("injected") },
            Self::Corrupt => EngineError::Corrupt { what: format!("injected during={during}") },
            Self::Stopped => EngineError::Stopped { during },
        }
    }
}

/// Which calls fail. Shared by the engine, its snapshots and the test.
#[derive(Clone, Debug, Default)]
pub struct FaultSchedule(Arc<Mutex<Calls>>);

/// One kind of call: how many were made, and what is to fail.
#[derive(Debug, Default)]
struct Counter {
    made: u64,
    every: Option<Fault>,
    one: Option<(u64, Fault)>,
}

impl Counter {
    fn call(&mut self, during: &'static str) -> Result<(), EngineError> {
        self.made += 1;
        let hit = self.one.filter(|(number, _)| *number == self.made).map(|(_, fault)| fault);
        match hit.or(self.every) {
            Some(fault) => Err(fault.error(during)),
            None => Ok(()),
        }
    }
}

#[derive(Debug, Default)]
struct Calls {
    writes: Counter,
    reads: Counter,
    syncs: Counter,
}

impl FaultSchedule {
    /// Nothing fails.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every write from now on fails; `None` ends that.
    pub fn fail_writes(&self, fault: impl Into<Option<Fault>>) {
        self.0.lock().writes.every = fault.into();
    }

    /// Every read from now on fails; `None` ends that.
    pub fn fail_reads(&self, fault: impl Into<Option<Fault>>) {
        self.0.lock().reads.every = fault.into();
    }

    /// Every sync from now on fails; `None` ends that.
    pub fn fail_syncs(&self, fault: impl Into<Option<Fault>>) {
        self.0.lock().syncs.every = fault.into();
    }

    /// The `number`-th write from the beginning (the first is 1) fails.
    pub fn fail_write(&self, number: u64, fault: Fault) {
        self.0.lock().writes.one = Some((number, fault));
    }

    /// The `number`-th read from the beginning fails: a get, a snapshot, or an entry of a scan.
    pub fn fail_read(&self, number: u64, fault: Fault) {
        self.0.lock().reads.one = Some((number, fault));
    }

    /// Writes tried so far, failed ones included.
    pub fn write_count(&self) -> u64 {
        self.0.lock().writes.made
    }

    /// Reads tried so far, failed ones included.
    pub fn read_count(&self) -> u64 {
        self.0.lock().reads.made
    }

    /// Syncs tried so far, failed ones included.
    pub fn sync_count(&self) -> u64 {
        self.0.lock().syncs.made
    }

    fn write(&self) -> Result<(), EngineError> {
        self.0.lock().writes.call("writing a batch")
    }

    fn read(&self, during: &'static str) -> Result<(), EngineError> {
        self.0.lock().reads.call(during)
    }

    fn sync(&self) -> Result<(), EngineError> {
        self.0.lock().syncs.call("syncing")
    }
}

/// A memory engine whose calls fail by a [`FaultSchedule`], and which can lose what was not synced.
///
/// A failed write changes nothing.
#[derive(Debug, Default)]
pub struct FaultEngine {
    schedule: FaultSchedule,
    state: Mutex<State>,
}

/// What reads see, what a power cut leaves, and what lies between.
#[derive(Debug, Default)]
struct State {
    live: MemoryEngine,
    durable: MemoryEngine,
    unsynced: VecDeque<Batch>,
}

impl State {
    fn sync(&mut self) -> Result<(), EngineError> {
        while let Some(batch) = self.unsynced.pop_front() {
            self.durable.write(batch, Durability::Synced)?;
        }
        Ok(())
    }
}

impl FaultEngine {
    /// An empty engine that fails by `schedule`.
    pub fn new(schedule: FaultSchedule) -> Self {
        Self { schedule, state: Mutex::default() }
    }

    /// What a power cut leaves: the synced batches and the first `kept` of the unsynced ones, in
    /// an engine that no longer fails. The same as reopening a real one after a crash.
    ///
    /// # Errors
    /// None that a memory engine does not have.
    pub fn after_power_cut(self, kept: usize) -> Result<Self, EngineError> {
        let mut state = self.state.into_inner();
        state.unsynced.truncate(kept);
        state.sync()?;
        let live = copy_of(&state.durable)?;
        let state = State { live, durable: state.durable, unsynced: VecDeque::new() };
        Ok(Self { schedule: FaultSchedule::new(), state: Mutex::new(state) })
    }

    /// Batches that a power cut would lose at worst.
    pub fn unsynced_count(&self) -> usize {
        self.state.lock().unsynced.len()
    }

    /// The schedule it fails by.
    pub fn schedule(&self) -> &FaultSchedule {
        &self.schedule
    }
}

fn copy_of(engine: &MemoryEngine) -> Result<MemoryEngine, EngineError> {
    let snapshot = engine.snapshot()?;
    let mut batch = Batch::new();
    for keyspace in Keyspace::ALL {
        for entry in snapshot.scan(keyspace, &KeyRange::all(), Direction::Forward) {
            let (key, value) = entry?;
            batch.put(keyspace, key, value);
        }
    }
    let copy = MemoryEngine::new();
    copy.write(batch, Durability::Synced)?;
    Ok(copy)
}

impl Engine for FaultEngine {
    fn kind(&self) -> EngineKind {
        EngineKind::Memory
    }

    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.schedule.read("reading")?;
        self.state.lock().live.get(keyspace, key)
    }

    fn write(&self, batch: Batch, durability: Durability) -> Result<(), EngineError> {
        self.schedule.write()?;
        let mut state = self.state.lock();
        state.live.write(batch.clone(), durability)?;
        state.unsynced.push_back(batch);
        match durability {
            Durability::Synced => state.sync(),
            Durability::Unsynced => Ok(()),
        }
    }

    fn sync(&self) -> Result<(), EngineError> {
        self.schedule.sync()?;
        self.state.lock().sync()
    }

    fn snapshot(&self) -> Result<Arc<dyn Snapshot>, EngineError> {
        self.schedule.read("taking a snapshot")?;
        let inner = self.state.lock().live.snapshot()?;
        Ok(Arc::new(FaultSnapshot { schedule: self.schedule.clone(), inner }))
    }

    fn disk_bytes(&self) -> Result<u64, EngineError> {
        self.state.lock().live.disk_bytes()
    }

    fn verify(&self) -> Result<(), EngineError> {
        self.schedule.read("verifying")
    }
}

#[derive(Debug)]
struct FaultSnapshot {
    schedule: FaultSchedule,
    inner: Arc<dyn Snapshot>,
}

impl Snapshot for FaultSnapshot {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.schedule.read("reading")?;
        self.inner.get(keyspace, key)
    }

    fn scan(&self, keyspace: Keyspace, range: &KeyRange, direction: Direction) -> Scan<'_> {
        if let Err(error) = self.schedule.read("scanning") {
            return failed_scan(error);
        }
        let entries = self.inner.scan(keyspace, range, direction);
        until_error(entries.map(|entry| self.schedule.read("scanning").and(entry)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(engine: &FaultEngine, value: &'static str) -> Result<(), EngineError> {
        let mut batch = Batch::new();
        batch.put(Keyspace::Meta, &b"k"[..], value);
        engine.write(batch, Durability::Unsynced)
    }

    #[test]
    fn d58_writes_fail_as_full_until_told_otherwise_and_reads_go_on() {
        let engine = FaultEngine::new(FaultSchedule::new());
        put(&engine, "1").unwrap();
        engine.schedule().fail_writes(Fault::Full);
        for _ in 0..2 {
            let refused = put(&engine, "2").unwrap_err();
            assert!(matches!(refused, EngineError::Full { .. }), "{refused}");
            assert_eq!(engine.get(Keyspace::Meta, b"k").unwrap(), Some("1".into()));
        }
        engine.schedule().fail_writes(None);
        put(&engine, "3").unwrap();
        assert_eq!(engine.get(Keyspace::Meta, b"k").unwrap(), Some("3".into()));
    }

    #[test]
    fn the_nth_call_fails_and_the_next_does_not() {
        let engine = FaultEngine::new(FaultSchedule::new());
        engine.schedule().fail_write(2, Fault::Io);
        engine.schedule().fail_read(2, Fault::Corrupt);
        let written: Vec<bool> = ["1", "2", "3"].map(|value| put(&engine, value).is_ok()).into();
        assert_eq!(written, [true, false, true]);
        let read: Vec<bool> = [1, 2, 3].map(|_| engine.get(Keyspace::Meta, b"k").is_ok()).into();
        assert_eq!(read, [true, false, true]);
        assert_eq!((engine.schedule().write_count(), engine.schedule().read_count()), (3, 3));
    }

    #[test]
    fn a_scan_can_fail_in_the_middle_and_ends_there() {
        let engine = FaultEngine::new(FaultSchedule::new());
        let mut batch = Batch::new();
        for key in 1..=4_u8 {
            batch.put(Keyspace::Blocks, vec![key], vec![key]);
        }
        engine.write(batch, Durability::Unsynced).unwrap();
        let snapshot = engine.snapshot().unwrap();
        // The snapshot is read 1, the scan read 2, its entries 3 and up.
        engine.schedule().fail_read(5, Fault::Corrupt);
        let entries: Vec<bool> = snapshot
            .scan(Keyspace::Blocks, &KeyRange::all(), Direction::Forward)
            .map(|entry| entry.is_ok())
            .collect();
        assert_eq!(entries, [true, true, false]);
    }

    #[test]
    fn a_power_cut_keeps_a_prefix() {
        for kept in 0..=2 {
            let engine = FaultEngine::new(FaultSchedule::new());
            put(&engine, "1").unwrap();
            engine.sync().unwrap();
            put(&engine, "2").unwrap();
            engine.schedule().fail_syncs(Fault::Io);
            engine.sync().unwrap_err();
            put(&engine, "3").unwrap();
            assert_eq!(engine.unsynced_count(), 2);
            let reopened = engine.after_power_cut(kept).unwrap();
            let value = reopened.get(Keyspace::Meta, b"k").unwrap();
            assert_eq!(value, Some(["1", "2", "3"][kept].into()));
            put(&reopened, "4").unwrap();
            reopened.sync().unwrap();
        }
    }
}
