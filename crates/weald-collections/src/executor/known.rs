//! What is remembered of collections between transactions, to spare work: ids that follow from
//! names, and headers that were parsed. A header is taken only for the very bytes that it was parsed
//! from, so what is remembered never changes a result.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use weald_core::{BlockId, CollectionName, Fault, StoredBlock};

use crate::CollectionHeader;

/// Collections that are remembered.
const COLLECTIONS_MAX: usize = 64;
/// Bytes of a header that is remembered.
const HEADER_BYTES_MAX: usize = 4096;

/// The ids that follow from a collection's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ids {
    /// The header block, and the collection.
    pub(crate) header: BlockId,
    /// The state block.
    pub(crate) state: BlockId,
}

impl Ids {
    fn of(name: &CollectionName) -> Self {
        Self { header: BlockId::header(name), state: BlockId::state(name) }
    }
}

/// Collections by name.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<BTreeMap<CollectionName, Collection>>);

#[derive(Debug)]
struct Collection {
    ids: Ids,
    header: Option<(Bytes, CollectionHeader)>,
}

impl Known {
    /// The ids of a collection's blocks.
    pub(crate) fn ids(&self, name: &CollectionName) -> Ids {
        let mut collections = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = collections.get(name) {
            return known.ids;
        }
        if collections.len() >= COLLECTIONS_MAX {
            collections.clear();
        }
        let ids = Ids::of(name);
        collections.insert(name.clone(), Collection { ids, header: None });
        ids
    }

    /// The header of `name` that `stored` holds.
    ///
    /// # Errors
    /// As [`CollectionHeader::of_block`].
    pub(crate) fn header(
        &self,
        name: &CollectionName,
        stored: &StoredBlock,
    ) -> Result<CollectionHeader, Fault> {
        let payload = &stored.block.payload;
        let mut collections = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = collections.get_mut(name);
        if let Some(Collection { header: Some((bytes, header)), .. }) = &known
            && is_same(bytes, payload)
        {
            return CollectionHeader::of_kind(stored).map(|()| header.clone());
        }
        let header = CollectionHeader::of_block(stored, name)?;
        if let Some(known) = known.filter(|_| payload.len() <= HEADER_BYTES_MAX) {
            known.header = Some((payload.clone(), header.clone()));
        }
        Ok(header)
    }
}

/// Whether both are the same bytes. Nearly always they are even in the same place.
fn is_same(a: &Bytes, b: &Bytes) -> bool {
    a.len() == b.len() && (a.as_ptr() == b.as_ptr() || a == b)
}

#[cfg(test)]
mod tests {
    use weald_core::{Block, BlockKind, CollectionPolicy, Revision, Time, TransactionId};

    use super::*;
    use crate::{ChainUse, TreeType};

    fn name(number: usize) -> CollectionName {
        format!("c{number}").parse().unwrap()
    }

    fn header(name: &CollectionName, root: &'static str) -> CollectionHeader {
        CollectionHeader {
            name: name.clone(),
            type_name: TreeType::type_name(),
            version: TreeType::VERSION,
            chain_use: ChainUse::Changes,
            policy: CollectionPolicy::default(),
            options: Bytes::new(),
            root: root.into(),
            created_at: Time::ZERO,
            created_by: TransactionId::new(weald_core::PlacementKey::of(name), [1; 16]),
        }
    }

    fn stored(header: &CollectionHeader, kind: BlockKind) -> StoredBlock {
        let id = header.id();
        let block = Block { id, kind, collection: id, payload: header.encode() };
        StoredBlock { block, revision: Revision(1) }
    }

    #[test]
    fn a_header_is_what_the_block_holds_now() {
        let (known, name) = (Known::default(), name(1));
        known.ids(&name);
        for root in ["a", "b", "a"] {
            let header = header(&name, root);
            for _ in 0..2 {
                let found = known.header(&name, &stored(&header, BlockKind::HEADER)).unwrap();
                assert_eq!(found, header);
            }
        }
    }

    #[test]
    fn what_is_remembered_excuses_no_damage() {
        let (known, name) = (Known::default(), name(1));
        known.ids(&name);
        let header = header(&name, "a");
        known.header(&name, &stored(&header, BlockKind::HEADER)).unwrap();
        assert!(known.header(&name, &stored(&header, BlockKind::STATE)).is_err());
        let other = self::header(&self::name(2), "a");
        assert!(known.header(&name, &stored(&other, BlockKind::HEADER)).is_err());
    }

    #[test]
    fn only_so_many_are_remembered() {
        let known = Known::default();
        for number in 0..3 * COLLECTIONS_MAX {
            assert_eq!(known.ids(&name(number)), Ids::of(&name(number)));
        }
        assert!(known.0.lock().unwrap().len() <= COLLECTIONS_MAX);
    }
}
