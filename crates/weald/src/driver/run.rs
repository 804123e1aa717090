//! The driver's loop: events in, answers out. All decisions about data are the partition's.

mod checkpoint;

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::RwLock;
use tokio::sync::oneshot;
use weald_cluster::partition::Applied;
use weald_core::{
    Clock, Halt, LogStore, Outcome, Payload, StateError, TransactionId, UnknownCause,
};

use super::{
    Applier, Door, Event, EventQueue, Intake, Progress, Refused, Standing, Waiter, Watchers,
    applier::Reach, checkpointer::Checkpointer, event::Committed, recent::Recent,
};
use crate::upkeep;
use checkpoint::Checkpoint;

/// How often a busy driver looks for waiters past their deadline.
const DEADLINE_STEP: Duration = Duration::from_millis(20);
/// How often an idle one looks for what is due.
const IDLE_STEP: Duration = Duration::from_millis(500);
/// Answers given in one go, so that whoever waits is woken for several at once.
const ANSWERS_MAX: usize = 8;
/// Entries that a caller applies in its own thread, at most.
const LED_ENTRIES_MAX: usize = 32;
/// Outcomes kept of writes whose callers were not told.
const RECENT_MAX: usize = 65_536;

/// When checkpoints start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tuning {
    pub(crate) dirty_bytes_max: usize,
    pub(crate) log_bytes: u64,
    pub(crate) interval: Duration,
}

/// What a driver works with. Whoever holds it applies what is committed: the driver's thread, or
/// the log's when it has nothing better to do.
pub(crate) struct Loop {
    applier: Applier,
    intake: Arc<Intake>,
    watchers: Arc<Watchers>,
    clock: Arc<dyn Clock>,
    /// Why writes are refused; read by the node's status.
    read_only: Arc<RwLock<Option<String>>>,
    tuning: Tuning,
    /// Committed and not yet applied.
    committed: VecDeque<Committed>,
    /// Applied and not yet answered, and what they count for: writes, bytes.
    share: (usize, usize),
    answers: Vec<(Waiter, TransactionId, Outcome)>,
    recent: Recent,
    checkpoint: Checkpoint,
    closing: Option<oneshot::Sender<Result<(), StateError>>>,
    looked_for_late: Instant,
    /// An entry could not be applied; none after it is.
    is_stopped: bool,
    is_ended: bool,
}

/// The parts of a loop.
pub(crate) struct Parts {
    pub(crate) applier: Applier,
    pub(crate) intake: Arc<Intake>,
    pub(crate) log: Arc<dyn LogStore>,
    pub(crate) queue: Arc<EventQueue>,
    pub(crate) watchers: Arc<Watchers>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) read_only: Arc<RwLock<Option<String>>>,
    pub(crate) tuning: Tuning,
}

impl Loop {
    /// The loop, and what writes its checkpoints.
    pub(crate) fn new(parts: Parts) -> (Self, Checkpointer) {
        let (checkpoint, requests) = Checkpoint::new();
        let checkpointer = Checkpointer {
            store: Arc::clone(&parts.applier.store),
            log: parts.log,
            queue: parts.queue,
            requests,
        };
        let work = Self {
            applier: parts.applier,
            intake: parts.intake,
            watchers: parts.watchers,
            clock: parts.clock,
            read_only: parts.read_only,
            tuning: parts.tuning,
            committed: VecDeque::new(),
            share: (0, 0),
            answers: Vec::with_capacity(ANSWERS_MAX),
            recent: Recent::new(RECENT_MAX),
            checkpoint,
            closing: None,
            looked_for_late: Instant::now(),
            is_stopped: false,
            is_ended: false,
        };
        work.set_door();
        (work, checkpointer)
    }

    /// Handles `events`, lets proposals go to the log and applies what is committed. Returns for how
    /// long the driver may sleep if nothing wakes it; `None` when it has ended.
    pub(crate) fn turn(&mut self, events: &mut Vec<Event>) -> Option<Duration> {
        for event in events.drain(..) {
            self.handle(event);
        }
        self.set_door();
        self.advance();
        self.apply();
        self.maintain();
        if self.is_ended {
            self.end();
            return None;
        }
        Some(if self.intake.let_doze() { IDLE_STEP } else { DEADLINE_STEP })
    }

