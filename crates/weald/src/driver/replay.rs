//! Opening: the log from the last checkpoint on is applied again.

use weald_core::{
    Entry, LogIndex, LogStore, PartitionHealth, PartitionId, RecoveredPartition, Time, codec,
};

use super::{Applier, applier::Reach};

/// Bytes read from the log at once.
const PAGE_BYTES: usize = 4 << 20;

/// How the log was found.
#[derive(Debug)]
pub(crate) struct Recovery {
    /// The last entry that is applied, and its log time.
    pub(crate) last: (LogIndex, Time),
    /// Why writes are refused; `None` when the log is whole.
    pub(crate) damage: Option<String>,
}

/// Applies what the log holds beyond the applied index, as far as it is whole.
pub(crate) fn replay(applier: &mut Applier, log: &dyn LogStore) -> Recovery {
    let partition = applier.store.partition();
    let found = log.recovered().get(&partition).cloned();
    let applied = applier.partition.applied();
    let mut damage = found.as_ref().and_then(health_damage);
    let last = match &found {
        Some(found) => found.last,
        None => LogIndex::ZERO,
    };
    if damage.is_none() && last < applied {
        damage = Some(format!(
            "the log ends before the state that was made from it: log_end={last} state={applied}"
        ));
    }
    if last > applied
        && let Err(error) = replay_from(applier, log, partition, last)
    {
        damage.get_or_insert(error);
    }
    Recovery { last: (applier.partition.applied(), applier.partition.time()), damage }
}

fn health_damage(found: &RecoveredPartition) -> Option<String> {
    match found.health {
        PartitionHealth::Intact | PartitionHealth::Torn => None,
        PartitionHealth::Damaged { known_end } => Some(format!(
            "the log is damaged: entries held {}..={}, synced up to {known_end}",
            found.first, found.last
        )),
        PartitionHealth::Amnesiac => Some(format!(
            "the end of the synced log is missing: entries held {}..={}",
            found.first, found.last
        )),
    }
}

fn replay_from(
    applier: &mut Applier,
    log: &dyn LogStore,
    partition: PartitionId,
    last: LogIndex,
) -> Result<(), String> {
    while applier.partition.applied() < last {
        let from = applier.partition.applied().next();
        let page = log.read(partition, from, PAGE_BYTES).map_err(|error| error.to_string())?;
        if page.is_empty() {
            return Err(format!("the log does not hold an entry: index={from} last={last}"));
        }
        for record in page {
            let entry: Entry =
                codec::decode(codec::Kind::ENTRY, &record.bytes).map_err(|error| {
                    format!("a log entry is damaged: index={} {error}", record.index)
                })?;
            applier
                .apply(record.index, &entry, Reach::Disk)
                .map_err(|halt| format!("an entry cannot be applied: {halt}"))?;
        }
    }
    Ok(())
}
