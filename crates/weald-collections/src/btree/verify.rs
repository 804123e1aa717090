//! Checking a whole tree.

use std::collections::BTreeSet;

use bytes::Bytes;
use weald_core::{BlockId, Fault, Halt, StoredBlock};

use super::{BTree, DEPTH_MAX, content::Content, damaged, inner::Child, node::check_node, path};
use crate::BlockReader;

/// What a tree is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Entries.
    pub entries: u64,
    /// Leaves.
    pub leaves: u64,
    /// Inner nodes.
    pub inners: u64,
    /// Levels, leaves included.
    pub depth: usize,
    /// Bytes of all payloads.
    pub bytes: u64,
}

/// A node to be looked at and what its place demands.
struct Visit {
    id: BlockId,
    low: Bytes,
    high: Option<Bytes>,
    depth: usize,
}

impl BTree {
    /// Checks every node: bytes, order within and across nodes, fill, equal depth of all leaves,
    /// each node reached once.
    ///
    /// # Errors
    /// [`Halt::Fault`] that names the node where something does not hold.
    pub fn verify(&self, reader: &mut (impl BlockReader + ?Sized)) -> Result<Survey, Halt> {
        let mut survey = Survey::default();
        let mut seen = BTreeSet::new();
        let mut open = vec![Visit { id: self.root, low: Bytes::new(), high: None, depth: 1 }];
        while let Some(visit) = open.pop() {
            if !seen.insert(visit.id) || visit.depth > DEPTH_MAX {
                return Err(damaged(visit.id, "a node is reached twice or too deep").into());
            }
            let stored = path::node(reader, visit.id)?;
            let content = self.check(&stored, &visit)?;
            survey.bytes += stored.block.payload.len() as u64;
            match content {
                Content::Leaf(items) => {
                    if survey.leaves > 0 && survey.depth != visit.depth {
                        return Err(damaged(visit.id, "leaves are not equally deep").into());
                    }
                    survey.depth = visit.depth;
                    survey.leaves += 1;
                    survey.entries += items.len() as u64;
                }
                Content::Inner(children) => {
                    survey.inners += 1;
                    open.extend(visits(&visit, &children));
                }
            }
        }
        Ok(survey)
    }

    fn check(&self, stored: &StoredBlock, visit: &Visit) -> Result<Content, Fault> {
        check_node(stored.block.id, stored.block.kind, &stored.block.payload)?;
        let content = Content::of(stored)?;
        let (least, greatest) = match &content {
            Content::Leaf(items) => ends(items, |item| &item.key),
            Content::Inner(children) => ends(&children[1..], |child| &child.key),
        };
        let above = least.is_none_or(|key| *key >= visit.low);
        let below = greatest.zip(visit.high.as_ref()).is_none_or(|(key, high)| key < high);
        if !above || !below {
            return Err(damaged(visit.id, "a node holds keys beyond its bounds"));
        }
        let too_large =
            content.bytes() > self.capacity.bytes() && content.count() >= 2 * content.items_min();
        let is_root = visit.id == self.root;
        let too_small = content.count() < content.items_min()
            && !(is_root && matches!(content, Content::Leaf(_)));
        if too_large || too_small {
            let detail = format!(
                "a node is filled wrongly: items={} bytes={}",
                content.count(),
                content.bytes()
            );
            return Err(damaged(visit.id, detail));
        }
        Ok(content)
    }
}

/// The keys of the first and the last of `items`.
fn ends<T>(items: &[T], key: impl Fn(&T) -> &Bytes) -> (Option<&Bytes>, Option<&Bytes>) {
    (items.first().map(&key), items.last().map(&key))
}

fn visits(parent: &Visit, children: &[Child]) -> Vec<Visit> {
    let child = |(position, child): (usize, &Child)| Visit {
        id: child.id,
        low: if position == 0 { parent.low.clone() } else { child.key.clone() },
        high: children.get(position + 1).map(|next| next.key.clone()).or(parent.high.clone()),
        depth: parent.depth + 1,
    };
    children.iter().enumerate().map(child).rev().collect()
}
