//! The driver's loop: one queue in, one closed set of events, no decision about the data.

use std::{
    collections::VecDeque,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use parking_lot::RwLock;
use tokio::sync::oneshot;
use weald_core::{
    Clock, LogIndex, LogStore, Outcome, Payload, StateError, TransactionId, UnknownCause,
};

use super::{
    Answer, Applier, Ask, Event, EventQueue, Proposal, Proposer, Refused, Standing, Waiter,
    Watchers, checkpointer::Checkpointer, event::Committed, recent::Recent,
};

/// How often a busy driver looks for waiters past their deadline.
const DEADLINE_STEP: Duration = Duration::from_millis(20);
/// How often an idle one looks for what is due.
const IDLE_STEP: Duration = Duration::from_millis(500);
/// How long after a failed checkpoint the next one is tried.
const CHECKPOINT_RETRY: Duration = Duration::from_secs(1);
/// Outcomes kept of writes whose callers were not told.
const RECENT_MAX: usize = 65_536;

/// When checkpoints start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tuning {
    pub(crate) dirty_bytes_max: usize,
    pub(crate) log_bytes: u64,
    pub(crate) interval: Duration,
}

/// What a driver works with.
pub(crate) struct Loop {
    applier: Applier,
    proposer: Box<dyn Proposer>,
    queue: Arc<EventQueue>,
    watchers: Arc<Watchers>,
    clock: Arc<dyn Clock>,
    /// Why writes are refused; read by the node's status.
    read_only: Arc<RwLock<Option<String>>>,
    tuning: Tuning,
    waiting: VecDeque<Proposal>,
    recent: Recent,
    checkpoint: Checkpoint,
    checkpointer: Option<Checkpointer>,
    closing: Option<oneshot::Sender<Result<(), StateError>>>,
    looked_for_late: Instant,
    /// An entry could not be applied; none after it is.
    is_stopped: bool,
    is_ended: bool,
}

struct Checkpoint {
    requests: mpsc::Sender<LogIndex>,
    callers: Vec<oneshot::Sender<Result<(), StateError>>>,
    is_running: bool,
    is_wanted: bool,
    last: Instant,
    log_bytes: u64,
    failure: Option<StateError>,
}

/// The parts of a loop.
pub(crate) struct Parts {
    pub(crate) applier: Applier,
    pub(crate) proposer: Box<dyn Proposer>,
    pub(crate) log: Arc<dyn LogStore>,
    pub(crate) queue: Arc<EventQueue>,
    pub(crate) watchers: Arc<Watchers>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) read_only: Arc<RwLock<Option<String>>>,
    pub(crate) tuning: Tuning,
}

impl Loop {
    pub(crate) fn new(parts: Parts) -> Self {
        let (sender, requests) = mpsc::channel();
        let checkpointer = Checkpointer {
            store: Arc::clone(&parts.applier.store),
            log: parts.log,
            queue: Arc::clone(&parts.queue),
            requests,
        };
        Self {
            applier: parts.applier,
            proposer: parts.proposer,
            queue: parts.queue,
            watchers: parts.watchers,
            clock: parts.clock,
            read_only: parts.read_only,
            tuning: parts.tuning,
            waiting: VecDeque::new(),
            recent: Recent::new(RECENT_MAX),
            checkpoint: Checkpoint {
                requests: sender,
                callers: Vec::new(),
                is_running: false,
                is_wanted: false,
                last: Instant::now(),
                log_bytes: 0,
                failure: None,
            },
            checkpointer: Some(checkpointer),
            closing: None,
            looked_for_late: Instant::now(),
            is_stopped: false,
            is_ended: false,
        }
    }

    pub(crate) fn queue(&self) -> Arc<EventQueue> {
        Arc::clone(&self.queue)
    }

    pub(crate) fn take_checkpointer(&mut self) -> Checkpointer {
        self.checkpointer.take().expect("it is taken once, when the threads start")
    }

