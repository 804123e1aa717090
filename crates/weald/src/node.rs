//! The node: what a program holds.

mod builder;
mod info;

use std::{path::Path, sync::Arc};

use weald_core::{Action, CollectionName, Position, TransactionId};

pub use builder::Builder;
pub use info::{
    CollectionInfo, Damage, NodeStatus, TransactionStatus, VerifyProgress, VerifyReport,
};

use crate::{
    Accepted, DiarySelector, Error, ErrorKind, RawDiarySelector, RawTreeSelector, Result,
    Transaction, TransactionError, TreeSelector, Write,
    write::{Reply, WriteOptions},
};

/// A database in this process. Cheap to clone; all clones are one node.
///
/// When the last clone is dropped the node stops as if its process had been killed: what was
/// acknowledged is safe and the next opening replays it. [`Weald::close`] stops it so that the next
/// opening has nothing to replay.
#[derive(Clone, Debug)]
pub struct Weald(Arc<Inner>);

#[derive(Debug)]
struct Inner {}

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

    /// Runs `closure` as one transaction: it reads, decides and writes, and all of that happens at
    /// one point in time or not at all. It may run several times, each time on the state then
    /// current, until nobody else was faster.
    ///
    /// # Errors
    /// The closure's own error, after which nothing was committed; `Conflict` with the number of
    /// attempts when others were faster each time.
    pub async fn transact<T, F>(&self, closure: F) -> Result<(T, Option<Position>)>
    where
        T: Send + 'static,
        F: FnMut(&mut Transaction<'_>) -> std::result::Result<T, TransactionError> + Send + 'static,
    {
        let _ = closure;
        Err(self.unbuilt())
    }

    /// What became of a transaction, without changing anything. `Pending` may still commit.
    ///
    /// # Errors
    /// When the node cannot tell.
    pub async fn transaction_outcome(&self, id: TransactionId) -> Result<TransactionStatus> {
        let _ = id;
        Err(self.unbuilt())
    }

    /// Settles a transaction whose outcome is unknown: its result if it has one; otherwise it is
    /// fenced, and never commits.
    ///
    /// # Errors
    /// When the node cannot write.
    pub async fn resolve(&self, id: TransactionId) -> Result<TransactionStatus> {
        let _ = id;
        Err(self.unbuilt())
    }

    /// The id that stands for a caller's own id, as given to [`Write::transaction_id`] for a write
    /// to `collection`.
    ///
    /// # Errors
    /// `Invalid` for an id that is empty or too long.
    pub fn transaction_id(&self, collection: &CollectionName, id: &str) -> Result<TransactionId> {
        let home = weald_core::PlacementKey::of(collection);
        TransactionId::from_caller(home, id)
            .map_err(|error| Error::new(ErrorKind::Invalid, error.to_string()))
    }

    /// All collections, in the order of their names.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn collections(&self) -> Result<Vec<CollectionInfo>> {
        Err(self.unbuilt())
    }

    /// Reads everything that is stored and checks it: checksums of log and blocks, hash chains,
    /// order and counts of trees. `progress` is called now and then. Writes go on meanwhile.
    ///
    /// # Errors
    /// When the check itself cannot go on. What it finds is in the report.
    pub async fn verify(
        &self,
        progress: impl FnMut(VerifyProgress) + Send + 'static,
    ) -> Result<VerifyReport> {
        let _ = progress;
        Err(self.unbuilt())
    }

    /// How the node is.
    pub fn status(&self) -> NodeStatus {
        NodeStatus::default()
    }

    /// Writes a checkpoint now, so that the next opening has little to replay.
    ///
    /// # Errors
    /// When the disk is full or cannot be written; nothing is lost.
    pub async fn checkpoint(&self) -> Result<()> {
        Err(self.unbuilt())
    }

    /// Stops the node: finishes the writes that are under way, writes a checkpoint, releases the
    /// directory. Later calls on any clone are `Unavailable`.
    ///
    /// # Errors
    /// When the checkpoint could not be written. The node is closed nevertheless and nothing
    /// acknowledged is lost.
    pub async fn close(&self) -> Result<()> {
        Err(self.unbuilt())
    }

    pub(crate) fn checked_name(&self, name: &str) -> Result<CollectionName> {
        name.parse().map_err(|error: weald_core::NameError| {
            Error::new(ErrorKind::Invalid, error.to_string())
        })
    }

    pub(crate) async fn commit_actions(
        &self,
        actions: Vec<Action>,
        options: WriteOptions,
    ) -> Result<Reply> {
        let _ = (actions, options);
        Err(self.unbuilt())
    }

    pub(crate) async fn accept_actions(
        &self,
        actions: Vec<Action>,
        options: WriteOptions,
    ) -> Result<Accepted> {
        let _ = (actions, options);
        Err(self.unbuilt())
    }

    pub(crate) fn unbuilt(&self) -> Error {
        Error::new(ErrorKind::Unavailable, "this call is being built")
    }

    pub(crate) fn later<T: 'static>(&self) -> Write<T> {
        Write::new(self, Err(self.unbuilt()), |_| unreachable!("it never commits"))
    }
}
