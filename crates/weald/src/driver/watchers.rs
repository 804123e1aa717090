//! Who follows which collection.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
};

use parking_lot::Mutex;
use tokio::sync::watch;
use weald_core::{BlockId, Revision};

/// Wakes the followers of collections that have changed.
#[derive(Debug, Default)]
pub(crate) struct Watchers {
    by_collection: Mutex<BTreeMap<BlockId, watch::Sender<()>>>,
    count: AtomicUsize,
}

impl Watchers {
    /// Follows a collection: the receiver sees a change after each revision from now on.
    pub(crate) fn follow(&self, collection: BlockId) -> watch::Receiver<()> {
        let mut by_collection = self.by_collection.lock();
        by_collection.retain(|_, sender| !sender.is_closed());
        let receiver =
            by_collection.entry(collection).or_insert_with(|| watch::Sender::new(())).subscribe();
        self.count.store(by_collection.len(), Ordering::SeqCst);
        receiver
    }

    /// Wakes the followers of these collections.
    pub(crate) fn wake(&self, changed: &[(BlockId, Revision)]) {
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let by_collection = self.by_collection.lock();
        for (collection, _) in changed {
            if let Some(sender) = by_collection.get(collection) {
                sender.send_replace(());
            }
        }
    }

    /// Ends all following: receivers are closed.
    pub(crate) fn end(&self) {
        self.by_collection.lock().clear();
    }
}
