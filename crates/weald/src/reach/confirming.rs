//! Whether what was read from several partitions was so at one moment (the second of two rounds).
//!
//! The first round is what the transaction has read. This one begins after it has ended and reads
//! everything again, linearizably and past all locks. What is equal in both was so at every moment
//! between; and a transaction that one partition showed in the first round is settled in all others
//! by now, or still locks what it writes there.

use std::{collections::BTreeMap, sync::Arc};

use weald_collections::ReadError;
use weald_core::{Base, BlockId, BlockRead, Halt, PlacementKey, ReadDependency};

use super::Core;
use crate::{
    Result,
    backend::{Reading, Version},
    node::read,
};

/// Reads `reads` again and tells whether all is as it was.
pub(super) async fn confirm(core: Arc<Core>, reads: Vec<ReadDependency>) -> Result<bool> {
    let mut by_key: BTreeMap<PlacementKey, Vec<ReadDependency>> = BTreeMap::new();
    for read in reads {
        by_key.entry(read.block.placement()).or_default().push(read);
    }
    let mut partitions: Vec<_> = by_key.keys().map(|key| core.partition(*key)).collect();
    partitions.dedup();
    if partitions.len() < 2 {
        return Ok(true);
    }
    for reads in by_key.into_values() {
        let version = core.view(reads[0].block, Reading::default(), &mut |_| ()).wait().await?;
        if !are_equal(&version, &reads).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn are_equal(version: &Version, reads: &[ReadDependency]) -> Result<bool> {
    read(version, |reader| {
        let mut missing: Vec<BlockId> = Vec::new();
        for one in reads {
            let base = match reader.0.block(one.block).map_err(Halt::Fault)? {
                BlockRead::Present(stored) => Base::At(stored.revision),
                BlockRead::Absent => Base::Absent,
                BlockRead::NotHere => {
                    missing.push(one.block);
                    continue;
                }
            };
            if base != one.base {
                return Ok(false);
            }
        }
        match missing.is_empty() {
            true => Ok(true),
            false => Err(ReadError::Halt(Halt::Need(missing))),
        }
    })
    .await
}
