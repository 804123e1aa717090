//! Where callers hand in proposals: each is given its place in the log in the caller's own thread,
//! under one short lock, so that the log has it without another thread waking.

use std::{collections::VecDeque, time::Instant};

use parking_lot::Mutex;
use weald_core::{LogError, TransactionId};

use super::{Answer, Ask, Proposal, Proposer, Refused, Waiter, event::Committed};

/// Why a proposal was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProposeError {
    /// Too much waits.
    Full {
        /// Writes that wait.
        writes: usize,
        /// Bytes that they hold.
        bytes: usize,
    },
    /// The driver has ended.
    Ended,
}

/// What the driver lets proposals do.
#[derive(Clone, Debug)]
pub(crate) enum Door {
    /// They go to the log.
    Open,
    /// They wait for a checkpoint to free memory.
    Paused,
    /// They are refused.
    Shut(Refused),
}

/// What became of a proposal that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// The driver must be woken to see to it.
    pub(crate) needs_driver: bool,
    /// Whoever proposed it is to sync the log: nothing else is on its way there.
    pub(crate) is_led: bool,
}

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IntakeLimits {
    pub(crate) writes_max: usize,
    pub(crate) bytes_max: usize,
}

/// Proposals on their way: waiting, or in the log and not yet applied.
pub(crate) struct Intake {
    state: Mutex<State>,
    limits: IntakeLimits,
}

struct State {
    proposer: Box<dyn Proposer>,
    /// What could not be proposed at once, oldest first.
    waiting: VecDeque<Proposal>,
    /// Proposals that were taken and not yet answered, here or further on.
    writes: usize,
    bytes: usize,
    door: Door,
    is_ended: bool,
    /// The driver looks at nothing until it is woken.
    is_driver_dozing: bool,
}

impl Intake {
    pub(crate) fn new(proposer: Box<dyn Proposer>, limits: IntakeLimits) -> Self {
        let state = State {
            proposer,
            waiting: VecDeque::new(),
            writes: 0,
            bytes: 0,
            door: Door::Open,
            is_ended: false,
            is_driver_dozing: false,
        };
        Self { state: Mutex::new(state), limits }
    }

    /// Takes a proposal and hands it to the log if it can go at once. Its share of the bounds is
    /// given back by [`Intake::release`].
    pub(crate) fn propose(&self, proposal: Proposal) -> Result<Taken, ProposeError> {
        let mut state = self.state.lock();
        if state.is_ended {
            return Err(ProposeError::Ended);
        }
        let (writes, bytes) = (state.writes + 1, state.bytes + proposal.bytes);
        let IntakeLimits { writes_max, bytes_max } = self.limits;
        if writes > writes_max || (bytes > bytes_max && state.writes > 0) {
            return Err(ProposeError::Full { writes: state.writes, bytes: state.bytes });
        }
        (state.writes, state.bytes) = (writes, bytes);
        // Where something is on its way, the log's thread goes on with this one without a pause.
        let may_lead = proposal.may_lead && state.is_idle();
        state.waiting.push_back(proposal);
        state.advance(may_lead);
        let is_stuck = !state.waiting.is_empty() || state.proposer.failure().is_some();
        let needs_driver = std::mem::take(&mut state.is_driver_dozing) || is_stuck;
        Ok(Taken { needs_driver, is_led: may_lead && state.proposer.pending_count() > 0 })
    }

    /// Hands what waits to the log, as far as door and log allow. Returns why the log takes nothing
    /// more in this run, if so.
    pub(crate) fn advance(&self) -> Option<LogError> {
        let mut state = self.state.lock();
        state.advance(false);
        state.proposer.failure().cloned()
    }

    /// Sets what proposals may do from now on.
    pub(crate) fn set_door(&self, door: Door) {
        self.state.lock().door = door;
    }

    /// Logs a tick, which takes no share of the bounds, if nothing is on its way.
    pub(crate) fn tick(&self, now: Instant) {
        let mut state = self.state.lock();
        if state.is_idle() && matches!(state.door, Door::Open) {
            let home = weald_core::PlacementKey::from_u64(0);
            let id = TransactionId::new(home, [0; 16]);
            let waiter = Waiter::nobody(now);
            let tick = Proposal { id, ask: Ask::Tick, bytes: 0, waiter, may_lead: false };
            state.proposer.propose(&mut VecDeque::from([tick]), false);
        }
    }

    /// Looks how far the log has come and moves what is committed to the end of `committed`.
    pub(crate) fn take_committed(&self, committed: &mut VecDeque<Committed>) {
        self.state.lock().take_committed(committed);
    }

