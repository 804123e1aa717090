//! A digest of the state that depends on nothing but what was committed.

use std::sync::Arc;

use weald_core::{BlockId, Digest, DigestBuilder, StateError, StoredBlock};

use super::{
    Shared,
    record::RecordKey,
    replay::{self, Found},
    storage_error,
    view::View,
};
use crate::engine::{Direction, Keyspace, Snapshot};

/// Digests the newest version of every block in the order of the ids, then every row.
pub(crate) fn digest(shared: &Arc<Shared>) -> Result<Digest, StateError> {
    let view = View::open(shared, || shared.applied())?;
    let rows = shared.rows(&[])?;
    let index = weald_core::StateView::index(&view);
    // Memory first: what a checkpoint takes from it meanwhile is found in the engine.
    let mut in_memory = Vec::new();
    for id in shared.memtable.ids() {
        if let Some(version) = shared.memtable.at(id, index)? {
            in_memory.push((id, version));
        }
    }
    let snapshot = shared.engine.snapshot().map_err(|error| storage_error(error.to_string()))?;
    let mut digest = DigestBuilder::new("weald state");
    let mut in_memory = in_memory.into_iter().peekable();
    for stored in stored_ids(shared, &*snapshot) {
        let stored = stored?;
        while let Some((id, version)) = in_memory.next_if(|(id, _)| *id < stored) {
            add(&mut digest, id, version.as_deref());
        }
        if let Some((id, version)) = in_memory.next_if(|(id, _)| *id == stored) {
            add(&mut digest, id, version.as_deref());
            continue;
        }
        let key = RecordKey { partition: shared.partition, block: stored, last: index };
        if let Some(Found { version: Some((_, version)), .. }) = replay::find(&*snapshot, key)? {
            add(&mut digest, stored, version.as_deref());
        }
    }
    for (id, version) in in_memory {
        add(&mut digest, id, version.as_deref());
    }
    for (key, value) in rows {
        digest.part(&key).part(&value);
    }
    Ok(digest.finish())
}

/// The blocks that have records, each once, in order.
fn stored_ids<'s>(
    shared: &Shared,
    snapshot: &'s dyn Snapshot,
) -> impl Iterator<Item = Result<BlockId, StateError>> + use<'s> {
    let range = RecordKey::partition_range(shared.partition);
    let mut last = None;
    snapshot.scan(Keyspace::Blocks, &range, Direction::Forward).filter_map(move |entry| {
        let entry = entry.map_err(|error| storage_error(error.to_string()));
        let id =
            entry.map(|(key, _)| RecordKey::from_bytes(&key).map(|key| key.block)).transpose()?;
        if let Ok(id) = &id {
            (last.replace(*id) != Some(*id)).then_some(Ok(*id))
        } else {
            Some(id)
        }
    })
}

fn add(digest: &mut DigestBuilder, id: BlockId, stored: Option<&StoredBlock>) {
    let Some(StoredBlock { block, revision }) = stored else { return };
    digest.part(&id.to_bytes()).number(revision.0).number(block.kind.0.into());
    digest.part(&block.collection.to_bytes()).part(&block.payload);
}
