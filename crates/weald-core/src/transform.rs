//! Transforms: the only way a block changes. Each names the revision it is based on; on another
//! base it is an error, never a guess.

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::{Block, BlockId, DigestBuilder, Revision, StoredBlock, limits::BLOCK_BYTES_MAX};

/// What a block must look like before a transform, or looked like when it was read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Base {
    /// There is no such block.
    Absent,
    /// It was last written by this revision of its collection.
    At(Revision),
}

impl Base {
    /// The base that `stored` is.
    pub fn of(stored: Option<&StoredBlock>) -> Self {
        stored.map_or(Self::Absent, |stored| Self::At(stored.revision))
    }
}

/// Replaces `remove` bytes of a payload from `offset` on by `insert`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Splice {
    /// Byte offset into the payload, at most its length.
    pub offset: u32,
    /// Bytes that go.
    pub remove: u32,
    /// Bytes that come in their place.
    pub insert: Bytes,
}

impl Splice {
    /// A splice at `offset` (bytes) of `remove` bytes.
    ///
    /// # Panics
    /// When `offset` or `remove` is larger than any block may be.
    pub fn new(offset: usize, remove: usize, insert: impl Into<Bytes>) -> Self {
        let narrow =
            |n: usize| u32::try_from(n).expect("an offset fits a block, which fits 32 bits");
        Self { offset: narrow(offset), remove: narrow(remove), insert: insert.into() }
    }

    fn range(&self, len: usize) -> Option<(usize, usize)> {
        let start = usize::try_from(self.offset).ok()?;
        let end = start.checked_add(usize::try_from(self.remove).ok()?)?;
        (end <= len).then_some((start, end))
    }
}

/// How a block changes.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Change {
    /// The block becomes this one: it is new (base [`Base::Absent`]) or replaced as a whole.
    Insert(Block),
    /// The payload is spliced, each splice on the result of the one before.
    Update(Vec<Splice>),
    /// The block is gone.
    Delete,
}

/// One block's change.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Transform {
    /// The block.
    pub id: BlockId,
    /// What it must look like before.
    pub base: Base,
    /// What happens to it.
    pub change: Change,
}

/// Why a transform does not fit the block it was applied to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TransformError {
    /// The block is at another revision than the transform is based on.
    #[error("transform on another base: block={id} expected={expected:?} found={found:?}")]
    BaseMismatch {
        /// The block.
        id: BlockId,
        /// What the transform was based on.
        expected: Base,
        /// What is there.
        found: Base,
    },
    /// A splice reaches past the payload.
    #[error("splice outside the payload: block={id} offset={offset} remove={remove} len={len}")]
    OutOfBounds {
        /// The block.
        id: BlockId,
        /// The splice's offset, bytes.
        offset: u32,
        /// The splice's length, bytes.
        remove: u32,
        /// The payload's length, bytes.
        len: usize,
    },
    /// An update or a delete of a block that is not there, or an insert under another id.
    #[error("transform does not fit: block={id} {what}")]
    Mismatch {
        /// The block.
        id: BlockId,
        /// What does not fit.
        what: &'static str,
    },
    /// The payload would be larger than a block may be.
    #[error("block too large: block={id} bytes={bytes} max={max}")]
    TooLarge {
        /// The block.
        id: BlockId,
        /// Bytes of the result.
        bytes: usize,
        /// The most that is allowed.
        max: usize,
    },
}

impl Transform {
    /// The block after this transform; `None` when it is gone.
    ///
    /// # Errors
    /// When `current` is not the base, or a splice does not fit.
    pub fn apply(&self, current: Option<&StoredBlock>) -> Result<Option<Block>, TransformError> {
        let found = Base::of(current);
        if found != self.base {
            return Err(TransformError::BaseMismatch { id: self.id, expected: self.base, found });
        }
        let mismatch = |what| TransformError::Mismatch { id: self.id, what };
        match (&self.change, current) {
            (Change::Insert(block), _) if block.id != self.id => {
                Err(mismatch("insert under another id"))
            }
            (Change::Insert(block), _) => {
                check_size(self.id, block.payload.len()).map(|()| Some(block.clone()))
            }
            (Change::Update(splices), Some(stored)) => {
                let payload = spliced(self.id, &stored.block.payload, splices)?;
                let Block { id, kind, collection, .. } = stored.block;
                Ok(Some(Block { id, kind, collection, payload }))
            }
            (Change::Delete, Some(_)) => Ok(None),
            (Change::Update(_), None) => Err(mismatch("update of an absent block")),
            (Change::Delete, None) => Err(mismatch("delete of an absent block")),
        }
    }
}

impl Change {
    /// Bytes that the change carries, without what names it.
    pub fn payload_bytes(&self) -> usize {
        match self {
            Self::Insert(block) => block.payload.len(),
            Self::Update(splices) => splices.iter().map(|splice| splice.insert.len()).sum(),
            Self::Delete => 0,
        }
    }

