//! What a node does when its log or its memory lets it down.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};

use weald_core::{
    Clock, LogBatch, LogError, LogIndex, LogRecord, LogStore, PartitionHealth, PartitionId,
    RecoveredPartition, StateStore, SyncTicket, Synced, Time,
};
use weald_storage::{
    engine::Engine,
    log::{MemoryLog, Notifier},
    state::{BlockCache, PartitionStore, StateConfig},
    testing::{Fault, FaultEngine, FaultSchedule},
};

use super::{
    home::{Home, Log},
    start::Start,
    system::{SystemClock, SystemEntropy},
};
use crate::{ChannelState, Config, ErrorKind, Rejection, TransactionStatus, Weald};

const WORKS: u8 = 0;
const FULL: u8 = 1;
const FAILS: u8 = 2;
const STALLS: u8 = 3;
const BUSY: u8 = 4;

/// A log in memory that fails on demand.
pub(crate) struct FaultyLog {
    inner: MemoryLog,
    mode: AtomicU8,
    /// Tickets beyond this are not synced while the log stalls or has failed.
    synced: AtomicU64,
    health: PartitionHealth,
    /// The last entry that it held when it was opened.
    last: LogIndex,
}

impl FaultyLog {
    fn new(notifier: Notifier, health: PartitionHealth, last: LogIndex) -> Self {
        let inner = MemoryLog::new(notifier);
        inner.release(PartitionId(0), last.next()).unwrap();
        let (mode, synced) = (AtomicU8::new(WORKS), AtomicU64::new(0));
        Self { inner, mode, synced, health, last }
    }

    fn set(&self, mode: u8) {
        let Synced::UpTo(SyncTicket(ticket)) = self.inner.poll_synced() else { return };
        self.synced.store(ticket, Ordering::SeqCst);
        self.mode.store(mode, Ordering::SeqCst);
    }
}

impl LogStore for FaultyLog {
    fn submit(&self, batch: LogBatch) -> Result<SyncTicket, LogError> {
        if self.mode.load(Ordering::SeqCst) == FULL {
            return Err(LogError::DiskFull("no space for a segment".to_owned()));
        }
        if self.mode.load(Ordering::SeqCst) == BUSY {
            return Err(LogError::Busy { queued_bytes: 0, max: 0 });
        }
        self.inner.submit(batch)
    }

    fn poll_synced(&self) -> Synced {
        let ticket = SyncTicket(self.synced.load(Ordering::SeqCst));
        match self.mode.load(Ordering::SeqCst) {
            FAILS => Synced::Failed(ticket),
            STALLS => Synced::UpTo(ticket),
            _ => self.inner.poll_synced(),
        }
    }

    fn read(
        &self,
        partition: PartitionId,
        from: LogIndex,
        max_bytes: usize,
    ) -> Result<Vec<LogRecord>, LogError> {
        self.inner.read(partition, from, max_bytes)
    }

    fn recovered(&self) -> BTreeMap<PartitionId, RecoveredPartition> {
        let found = RecoveredPartition {
            health: self.health,
            state: None,
            first: self.last.next(),
            last: self.last,
            last_epoch: weald_core::Epoch::default(),
        };
        BTreeMap::from([(PartitionId(0), found)])
    }

    fn release(&self, partition: PartitionId, below: LogIndex) -> Result<(), LogError> {
        self.inner.release(partition, below)
    }
}

/// A node in memory over a log that fails on demand.
fn node(config: Config, clock: Arc<dyn Clock>, health: PartitionHealth) -> (Weald, Arc<FaultyLog>) {
    let start = Start { config, clock, entropy: Box::new(SystemEntropy), types: Vec::new() };
    let mut made = None;
    let running = start.run_on(|start, notifier| {
        let log = Arc::new(FaultyLog::new(Arc::clone(&notifier), health, LogIndex::ZERO));
        made = Some(Arc::clone(&log));
        let home = Home { log: Log::Faulty(log), ..Home::in_memory(&start.config, notifier)? };
        let store = home.store(PartitionId(0), &start.config)?;
        Ok((home, store))
    });
    (Weald::started(running.unwrap()), made.unwrap())
}

