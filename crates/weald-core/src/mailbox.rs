//! Sending to peers without knowing the network.

use bytes::Bytes;

use crate::PeerId;

/// What goes first when a peer's queue has more than it can send.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Priority {
    /// Consensus: heartbeats, votes, acknowledgements.
    Consensus,
    /// Clients' requests and answers.
    Client,
    /// Catch-up, snapshots.
    Bulk,
}

/// Why a frame was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailboxError {
    /// The peer's queue is full; the frame was not queued.
    #[error("the queue of the peer is full: peer={0}")]
    Full(PeerId),
    /// There is no way to the peer now.
    #[error("the peer cannot be reached: peer={0}")]
    Unreachable(PeerId),
    /// The frame is larger than any that is sent; it will not be taken later either.
    #[error("the frame is too large: bytes={bytes} bytes_max={bytes_max}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The most that is sent.
        bytes_max: usize,
    },
}

/// Queues frames for peers. Delivery is not promised: protocols repeat what matters.
pub trait Mailbox: Send + Sync {
    /// Queues `frame` for `peer`.
    ///
    /// # Errors
    /// See [`MailboxError`].
    fn send(&self, peer: PeerId, priority: Priority, frame: Bytes) -> Result<(), MailboxError>;
}
