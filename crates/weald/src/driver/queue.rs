//! The driver's one queue: bounded for proposals, always open for the rest.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::{Event, Proposal};

/// Why a proposal was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProposeError {
    /// The queue is full.
    Full {
        /// Writes that wait.
        writes: usize,
        /// Bytes that they hold.
        bytes: usize,
    },
    /// The driver has ended.
    Ended,
}

/// Events for the driver. Taken all at once, so that callers gather while it works.
#[derive(Debug)]
pub(crate) struct EventQueue {
    inner: Mutex<Inner>,
    arrived: Condvar,
    writes_max: usize,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Inner {
    events: Vec<Event>,
    /// Proposals that were pushed and not yet answered, here or further on.
    writes: usize,
    bytes: usize,
    synced: bool,
    is_ended: bool,
    is_waiting: bool,
}

impl EventQueue {
    pub(crate) fn new(writes_max: usize, bytes_max: usize) -> Self {
        Self { inner: Mutex::default(), arrived: Condvar::new(), writes_max, bytes_max }
    }

    /// Adds a proposal; its share of the bounds is given back by [`EventQueue::release`].
    pub(crate) fn propose(&self, proposal: Proposal) -> Result<(), ProposeError> {
        let mut inner = self.inner.lock();
        if inner.is_ended {
            return Err(ProposeError::Ended);
        }
        let (writes, bytes) = (inner.writes + 1, inner.bytes + proposal.bytes);
        if writes > self.writes_max || (bytes > self.bytes_max && inner.writes > 0) {
            return Err(ProposeError::Full { writes: inner.writes, bytes: inner.bytes });
        }
        (inner.writes, inner.bytes) = (writes, bytes);
        self.add(inner, Event::Propose(proposal));
        Ok(())
    }

    /// Adds an event. After the driver's end it is dropped, and whoever waits for it is told so.
    pub(crate) fn push(&self, event: Event) {
        self.add(self.inner.lock(), event);
    }

    /// Notes that the log has moved; several notes are one.
    pub(crate) fn note_synced(&self) {
        let mut inner = self.inner.lock();
        inner.synced = true;
        self.wake(inner);
    }

    /// Gives back the share of answered proposals.
    pub(crate) fn release(&self, writes: usize, bytes: usize) {
        let mut inner = self.inner.lock();
        inner.writes -= writes;
        inner.bytes -= bytes;
    }

    /// Proposals that were pushed and not yet answered.
    pub(crate) fn writes_waiting(&self) -> usize {
        self.inner.lock().writes
    }

    /// Moves all events into `events`; waits for one until `timeout` has passed.
    pub(crate) fn take(&self, events: &mut Vec<Event>, timeout: Duration) {
        let until = Instant::now() + timeout;
        let mut inner = self.inner.lock();
        while inner.events.is_empty() && !inner.synced {
            inner.is_waiting = true;
            let waited = self.arrived.wait_until(&mut inner, until);
            inner.is_waiting = false;
            if waited.timed_out() {
                break;
            }
        }
        events.append(&mut inner.events);
        if std::mem::take(&mut inner.synced) {
            events.push(Event::Synced);
        }
    }

    /// Takes nothing more, and hands over what waits.
    pub(crate) fn end(&self) -> Vec<Event> {
        let mut inner = self.inner.lock();
        inner.is_ended = true;
        std::mem::take(&mut inner.events)
    }

    fn add(&self, mut inner: parking_lot::MutexGuard<'_, Inner>, event: Event) {
        if inner.is_ended {
            drop(inner);
            drop(event);
            return;
        }
        inner.events.push(event);
        self.wake(inner);
    }

    fn wake(&self, inner: parking_lot::MutexGuard<'_, Inner>) {
        let is_waiting = inner.is_waiting;
        drop(inner);
        if is_waiting {
            self.arrived.notify_one();
        }
    }
}