/// A node over `engine`, which fails by its schedule, with nothing cached.
fn node_over(engine: &Arc<FaultEngine>, config: Config) -> Weald {
    let clock = Arc::new(SystemClock);
    let start = Start { config, clock, entropy: Box::new(SystemEntropy), types: Vec::new() };
    let running = start.run_on(|start, notifier| {
        let engine: Arc<dyn Engine> = Arc::clone(engine) as Arc<dyn Engine>;
        let cache = Arc::new(BlockCache::new(0));
        let state =
            StateConfig { dirty_bytes_max: start.config.dirty_bytes, ..StateConfig::default() };
        let store = PartitionStore::open(PartitionId(0), Arc::clone(&engine), cache, state);
        let store = Arc::new(store.unwrap());
        let log = FaultyLog::new(notifier, PartitionHealth::Intact, store.applied());
        let cache = Arc::new(BlockCache::new(1 << 20));
        Ok((Home { engine, cache, log: Log::Faulty(Arc::new(log)), folder: None }, store))
    });
    Weald::started(running.unwrap())
}

#[tokio::test]
async fn a43_a45_what_cannot_be_read_is_an_error_and_neither_absent_nor_made_anew() {
    let schedule = FaultSchedule::new();
    let engine = Arc::new(FaultEngine::new(schedule.clone()));
    let node = node_over(&engine, Config::default());
    node.raw_tree("stock").create().await.unwrap().put("apple", "1").await.unwrap();
    node.raw_diary("events").create().await.unwrap().append("one").await.unwrap();
    node.close().await.unwrap();

    let node = node_over(&engine, Config::default());
    schedule.fail_reads(Fault::Io);
    let opened = node.raw_tree("stock").open().await.unwrap_err();
    assert_eq!(opened.kind(), ErrorKind::Damaged, "{opened}");
    let made = node.raw_tree("stock").open_or_create().await.unwrap_err();
    assert_eq!(made.kind(), ErrorKind::Damaged, "{made}");
    assert!(node.raw_diary("events").open_or_create().await.is_err());
    schedule.fail_reads(None);
    let tree = node.raw_tree("stock").open_or_create().await.unwrap();
    assert_eq!(tree.get("apple").await.unwrap().unwrap(), "1");
    node.raw_tree("new").open_or_create().await.unwrap().put("a", "b").await.unwrap();
}

#[tokio::test]
async fn ps1554_a_topic_whose_pages_cannot_be_read_has_failed_and_is_not_taken_for_deleted() {
    let schedule = FaultSchedule::new();
    let engine = Arc::new(FaultEngine::new(schedule.clone()));
    let node = node_over(&engine, Config::default());
    node.topic("chat").create().await.unwrap().publish("one").await.unwrap();
    node.close().await.unwrap();

    let node = node_over(&engine, Config::default());
    let chat = node.topic("chat").open().await.unwrap();
    schedule.fail_reads(Fault::Io);
    assert_eq!(chat.channel_state().await.unwrap(), ChannelState::Failed);
    assert_eq!(chat.head().await.unwrap_err().kind(), ErrorKind::Damaged);
    schedule.fail_reads(None);
    assert_eq!(chat.channel_state().await.unwrap(), ChannelState::Active);
}

