//! Calls that wait for their answers.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;
use weald_core::{CallError, PeerId, Service};

use crate::limits::{BODY_BYTES_MAX, CALLS_MAX};
use weald_core::wire::{Answer, Failure};

/// The end of a call at the caller.
pub(crate) type CallResult = Result<Bytes, CallError>;

/// The calls to one peer, by number. A number is a slot and how often the slot was used, so that a
/// late answer never meets another call.
///
/// No timer runs for a call: [`Calls::earliest`] is never later than the first deadline, and the
/// connection's one timer asks [`Calls::expire`] then.
#[derive(Debug)]
pub(crate) struct Calls {
    slots: Vec<Slot>,
    free: Vec<u32>,
    earliest: Option<Instant>,
}

#[derive(Debug, Default)]
struct Slot {
    use_count: u32,
    waiting: Option<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    answer: oneshot::Sender<CallResult>,
    service: Service,
    deadline: Instant,
    is_sent: bool,
}

impl Calls {
    pub(crate) const fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), earliest: None }
    }

    /// Calls without an answer.
    pub(crate) const fn count(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// No call ends before this; `None` while there is none.
    pub(crate) const fn earliest(&self) -> Option<Instant> {
        self.earliest
    }

    /// Takes a number for a call whose end goes to `answer`; `None` when there are [`CALLS_MAX`].
    pub(crate) fn begin(
        &mut self,
        service: Service,
        deadline: Instant,
        answer: oneshot::Sender<CallResult>,
    ) -> Option<u64> {
        let index = self.free_slot()?;
        let slot = &mut self.slots[index as usize];
        assert!(slot.waiting.is_none(), "a free slot waits for nothing");
        slot.use_count = slot.use_count.wrapping_add(1);
        slot.waiting = Some(Waiting { answer, service, deadline, is_sent: false });
        self.earliest = Some(self.earliest.map_or(deadline, |earliest| earliest.min(deadline)));
        Some(number(slot.use_count, index))
    }

    fn free_slot(&mut self) -> Option<u32> {
        if self.free.is_empty() && self.slots.len() == CALLS_MAX {
            // Callers that went away leave their calls behind.
            self.end_where(|waiting| waiting.answer.is_closed());
        }
        if let Some(index) = self.free.pop() {
            return Some(index);
        }
        if self.slots.len() == CALLS_MAX {
            return None;
        }
        self.slots.push(Slot::default());
        u32::try_from(self.slots.len() - 1).ok()
    }

    /// Notes that a call leaves; how long its caller still waits. `None` when it has ended already
    /// and need not be sent.
    pub(crate) fn send(&mut self, call: u64, now: Instant) -> Option<Duration> {
        let (use_count, index) = parts(call);
        let slot = self.slots.get_mut(index as usize)?;
        let waiting = slot.waiting.as_mut().filter(|_| slot.use_count == use_count)?;
        if waiting.answer.is_closed() {
            let _ = self.end(call);
            return None;
        }
        waiting.is_sent = true;
        Some(waiting.deadline.saturating_duration_since(now))
    }

    /// Ends a call with what the peer says; `None` when it has ended before.
    pub(crate) fn answer(&mut self, call: u64, answer: Answer) -> Option<Ended> {
        let waiting = self.end(call)?;
        Some(Ended { answer: waiting.answer, service: waiting.service, result: answer })
    }

    /// Ends the calls whose deadlines are over.
    pub(crate) fn expire(&mut self, peer: PeerId, now: Instant) -> usize {
        if self.earliest.is_none_or(|earliest| now < earliest) {
            return 0;
        }
        let expired = self.end_where(|waiting| waiting.deadline <= now);
        self.earliest = self.waiting().map(|waiting| waiting.deadline).min();
        let count = expired.len();
        for waiting in expired {
            let _ = waiting.answer.send(Err(CallError::TimedOut(peer)));
        }
        count
    }

    /// Ends the calls that were sent: the substream that would bring their answers has broken.
    pub(crate) fn lose_sent(&mut self, peer: PeerId) {
        for waiting in self.end_where(|waiting| waiting.is_sent) {
            let _ = waiting.answer.send(Err(CallError::Lost(peer)));
        }
    }

    /// Ends all calls: the connection is gone.
    pub(crate) fn lose_all(&mut self, peer: PeerId) {
        self.lose_sent(peer);
        for waiting in self.end_where(|_| true) {
            let _ = waiting.answer.send(Err(CallError::Unreachable(peer)));
        }
        self.earliest = None;
    }

    fn waiting(&self) -> impl Iterator<Item = &Waiting> {
        self.slots.iter().filter_map(|slot| slot.waiting.as_ref())
    }

    fn end(&mut self, call: u64) -> Option<Waiting> {
        let (use_count, index) = parts(call);
        let slot = self.slots.get_mut(index as usize).filter(|slot| slot.use_count == use_count)?;
        let waiting = slot.waiting.take()?;
        self.free.push(index);
        Some(waiting)
    }

    fn end_where(&mut self, condition: impl Fn(&Waiting) -> bool) -> Vec<Waiting> {
        let ending: Vec<_> = (0u32..)
            .zip(&self.slots)
            .filter(|(_, slot)| slot.waiting.as_ref().is_some_and(&condition))
            .map(|(index, slot)| number(slot.use_count, index))
            .collect();
        ending.into_iter().filter_map(|call| self.end(call)).collect()
    }
}

/// A call that has its answer; told to the caller outside the lock.
#[derive(Debug)]
pub(crate) struct Ended {
    answer: oneshot::Sender<CallResult>,
    service: Service,
    result: Answer,
}

impl Ended {
    /// Tells the caller, if it still listens.
    pub(crate) fn tell(self, peer: PeerId) {
        let service = self.service;
        let result = self.result.map_err(|failure| match failure {
            Failure::Refused(weald_core::Refusal::Busy) => CallError::Busy(peer),
            Failure::Refused(refusal) => CallError::Refused(refusal),
            Failure::Unknown => CallError::Unknown(service),
            Failure::TooLarge(bytes) => CallError::TooLarge {
                bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
                bytes_max: BODY_BYTES_MAX,
            },
        });
        let _ = self.answer.send(result);
    }
}

fn number(use_count: u32, index: u32) -> u64 {
    u64::from(use_count) << 32 | u64::from(index)
}

fn parts(call: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = call.to_be_bytes();
    (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]))
}
