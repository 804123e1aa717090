//! Forced recovery of members that do not run: what is left of them on the disk, and how one of
//! them begins a new generation (rule C16).

use std::{thread, time::Duration};

use weald_cluster::{
    recovery::{Authority, Recovery, RecoveryError, Remains},
    replica::{Health, LogEntry},
};
use weald_core::{LogBatch, LogError, LogIndex, LogStore, PartitionId, Synced};

use super::{
    StartError,
    desk::{Kept, log_point},
    opening::{Begun, found},
};

/// How often is looked whether what was handed to the log is durable.
const SYNC_PAUSE: Duration = Duration::from_millis(1);

/// What is left of one member.
pub(crate) struct Left {
    partition: PartitionId,
    begun: Begun,
}

/// Why a member did not begin a new generation.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BeginError {
    /// The recovery is not to be believed here.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// The log does not take it.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// What is left of every member that `log` knows. `applied` gives what a partition's state has
/// applied.
///
/// # Errors
/// When a state cannot be read, or a record of the log does not parse.
pub(crate) fn left(
    log: &dyn LogStore,
    applied: impl Fn(PartitionId) -> Result<LogIndex, String>,
) -> Result<Vec<Left>, StartError> {
    let mut all = Vec::new();
    for (partition, recovered) in log.recovered() {
        let Some(state) = &recovered.state else { continue };
        let kept = Kept::decode(state)
            .map_err(|error| StartError::Damaged(format!("partition={partition} {error}")))?;
        let begun = found(
            log,
            (partition, &recovered),
            kept,
            applied(partition).map_err(StartError::Damaged)?,
        );
        all.push(Left { partition, begun });
    }
    Ok(all)
}

impl Left {
    /// The partition.
    pub(crate) fn partition(&self) -> PartitionId {
        self.partition
    }

    /// What a recovery is planned from.
    ///
    /// # Errors
    /// When the log or the promises of the member are lost: it cannot go on.
    pub(crate) fn remains(&self) -> Result<Remains, RecoveryError> {
        if self.begun.health == Health::Amnesiac {
            let what = "the end of the log, or what was promised, is lost";
            return Err(RecoveryError::Unreadable(what.to_owned()));
        }
        let (before, entries) = &self.begun.log;
        Ok(Remains::new(self.begun.kept.stored.clone(), (*before, entries), self.begun.health))
    }

    /// Begins the generation of `recovery`, durably. Until that is so, nothing has changed.
    ///
    /// # Errors
    /// See [`BeginError`].
    pub(crate) fn begin(
        &self,
        log: &dyn LogStore,
        authority: &Authority,
        recovery: Recovery,
    ) -> Result<(), BeginError> {
        let (before, entries) = &self.begun.log;
        let mut stored = self.begun.kept.stored.recovered((authority, self.partition), recovery)?;
        let is_whole = self.begun.health == Health::Whole && !self.begun.restarts;
        let mut batch = LogBatch { partition: self.partition, ..LogBatch::default() };
        if !is_whole {
            // The log goes on behind its first gap: what is readable is written anew.
            stored.base = *before;
            batch.restart_at = Some(log_point(*before));
            batch.entries = entries.iter().map(LogEntry::record).collect();
            batch.is_urgent = true;
        }
        batch.state = Some(Kept::whole(stored).encode());
        let ticket = log.submit(batch)?;
        loop {
            match log.poll_synced() {
                Synced::UpTo(synced) if synced >= ticket => return Ok(()),
                Synced::Failed(synced) if synced >= ticket => return Ok(()),
                Synced::Failed(_) => {
                    return Err(LogError::SyncFailed("at a forced recovery".to_owned()).into());
                }
                Synced::UpTo(_) => thread::sleep(SYNC_PAUSE),
            }
        }
    }
}
