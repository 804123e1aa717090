//! Where everything arrives that the loop is to see to. Made before the members, so that network and
//! log have somewhere to deliver from their first moment on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use weald_core::{
    Caller as Asker, FrameSink, NetworkEvents, PartitionId, PeerId, PeerInfo, Priority, Refusal,
    Reply, ServiceHandler,
};
use weald_storage::log::Notifier;

use super::{
    Proposal, ProposeError,
    event::Event,
    limits::{FRAME_BYTES_MAX, PROPOSAL_BYTES_MAX, PROPOSALS_MAX},
};

/// When a refused caller may try again: the loop has gone round by then.
const RETRY_AFTER: Duration = Duration::from_millis(20);

/// Takes in what the loop is to see to.
#[derive(Default)]
pub(crate) struct Letterbox {
    inner: Mutex<Inner>,
    arrived: Condvar,
    frames_dropped: AtomicU64,
}

#[derive(Default)]
struct Inner {
    events: Vec<Event>,
    /// What of it is bounded.
    frame_bytes: usize,
    proposals: usize,
    proposal_bytes: usize,
    /// The log may have moved.
    is_nudged: bool,
    is_ended: bool,
    is_waiting: bool,
}

impl Letterbox {
    /// An empty one.
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// What the log calls when it has moved.
    pub(crate) fn notifier(self: &Arc<Self>) -> Notifier {
        let told = Arc::clone(self);
        Arc::new(move || told.nudge())
    }

    /// Frames that came while there was no room.
    pub(crate) fn frames_dropped(&self) -> u64 {
        self.frames_dropped.load(Ordering::Relaxed)
    }

    /// Adds an event. After the loop's end it is dropped, and whoever waits for it is told so.
    pub(super) fn push(&self, event: Event) {
        let mut inner = self.inner.lock();
        if inner.is_ended {
            drop(inner);
            drop(event);
            return;
        }
        inner.events.push(event);
        self.wake(inner);
    }

    pub(super) fn propose(
        &self,
        partition: PartitionId,
        proposal: Proposal,
    ) -> Result<(), ProposeError> {
        let mut inner = self.inner.lock();
        if inner.is_ended {
            return Err(ProposeError::Stopped);
        }
        let (proposals, bytes) = (inner.proposals + 1, inner.proposal_bytes + proposal.len());
        if proposals > PROPOSALS_MAX || (bytes > PROPOSAL_BYTES_MAX && inner.proposals > 0) {
            return Err(ProposeError::Busy { retry_after: RETRY_AFTER });
        }
        (inner.proposals, inner.proposal_bytes) = (proposals, bytes);
        inner.events.push(Event::Propose(partition, proposal));
        self.wake(inner);
        Ok(())
    }

    /// Makes the loop look at the log; several nudges are one.
    pub(super) fn nudge(&self) {
        let mut inner = self.inner.lock();
        inner.is_nudged = true;
        self.wake(inner);
    }

    /// Moves all events into `events`; waits for one, or for a nudge, until `until`.
    pub(super) fn take(&self, events: &mut Vec<Event>, until: Option<Instant>) {
        let mut inner = self.inner.lock();
        while inner.events.is_empty() && !inner.is_nudged {
            inner.is_waiting = true;
            let is_over = match until {
                Some(until) => self.arrived.wait_until(&mut inner, until).timed_out(),
                None => {
                    self.arrived.wait(&mut inner);
                    false
                }
            };
            inner.is_waiting = false;
            if is_over {
                break;
            }
        }
        inner.is_nudged = false;
        (inner.frame_bytes, inner.proposals, inner.proposal_bytes) = (0, 0, 0);
        std::mem::swap(events, &mut inner.events);
    }

    /// Takes nothing more; what waits is dropped.
    pub(super) fn end(&self) {
        let mut inner = self.inner.lock();
        inner.is_ended = true;
        let late = std::mem::take(&mut inner.events);
        drop(inner);
        drop(late);
    }

    fn wake(&self, inner: parking_lot::MutexGuard<'_, Inner>) {
        let is_waiting = inner.is_waiting;
        drop(inner);
        if is_waiting {
            self.arrived.notify_one();
        }
    }
}

impl FrameSink for Letterbox {
    fn frame(&self, from: PeerId, _priority: Priority, frame: Bytes) -> bool {
        let mut inner = self.inner.lock();
        let bytes = inner.frame_bytes + frame.len();
        if inner.is_ended || (bytes > FRAME_BYTES_MAX && inner.frame_bytes > 0) {
            self.frames_dropped.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        inner.frame_bytes = bytes;
        inner.events.push(Event::Frame { from, frame });
        self.wake(inner);
        true
    }
}

impl NetworkEvents for Letterbox {
    fn connected(&self, peer: PeerInfo) {
        self.push(Event::Connection(peer.peer));
    }

    fn disconnected(&self, peer: PeerId) {
        self.push(Event::Connection(peer));
    }
}

/// The service [`STATE_PAGE`](super::STATE_PAGE).
impl ServiceHandler for Letterbox {
    fn call(&self, caller: Asker, body: Bytes, reply: Reply) {
        if self.inner.lock().is_ended {
            return reply.send(Err(Refusal::Failed("the node is closing".to_owned())));
        }
        self.push(Event::Page(caller, body, reply));
    }
}
