//! The feed of changes to one collection.

use bytes::Bytes;

use crate::{CollectionName, Fault, Revision, Time, TransactionId};

/// One revision of a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectionChange {
    /// The revision.
    pub revision: Revision,
    /// The transaction that made it; the same id stands on every collection that it touched.
    pub transaction: TransactionId,
    /// Log time.
    pub time: Time,
    /// What changed, in the encoding of the collection type.
    pub detail: Bytes,
}

/// An answer of a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedPage {
    /// Changes in order, without a gap, from the wanted revision on. Empty: the reader has them all.
    Changes(Vec<CollectionChange>),
    /// These revisions are no longer kept; reading goes on at `next`.
    Gap {
        /// The first that is missing.
        from: Revision,
        /// The first that is still kept.
        next: Revision,
    },
}

/// Why a feed could not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    /// The collection does not exist.
    #[error("no such collection: name={0}")]
    NoSuchCollection(CollectionName),
    /// This member cannot tell.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Changes of collections, in the order of their revisions.
pub trait ChangeFeed: Send + Sync {
    /// Changes of `collection` from revision `from` on, as many as fit `max_bytes` but at least one
    /// if there is one. May block on the disk.
    ///
    /// # Errors
    /// See [`FeedError`].
    fn changes(
        &self,
        collection: &CollectionName,
        from: Revision,
        max_bytes: usize,
    ) -> Result<FeedPage, FeedError>;
}
