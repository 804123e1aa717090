//! Splices of a block against the same edits of a vector.

use bytes::Bytes;
use weald_core::{
    Base, Block, BlockId, BlockKind, Change, Revision, Splice, StoredBlock, Transform,
};

use crate::script::Script;

/// Reads `data` as a payload and edits of it, some of which reach past its end.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let payload = script.bytes(256);
    let mut model = payload.to_vec();
    let mut fits = true;
    let mut splices = Vec::new();
    while !script.is_finished() && splices.len() < 64 {
        let (offset, remove, insert) = (script.below(300), script.below(64), script.bytes(64));
        splices.push(Splice::new(offset, remove, insert.to_vec()));
        fits &= offset + remove <= model.len();
        if fits {
            model.splice(offset..offset + remove, insert.iter().copied());
        }
    }
    let id = BlockId::header(&"fuzz".parse().expect("a valid name"));
    let block = Block {
        id,
        kind: BlockKind::CHAIN,
        collection: id,
        payload: Bytes::copy_from_slice(payload),
    };
    let stored = StoredBlock { block, revision: Revision(3) };
    let transform = Transform { id, base: Base::At(Revision(3)), change: Change::Update(splices) };
    match transform.apply(Some(&stored)) {
        Ok(Some(block)) => {
            assert!(fits && block.payload[..] == model[..], "the payload is not what the edits say")
        }
        Ok(None) => panic!("an update removed the block"),
        Err(error) => assert!(!fits, "splices that fit were refused: {error}"),
    }
    assert_eq!(&stored.block.payload[..], payload, "the block that was spliced has changed");
}
