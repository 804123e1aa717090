//! Following a tree.

use std::{
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_core::Stream;
use weald_core::{Revision, Time, TransactionId};

use super::RawTree;
use crate::{
    Result,
    stream::{Source, Steps},
};

/// What a watch tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchEvent<C> {
    /// One revision of the collection. Revisions come in order and without a gap.
    Change(C),
    /// All that was committed when the watch got here has been told; what follows is live. Told
    /// once.
    CaughtUp,
    /// These revisions are no longer kept; the watch goes on at `next`.
    Gap {
        /// The first that is missing.
        from: Revision,
        /// The first that follows.
        next: Revision,
    },
}

/// One revision of a tree of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawTreeChange {
    /// The revision.
    pub revision: Revision,
    /// The transaction that made it; the same on every collection that it touched.
    pub transaction: TransactionId,
    /// Log time.
    pub time: Time,
    /// The changed keys with their values at this revision; `None` means deleted.
    pub changes: Vec<(Bytes, Option<Bytes>)>,
}

/// One revision of a typed tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeChange<K, V> {
    /// The revision.
    pub revision: Revision,
    /// The transaction that made it; the same on every collection that it touched.
    pub transaction: TransactionId,
    /// Log time.
    pub time: Time,
    /// The changed keys with their values at this revision; `None` means deleted.
    pub changes: Vec<(K, Option<V>)>,
}

struct Changes {
    tree: RawTree,
}

impl Source for Changes {
    type Item = WatchEvent<RawTreeChange>;

    async fn step(self) -> (Self, Option<Result<Self::Item>>) {
        let error = self.tree.node.unbuilt();
        (self, Some(Err(error)))
    }
}

/// Follows a tree of bytes; a stream.
pub struct RawTreeWatch {
    steps: Steps<Changes>,
}

impl RawTreeWatch {
    pub(crate) fn new(tree: &RawTree, from: Revision) -> Self {
        let _ = from;
        Self { steps: Steps::new(Changes { tree: tree.clone() }) }
    }

    /// The next event; waits for one. `None` only after an error.
    pub async fn next(&mut self) -> Option<Result<WatchEvent<RawTreeChange>>> {
        self.steps.next().await
    }
}

impl Stream for RawTreeWatch {
    type Item = Result<WatchEvent<RawTreeChange>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.steps.poll(cx)
    }
}

impl std::fmt::Debug for RawTreeWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawTreeWatch").finish_non_exhaustive()
    }
}

/// Follows a typed tree; a stream.
#[derive(Debug)]
pub struct TreeWatch<K, V> {
    raw: RawTreeWatch,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> TreeWatch<K, V> {
    /// The same watch with keys and values as bytes.
    pub fn into_raw(self) -> RawTreeWatch {
        self.raw
    }
}
