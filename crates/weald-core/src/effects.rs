//! What applying an entry does to the state.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;

use crate::{Base, BlockId, Change, DigestBuilder, LogIndex, Revision, StoredBlock};

/// One block's change with its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockEffect {
    /// The block.
    pub id: BlockId,
    /// What it was before.
    pub base: Base,
    /// The revision of its collection that writes it.
    pub revision: Revision,
    /// How it changes: the delta that reaches the disk.
    pub change: Change,
    /// The block afterwards; `None` when it is gone.
    pub after: Option<Arc<StoredBlock>>,
}

/// Everything one log entry changes: blocks, the state machine's own rows, and how far back the
/// history of collections is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Blocks in the order of their ids, each at most once.
    pub blocks: Vec<BlockEffect>,
    /// Rows of the state machine (results, sessions, log time); `None` deletes one.
    pub rows: BTreeMap<Bytes, Option<Bytes>>,
    /// Collections whose history below an index is no longer kept.
    pub floors: BTreeMap<BlockId, LogIndex>,
}

impl Effects {
    /// Adds all of it to a digest; equal effects add equal bytes on every machine.
    pub fn digest_into(&self, digest: &mut DigestBuilder) {
        digest.number(self.blocks.len() as u64);
        for effect in &self.blocks {
            digest.part(&effect.id.to_bytes()).number(effect.revision.0);
            effect.change.digest_into(digest);
        }
        digest.number(self.rows.len() as u64);
        for (key, value) in &self.rows {
            digest.part(key).number(u64::from(value.is_some()));
            digest.part(value.as_deref().unwrap_or_default());
        }
        digest.number(self.floors.len() as u64);
        for (collection, index) in &self.floors {
            digest.part(&collection.to_bytes()).number(index.0);
        }
    }
}
