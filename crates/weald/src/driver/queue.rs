//! What wakes the driver: a few events, and nudges that say "look around".

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::Event;

/// Events for the driver, taken all at once.
#[derive(Debug, Default)]
pub(crate) struct EventQueue {
    inner: Mutex<Inner>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    events: Vec<Event>,
    is_nudged: bool,
    is_ended: bool,
    is_waiting: bool,
}

impl EventQueue {
    /// Adds an event. After the driver's end it is dropped, and whoever waits for it is told so.
    pub(crate) fn push(&self, event: Event) {
        let mut inner = self.inner.lock();
        if inner.is_ended {
            drop(inner);
            drop(event);
            return;
        }
        inner.events.push(event);
        self.wake(inner);
    }

    /// Makes the driver look around; several nudges are one.
    pub(crate) fn nudge(&self) {
        let mut inner = self.inner.lock();
        inner.is_nudged = true;
        self.wake(inner);
    }

    /// Moves all events into `events`; waits for one, or for a nudge, until `timeout` has passed.
    pub(crate) fn take(&self, events: &mut Vec<Event>, timeout: Duration) {
        let until = Instant::now() + timeout;
        let mut inner = self.inner.lock();
        while inner.events.is_empty() && !inner.is_nudged {
            inner.is_waiting = true;
            let waited = self.arrived.wait_until(&mut inner, until);
            inner.is_waiting = false;
            if waited.timed_out() {
                break;
            }
        }
        inner.is_nudged = false;
        events.append(&mut inner.events);
    }

    /// Takes nothing more; what waits is dropped.
    pub(crate) fn end(&self) {
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
