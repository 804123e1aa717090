//! Reading fields of blocks laid out by hand: little-endian numbers at fixed places. Nothing here
//! panics on short input.

use weald_core::{BlockId, Digest};

/// The bytes not read yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl Fields<'_> {
    /// The next `N` bytes.
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    /// The next byte.
    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// The next 4 bytes as a length.
    pub(crate) fn length(&mut self) -> Option<usize> {
        usize::try_from(u32::from_le_bytes(self.array()?)).ok()
    }

    /// The next 8 bytes.
    pub(crate) fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// The next block id; all zeros stand for none.
    pub(crate) fn link(&mut self) -> Option<Option<BlockId>> {
        self.array().map(|bytes| (bytes != NO_LINK).then(|| BlockId::from_bytes(bytes)))
    }

    /// The next digest.
    pub(crate) fn digest(&mut self) -> Option<Digest> {
        self.array().map(Digest::from_bytes)
    }
}

/// What stands in a block where an id could be and none is.
pub(crate) const NO_LINK: [u8; BlockId::LEN] = [0; BlockId::LEN];

/// The bytes of an id or of none.
pub(crate) fn link_bytes(link: Option<BlockId>) -> [u8; BlockId::LEN] {
    link.map_or(NO_LINK, BlockId::to_bytes)
}