    /// In the log's thread: applies what is committed while the log has nothing else to write and
    /// no block is missing. Returns whether nothing is left for the driver to see to.
    pub(crate) fn apply_at_once(&mut self) -> bool {
        let is_all = self.intake.try_take_committed(&mut self.committed);
        if !is_all || self.is_stopped || self.closing.is_some() {
            return false;
        }
        self.apply_some(Reach::Memory, |work| work.intake.is_log_idle())
    }

    /// In the thread of a caller who has led the log's sync: applies the first entries that are
    /// committed, its own among them unless many are. Returns as [`Loop::apply_at_once`].
    pub(crate) fn apply_led(&mut self) -> bool {
        let is_all = self.intake.take_led(&mut self.committed);
        if self.is_stopped || self.closing.is_some() {
            return false;
        }
        let mut left = LED_ENTRIES_MAX;
        let is_done = self.apply_some(Reach::Disk, |_| {
            left -= 1;
            left > 0
        });
        is_all && is_done
    }

    /// Applies what is committed while its blocks are in `reach` and, between two entries,
    /// `may_go_on`.
    fn apply_some(&mut self, reach: Reach, mut may_go_on: impl FnMut(&Self) -> bool) -> bool {
        while let Some(committed) = self.committed.pop_front() {
            if let Some(committed) = self.apply_one(committed, reach) {
                self.committed.push_front(committed);
                break;
            }
            if !self.committed.is_empty() && !may_go_on(self) {
                break;
            }
        }
        self.answer();
        self.committed.is_empty() && !self.is_stopped && !self.wants_checkpoint(Instant::now())
    }