    /// Runs until the node is closed or dropped.
    pub(crate) fn run(&mut self) {
        let mut events = Vec::new();
        while !self.is_ended {
            let is_busy = self.proposer.pending_count() > 0 || !self.waiting.is_empty();
            self.queue.take(&mut events, if is_busy { DEADLINE_STEP } else { IDLE_STEP });
            for event in events.drain(..) {
                self.handle(event);
            }
            self.propose();
            self.apply();
            self.maintain();
        }
        self.end();
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Propose(proposal) => self.waiting.push_back(proposal),
            Event::Synced => {}
            Event::Checkpointed(result) => self.checkpointed(result),
            Event::Checkpoint(caller) => {
                self.checkpoint.callers.push(caller);
                self.checkpoint.is_wanted = true;
            }
            Event::Standing(id, caller) => {
                // A caller who has gone needs no answer.
                caller.send(self.standing(&id)).ok();
            }
            Event::Close(caller) => self.closing = Some(caller),
            Event::Abandon => self.is_ended = true,
        }
    }

    fn propose(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        if let Some(refused) = self.refusal() {
            for mut proposal in std::mem::take(&mut self.waiting) {
                proposal.waiter.answer(Answer::Refused(refused.clone()));
                self.queue.release(1, proposal.bytes);
            }
            return;
        }
        if self.is_over_budget() {
            return;
        }
        let (writes, bytes) = self.proposer.propose(&mut self.waiting);
        self.queue.release(writes, bytes);
        self.note_failure();
    }

    /// Why no proposal is taken now.
    fn refusal(&self) -> Option<Refused> {
        if let Some(reason) = &*self.read_only.read() {
            return Some(Refused::ReadOnly(reason.clone()));
        }
        match &self.checkpoint.failure {
            Some(StateError::DiskFull(detail)) if self.is_over_budget() => {
                Some(Refused::DiskFull(detail.clone()))
            }
            _ => None,
        }
    }

    /// Whether proposals wait for a checkpoint to free memory.
    fn is_over_budget(&self) -> bool {
        self.applier.store.dirty_bytes() >= self.tuning.dirty_bytes_max
    }

    fn apply(&mut self) {
        self.proposer.poll();
        let (mut writes, mut bytes) = (0, 0);
        while let Some(committed) = self.proposer.next_committed() {
            // A tick is the driver's own: it took no share of the queue's bounds.
            if committed.entry.payload != Payload::Tick {
                (writes, bytes) = (writes + 1, bytes + committed.bytes);
            }
            self.apply_one(committed);
        }
        self.note_failure();
        if writes > 0 {
            self.queue.release(writes, bytes);
        }
    }

    fn apply_one(&mut self, committed: Committed) {
        let Committed { index, entry, mut waiter, bytes } = committed;
        if self.is_stopped {
            waiter.give_up(UnknownCause::Stopped);
            return;
        }
        self.checkpoint.log_bytes += u64::try_from(bytes).unwrap_or(u64::MAX);
        match self.applier.apply(index, &entry) {
            Ok(applied) => {
                self.watchers.wake(&applied.changed);
                let Some((id, outcome)) = applied.settled else { return };
                if !waiter.answer(Answer::Settled(outcome.clone())) {
                    self.recent.insert(id, outcome);
                }
            }
            Err(fault) => {
                // Whoever is told finds the node already refusing.
                self.is_stopped = true;
                self.become_read_only(format!("an entry cannot be applied: {fault}"));
                waiter.give_up(UnknownCause::Stopped);
            }
        }
    }

    fn note_failure(&mut self) {
        if let Some(failure) = self.proposer.failure() {
            let reason = failure.to_string();
            self.become_read_only(reason);
        }
    }

    fn become_read_only(&mut self, reason: String) {
        let mut read_only = self.read_only.write();
        if read_only.is_none() {
            tracing::error!(target: "weald::driver", reason, "writes are refused from now on");
            *read_only = Some(reason);
            drop(read_only);
            self.proposer.abandon();
        }
    }

    fn standing(&self, id: &TransactionId) -> Standing {
        let is_waiting = self.waiting.iter().any(|proposal| proposal.id == *id);
        if is_waiting || self.proposer.is_pending(id) {
            return Standing::Pending;
        }
        let kept: Option<&Outcome> =
            self.applier.partition.outcome(id).or_else(|| self.recent.outcome(id));
        kept.map_or(Standing::Unheard, |outcome| Standing::Settled(outcome.clone()))
    }

    fn maintain(&mut self) {
        let now = Instant::now();
        if now.duration_since(self.looked_for_late) >= DEADLINE_STEP {
            self.looked_for_late = now;
            self.proposer.expire(now);
            self.expire_waiting(now);
        }
        self.tick(now);
        self.start_checkpoint(now);
        let is_idle = self.proposer.pending_count() == 0 && self.waiting.is_empty();
        let is_stuck = self.read_only.read().is_some();
        if self.closing.is_some() && (is_idle || is_stuck) && !self.checkpoint.is_running {
            self.is_ended = true;
        }
    }

    /// Proposals past their deadline were not logged: a definite refusal.
    fn expire_waiting(&mut self, now: Instant) {
        let late = |proposal: &Proposal| proposal.waiter.deadline <= now;
        if !self.waiting.iter().any(late) {
            return;
        }
        for mut proposal in std::mem::take(&mut self.waiting) {
            if late(&proposal) {
                let refused = Refused::Log(weald_core::LogError::Busy {
                    queued_bytes: proposal.bytes,
                    max: self.tuning.dirty_bytes_max,
                });
                proposal.waiter.answer(Answer::Refused(refused));
                self.queue.release(1, proposal.bytes);
            } else {
                self.waiting.push_back(proposal);
            }
        }
    }

    /// Lets log time go on when something is due and nothing else comes.
    fn tick(&mut self, now: Instant) {
        let is_idle = self.proposer.pending_count() == 0 && self.waiting.is_empty();
        let is_due = || self.applier.partition.due().is_some_and(|due| due < self.clock.now());
        if is_idle && self.closing.is_none() && self.read_only.read().is_none() && is_due() {
            let home = weald_core::PlacementKey::from_u64(0);
            let id = TransactionId::new(home, [0; 16]);
            let waiter = Waiter::nobody(now + IDLE_STEP);
            let mut tick = VecDeque::from([Proposal { id, ask: Ask::Tick, bytes: 0, waiter }]);
            self.proposer.propose(&mut tick);
            self.note_failure();
        }
    }

    fn start_checkpoint(&mut self, now: Instant) {
        let store = &self.applier.store;
        let applied = self.applier.partition.applied();
        let has_news = applied > store.checkpointed();
        let since = now.duration_since(self.checkpoint.last);
        let is_due = self.checkpoint.is_wanted
            || store.dirty_bytes() >= self.tuning.dirty_bytes_max / 2
            || self.checkpoint.log_bytes >= self.tuning.log_bytes
            || since >= self.tuning.interval;
        let may_retry = self.checkpoint.failure.is_none() || since >= CHECKPOINT_RETRY;
        if self.checkpoint.is_running || !is_due || !(may_retry || self.checkpoint.is_wanted) {
            return;
        }
        if !has_news {
            self.checkpoint.is_wanted = false;
            self.checkpoint.last = now;
            self.answer_checkpoints(&Ok(()));
            return;
        }
        // The thread that takes requests lives as long as this one.
        self.checkpoint.is_running = self.checkpoint.requests.send(applied).is_ok();
        self.checkpoint.is_wanted = false;
        self.checkpoint.log_bytes = 0;
        self.checkpoint.last = now;
    }

    fn checkpointed(&mut self, result: Result<LogIndex, StateError>) {
        self.checkpoint.is_running = false;
        self.checkpoint.last = Instant::now();
        let result = result.map(|_| ());
        if let Err(error) = &result {
            tracing::warn!(target: "weald::driver", %error, "a checkpoint failed");
        }
        self.checkpoint.failure = result.clone().err();
        self.answer_checkpoints(&result);
    }

    fn answer_checkpoints(&mut self, result: &Result<(), StateError>) {
        for caller in self.checkpoint.callers.drain(..) {
            // A caller who has gone needs no answer.
            caller.send(result.clone()).ok();
        }
    }

    fn end(&mut self) {
        let late = self.queue.end().into_iter().filter_map(|event| match event {
            Event::Propose(proposal) => Some(proposal),
            _ => None,
        });
        for mut proposal in std::mem::take(&mut self.waiting).into_iter().chain(late) {
            proposal.waiter.answer(Answer::Refused(Refused::Closing));
        }
        self.proposer.abandon();
        self.watchers.end();
        let Some(caller) = self.closing.take() else { return };
        let applied = self.applier.partition.applied();
        let result = if applied > self.applier.store.checkpointed() {
            self.applier.store.checkpoint(applied).map(|_| ())
        } else {
            Ok(())
        };
        self.answer_checkpoints(&result);
        // A caller who has gone needs no answer.
        caller.send(result).ok();
    }
}