#[tokio::test]
async fn a43_a_write_whose_blocks_cannot_be_read_is_unknown_and_reads_say_so() {
    let schedule = FaultSchedule::new();
    let engine = Arc::new(FaultEngine::new(schedule.clone()));
    let node = node_over(&engine, Config::default());
    node.raw_diary("events").create().await.unwrap().append("one").await.unwrap();
    node.close().await.unwrap();

    let node = node_over(&engine, Config::default());
    let diary = node.raw_diary("events").open().await.unwrap();
    schedule.fail_reads(Fault::Io);
    let lost = diary.append("two").await.unwrap_err();
    assert_eq!(lost.kind(), ErrorKind::Unknown, "{lost}");
    assert!(diary.len().await.is_err());
    assert!(node.status().read_only.is_some());
    let refused = diary.append("three").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn d58_a_checkpoint_on_a_full_disk_fails_then_heals_and_writes_meet_their_bound() {
    let schedule = FaultSchedule::new();
    let engine = Arc::new(FaultEngine::new(schedule.clone()));
    let config = Config {
        dirty_bytes: 64 << 10,
        write_timeout: Duration::from_secs(60),
        ..Config::default()
    };
    let node = node_over(&engine, config);
    let diary = node.raw_diary("events").create().await.unwrap();
    schedule.fail_writes(Fault::Full);
    let full = node.checkpoint().await.unwrap_err();
    assert_eq!(full.kind(), ErrorKind::DiskFull);
    let mut refused = None;
    for _ in 0..200 {
        if let Err(error) = diary.append(vec![7; 4096]).await {
            refused = Some(error.kind());
            break;
        }
    }
    assert_eq!(refused, Some(ErrorKind::DiskFull), "memory is bounded");
    assert!(diary.len().await.unwrap() > 1, "reads go on");
    schedule.fail_writes(None);
    node.checkpoint().await.unwrap();
    diary.append("after").await.unwrap();
}

fn healthy() -> (Weald, Arc<FaultyLog>) {
    node(Config::default(), Arc::new(SystemClock), PartitionHealth::Intact)
}

#[tokio::test]
async fn d58_a_full_disk_refuses_writes_keeps_reads_and_heals_without_a_restart() {
    let (node, log) = healthy();
    let tree = node.raw_tree("stock").create().await.unwrap();
    tree.put("apple", "1").await.unwrap();
    log.set(FULL);
    let full = tree.put("apple", "2").await.unwrap_err();
    assert_eq!((full.kind(), full.is_retryable()), (ErrorKind::DiskFull, true));
    assert_eq!(tree.get("apple").await.unwrap().unwrap(), "1");
    log.set(WORKS);
    tree.put("apple", "3").await.unwrap();
    assert_eq!(tree.get("apple").await.unwrap().unwrap(), "3");
}

#[tokio::test]
async fn after_a_failed_sync_writes_are_unknown_then_refused_and_reads_go_on() {
    let (node, log) = healthy();
    let tree = node.raw_tree("stock").create().await.unwrap();
    tree.put("apple", "1").await.unwrap();
    log.set(FAILS);
    let lost = tree.put("apple", "2").await.unwrap_err();
    assert_eq!(lost.kind(), ErrorKind::Unknown, "{lost}");
    let refused = tree.put("apple", "3").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert_eq!(tree.get("apple").await.unwrap().unwrap(), "1");
    assert!(node.status().read_only.is_some());
    node.close().await.unwrap();
}

#[tokio::test]
async fn a_waiter_past_its_deadline_is_told_unknown_and_the_write_can_be_resolved() {
    let (node, log) = healthy();
    let tree = node.raw_tree("stock").create().await.unwrap();
    log.set(STALLS);
    let late = tree.put("apple", "1").timeout(Duration::from_millis(30)).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Unknown);
    let id = late.transaction().unwrap();
    assert_eq!(node.transaction_outcome(id).await.unwrap(), TransactionStatus::Pending);
    log.set(WORKS);
    let status = node.resolve(id).await.unwrap();
    assert!(matches!(status, TransactionStatus::Committed(_)), "{status:?}");
    assert_eq!(tree.get("apple").await.unwrap().unwrap(), "1");
}

#[tokio::test]
async fn an_accepted_write_is_answered_before_it_is_durable() {
    let (node, log) = healthy();
    let tree = node.raw_tree("stock").create().await.unwrap();
    log.set(STALLS);
    let accepted = tree.put("apple", "1").accepted().await.unwrap();
    assert_eq!(tree.get("apple").await.unwrap(), None, "nobody sees it yet");
    log.set(WORKS);
    let status = node.resolve(accepted.transaction).await.unwrap();
    assert!(matches!(status, TransactionStatus::Committed(_)), "{status:?}");
}

#[tokio::test]
async fn a_write_waits_while_the_log_has_no_room_and_is_refused_at_its_deadline() {
    let (node, log) = healthy();
    let tree = node.raw_tree("stock").create().await.unwrap();
    log.set(BUSY);
    let refused = tree.put("a", "1").timeout(Duration::from_millis(30)).await.unwrap_err();
    assert_eq!((refused.kind(), refused.is_retryable()), (ErrorKind::Busy, true));
    let waiting = tokio::spawn({
        let tree = tree.clone();
        async move { tree.put("b", "1").await }
    });
    while node.status().writes_waiting == 0 {
        tokio::task::yield_now().await;
    }
    log.set(WORKS);
    waiting.await.unwrap().unwrap();
    assert_eq!(tree.count().await.unwrap(), 1, "the refused write never happened");
}

