//! Checkpoints, and the release of the log below them, with what a node's log tells of them (target
//! `weald::storage`).

use std::time::Instant;

use weald_core::{LogIndex, LogStore, PartitionId, StateError, StateStore};

/// Writes a checkpoint and tells how that went.
pub(crate) fn checkpoint(store: &dyn StateStore, upto: LogIndex) -> Result<LogIndex, StateError> {
    let (partition, begun) = (store.partition(), Instant::now());
    let covered = store.checkpoint(upto);
    let took = begun.elapsed();
    match &covered {
        Ok(covered) => tracing::debug!(
            target: "weald::storage", %partition, %covered, ?took, "a checkpoint is written"
        ),
        Err(error) => tracing::warn!(
            target: "weald::storage", %partition, %upto, ?took, %error, "a checkpoint has failed"
        ),
    }
    covered
}

/// Lets go of the log below an index. Where that fails it only grows; its own failure is told with
/// the next write.
pub(crate) fn release(log: &dyn LogStore, partition: PartitionId, below: LogIndex) {
    match log.release(partition, below) {
        Ok(()) => tracing::debug!(
            target: "weald::storage", %partition, %below, "the log is released"
        ),
        Err(error) => tracing::warn!(
            target: "weald::storage", %partition, %below, %error, "the log is not released"
        ),
    }
}
