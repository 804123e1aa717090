//! Where the log's news meet the driver's work.
//!
//! The log tells in its own thread that more is durable. Where nothing else waits to be written and
//! all blocks are in memory, that thread applies and answers at once: a lone write then passes from
//! its caller to the log and back, and no third thread has to wake. Otherwise the driver is woken,
//! so that applying and syncing go on beside each other.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;

use super::{EventQueue, Loop};

/// The driver's work, held by whoever does it.
pub(crate) struct Relay {
    queue: Arc<EventQueue>,
    /// `None` before the driver starts and after it has ended.
    work: Mutex<Option<Loop>>,
}

impl Relay {
    /// One without work: news only wake the driver.
    pub(crate) fn new(queue: Arc<EventQueue>) -> Self {
        Self { queue, work: Mutex::new(None) }
    }

    pub(crate) fn queue(&self) -> &Arc<EventQueue> {
        &self.queue
    }

    /// Gives the driver its work.
    pub(super) fn begin(&self, work: Loop) {
        *self.work.lock() = Some(work);
    }

    /// The log may be durable further, have room again, or have failed. Called in its threads, and
    /// by a log in memory in a caller's.
    pub(crate) fn handle_news(&self) {
        if !self.apply_at_once() {
            self.queue.nudge();
        }
    }

    fn apply_at_once(&self) -> bool {
        let Some(mut held) = self.work.try_lock() else { return false };
        let Some(work) = held.as_mut() else { return false };
        // The log's thread outlives whatever happens to the state.
        let applied = catch_unwind(AssertUnwindSafe(|| work.apply_at_once()));
        applied.unwrap_or_else(|_| {
            work.stop();
            false
        })
    }

    /// The driver's thread: runs until the node is closed or dropped.
    pub(super) fn run(&self) {
        let _ending = Ending(self);
        let mut events = Vec::new();
        let mut step = Duration::ZERO;
        loop {
            self.queue.take(&mut events, step);
            let mut held = self.work.lock();
            let Some(work) = held.as_mut() else { return };
            match work.turn(&mut events) {
                Some(next) => step = next,
                None => return,
            }
        }
    }
}

/// Drops the work with whatever waits for it, also when the driver's thread panics.
struct Ending<'a>(&'a Relay);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.queue.end();
        let work = self.0.work.lock().take();
        drop(work);
    }
}

#[cfg(test)]
mod tests;
