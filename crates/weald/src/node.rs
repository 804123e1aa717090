//! The node: what a program holds.

mod builder;
mod embedded;
mod home;
mod info;
mod lead;
mod listing;
mod mesh;
mod read;
mod recovery;
mod start;
mod survey;
mod system;
#[cfg(test)]
mod tests;
mod verify;
mod write;

use std::{
    fmt,
    path::Path,
    sync::{Arc, Weak},
};

use parking_lot::{Mutex, RwLock};
use weald_collections::CollectionExecutor;
use weald_core::{
    Clock, CollectionName, Entropy, PlacementKey, TransactionId, identity::PublicKey,
};

pub use builder::Builder;
pub(crate) use home::{Home, state_error};
pub use info::{
    CollectionInfo, Damage, NodeStatus, Reachability, TransactionStatus, VerifyProgress,
    VerifyReport, Voters,
};
pub(crate) use listing::{collections_in, header};
pub use mesh::NodeBuilder;
pub(crate) use read::{
    blocking, fault_error, fetch, load, read, read_blocking, read_disk, read_error,
};
pub use recovery::{RecoveryInfo, RecoveryOutcome, RecoveryRequest};
pub use survey::{MemberInfo, PartitionInfo, PartitionRole};
pub(crate) use system::Drawn;
pub(crate) use system::SystemClock;
#[cfg(test)]
pub(crate) use system::SystemEntropy;
pub(crate) use write::{closed, rejected, unknown};

use crate::{
    Config, DiarySelector, Error, ErrorKind, RawDiarySelector, RawTreeSelector, Result,
    TopicSelector, TreeSelector, backend::Backend, topic::Topics,
};

/// A database in this process. Cheap to clone; all clones are one node.
///
/// When the last clone is dropped the node stops as if its process had been killed: what was
/// acknowledged is safe and the next opening replays it. [`Weald::close`] stops it so that the next
/// opening has nothing to replay.
#[derive(Clone)]
pub struct Weald(Arc<RwLock<Option<Arc<Running>>>>);

/// A node that is not closed.
pub(crate) struct Running {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) executor: Arc<CollectionExecutor>,
    pub(crate) config: Config,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Mutex<Box<dyn Entropy + Send>>,
    pub(crate) topics: Topics,
}

impl Weald {
    /// Opens the database in the directory `path`, which is made if it is not there.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path();
    /// let node = weald::Weald::open(path).await?;
    /// node.raw_diary("events").create().await?.append("opened").await?;
    /// node.close().await?;
    /// let node = weald::Weald::open(path).await?;
    /// assert_eq!(node.raw_diary("events").open().await?.len().await?, 1);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Unavailable` when another process has it open or a newer format wrote it; `Damaged` when it
    /// cannot be read.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::builder().open(path).await
    }

    /// A database that ends with the process.
    ///
    /// # Errors
    /// When the node's threads cannot be started.
    pub async fn in_memory() -> Result<Self> {
        Self::builder().in_memory().await
    }

    /// For other settings, a clock, or types of your own.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Chooses the tree `name` with keys `K` and values `V`.
    pub fn tree<K, V>(&self, name: &str) -> TreeSelector<K, V> {
        TreeSelector::new(self, name)
    }

    /// Chooses the tree `name` with keys and values as bytes.
    pub fn raw_tree(&self, name: &str) -> RawTreeSelector {
        RawTreeSelector::new(self, name)
    }

    /// Chooses the diary `name` with entries `E`.
    pub fn diary<E>(&self, name: &str) -> DiarySelector<E> {
        DiarySelector::new(self, name)
    }

    /// Chooses the diary `name` with entries as bytes.
    pub fn raw_diary(&self, name: &str) -> RawDiarySelector {
        RawDiarySelector::new(self, name)
    }

    /// Chooses the topic `name`. The name does not leave this process; nodes know a digest of it.
    pub fn topic(&self, name: &str) -> TopicSelector {
        TopicSelector::new(self, name)
    }

    /// The key under which this node publishes and subscribes; that of an owner in a topic's policy.
    ///
    /// # Errors
    /// `Damaged` when it cannot be read.
    pub fn public_key(&self) -> Result<PublicKey> {
        Ok(self.running()?.topics.keys()?.public())
    }

    /// How the node is. A closed node is read-only and has applied nothing.
    pub fn status(&self) -> NodeStatus {
        let Ok(running) = self.running() else {
            let read_only = Some("the node is closed".to_owned());
            return NodeStatus { read_only, ..NodeStatus::default() };
        };
        running.backend.status()
    }

    /// Writes a checkpoint now, so that the next opening has little to replay.
    ///
    /// # Errors
    /// When the disk is full or cannot be written; nothing is lost.
    pub async fn checkpoint(&self) -> Result<()> {
        self.running()?.backend.checkpoint().wait().await
    }

    /// Stops the node: finishes the writes that are under way, writes a checkpoint, releases the
    /// directory. Later calls on any clone are `Unavailable`.
    ///
    /// # Errors
    /// When the checkpoint could not be written. The node is closed nevertheless and nothing
    /// acknowledged is lost.
    pub async fn close(&self) -> Result<()> {
        let running = self.0.write().take().ok_or_else(write::closed)?;
        let backend = Arc::clone(&running.backend);
        drop(running);
        backend.close().wait().await
    }

    /// The id that stands for your own id `id` in a write to `collection`.
    ///
    /// # Errors
    /// `Invalid` for an id that is empty or too long.
    pub fn own_id(&self, collection: &CollectionName, id: &str) -> Result<TransactionId> {
        TransactionId::from_caller(PlacementKey::of(collection), id)
            .map_err(|error| Error::new(ErrorKind::Invalid, error.to_string()))
    }

    pub(crate) fn started(running: Running) -> Self {
        Self(Arc::new(RwLock::new(Some(Arc::new(running)))))
    }

    pub(crate) fn running(&self) -> Result<Arc<Running>> {
        self.0.read().clone().ok_or_else(write::closed)
    }

    /// The node without a hold on it.
    pub(crate) fn downgrade(&self) -> Weak<RwLock<Option<Arc<Running>>>> {
        Arc::downgrade(&self.0)
    }

    /// The node, if somebody holds it.
    pub(crate) fn upgraded(held: &Weak<RwLock<Option<Arc<Running>>>>) -> Option<Self> {
        held.upgrade().map(Self)
    }

    pub(crate) fn checked_name(&self, name: &str) -> Result<CollectionName> {
        name.parse().map_err(|error: weald_core::NameError| {
            Error::new(ErrorKind::Invalid, error.to_string())
        })
    }
}

impl fmt::Debug for Weald {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Weald").field("status", &self.status()).finish_non_exhaustive()
    }
}
