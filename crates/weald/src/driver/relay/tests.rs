//! What the log's thread does by itself and what it leaves to the driver. No driver runs here.

use std::{
    collections::{BTreeMap, VecDeque},
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use parking_lot::RwLock;
use tokio::sync::oneshot::{self, error::TryRecvError};
use weald_cluster::partition::Partition;
use weald_core::{
    Action, Context, Executed, Executor, Halt, LogBatch, LogError, LogIndex, LogRecord, LogStore,
    Outcome, Overlay, PartitionId, PlacementKey, RecoveredPartition, StateStore, SyncTicket,
    Synced, Time, TransactionBody, TransactionId, TypeName, TypeVersion, UnknownCause,
};
use weald_storage::{
    engine::{self, EngineConfig, EngineKind},
    state::{BlockCache, PartitionStore, StateConfig},
};

use super::*;
use crate::{
    driver::{
        Answer, Applier, Ask, Intake, IntakeLimits, LocalProposer, Parts, Proposal, Tuning, Waiter,
        Watchers,
    },
    node::SystemClock,
    write::Ack,
};

/// A log that is durable as far as a test says.
#[derive(Default)]
struct ManualLog {
    submitted: AtomicU64,
    synced: AtomicU64,
    is_busy: AtomicU64,
}

impl ManualLog {
    fn sync(&self) {
        self.synced.store(self.submitted.load(Ordering::SeqCst), Ordering::SeqCst);
    }
}

impl LogStore for ManualLog {
    fn submit(&self, _: LogBatch) -> Result<SyncTicket, LogError> {
        if self.is_busy.load(Ordering::SeqCst) > 0 {
            return Err(LogError::Busy { queued_bytes: 0, max: 0 });
        }
        Ok(SyncTicket(self.submitted.fetch_add(1, Ordering::SeqCst) + 1))
    }

    fn poll_synced(&self) -> Synced {
        Synced::UpTo(SyncTicket(self.synced.load(Ordering::SeqCst)))
    }

    fn read(&self, _: PartitionId, _: LogIndex, _: usize) -> Result<Vec<LogRecord>, LogError> {
        Ok(Vec::new())
    }

    fn recovered(&self) -> BTreeMap<PartitionId, RecoveredPartition> {
        BTreeMap::new()
    }

    fn release(&self, _: PartitionId, _: LogIndex) -> Result<(), LogError> {
        Ok(())
    }
}

/// Does nothing, or panics, as no collection type can: those are caught by the real one.
struct Bare {
    panics: bool,
}

impl Executor for Bare {
    fn execute(&self, _: &Context, _: &[Action], _: &mut Overlay<'_>) -> Result<Executed, Halt> {
        if self.panics {
            // As `panic!`, without a message on the test's output.
            std::panic::resume_unwind(Box::new("the executor fails"));
        }
        Ok(Executed::Done { answers: Vec::new(), commits: BTreeMap::new() })
    }

    fn supports(&self, _: &TypeName, _: TypeVersion) -> bool {
        true
    }
}

struct Rig {
    relay: Relay,
    intake: Arc<Intake>,
    log: Arc<ManualLog>,
    read_only: Arc<RwLock<Option<String>>>,
    proposed: AtomicU64,
}

impl Rig {
    fn new(executor: Bare) -> Self {
        let engine = engine::open(EngineKind::Memory, Path::new(""), &EngineConfig::default());
        let cache = Arc::new(BlockCache::new(0));
        let id = PartitionId(0);
        let store = PartitionStore::open(id, engine.unwrap(), cache, StateConfig::default());
        let store: Arc<dyn StateStore> = Arc::new(store.unwrap());
        let log = Arc::new(ManualLog::default());
        let shared: Arc<dyn LogStore> = Arc::clone(&log) as Arc<dyn LogStore>;
        let clock = Arc::new(SystemClock);
        let start = (LogIndex::ZERO, Time::ZERO);
        let proposer = LocalProposer::new(id, Arc::clone(&shared), clock.clone(), [0; 16], start);
        let limits = IntakeLimits { writes_max: 100, bytes_max: 1 << 20 };
        let intake = Arc::new(Intake::new(Box::new(proposer), limits));
        let queue = Arc::new(EventQueue::default());
        let read_only = Arc::new(RwLock::new(None));
        let partition = Partition::new(id);
        let interval = Duration::from_secs(3600);
        let (work, _checkpointer) = Loop::new(Parts {
            applier: Applier { partition, store, executor: Arc::new(executor) },
            intake: Arc::clone(&intake),
            log: shared,
            queue: Arc::clone(&queue),
            watchers: Arc::new(Watchers::default()),
            clock,
            read_only: Arc::clone(&read_only),
            tuning: Tuning { dirty_bytes_max: 1 << 20, log_bytes: 1 << 20, interval },
        });
        let relay = Relay::new(queue);
        relay.begin(work);
        Self { relay, intake, log, read_only, proposed: AtomicU64::new(0) }
    }

    fn propose(&self) -> oneshot::Receiver<Answer> {
        self.propose_as(false).0
    }

    /// Proposes as one who may lead, or may not; tells whether it is to.
    fn propose_as(&self, may_lead: bool) -> (oneshot::Receiver<Answer>, bool) {
        let number = u128::from(self.proposed.fetch_add(1, Ordering::SeqCst));
        let id = TransactionId::new(PlacementKey::from_u64(0), number.to_le_bytes());
        let (sender, receiver) = oneshot::channel();
        let deadline = Instant::now() + Duration::from_secs(3600);
        let waiter = Waiter { reply: Some(sender), ack: Ack::Durable, deadline };
        let ask = Ask::Run { body: TransactionBody::default(), is_own_id: false };
        let taken = self.intake.propose(Proposal { id, ask, bytes: 1, waiter, may_lead }).unwrap();
        (receiver, taken.is_led)
    }

    /// One turn of the driver, as far as it was nudged.
    fn drive(&self) {
        let mut events = Vec::new();
        self.relay.queue.take(&mut events, Duration::ZERO);
        self.relay.work.lock().as_mut().unwrap().turn(&mut events);
    }
}

fn is_committed(answer: Result<Answer, TryRecvError>) -> bool {
    matches!(answer, Ok(Answer::Settled(Outcome::Committed(_))))
}

#[test]
fn a_lone_write_is_answered_by_whoever_brings_the_news() {
    let rig = Rig::new(Bare { panics: false });
    let mut answer = rig.propose();
    rig.relay.handle_news();
    assert_eq!(answer.try_recv().unwrap_err(), TryRecvError::Empty, "it is not durable");
    rig.log.sync();
    rig.relay.handle_news();
    assert!(is_committed(answer.try_recv()));
    assert_eq!(rig.intake.writes_waiting(), 0);
}

#[test]
fn only_a_write_that_finds_nothing_on_its_way_is_led() {
    let rig = Rig::new(Bare { panics: false });
    assert!(!rig.propose_as(false).1, "its caller cannot");
    rig.log.sync();
    rig.relay.handle_news();
    let (mut led, is_led) = rig.propose_as(true);
    assert!(is_led);
    let (mut follower, is_led) = rig.propose_as(true);
    assert!(!is_led, "the log's thread is at it anyway");
    rig.log.sync();
    rig.relay.handle_led();
    assert!(is_committed(led.try_recv()));
    assert!(is_committed(follower.try_recv()));
    assert!(rig.propose_as(true).1, "nothing is on its way again");
}

#[test]
fn what_the_log_has_no_room_for_is_not_led() {
    let rig = Rig::new(Bare { panics: false });
    rig.log.is_busy.store(1, Ordering::SeqCst);
    assert!(!rig.propose_as(true).1);
}

#[test]
fn the_log_is_not_kept_from_what_it_has_yet_to_sync() {
    let rig = Rig::new(Bare { panics: false });
    let mut first = rig.propose();
    rig.log.sync();
    let mut second = rig.propose();
    rig.relay.handle_news();
    assert_eq!(first.try_recv().unwrap_err(), TryRecvError::Empty, "it is left to the driver");
    rig.drive();
    assert!(is_committed(first.try_recv()));
    assert_eq!(second.try_recv().unwrap_err(), TryRecvError::Empty);
}

#[test]
fn news_are_left_to_the_driver_while_it_works() {
    let rig = Rig::new(Bare { panics: false });
    let mut answer = rig.propose();
    rig.log.sync();
    let working = rig.relay.work.lock();
    rig.relay.handle_news();
    drop(working);
    assert_eq!(answer.try_recv().unwrap_err(), TryRecvError::Empty);
    rig.drive();
    assert!(is_committed(answer.try_recv()));
}

#[test]
fn what_waits_for_room_goes_to_the_log_once_there_is_some() {
    let rig = Rig::new(Bare { panics: false });
    rig.log.is_busy.store(1, Ordering::SeqCst);
    let mut answer = rig.propose();
    rig.log.is_busy.store(0, Ordering::SeqCst);
    rig.relay.handle_news();
    rig.drive();
    rig.log.sync();
    rig.relay.handle_news();
    assert!(is_committed(answer.try_recv()));
}

#[test]
fn several_waiters_are_answered_in_the_order_of_the_log() {
    let rig = Rig::new(Bare { panics: false });
    let mut answers: VecDeque<_> = (0..20).map(|_| rig.propose()).collect();
    rig.log.sync();
    rig.relay.handle_news();
    let indexes: Vec<_> = answers
        .iter_mut()
        .map(|answer| match answer.try_recv() {
            Ok(Answer::Settled(Outcome::Committed(commit))) => commit.position.index.0,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(indexes, (1..=20).collect::<Vec<_>>());
}

#[test]
fn a_panic_over_an_entry_stops_the_node_and_spares_the_logs_thread() {
    let rig = Rig::new(Bare { panics: true });
    let mut lost = rig.propose();
    rig.log.sync();
    rig.relay.handle_news();
    let answer = lost.try_recv();
    let is_unknown = matches!(
        answer,
        Ok(Answer::Settled(Outcome::Unknown(UnknownCause::Stopped))) | Err(TryRecvError::Closed)
    );
    assert!(is_unknown, "{answer:?}");
    assert!(rig.read_only.read().is_some());
    let mut refused = rig.propose();
    assert!(matches!(refused.try_recv(), Ok(Answer::Refused(_))));
}
