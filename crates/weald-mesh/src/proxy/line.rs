//! One direction of a proxy: whole or cut, and how late it is.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Chunks of one connection that are under way; beyond it the sender is not read from.
const CHUNKS_MAX: usize = 64;

/// Bytes and when they may arrive.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) due: Instant,
    pub(super) bytes: Vec<u8>,
}

/// Chunks under way.
pub(super) fn queue() -> (SyncSender<Chunk>, Receiver<Chunk>) {
    sync_channel(CHUNKS_MAX)
}

#[derive(Clone, Copy, Debug, Default)]
struct Condition {
    is_cut: bool,
    is_closed: bool,
    delay: Duration,
}

/// The condition of all connections in one direction.
#[derive(Debug, Default)]
pub(super) struct Line {
    condition: Mutex<Condition>,
    changed: Condvar,
}

impl Line {
    pub(super) fn cut(&self) {
        self.lock().is_cut = true;
    }

    pub(super) fn heal(&self) {
        self.lock().is_cut = false;
        self.changed.notify_all();
    }

    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    pub(super) fn set_delay(&self, delay: Duration) {
        self.lock().delay = delay;
    }

    pub(super) fn delay(&self) -> Duration {
        self.lock().delay
    }

    /// Waits while the line is cut; false when it is closed.
    pub(super) fn wait_until_whole(&self) -> bool {
        let condition = self.lock();
        let waiting = |condition: &mut Condition| condition.is_cut && !condition.is_closed;
        let condition = self.changed.wait_while(condition, waiting);
        !condition.expect("nobody panics with a line").is_closed
    }

    fn lock(&self) -> MutexGuard<'_, Condition> {
        self.condition.lock().expect("nobody panics with a line")
    }
}
