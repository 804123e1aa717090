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
    RecoveredPartition, SyncTicket, Synced, Time,
};
use weald_storage::log::MemoryLog;

use super::{
    home::{Home, Log},
    start::Start,
    system::{SystemClock, SystemEntropy},
};
use crate::{Config, ErrorKind, Rejection, TransactionStatus, Weald};

const WORKS: u8 = 0;
const FULL: u8 = 1;
const FAILS: u8 = 2;
const STALLS: u8 = 3;

/// A log in memory that fails on demand.
pub(crate) struct FaultyLog {
    inner: MemoryLog,
    mode: AtomicU8,
    /// Tickets beyond this are not synced while the log stalls or has failed.
    synced: AtomicU64,
    health: PartitionHealth,
}

impl FaultyLog {
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
            first: LogIndex(1),
            last: LogIndex::ZERO,
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
        let log = Arc::new(FaultyLog {
            inner: MemoryLog::new(Arc::clone(&notifier)),
            mode: AtomicU8::new(WORKS),
            synced: AtomicU64::new(0),
            health,
        });
        made = Some(Arc::clone(&log));
        Ok(Home { log: Log::Faulty(log), ..Home::in_memory(&start.config, notifier)? })
    });
    (Weald::started(running.unwrap()), made.unwrap())
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
async fn too_many_waiting_writes_are_busy() {
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