    /// As [`Intake::take_committed`] if nobody is proposing at the moment. Returns whether it was
    /// done and left nothing: no entry to sync, no proposal that waits for room, no failure.
    pub(crate) fn try_take_committed(&self, committed: &mut VecDeque<Committed>) -> bool {
        let Some(mut state) = self.state.try_lock() else { return false };
        state.take_committed(committed);
        state.is_idle() && state.proposer.failure().is_none()
    }

    /// As [`Intake::take_committed`]. Returns whether that leaves only what the log has to sync.
    pub(crate) fn take_led(&self, committed: &mut VecDeque<Committed>) -> bool {
        let mut state = self.state.lock();
        state.take_committed(committed);
        state.waiting.is_empty() && state.proposer.failure().is_none()
    }

    /// Whether the log has nothing to sync; `false` also while somebody is proposing.
    pub(crate) fn is_log_idle(&self) -> bool {
        self.state.try_lock().is_some_and(|state| state.proposer.pending_count() == 0)
    }

    /// Gives back the share of answered proposals.
    pub(crate) fn release(&self, writes: usize, bytes: usize) {
        self.state.lock().release((writes, bytes));
    }

    /// Proposals that were taken and not yet answered.
    pub(crate) fn writes_waiting(&self) -> usize {
        self.state.lock().writes
    }

    /// Whether the driver may sleep until it is woken: nothing is on its way. The next proposal
    /// then wakes it.
    pub(crate) fn let_doze(&self) -> bool {
        let mut state = self.state.lock();
        state.is_driver_dozing = state.is_idle();
        state.is_driver_dozing
    }

    /// Whether the transaction waits or is in the log.
    pub(crate) fn holds(&self, id: &TransactionId) -> bool {
        let state = self.state.lock();
        let is_waiting = state.waiting.iter().any(|proposal| proposal.id == *id);
        is_waiting || state.proposer.is_pending(id)
    }

    /// Answers those who have waited past their deadline: `Unknown` for what is in the log, a
    /// definite refusal for what never came there. And sees to it that the log's thread does what
    /// somebody was to lead and does not.
    pub(crate) fn expire(&self, now: Instant) {
        let mut state = self.state.lock();
        state.proposer.rouse();
        state.proposer.expire(now);
        if state.waiting.iter().any(|proposal| proposal.waiter.deadline <= now) {
            state.expire_waiting(now, self.limits.bytes_max);
        }
    }

    /// Answers `Unknown` to all who wait for the log.
    pub(crate) fn abandon(&self) {
        self.state.lock().proposer.abandon();
    }

    /// Takes nothing more, refuses what waits, and answers `Unknown` to the others.
    pub(crate) fn end(&self) {
        let mut state = self.state.lock();
        state.is_ended = true;
        state.door = Door::Shut(Refused::Closing);
        state.advance(false);
        state.proposer.abandon();
    }

    /// As [`Intake::end`] if nothing is on its way. Returns whether it was.
    pub(crate) fn end_if_idle(&self) -> bool {
        let mut state = self.state.lock();
        state.is_ended |= state.is_idle();
        state.is_ended
    }
}

impl State {
    fn advance(&mut self, is_led: bool) {
        if self.waiting.is_empty() {
            return;
        }
        match &self.door {
            Door::Open => {
                let released = self.proposer.propose(&mut self.waiting, is_led);
                self.release(released);
            }
            Door::Paused => {}
            Door::Shut(refused) => {
                let refused = refused.clone();
                for proposal in std::mem::take(&mut self.waiting) {
                    self.refuse(proposal, refused.clone());
                }
            }
        }
    }

    fn refuse(&mut self, mut proposal: Proposal, refused: Refused) {
        self.release((1, proposal.bytes));
        proposal.waiter.answer(Answer::Refused(refused));
    }

    fn expire_waiting(&mut self, now: Instant, max: usize) {
        for proposal in std::mem::take(&mut self.waiting) {
            if proposal.waiter.deadline <= now {
                let queued_bytes = proposal.bytes;
                self.refuse(proposal, Refused::Log(LogError::Busy { queued_bytes, max }));
            } else {
                self.waiting.push_back(proposal);
            }
        }
    }

    fn take_committed(&mut self, committed: &mut VecDeque<Committed>) {
        self.proposer.poll();
        committed.extend(std::iter::from_fn(|| self.proposer.next_committed()));
    }

    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.proposer.pending_count() == 0
    }

    fn release(&mut self, (writes, bytes): (usize, usize)) {
        self.writes -= writes;
        self.bytes -= bytes;
    }
}
