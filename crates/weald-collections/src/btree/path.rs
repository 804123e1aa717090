//! The way from the root to a leaf.

use std::sync::Arc;

use weald_core::{BlockId, Fault, Halt, StoredBlock};

use super::{DEPTH_MAX, damaged, node::Node};
use crate::BlockReader;

/// An inner node on the way and the child that was taken.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) stored: Arc<StoredBlock>,
    pub(crate) child: usize,
    /// Children of the node.
    pub(crate) count: usize,
}

/// The inner nodes from the root down, and the node where they lead.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    pub(crate) steps: Vec<Step>,
    pub(crate) node: Arc<StoredBlock>,
}

impl Path {
    /// Whether nothing in the tree stands right of the node.
    pub(crate) fn is_rightmost(&self) -> bool {
        self.steps.iter().all(|step| step.child + 1 == step.count)
    }
}

/// Which child to take at each inner node.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Aim<'k> {
    First,
    Key(&'k [u8]),
    Last,
}

/// The block of a node, which the root or another node names.
pub(crate) fn node(
    reader: &mut (impl BlockReader + ?Sized),
    id: BlockId,
) -> Result<Arc<StoredBlock>, Halt> {
    Ok(reader.read(id)?.ok_or(Fault::Missing { id })?)
}

/// The leaf that holds `key`, without the way to it.
pub(crate) fn leaf_of(
    reader: &mut (impl BlockReader + ?Sized),
    root: BlockId,
    key: &[u8],
) -> Result<Arc<StoredBlock>, Halt> {
    let mut id = root;
    for _ in 0..DEPTH_MAX {
        let stored = node(reader, id)?;
        match Node::of(&stored)? {
            Node::Leaf(_) => return Ok(stored),
            Node::Inner(inner) => id = inner.child(inner.find(key)?)?,
        }
    }
    Err(too_deep(root).into())
}

/// The way from `from` to a leaf.
pub(crate) fn descend(
    reader: &mut (impl BlockReader + ?Sized),
    from: BlockId,
    aim: Aim<'_>,
) -> Result<Path, Halt> {
    let mut id = from;
    let mut steps = Vec::new();
    while steps.len() < DEPTH_MAX {
        let stored = node(reader, id)?;
        let (child, count) = match Node::of(&stored)? {
            Node::Leaf(_) => return Ok(Path { steps, node: stored }),
            Node::Inner(inner) => {
                let child = match aim {
                    Aim::First => 0,
                    Aim::Key(key) => inner.find(key)?,
                    Aim::Last => inner.count() - 1,
                };
                id = inner.child(child)?;
                (child, inner.count())
            }
        };
        steps.push(Step { stored, child, count });
    }
    Err(too_deep(from).into())
}

fn too_deep(root: BlockId) -> Fault {
    damaged(root, format!("a tree has more than {DEPTH_MAX} levels"))
}
