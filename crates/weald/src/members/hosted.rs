//! What others may look at of a member without asking the loop.

use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use weald_core::{At, BlockId, Fault, PartitionId, StateError, StateStore, StateView, Time};
use weald_storage::state::PartitionStore;

use super::PartitionStatus;
use crate::{backend::Version, driver::Watchers};

/// A member that lives here, as readers see it. It stays valid after the member is gone; what it
/// shows then does not move any more.
#[derive(Debug)]
pub(crate) struct Hosted {
    partition: PartitionId,
    store: RwLock<Arc<PartitionStore>>,
    watchers: Watchers,
    status: Mutex<PartitionStatus>,
}

impl Hosted {
    pub(super) fn new(store: Arc<PartitionStore>, status: PartitionStatus) -> Self {
        Self {
            partition: status.partition,
            store: RwLock::new(store),
            watchers: Watchers::default(),
            status: Mutex::new(status),
        }
    }

    /// The partition.
    pub(crate) fn partition(&self) -> PartitionId {
        self.partition
    }

    /// How the member stands.
    pub(crate) fn status(&self) -> PartitionStatus {
        self.status.lock().clone()
    }

    /// Looks at the member's standing without copying it.
    pub(crate) fn with_status<T>(&self, look: impl FnOnce(&PartitionStatus) -> T) -> T {
        look(&self.status.lock())
    }

    /// A view of what is applied. Whether that is fresh enough is asked by
    /// [`Members::read_point`](super::Members::read_point) before.
    ///
    /// # Errors
    /// As [`StateStore::view`]; where nothing is shown.
    pub(crate) fn view(&self, at: At) -> Result<Arc<dyn StateView>, StateError> {
        if !self.shows() {
            return Err(StateError::Fault(Fault::Storage("the member has stopped".to_owned())));
        }
        self.store().view(at)
    }

    /// Whether anything that is here may be shown. If not, another member is to be asked.
    pub(crate) fn shows(&self) -> bool {
        self.with_status(|status| status.shows)
    }

    /// A view as readers take it, with log time here: the one of the view, or later.
    pub(crate) fn version(&self, view: Arc<dyn StateView>) -> Version {
        Version::new(self.partition, view, self.log_time())
    }

    /// The generation of the partition: raised by each forced recovery (rule C16).
    pub(crate) fn generation(&self) -> u32 {
        self.with_status(|status| status.recovery.as_ref().map_or(0, |act| act.generation))
    }

    /// Log time, as far as it was applied here.
    pub(crate) fn log_time(&self) -> Time {
        self.with_status(|status| status.log_time)
    }

    /// The state as it is stored. A snapshot from a peer puts another in its place.
    pub(crate) fn store(&self) -> Arc<PartitionStore> {
        Arc::clone(&self.store.read())
    }

    /// Wakes whoever follows a collection once it has changed here: the receiver sees a change
    /// after each revision that is applied from now on. Closed when the member is gone.
    pub(crate) fn follow(&self, collection: BlockId) -> tokio::sync::watch::Receiver<()> {
        let ended = || tokio::sync::watch::channel(()).1;
        self.watchers.follow(collection).unwrap_or_else(ended)
    }

    pub(super) fn watchers(&self) -> &Watchers {
        &self.watchers
    }

    /// The member is gone: nothing changes here any more.
    pub(super) fn end(&self) {
        self.watchers.end();
    }

    pub(super) fn replace_store(&self, store: Arc<PartitionStore>) {
        *self.store.write() = store;
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut PartitionStatus)) {
        change(&mut self.status.lock());
    }
}