    /// Adds the change to a digest; equal changes add equal bytes on every machine.
    pub fn digest_into(&self, digest: &mut DigestBuilder) {
        match self {
            Self::Insert(block) => {
                digest.number(1).part(&block.id.to_bytes()).number(u64::from(block.kind.0));
                digest.part(&block.collection.to_bytes()).part(&block.payload);
            }
            Self::Update(splices) => {
                digest.number(2).number(splices.len() as u64);
                for splice in splices {
                    digest.number(u64::from(splice.offset)).number(u64::from(splice.remove));
                    digest.part(&splice.insert);
                }
            }
            Self::Delete => {
                digest.number(3);
            }
        }
    }
}

fn check_size(id: BlockId, bytes: usize) -> Result<(), TransformError> {
    if bytes > BLOCK_BYTES_MAX {
        return Err(TransformError::TooLarge { id, bytes, max: BLOCK_BYTES_MAX });
    }
    Ok(())
}

/// The payload after `splices`, each applied to the result of the one before. A single splice,
/// the common case, copies the payload once.
pub(crate) fn spliced(
    id: BlockId,
    payload: &[u8],
    splices: &[Splice],
) -> Result<Bytes, TransformError> {
    let mut current: Option<BytesMut> = None;
    for splice in splices {
        let bytes = current.as_deref().unwrap_or(payload);
        let (start, end) = splice.range(bytes.len()).ok_or(TransformError::OutOfBounds {
            id,
            offset: splice.offset,
            remove: splice.remove,
            len: bytes.len(),
        })?;
        let len = bytes.len() - (end - start) + splice.insert.len();
        check_size(id, len)?;
        current = Some(match current {
            Some(mut bytes) if len == bytes.len() => {
                bytes[start..end].copy_from_slice(&splice.insert);
                bytes
            }
            _ => join(len, [&bytes[..start], &splice.insert, &bytes[end..]]),
        });
    }
    Ok(current.map_or_else(|| Bytes::copy_from_slice(payload), BytesMut::freeze))
}

fn join(len: usize, parts: [&[u8]; 3]) -> BytesMut {
    let mut joined = BytesMut::with_capacity(len);
    parts.iter().for_each(|part| joined.extend_from_slice(part));
    joined
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::BlockKind;

    fn stored(payload: &'static [u8]) -> StoredBlock {
        let id = BlockId::header(&"c".parse().unwrap());
        let payload = Bytes::from_static(payload);
        let block = Block { id, kind: BlockKind::CHAIN, collection: id, payload };
        StoredBlock { block, revision: Revision(3) }
    }

    fn update(base: Base, splices: Vec<Splice>) -> Transform {
        let id = BlockId::header(&"c".parse().unwrap());
        Transform { id, base, change: Change::Update(splices) }
    }

    #[test]
    fn splices_apply_in_order() {
        let stored = stored(b"hello world");
        let splices = vec![Splice::new(0, 5, "bye".as_bytes()), Splice::new(3, 1, ", ".as_bytes())];
        let after = update(Base::At(Revision(3)), splices).apply(Some(&stored)).unwrap().unwrap();
        assert_eq!(&after.payload[..], b"bye, world");
    }

    #[test]
    fn another_base_is_refused() {
        let stored = stored(b"x");
        let refused = update(Base::At(Revision(2)), vec![]).apply(Some(&stored)).unwrap_err();
        assert!(matches!(refused, TransformError::BaseMismatch { .. }));
        let refused = update(Base::At(Revision(2)), vec![]).apply(None).unwrap_err();
        assert!(matches!(refused, TransformError::BaseMismatch { .. }));
    }

    #[test]
    fn a_splice_past_the_end_is_refused() {
        let stored = stored(b"abc");
        for (offset, remove) in [(4, 0), (0, 4), (u32::MAX, u32::MAX)] {
            let splice = Splice { offset, remove, insert: Bytes::new() };
            let refused = update(Base::At(Revision(3)), vec![splice]).apply(Some(&stored));
            assert!(matches!(refused, Err(TransformError::OutOfBounds { .. })));
        }
    }

    #[test]
    fn a_block_over_the_cap_is_refused() {
        let stored = stored(b"abc");
        let splice = Splice::new(0, 0, vec![0; BLOCK_BYTES_MAX]);
        let refused = update(Base::At(Revision(3)), vec![splice]).apply(Some(&stored));
        assert!(matches!(refused, Err(TransformError::TooLarge { .. })));
    }

    proptest! {
        #[test]
        fn splices_agree_with_a_vector(
            start in proptest::collection::vec(any::<u8>(), 0..64),
            edits in proptest::collection::vec((any::<u16>(), 0usize..8, proptest::collection::vec(any::<u8>(), 0..8)), 0..8),
        ) {
            let mut model = start.clone();
            let mut splices = Vec::new();
            for (at, remove, insert) in edits {
                let offset = usize::from(at) % (model.len() + 1);
                let remove = remove.min(model.len() - offset);
                model.splice(offset..offset + remove, insert.iter().copied());
                splices.push(Splice::new(offset, remove, insert));
            }
            let id = BlockId::header(&"c".parse().unwrap());
            prop_assert_eq!(&spliced(id, &start, &splices).unwrap()[..], &model[..]);
        }
    }
}
