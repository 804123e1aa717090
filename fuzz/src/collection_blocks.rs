//! The header and the state block of a collection, change records and answers, as a disk or a peer may give them.

use bytes::Bytes;
use weald_collections::{
    Appended, ChangeRecord, CollectionHeader, CollectionState, CreateAnswer, DiaryAnswer,
};
use weald_core::{Block, BlockId, BlockKind, CollectionName, Revision, StoredBlock};

/// Decodes `data` as each; what decodes means the same when written again.
pub fn run(data: &[u8]) {
    // These are only read here; what writes them is private to the crate.
    let _ = (
        ChangeRecord::decode(data),
        Appended::decode(data),
        CreateAnswer::decode(data),
        DiaryAnswer::decode(data),
    );
    let name: CollectionName = "fuzz".parse().expect("a valid name");
    let stored = |id, kind| {
        let block = Block {
            id,
            kind,
            collection: BlockId::header(&name),
            payload: Bytes::copy_from_slice(data),
        };
        StoredBlock { block, revision: Revision(1) }
    };
    if let Ok(state) = CollectionState::decode(&stored(BlockId::state(&name), BlockKind::STATE)) {
        let mut again = stored(BlockId::state(&name), BlockKind::STATE);
        again.block.payload = state.encode();
        assert_eq!(CollectionState::decode(&again).expect("our own bytes decode"), state);
        assert!(state.splice_from(&state).is_none());
        assert_eq!(state.chain.is_empty(), state.chain.is_empty());
    }
    if let Ok(header) = CollectionHeader::decode(&stored(BlockId::header(&name), BlockKind::HEADER))
    {
        assert_eq!(header.name, name);
        let again =
            Block { payload: header.encode(), ..stored(header.id(), BlockKind::HEADER).block };
        let again = StoredBlock { block: again, revision: Revision(1) };
        assert_eq!(CollectionHeader::decode(&again).expect("our own bytes decode"), header);
    }
}
