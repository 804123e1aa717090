//! Who looks in the background at what other coordinators have logged.

use bytes::Bytes;
use weald_cluster::replica::LogEntry;
use weald_core::{LogIndex, PartitionId, Payload, PeerId};

/// Is told of entries that other nodes gave their places in a log.
pub(crate) trait Auditor: Send + Sync {
    /// An entry was applied here. Called by the loop: returns at once.
    fn audit(&self, logged: Logged<'_>);
}

/// An entry as it was applied.
pub(crate) struct Logged<'a> {
    pub(crate) partition: PartitionId,
    pub(crate) index: LogIndex,
    /// Who gave it its place.
    pub(crate) coordinator: PeerId,
    /// What it carries.
    pub(crate) payload: &'a Payload,
    pub(super) entry: &'a LogEntry,
}

impl Logged<'_> {
    /// What it carries, in bytes; [`super::decode`] reads them.
    pub(crate) fn command(&self) -> Bytes {
        self.entry.payload()
    }
}