    /// Stops everything: an entry was left half applied.
    pub(crate) fn stop(&mut self) {
        self.is_stopped = true;
        self.become_read_only("applying an entry has failed".to_owned());
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Checkpointed(result) => {
                let told = self.checkpoint.ended(result);
                // Who is told finds the door as it is from now on.
                self.set_door();
                self.checkpoint.answer(&told);
            }
            Event::Checkpoint(caller) => self.checkpoint.want(caller),
            Event::Standing(id, caller) => {
                // A caller who has gone needs no answer.
                caller.send(self.standing(&id)).ok();
            }
            Event::Progress(caller) => {
                // A caller who has gone needs no answer.
                caller.send(self.progress()).ok();
            }
            Event::Close(caller) => self.closing = Some(caller),
            Event::Abandon => self.is_ended = true,
        }
    }

    /// Lets proposals go, wait or be refused.
    fn set_door(&self) {
        let door = if let Some(reason) = &*self.read_only.read() {
            Door::Shut(Refused::ReadOnly(reason.clone()))
        } else if !self.is_over_budget() {
            Door::Open
        } else if let Some(StateError::DiskFull(detail)) = self.checkpoint.failure() {
            Door::Shut(Refused::DiskFull(detail.clone()))
        } else {
            Door::Paused
        };
        self.intake.set_door(door);
    }

    /// Whether proposals wait for a checkpoint to free memory.
    fn is_over_budget(&self) -> bool {
        self.applier.store.dirty_bytes() >= self.tuning.dirty_bytes_max
    }

    fn advance(&mut self) {
        if let Some(failure) = self.intake.advance() {
            self.become_read_only(failure.to_string());
        }
    }

    fn apply(&mut self) {
        loop {
            self.intake.take_committed(&mut self.committed);
            if self.committed.is_empty() {
                break;
            }
            while let Some(committed) = self.committed.pop_front() {
                let left = self.apply_one(committed, Reach::Disk);
                assert!(left.is_none(), "who may load blocks has all that it needs");
            }
            self.answer();
        }
        self.advance();
    }

    /// Applies an entry; [`Loop::answer`] tells who waits. Gives it back when that takes blocks out
    /// of `reach`.
    fn apply_one(&mut self, mut committed: Committed, reach: Reach) -> Option<Committed> {
        if self.is_stopped {
            self.take_share(&committed);
            committed.waiter.give_up(UnknownCause::Stopped);
            return None;
        }
        // Should applying panic, nothing is applied on what it leaves behind.
        self.is_stopped = true;
        match self.applier.apply(committed.index, &committed.entry, reach) {
            Ok(applied) => {
                self.is_stopped = false;
                self.take_share(&committed);
                self.applied(applied, committed);
            }
            Err(Halt::Need(_)) => {
                self.is_stopped = false;
                return Some(committed);
            }
            Err(Halt::Fault(fault)) => {
                // Whoever is told finds the node already refusing.
                self.become_read_only(format!("an entry cannot be applied: {fault}"));
                self.take_share(&committed);
                committed.waiter.give_up(UnknownCause::Stopped);
            }
        }
        None
    }

    /// Counts an entry among those that are on their way no more. A tick is the driver's own and
    /// takes no share of the bounds.
    fn take_share(&mut self, committed: &Committed) {
        if !matches!(committed.entry.payload, Payload::Tick) {
            self.share = (self.share.0 + 1, self.share.1 + committed.bytes);
        }
    }

    /// Tells of an entry that was applied.
    fn applied(&mut self, applied: Applied, committed: Committed) {
        self.checkpoint.log_bytes += u64::try_from(committed.bytes).unwrap_or(u64::MAX);
        if self.is_over_budget() {
            self.set_door();
        }
        self.watchers.wake(&applied.changed);
        let Some((id, outcome)) = applied.settled else { return };
        self.answers.push((committed.waiter, id, outcome));
        if self.answers.len() == ANSWERS_MAX {
            self.answer();
        }
    }

    /// Answers who waits for what was applied. Who is answered finds its share given back.
    fn answer(&mut self) {
        let (writes, bytes) = std::mem::take(&mut self.share);
        if writes > 0 {
            self.intake.release(writes, bytes);
        }
        for (mut waiter, id, outcome) in self.answers.drain(..) {
            if let Some(outcome) = waiter.settle(outcome) {
                self.recent.insert(id, outcome);
            }
        }
    }

    fn become_read_only(&mut self, reason: String) {
        let mut read_only = self.read_only.write();
        if read_only.is_none() {
            tracing::error!(target: "weald::driver", reason, "writes are refused from now on");
            *read_only = Some(reason);
            drop(read_only);
            self.set_door();
            self.intake.abandon();
        }
    }

    fn standing(&self, id: &TransactionId) -> Standing {
        if self.committed.iter().any(|committed| committed.is_of(id)) || self.intake.holds(id) {
            return Standing::Pending;
        }
        let kept: Option<&Outcome> =
            self.applier.partition.outcome(id).or_else(|| self.recent.outcome(id));
        kept.map_or(Standing::Unheard, |outcome| Standing::Settled(outcome.clone()))
    }

    fn progress(&self) -> Progress {
        let partition = &self.applier.partition;
        Progress {
            applied: partition.applied(),
            digest: partition.effect_hash(),
            log_time: partition.time(),
        }
    }

    fn maintain(&mut self) {
        let now = Instant::now();
        if now.duration_since(self.looked_for_late) >= DEADLINE_STEP {
            self.looked_for_late = now;
            self.intake.expire(now);
        }
        self.tick(now);
        self.start_checkpoint(now);
        if self.closing.is_some() && !self.checkpoint.is_running() {
            let is_stuck = self.read_only.read().is_some();
            self.is_ended |= is_stuck || self.intake.end_if_idle();
        }
    }

    /// Lets log time go on when something is due and nothing else comes.
    fn tick(&mut self, now: Instant) {
        let is_due = self.applier.partition.due().is_some_and(|due| due < self.clock.now());
        if is_due && self.closing.is_none() {
            self.intake.tick(now + IDLE_STEP);
            self.advance();
        }
    }

    fn end(&mut self) {
        self.intake.end();
        self.watchers.end();
        let Some(caller) = self.closing.take() else { return };
        let applied = self.applier.partition.applied();
        let result = if applied > self.applier.store.checkpointed() {
            upkeep::checkpoint(&*self.applier.store, applied).map(|_| ())
        } else {
            Ok(())
        };
        self.checkpoint.answer(&result);
        // A caller who has gone needs no answer.
        caller.send(result).ok();
    }
}
