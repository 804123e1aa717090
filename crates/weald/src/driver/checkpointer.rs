//! The thread that writes checkpoints while the driver goes on.

use std::sync::{Arc, mpsc};

use weald_core::{LogIndex, LogStore, StateStore};

use super::{Event, EventQueue};
use crate::upkeep;

/// Writes checkpoints on request, one at a time, and frees the log below them.
pub(crate) struct Checkpointer {
    pub(crate) store: Arc<dyn StateStore>,
    pub(crate) log: Arc<dyn LogStore>,
    pub(crate) queue: Arc<EventQueue>,
    /// Each request is the last synced index.
    pub(crate) requests: mpsc::Receiver<LogIndex>,
}

impl Checkpointer {
    /// Runs until the driver has ended.
    pub(crate) fn run(self) {
        while let Ok(synced) = self.requests.recv() {
            let covered = upkeep::checkpoint(&*self.store, synced);
            if let Ok(covered) = &covered {
                upkeep::release(&*self.log, self.store.partition(), covered.next());
            }
            self.queue.push(Event::Checkpointed(covered));
        }
    }
}