#[tokio::test]
async fn d66_too_many_waiting_writes_are_busy() {
    let config = Config { writes_waiting_max: 2, ..Config::default() };
    let (node, log) = node(config, Arc::new(SystemClock), PartitionHealth::Intact);
    let tree = node.raw_tree("stock").create().await.unwrap();
    log.set(STALLS);
    tree.put("a", "1").accepted().await.unwrap();
    tree.put("b", "1").accepted().await.unwrap();
    let busy = tree.put("c", "1").accepted().await.unwrap_err();
    assert_eq!((busy.kind(), busy.is_retryable()), (ErrorKind::Busy, true));
    log.set(WORKS);
    node.resolve_own("stock", "x").await.ok();
}

#[tokio::test]
async fn a_damaged_log_opens_read_only_and_names_the_damage() {
    let found = [PartitionHealth::Damaged { known_end: LogIndex(7) }, PartitionHealth::Amnesiac];
    for health in found {
        let (node, _) = node(Config::default(), Arc::new(SystemClock), health);
        let refused = node.raw_tree("stock").create().await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unavailable);
        assert!(refused.to_string().contains("log"), "{refused}");
        assert!(node.collections().await.unwrap().is_empty(), "reads go on");
    }
}

#[tokio::test]
async fn a_check_beside_a_checkpoint_waits_and_reports_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let node = Weald::open(folder.path()).await.unwrap();
    node.raw_diary("events").create().await.unwrap().append("one").await.unwrap();
    // As a checkpoint holds one while it runs.
    let mut held =
        Some(node.running().unwrap().backend.kept().unwrap().home.engine.snapshot().unwrap());
    let report = node.verify(|progress| drop(held.take_if(|_| progress.done > 0))).await.unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert!(held.is_none(), "the check has waited");
}

/// A clock that a test sets.
#[derive(Default)]
struct SetClock(AtomicU64);

impl Clock for SetClock {
    fn now(&self) -> Time {
        Time::from_millis(self.0.load(Ordering::SeqCst))
    }
}

#[tokio::test]
async fn d6_a_jumping_clock_neither_moves_log_time_back_nor_expires_new_writes() {
    let clock = Arc::new(SetClock::default());
    clock.0.store(1_000_000_000, Ordering::SeqCst);
    let (node, _) = node(Config::default(), clock.clone(), PartitionHealth::Intact);
    let tree = node.raw_tree("stock").create().await.unwrap();
    let before = tree.put("apple", "1").await.unwrap().time;
    clock.0.store(1_000, Ordering::SeqCst);
    let back = tree.put("apple", "2").await.unwrap().time;
    assert!(back >= before);
    clock.0.store(2_000_000_000, Ordering::SeqCst);
    let ahead = tree.put("apple", "3").await.unwrap().time;
    assert_eq!(ahead.as_millis(), 2_000_000_000);
}

#[tokio::test]
async fn a56_d6_an_own_id_is_one_write_for_ten_minutes_of_log_time() {
    let clock = Arc::new(SetClock::default());
    clock.0.store(1_000_000_000, Ordering::SeqCst);
    let (node, _) = node(Config::default(), clock.clone(), PartitionHealth::Intact);
    let diary = node.raw_diary("orders").create().await.unwrap();
    let first = diary.append("ten").transaction_id("order-1").await.unwrap();
    clock.0.fetch_add(10 * 60 * 1000, Ordering::SeqCst);
    let again = diary.append("ten").transaction_id("order-1").await.unwrap();
    assert_eq!(first, again);
    let other = diary.append("nine").transaction_id("order-1").await.unwrap_err();
    assert_eq!(other.rejection(), Some(&Rejection::IdReused));
    clock.0.fetch_add(2 * 60 * 1000, Ordering::SeqCst);
    let after = diary.append("ten").transaction_id("order-1").await.unwrap();
    assert_ne!(first.first, after.first, "the result was kept for eleven minutes");
}
