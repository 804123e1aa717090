//! Who follows which collection.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
};

use parking_lot::Mutex;
use tokio::sync::watch;
use weald_core::{BlockId, Revision};

/// Wakes the followers of collections that have changed.
#[derive(Debug)]
pub(crate) struct Watchers {
    /// `None` after the end.
    by_collection: Mutex<Option<BTreeMap<BlockId, watch::Sender<()>>>>,
    count: AtomicUsize,
}

impl Default for Watchers {
    fn default() -> Self {
        Self { by_collection: Mutex::new(Some(BTreeMap::new())), count: AtomicUsize::new(0) }
    }
}

impl Watchers {
    /// Follows a collection: the receiver sees a change after each revision from now on. `None`
    /// after the end.
    pub(crate) fn follow(&self, collection: BlockId) -> Option<watch::Receiver<()>> {
        let mut held = self.by_collection.lock();
        let by_collection = held.as_mut()?;
        by_collection.retain(|_, sender| !sender.is_closed());
        let receiver =
            by_collection.entry(collection).or_insert_with(|| watch::Sender::new(())).subscribe();
        self.count.store(by_collection.len(), Ordering::SeqCst);
        Some(receiver)
    }

    /// Wakes the followers of these collections.
    pub(crate) fn wake(&self, changed: &[(BlockId, Revision)]) {
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let held = self.by_collection.lock();
        let Some(by_collection) = held.as_ref() else { return };
        for (collection, _) in changed {
            if let Some(sender) = by_collection.get(collection) {
                sender.send_replace(());
            }
        }
    }

    /// Ends all following: receivers are closed.
    pub(crate) fn end(&self) {
        self.by_collection.lock().take();
    }
}
