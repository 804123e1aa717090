//! Where everything arrives that the loop is to see to. Made before the members, so that network and
//! log have somewhere to deliver from their first moment on.
//!
//! Who delivers takes a turn of the loop's work at once, in its own thread, while nobody else does:
//! a lone write then passes from its caller to the log and to the network, and from these back to
//! its caller, and no thread between them has to wake. Who finds the work held leaves the event to
//! the holder. What is left after one turn, and what is due later, the loop's own thread sees to.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex, MutexGuard};
use weald_core::{
    Caller as Asker, FrameSink, NetworkEvents, PartitionId, PeerId, PeerInfo, Priority, Refusal,
    Reply, ServiceHandler,
};
use weald_storage::log::Notifier;

use super::{
    Proposal, ProposeError,
    event::Event,
    limits::{FRAME_BYTES_MAX, PROPOSAL_BYTES_MAX, PROPOSALS_MAX},
    work::Work,
};

/// When a refused caller may try again: the loop has gone round by then.
const RETRY_AFTER: Duration = Duration::from_millis(20);
/// How long the loop's thread sleeps while another thread holds the work.
const HELD_MAX: Duration = Duration::from_secs(1);

/// Takes in what the loop is to see to.
#[derive(Default)]
pub(crate) struct Letterbox {
    inner: Mutex<Inner>,
    arrived: Condvar,
    /// Held by whoever takes a turn; `None` before the members start and after they have ended.
    work: Mutex<Option<Box<Work>>>,
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
    /// There is work to hold.
    is_open: bool,
    /// Somebody holds the work, and looks here again before letting it go.
    is_held: bool,
    is_ended: bool,
    /// When the work wants its next turn; `None` for at once.
    next: Option<Instant>,
    /// Until when the loop's thread sleeps, if it does.
    sleeps_until: Option<Instant>,
}

/// Whether the thread that delivers may take a turn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Mine,
    Loops,
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

    /// Adds an event for the loop's thread. After the end it is dropped, and whoever waits for it is
    /// told so.
    pub(super) fn push(&self, event: Event) {
        self.add(event, Turn::Loops);
    }

    /// Adds an event, and sees to it at once if nobody else is at work.
    pub(super) fn hand_in(&self, event: Event) {
        self.add(event, Turn::Mine);
    }

    fn add(&self, event: Event, turn: Turn) {
        let mut inner = self.inner.lock();
        if inner.is_ended {
            drop(inner);
            drop(event);
            return;
        }
        inner.events.push(event);
        self.see_to(inner, turn);
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
        self.see_to(inner, Turn::Mine);
        Ok(())
    }

    /// Has somebody look at the log; several nudges are one.
    fn nudge(&self) {
        let mut inner = self.inner.lock();
        inner.is_nudged = true;
        self.see_to(inner, Turn::Mine);
    }

    /// Sees to it that what has arrived is seen to: by this thread, by who holds the work, or by the
    /// loop's thread.
    fn see_to(&self, mut inner: MutexGuard<'_, Inner>, turn: Turn) {
        if inner.is_held || !inner.is_open {
            return;
        }
        if turn == Turn::Mine {
            inner.is_held = true;
            let events = inner.take();
            drop(inner);
            self.take_turn(events, turn);
        } else {
            self.wake(&mut inner, Instant::now());
        }
    }

    /// Takes one turn; the work is held by this thread. What is left then is left to the loop's.
    fn take_turn(&self, mut events: Vec<Event>, turn: Turn) {
        let mut work = self.work.lock();
        let next = match work.as_mut() {
            Some(held) => {
                // The caller's thread outlives whatever happens to the members.
                let take = || {
                    held.turn(&mut events);
                    if turn == Turn::Loops {
                        held.speculate();
                    }
                    held.next()
                };
                catch_unwind(AssertUnwindSafe(take)).unwrap_or_else(|_| {
                    tracing::error!(target: "weald::members", "the members have failed");
                    None
                })
            }
            None => None,
        };
        drop(work);
        let mut inner = self.inner.lock();
        inner.is_held = false;
        if inner.events.capacity() == 0 {
            events.clear();
            inner.events = events;
        }
        match next {
            Some(next) => {
                let has_more = !inner.events.is_empty() || inner.is_nudged;
                inner.next = Some(next);
                self.wake(&mut inner, if has_more { Instant::now() } else { next });
            }
            None => {
                inner.is_open = false;
                self.end(inner);
            }
        }
    }

    /// Wakes the loop's thread if it would sleep beyond `due`.
    fn wake(&self, inner: &mut MutexGuard<'_, Inner>, due: Instant) {
        if inner.sleeps_until.is_some_and(|until| due < until) {
            inner.sleeps_until = None;
            self.arrived.notify_one();
        }
    }

    /// Takes nothing more; what waits is dropped.
    fn end(&self, mut inner: MutexGuard<'_, Inner>) {
        inner.is_ended = true;
        let late = std::mem::take(&mut inner.events);
        self.arrived.notify_all();
        drop(inner);
        drop(late);
    }

    /// Gives the members their work. From now on [`Letterbox::run`] or who delivers does it.
    pub(super) fn open(&self, work: Work) {
        *self.work.lock() = Some(Box::new(work));
        self.inner.lock().is_open = true;
    }

    /// The loop's thread: takes a turn whenever one is due and nobody else is at work. Ends with the
    /// work.
    pub(super) fn run(&self) {
        loop {
            let mut inner = self.inner.lock();
            loop {
                if inner.is_ended {
                    drop(inner);
                    // Here and in no other thread: the log's ends with the work.
                    drop(self.work.lock().take());
                    return;
                }
                let now = Instant::now();
                let has_arrived = !inner.events.is_empty() || inner.is_nudged;
                let is_due = has_arrived || inner.next.is_none_or(|next| next <= now);
                if is_due && !inner.is_held {
                    break;
                }
                // Who holds the work wakes this thread if anything is left.
                let until = if is_due { now + HELD_MAX } else { inner.next.unwrap_or(now) };
                inner.sleeps_until = Some(until);
                self.arrived.wait_until(&mut inner, until);
                inner.sleeps_until = None;
            }
            inner.is_held = true;
            let events = inner.take();
            drop(inner);
            self.take_turn(events, Turn::Loops);
        }
    }
}

impl Inner {
    fn take(&mut self) -> Vec<Event> {
        self.is_nudged = false;
        (self.frame_bytes, self.proposals, self.proposal_bytes) = (0, 0, 0);
        std::mem::take(&mut self.events)
    }
}

impl FrameSink for Letterbox {
    fn frame(&self, from: PeerId, _priority: Priority, frame: Bytes) -> bool {
        let mut inner = self.inner.lock();
        let bytes = inner.frame_bytes + frame.len();
        if inner.is_ended || (bytes > FRAME_BYTES_MAX && inner.frame_bytes > 0) {
            return false;
        }
        inner.frame_bytes = bytes;
        inner.events.push(Event::Frame { from, frame });
        self.see_to(inner, Turn::Mine);
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
