//! Where the log's news meet the driver's work.
//!
//! The log tells in its own thread that more is durable. Where nothing else waits to be written and
//! all blocks are in memory, that thread applies and answers at once: a lone write then passes from
//! its caller to the log and back, and no third thread has to wake. A caller who has led the sync
//! applies in its own thread, and none has to. Otherwise the driver is woken, so that applying and
//! syncing go on beside each other.

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
        self.apply_or_nudge(Loop::apply_at_once);
    }

    /// As [`Relay::handle_news`], for a caller who has led the log's sync: it applies although the
    /// log's thread has more to sync by now.
    pub(super) fn handle_led(&self) {
        self.apply_or_nudge(Loop::apply_led);
    }

    fn apply_or_nudge(&self, apply: impl FnOnce(&mut Loop) -> bool) {
        if !self.apply_unless_busy(apply) {
            self.queue.nudge();
        }
    }

    fn apply_unless_busy(&self, apply: impl FnOnce(&mut Loop) -> bool) -> bool {
        let Some(mut held) = self.work.try_lock() else { return false };
        let Some(work) = held.as_mut() else { return false };
        // Who brings the news outlives whatever happens to the state.
        let applied = catch_unwind(AssertUnwindSafe(|| apply(work)));
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
