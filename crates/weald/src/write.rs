//! Writes: prepared by a handle, given options, run when awaited.

use std::{
    future::{Future, IntoFuture},
    pin::Pin,
    time::Duration,
};

use bytes::Bytes;
use weald_core::{Action, Commit, Position, Revision, Sequence, Time, TransactionId};

use crate::{Error, ErrorKind, Result, Weald};

/// A write that is durable and visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// The transaction that did it. A retry under the same id of your own gives the same answer.
    pub transaction: TransactionId,
    /// The revision that the collection has through it.
    pub revision: Revision,
    /// Its place in the log.
    pub position: Position,
    /// Its log time.
    pub time: Time,
    /// The revision that last wrote the entry which this write replaced or deleted; `None` when
    /// there was none, and for diaries.
    pub replaced: Option<Revision>,
}

/// Entries that a diary has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The sequence of the first of them; the others follow without a gap.
    pub first: Sequence,
    /// How many.
    pub count: u64,
    /// The transaction that did it.
    pub written: Written,
}

/// A write that the node has taken and will log, without a result or a position. It is lost if the
/// node dies before the next sync of its log; until then nobody sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Under this id the outcome can be asked for.
    pub transaction: TransactionId,
}

/// When a write is answered. It never changes what is held, committed or visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Ack {
    /// When it is durable, with its result.
    #[default]
    Durable,
    /// When the node has taken it, without a result.
    Accepted,
}

/// What a write may be given besides its content.
#[derive(Clone, Debug, Default)]
pub(crate) struct WriteOptions {
    pub(crate) caller_id: Option<String>,
    pub(crate) timeout: Option<Duration>,
}

/// The answer to a committed write, before a handle has read it.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) transaction: TransactionId,
    pub(crate) commit: Commit,
}

impl Reply {
    /// What a handle on one collection tells.
    pub(crate) fn written(&self, replaced: Option<Revision>) -> Result<Written> {
        let &Commit { position, time, .. } = &self.commit;
        let (_, revision) =
            self.commit.revisions.first().ok_or_else(|| undecodable(&"no revision"))?;
        Ok(Written { transaction: self.transaction, revision: *revision, position, time, replaced })
    }

    /// The answer to the first action.
    pub(crate) fn answer(&self) -> Result<&Bytes> {
        self.commit.answers.first().ok_or_else(|| undecodable(&"no answer"))
    }
}

/// The error of an answer that is not what the collection type gives.
pub(crate) fn undecodable(detail: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorKind::Damaged, format!("the answer to a write does not decode: {detail}"))
}

/// A write that runs when awaited. Nothing happens if it is dropped before.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> weald::Result<()> {
/// # let node = weald::Weald::in_memory().await?;
/// let orders = node.raw_tree("orders").create().await?;
/// let first = orders.put("1", "ten apples").transaction_id("order-1").await?;
/// let again = orders.put("1", "ten apples").transaction_id("order-1").await?;
/// assert_eq!(first, again, "a retry under the same id is not applied twice");
/// # Ok(()) }
/// ```
#[must_use = "a write runs when it is awaited"]
pub struct Write<T> {
    node: Weald,
    actions: Result<Vec<Action>>,
    options: WriteOptions,
    read: ReadReply<T>,
}

/// Makes a handle's answer of a reply.
type ReadReply<T> = Box<dyn FnOnce(Reply) -> Result<T> + Send>;

impl<T: 'static> Write<T> {
    pub(crate) fn new(
        node: &Weald,
        actions: Result<Vec<Action>>,
        read: impl FnOnce(Reply) -> Result<T> + Send + 'static,
    ) -> Self {
        let options = WriteOptions::default();
        Self { node: node.clone(), actions, options, read: Box::new(read) }
    }

    /// Gives the transaction an id of your own, 1 to 128 bytes. Within 10 minutes a retry under
    /// the same id is the same write: it is applied once and answers the same. Another write under
    /// it is refused as `Identity`.
    pub fn transaction_id(mut self, id: impl Into<String>) -> Self {
        self.options.caller_id = Some(id.into());
        self
    }

    /// How long to wait for the outcome; then it is `Unknown`. Default: the node's `write_timeout`.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// Runs the write and returns when the node has taken it, before it is durable
    /// ([`Ack::Accepted`]).
    ///
    /// # Errors
    /// When the node cannot take it.
    pub async fn accepted(self) -> Result<Accepted> {
        self.node.accept_actions(self.actions?, self.options).await
    }

    async fn durable(self) -> Result<T> {
        let reply = self.node.commit_actions(self.actions?, self.options).await?;
        (self.read)(reply)
    }
}

impl<T: 'static> IntoFuture for Write<T> {
    type Output = Result<T>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.durable())
    }
}

impl<T> std::fmt::Debug for Write<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Write").field("options", &self.options).finish_non_exhaustive()
    }
}
