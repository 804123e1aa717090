//! Writing nodes: as the smallest splices that make the new payload, and spreading a node that
//! overflows over its level.

use std::ops::Range;

use bytes::Bytes;
use weald_core::{BlockKind, Halt, Splice, StoredBlock};

use super::{
    INNER_KIND, NodeCapacity,
    content::{Content, Part},
    inner::{Child, Inner, directory_len},
    partition::Fill,
    path::Path,
};
use crate::BlockWriter;

/// Writes `content` where the path ends, cut into as many nodes as it takes, and names new nodes
/// in the parent, up to the root. The root keeps its id: its parts become its children.
pub(crate) fn spread(
    writer: &mut (impl BlockWriter + ?Sized),
    capacity: NodeCapacity,
    path: Path,
    content: Content,
    fill: Fill,
) -> Result<(), Halt> {
    let Path { mut steps, mut node } = path;
    let mut parts = content.into_parts(capacity, fill);
    while parts.len() > 1 {
        let parent = match steps.pop() {
            Some(step) => {
                let mut parent = Inner::of(&step.stored)?.children()?;
                let key = parent[step.child].key.clone();
                let first = parts.remove(0);
                rewrite(writer, &node, &first.content)?;
                let kept = Child { key, id: node.block.id };
                let placed = std::iter::once(Ok(kept)).chain(inserted(writer, parts));
                let placed = placed.collect::<Result<Vec<_>, Halt>>()?;
                parent.splice(step.child..=step.child, placed);
                node = step.stored;
                parent
            }
            None => inserted(writer, parts).collect::<Result<_, _>>()?,
        };
        parts = Content::Inner(parent).into_parts(capacity, fill);
    }
    rewrite(writer, &node, &parts[0].content)
}

fn inserted(
    writer: &mut (impl BlockWriter + ?Sized),
    parts: Vec<Part>,
) -> impl Iterator<Item = Result<Child, Halt>> {
    parts.into_iter().map(|Part { low, content }| {
        let id = writer.insert(content.kind(), content.encode())?;
        Ok(Child { key: low, id })
    })
}

/// Gives a node new content.
pub(crate) fn rewrite(
    writer: &mut (impl BlockWriter + ?Sized),
    stored: &StoredBlock,
    content: &Content,
) -> Result<(), Halt> {
    let (id, kind, new) = (stored.block.id, content.kind(), content.encode());
    if stored.block.kind != kind {
        return writer.replace(id, kind, new);
    }
    let splices = differences(kind, &stored.block.payload, &new);
    if splices.is_empty() { Ok(()) } else { writer.splice(id, splices) }
}

/// Splices that turn `old` into `new`. Directory and records of an inner node each have their own,
/// since a new child changes a little in both.
fn differences(kind: BlockKind, old: &Bytes, new: &Bytes) -> Vec<Splice> {
    if kind != INNER_KIND {
        return difference(old, new, 0..new.len()).into_iter().collect();
    }
    let directory = |node: &Bytes| {
        let count = u16::from_le_bytes([node[0], node[1]]);
        directory_len(usize::from(count))
    };
    let (old_at, new_at) = (directory(old), directory(new));
    let directory = difference(&old[..old_at], new, 0..new_at);
    let records = difference(&old[old_at..], new, new_at..new.len());
    directory.into_iter().chain(records).collect()
}

/// The splice that makes `old`, which begins at `part.start`, that part of `new`.
fn difference(old: &[u8], new: &Bytes, part: Range<usize>) -> Option<Splice> {
    let offset = part.start;
    let changed = &new[part];
    let prefix = common_prefix(old, changed);
    if prefix == old.len() && prefix == changed.len() {
        return None;
    }
    let suffix = common_suffix(&old[prefix..], &changed[prefix..]);
    let insert = offset + prefix..offset + changed.len() - suffix;
    Some(Splice::new(insert.start, old.len() - suffix - prefix, new.slice(insert)))
}

/// Bytes compared at once.
const CHUNK: usize = 64;

fn common_prefix(old: &[u8], new: &[u8]) -> usize {
    let chunks = old.chunks_exact(CHUNK).zip(new.chunks_exact(CHUNK));
    let equal = CHUNK * chunks.take_while(|(old, new)| old == new).count();
    let rest = old[equal..].iter().zip(&new[equal..]);
    equal + rest.take_while(|(old, new)| old == new).count()
}

fn common_suffix(old: &[u8], new: &[u8]) -> usize {
    let chunks = old.rchunks_exact(CHUNK).zip(new.rchunks_exact(CHUNK));
    let equal = CHUNK * chunks.take_while(|(old, new)| old == new).count();
    let rest = old[..old.len() - equal].iter().rev().zip(new[..new.len() - equal].iter().rev());
    equal + rest.take_while(|(old, new)| old == new).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_difference_is_the_smallest_splice_whatever_its_place() {
        let old: Vec<u8> = (0..200u8).collect();
        for (start, end) in [(0, 0), (0, 1), (63, 64), (64, 65), (100, 180), (199, 200), (0, 200)] {
            let mut new = old.clone();
            new.splice(start..end, [255, 254]);
            let new = Bytes::from(new);
            let splice = difference(&old, &new, 0..new.len()).unwrap();
            assert_eq!(splice, Splice::new(start, end - start, vec![255, 254]), "{start}..{end}");
        }
        let same = Bytes::from(old.clone());
        assert_eq!(difference(&old, &same, 0..same.len()), None);
    }
}
