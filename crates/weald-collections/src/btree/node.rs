//! Nodes of either kind.

use bytes::Bytes;
use weald_core::{BlockId, BlockKind, Fault, StoredBlock};

use super::{damaged, inner::Inner, leaf::Leaf};

/// The kind of a leaf's block.
pub const LEAF_KIND: BlockKind = BlockKind::STRUCTURE_FIRST;
/// The kind of an inner node's block.
pub const INNER_KIND: BlockKind = BlockKind(BlockKind::STRUCTURE_FIRST.0 + 1);

/// A node's payload seen as what its block's kind says.
#[derive(Clone, Copy)]
pub(crate) enum Node<'a> {
    Leaf(Leaf<'a>),
    Inner(Inner<'a>),
}

impl<'a> Node<'a> {
    pub(crate) fn of(stored: &'a StoredBlock) -> Result<Self, Fault> {
        Self::parse(stored.block.id, stored.block.kind, &stored.block.payload)
    }

    fn parse(id: BlockId, kind: BlockKind, payload: &'a Bytes) -> Result<Self, Fault> {
        match kind {
            LEAF_KIND => Ok(Self::Leaf(Leaf::new(id, payload))),
            INNER_KIND => Inner::parse(id, payload).map(Self::Inner),
            other => Err(damaged(id, format!("not a node of a tree: kind={}", other.0))),
        }
    }
}

/// Checks every byte of a node: lengths fit, nothing is left over, keys ascend. Returns how many
/// entries or children it has. Takes any bytes; fuzzed.
///
/// # Errors
/// [`Fault::Damaged`] that says what does not hold.
pub fn check_node(id: BlockId, kind: BlockKind, payload: &Bytes) -> Result<usize, Fault> {
    match Node::parse(id, kind, payload)? {
        Node::Leaf(leaf) => check_leaf(id, leaf),
        Node::Inner(inner) => check_inner(id, inner, payload.len()),
    }
}

fn check_leaf(id: BlockId, leaf: Leaf<'_>) -> Result<usize, Fault> {
    let mut starts = Vec::new();
    leaf.index(&mut starts)?;
    let mut last: Option<&[u8]> = None;
    for &start in &starts {
        let key = leaf.key(&leaf.slot(start)?);
        if last.is_some_and(|last| last >= key) {
            return Err(damaged(id, format!("keys of a leaf do not ascend: offset={start}")));
        }
        last = Some(key);
    }
    Ok(starts.len())
}

fn check_inner(id: BlockId, inner: Inner<'_>, payload_len: usize) -> Result<usize, Fault> {
    let mut len = super::inner::INNER_OVERHEAD;
    let mut last: Option<&[u8]> = None;
    for position in 0..inner.count() {
        let key = inner.key(position)?;
        len += super::inner::CHILD_OVERHEAD + key.len();
        let fits = if position == 0 { key.is_empty() } else { last.is_none_or(|last| last < key) };
        if !fits {
            let detail = format!("keys of an inner node do not ascend: position={position}");
            return Err(damaged(id, detail));
        }
        last = Some(key);
    }
    if len != payload_len {
        return Err(damaged(id, format!("bytes are left over: used={len} bytes={payload_len}")));
    }
    Ok(inner.count())
}
