//! Which collections there are.

use weald_cluster::partition::{collection_of, collections_prefix};
use weald_collections::{CollectionHeader, CollectionState, ReadError, SourceReader};
use weald_core::{BlockId, BlockRead, Fault, Halt, StateStore};
use weald_storage::state::PartitionStore;

use super::{Weald, read, state_error};
use crate::{CollectionInfo, Result};

impl Weald {
    /// All collections, in the order of their names.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn collections(&self) -> Result<Vec<CollectionInfo>> {
        let ids = self.collection_ids().await?;
        let version = self.whole().await?;
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            found.extend(read(&version, |reader| describe(reader, id)).await?);
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// The ids of all collections.
    pub(crate) async fn collection_ids(&self) -> Result<Vec<BlockId>> {
        let ids = self.running()?.backend.collections();
        ids.wait().await
    }
}

/// The ids of all collections of a partition.
pub(crate) fn collections_in(store: &PartitionStore) -> Result<Vec<BlockId>> {
    let rows = store.rows(collections_prefix()).map_err(state_error)?;
    Ok(rows.iter().filter_map(|(key, _)| collection_of(key)).collect())
}

/// A collection by the id of its header; `None` when it came after this version.
fn describe(
    reader: &mut SourceReader<'_>,
    id: BlockId,
) -> std::result::Result<Option<CollectionInfo>, ReadError> {
    let Some(header) = header(reader, id)? else { return Ok(None) };
    let state = CollectionState::read(reader, &header.name)?;
    Ok(Some(CollectionInfo {
        revision: state.revision,
        entries: match header.type_name.as_str() {
            "diary" => Some(state.chain.len()),
            "tree" => Some(state.items),
            _ => None,
        },
        retention: header.policy.retention,
        name: header.name,
        type_name: header.type_name,
    }))
}

/// The header block `id`.
pub(crate) fn header(
    reader: &mut SourceReader<'_>,
    id: BlockId,
) -> std::result::Result<Option<CollectionHeader>, ReadError> {
    match reader.0.block(id).map_err(Halt::Fault)? {
        BlockRead::Present(stored) => Ok(Some(decode(&stored)?)),
        BlockRead::Absent => Ok(None),
        BlockRead::NotHere => Err(Halt::Need(vec![id]).into()),
    }
}

fn decode(stored: &weald_core::StoredBlock) -> std::result::Result<CollectionHeader, ReadError> {
    CollectionHeader::decode(stored).map_err(|fault: Fault| Halt::Fault(fault).into())
}
