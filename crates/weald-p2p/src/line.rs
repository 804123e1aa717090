//! The shared half of a connection: what waits to be sent to the peer, and what waits for it.
//!
//! Callers on any thread put messages in; the connection's task takes them out in batches, in
//! order for each priority. A line lives as long as its connection and does not come back: what
//! waits when it closes has failed, and says whether it had left.

mod calls;
mod desk;

use std::collections::VecDeque;
use std::task::Waker;
use std::time::Instant;

use bytes::Bytes;
use futures::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use weald_core::{CallError, MailboxError, NodeHints, PeerId, Priority, Request};

use crate::limits::{BATCH_BYTES, BODY_BYTES_MAX, DEADLINE_MAX, LANE_BYTES_MAX, LANE_MESSAGES_MAX};
use calls::{CallResult, Calls};
pub(crate) use desk::{Budget, Counts, Desk};
use weald_core::wire::{Answer, Message};

/// Every priority, first things first.
pub(crate) const PRIORITIES: [Priority; 3] =
    [Priority::Consensus, Priority::Client, Priority::Bulk];

/// The place of a priority in arrays.
pub(crate) const fn lane_index(priority: Priority) -> usize {
    match priority {
        Priority::Consensus => 0,
        Priority::Client => 1,
        Priority::Bulk => 2,
    }
}

/// One connection, as seen by those who send.
#[derive(Debug)]
pub(crate) struct Line {
    peer: PeerId,
    state: Mutex<State>,
    waker: AtomicWaker,
}

#[derive(Debug)]
struct State {
    lanes: [Lane; 3],
    calls: Calls,
    is_closed: bool,
}

#[derive(Debug, Default)]
struct Lane {
    messages: VecDeque<Message>,
    bytes: usize,
}

impl Line {
    pub(crate) fn new(peer: PeerId) -> Self {
        let state = State { lanes: Default::default(), calls: Calls::new(), is_closed: false };
        Self { peer, state: Mutex::new(state), waker: AtomicWaker::new() }
    }

    pub(crate) const fn peer(&self) -> PeerId {
        self.peer
    }

    /// Queues a frame.
    pub(crate) fn send(&self, priority: Priority, frame: Bytes) -> Result<(), MailboxError> {
        if frame.len() > BODY_BYTES_MAX {
            return Err(MailboxError::TooLarge { bytes: frame.len(), bytes_max: BODY_BYTES_MAX });
        }
        let mut state = self.state.lock();
        if state.is_closed {
            return Err(MailboxError::Unreachable(self.peer));
        }
        let is_queued = state.lanes[lane_index(priority)].push(Message::Frame(frame));
        drop(state);
        self.waker.wake();
        if is_queued { Ok(()) } else { Err(MailboxError::Full(self.peer)) }
    }

    /// Queues a request; its end comes out of the receiver.
    pub(crate) fn call(
        &self,
        request: Request,
        now: Instant,
    ) -> Result<oneshot::Receiver<CallResult>, CallError> {
        let Request { service, body, deadline, correlation } = request;
        if body.len() > BODY_BYTES_MAX {
            return Err(CallError::TooLarge { bytes: body.len(), bytes_max: BODY_BYTES_MAX });
        }
        let (sender, receiver) = oneshot::channel();
        let deadline = deadline.min(DEADLINE_MAX);
        let mut state = self.state.lock();
        if state.is_closed {
            return Err(CallError::Unreachable(self.peer));
        }
        if !state.lanes[lane_index(Priority::Client)].has_room(body.len()) {
            return Err(CallError::Busy(self.peer));
        }
        let Some(call) = state.calls.begin(service, now + deadline, sender) else {
            return Err(CallError::Busy(self.peer));
        };
        let message = Message::Request { call, service, correlation, deadline, body };
        let is_queued = state.lanes[lane_index(Priority::Client)].push(message);
        assert!(is_queued, "the lane had room under the same lock");
        drop(state);
        self.waker.wake();
        Ok(receiver)
    }

    /// Queues what this node says of itself; let go when the lane is full.
    pub(crate) fn hint(&self, hints: NodeHints) {
        self.state.lock().lanes[lane_index(Priority::Client)].push(Message::Hints(hints));
        self.waker.wake();
    }

    /// Whoever queues wakes `waker` from here on.
    pub(crate) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// Queueing wakes nobody until [`Line::register`].
    pub(crate) fn unregister(&self) {
        self.waker.take();
    }

    /// Whether anything waits in a lane.
    pub(crate) fn has_messages(&self, priority: Priority) -> bool {
        !self.state.lock().lanes[lane_index(priority)].messages.is_empty()
    }

    /// Moves a batch out of a lane: about [`BATCH_BYTES`]. Requests are told how long their callers
    /// still wait; those that nobody waits for are left out.
    pub(crate) fn take(&self, priority: Priority, now: Instant, batch: &mut Vec<Message>) {
        let mut state = self.state.lock();
        let State { lanes, calls, .. } = &mut *state;
        let lane = &mut lanes[lane_index(priority)];
        let mut bytes = 0;
        while bytes < BATCH_BYTES {
            let Some(mut message) = lane.pop() else { break };
            if let Message::Request { call, deadline, .. } = &mut message {
                let Some(left) = calls.send(*call, now) else { continue };
                *deadline = left;
            }
            bytes += message.body_bytes() + weald_core::wire::OVERHEAD_BYTES_MAX;
            batch.push(message);
        }
    }

    /// Ends calls with what the peer answered.
    pub(crate) fn answer(&self, answers: &mut Vec<(u64, Answer)>) {
        if answers.is_empty() {
            return;
        }
        let mut state = self.state.lock();
        let ended: Vec<_> = answers
            .drain(..)
            .filter_map(|(call, answer)| state.calls.answer(call, answer))
            .collect();
        drop(state);
        for call in ended {
            call.tell(self.peer);
        }
    }

    /// Ends the calls whose deadlines are over; how many, and when to look again.
    pub(crate) fn expire(&self, now: Instant) -> (usize, Option<Instant>) {
        let mut state = self.state.lock();
        let expired_count = state.calls.expire(self.peer, now);
        (expired_count, state.calls.earliest())
    }

    /// The substream of the calls has broken: those that were sent get no answers.
    pub(crate) fn lose_sent(&self) {
        self.state.lock().calls.lose_sent(self.peer);
    }

    /// Calls without an answer.
    pub(crate) fn call_count(&self) -> usize {
        self.state.lock().calls.count()
    }

    /// The connection is gone. Nothing is queued from here on; what waits has failed.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        state.lanes = Default::default();
        state.calls.lose_all(self.peer);
    }
}

impl Lane {
    fn has_room(&self, bytes: usize) -> bool {
        self.messages.len() < LANE_MESSAGES_MAX && self.bytes + bytes <= LANE_BYTES_MAX
    }

    fn push(&mut self, message: Message) -> bool {
        let bytes = message.body_bytes();
        if !self.has_room(bytes) {
            return false;
        }
        self.bytes += bytes;
        self.messages.push_back(message);
        true
    }

    fn pop(&mut self) -> Option<Message> {
        let message = self.messages.pop_front()?;
        self.bytes -= message.body_bytes();
        Some(message)
    }
}

#[cfg(test)]
mod tests;
