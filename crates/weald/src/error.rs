//! The one error of the facade: a kind to act on, what was and was not committed, what to do next.

use std::{fmt, time::Duration};

use weald_core::{Rejection, TransactionId};

/// What went wrong, by what the caller can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The collection does not exist; this was proved.
    NotFound,
    /// The collection, or the key, exists already.
    AlreadyExists,
    /// The call makes no sense as it is: a bad name, another type, a value too large, bytes that do
    /// not decode as the type asked for.
    Invalid,
    /// Another transaction was faster, or a stated expectation does not hold.
    Conflict,
    /// The transaction id cannot be used: reused, expired, forgotten or fenced.
    Identity,
    /// A bound was met; the same call may succeed in a moment.
    Busy,
    /// The disk is full. Reads go on; writes do once space is freed.
    DiskFull,
    /// A write may or may not have been committed; resolve it by its transaction id.
    Unknown,
    /// The node cannot do this now: closed, read-only, locked by another process, of another format.
    Unavailable,
    /// The node has not come to the state that the read wants to see; it may in a moment.
    Behind,
    /// The wanted history is no longer kept.
    Gone,
    /// Stored bytes are damaged or could not be read.
    Damaged,
    /// A transaction's closure called it off with [`Error::aborted`].
    Aborted,
}

impl ErrorKind {
    /// One lowercase word that names the kind in output for programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::Invalid => "invalid",
            Self::Conflict => "conflict",
            Self::Identity => "identity",
            Self::Busy => "busy",
            Self::DiskFull => "disk_full",
            Self::Unknown => "unknown",
            Self::Unavailable => "unavailable",
            Self::Behind => "behind",
            Self::Gone => "gone",
            Self::Damaged => "damaged",
            Self::Aborted => "aborted",
        }
    }

    pub(crate) const fn advice(self) -> &'static str {
        match self {
            Self::NotFound => "create the collection first, or use open_or_create",
            Self::AlreadyExists => "open what is there, or choose another name or key",
            Self::Invalid => "correct the call; repeating it as it is cannot succeed",
            Self::Conflict => "read again and decide anew; `transact` does that by itself",
            Self::Identity => "use a fresh transaction id, after asking what became of this one",
            Self::Busy => "retry in a moment",
            Self::DiskFull => "free some space and retry; no restart is needed",
            Self::Unknown => "ask `resolve` with the transaction id before writing again",
            Self::Unavailable => "retry in a moment; if it stays so, `weald status` may say why",
            Self::Behind => "retry in a moment, or read without asking for that position",
            Self::Gone => "go on from the first revision or position that is still kept",
            Self::Aborted => "whatever the one who called it off intended",
            Self::Damaged => "run `weald verify`; restore the named part from a copy",
        }
    }
}

/// Whether anything of the call was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Nothing was, and nothing will be under this transaction id.
    None,
    /// It is not known; the transaction id tells.
    Unknown,
}

/// Why a call failed.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> weald::Result<()> {
/// use weald::{ErrorKind, Weald};
/// let node = Weald::in_memory().await?;
/// let error = node.raw_tree("prices").open().await.unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::NotFound);
/// assert!(!error.is_retryable());
/// # Ok(()) }
/// ```
pub struct Error(Box<Inner>);

/// What the facade's calls return.
pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    what: String,
    effect: Effect,
    transaction: Option<TransactionId>,
    attempts: Option<u32>,
    rejection: Option<Rejection>,
    retry_after: Option<Duration>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// Calls a transaction off from within its closure, for a reason that
    /// [`std::error::Error::source`] gives back. Nothing of it is committed.
    pub fn aborted(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let reason = reason.into();
        let mut error = Self::new(ErrorKind::Aborted, format!("called off: {reason}"));
        error.0.source = Some(reason);
        error
    }

    pub(crate) fn new(kind: ErrorKind, what: impl Into<String>) -> Self {
        let effect = if kind == ErrorKind::Unknown { Effect::Unknown } else { Effect::None };
        Self(Box::new(Inner {
            kind,
            what: what.into(),
            effect,
            transaction: None,
            attempts: None,
            rejection: None,
            retry_after: None,
            source: None,
        }))
    }

    pub(crate) fn caused(
        kind: ErrorKind,
        what: impl Into<String>,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        let mut error = Self::new(kind, what);
        error.0.source = Some(Box::new(source));
        error
    }

    #[must_use]
    pub(crate) fn with_transaction(mut self, id: TransactionId) -> Self {
        self.0.transaction = Some(id);
        self
    }

    #[must_use]
    pub(crate) fn with_attempts(mut self, attempts: u32) -> Self {
        self.0.attempts = Some(attempts);
        self
    }

    #[must_use]
    pub(crate) fn with_rejection(mut self, rejection: Rejection) -> Self {
        self.0.rejection = Some(rejection);
        self
    }

    /// Says when the same call may succeed.
    #[must_use]
    pub(crate) fn with_retry_after(mut self, pause: Duration) -> Self {
        self.0.retry_after = Some(pause);
        self
    }

    /// What kind of error this is. Match on this, never on text.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the same call may succeed later as it is. `Unknown` is not: resolve it first.
    pub fn is_retryable(&self) -> bool {
        match &self.0.rejection {
            Some(rejection) => rejection.is_retryable(),
            None => {
                let kinds = [ErrorKind::Busy, ErrorKind::DiskFull, ErrorKind::Behind];
                kinds.contains(&self.0.kind) || self.0.retry_after.is_some()
            }
        }
    }

    /// When to try again, where somebody has said so.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Whether anything was committed.
    pub fn effect(&self) -> Effect {
        self.0.effect
    }

    /// The transaction that the error is about, if there is one.
    pub fn transaction(&self) -> Option<TransactionId> {
        self.0.transaction
    }

    /// How often a transaction was tried before it was given up.
    pub fn attempts(&self) -> Option<u32> {
        self.0.attempts
    }

    /// The definite refusal behind the error, with its details.
    pub fn rejection(&self) -> Option<&Rejection> {
        self.0.rejection.as_ref()
    }

    /// What to do next, in one line.
    pub fn advice(&self) -> &'static str {
        self.0.kind.advice()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.what)?;
        match self.0.effect {
            Effect::None => {}
            Effect::Unknown => f.write_str("; it may or may not have been committed")?,
        }
        if let Some(attempts) = self.0.attempts {
            write!(f, " attempts={attempts}")?;
        }
        if let Some(id) = self.0.transaction {
            write!(f, " transaction={id}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}
