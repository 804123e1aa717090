//! A node taken apart, for the rare operations that move items between nodes.

use bytes::{Bytes, BytesMut};
use weald_core::{BlockId, BlockKind, Fault, StoredBlock};

use super::{
    INNER_KIND, LEAF_KIND, NodeCapacity, damaged,
    inner::{self, CHILD_OVERHEAD, Child, INNER_OVERHEAD},
    leaf::Leaf,
    node::Node,
    partition::{Bounds, Fill, cuts, even_cut},
};

/// The items of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Leaf(Vec<LeafItem>),
    Inner(Vec<Child>),
}

/// An entry of a leaf, encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeafItem {
    pub(crate) key: Bytes,
    pub(crate) bytes: Bytes,
}

/// One of the nodes that a node becomes.
#[derive(Debug)]
pub(crate) struct Part {
    /// The least key that it may hold; of no meaning for the first.
    pub(crate) low: Bytes,
    pub(crate) content: Content,
}

impl Content {
    pub(crate) fn of(stored: &StoredBlock) -> Result<Self, Fault> {
        match Node::of(stored)? {
            Node::Leaf(leaf) => leaf_items(leaf, &stored.block.payload).map(Self::Leaf),
            Node::Inner(inner) => inner.children().map(Self::Inner),
        }
    }

    pub(crate) const fn kind(&self) -> BlockKind {
        match self {
            Self::Leaf(_) => LEAF_KIND,
            Self::Inner(_) => INNER_KIND,
        }
    }

    pub(crate) const fn count(&self) -> usize {
        match self {
            Self::Leaf(items) => items.len(),
            Self::Inner(children) => children.len(),
        }
    }

    /// Items that a node of this kind has at least, unless it is the root.
    pub(crate) const fn items_min(&self) -> usize {
        match self {
            Self::Leaf(_) => 1,
            Self::Inner(_) => 2,
        }
    }

    /// Bytes of the encoded node.
    pub(crate) fn bytes(&self) -> usize {
        self.overhead() + self.sizes().iter().sum::<usize>()
    }

    /// Whether the node should look for a sibling to join or to borrow from.
    pub(crate) fn is_low(&self, capacity: NodeCapacity) -> bool {
        self.count() < self.items_min() || self.bytes() < capacity.low()
    }

    /// Whether the items of two siblings become one node.
    pub(crate) fn is_joinable(&self, capacity: NodeCapacity) -> bool {
        self.count() < 2 * self.items_min() || self.bytes() <= capacity.joined_max()
    }

    /// Appends the items of the next sibling, whose keys begin at `low`. `id` is named when the two
    /// are not of one kind.
    pub(crate) fn join(&mut self, low: Bytes, next: Self, id: BlockId) -> Result<(), Fault> {
        match (self, next) {
            (Self::Leaf(items), Self::Leaf(next)) => items.extend(next),
            (Self::Inner(children), Self::Inner(mut next)) => {
                next[0].key = low;
                children.extend(next);
            }
            _ => return Err(damaged(id, "siblings of different kinds")),
        }
        Ok(())
    }

    /// Cuts into two halves about equal; returns the second with the least key that it may hold.
    pub(crate) fn halve(&mut self) -> Part {
        let at = even_cut(&self.sizes(), self.items_min());
        self.split_off(at)
    }

    /// Cuts so that each part fits a node.
    pub(crate) fn into_parts(mut self, capacity: NodeCapacity, fill: Fill) -> Vec<Part> {
        let bounds = Bounds {
            overhead: self.overhead(),
            bytes_max: capacity.bytes(),
            items_min: self.items_min(),
        };
        let cuts = cuts(&self.sizes(), bounds, fill);
        let mut parts: Vec<_> = cuts.into_iter().rev().map(|at| self.split_off(at)).collect();
        parts.push(Part { low: Bytes::new(), content: self });
        parts.reverse();
        parts
    }

    pub(crate) fn encode(&self) -> Bytes {
        match self {
            Self::Leaf(items) => {
                let mut bytes = BytesMut::with_capacity(self.bytes());
                items.iter().for_each(|item| bytes.extend_from_slice(&item.bytes));
                bytes.freeze()
            }
            Self::Inner(children) => inner::encode(children),
        }
    }

    fn overhead(&self) -> usize {
        match self {
            Self::Leaf(_) => 0,
            Self::Inner(_) => INNER_OVERHEAD,
        }
    }

    fn sizes(&self) -> Vec<usize> {
        match self {
            Self::Leaf(items) => items.iter().map(|item| item.bytes.len()).collect(),
            Self::Inner(children) => {
                children.iter().map(|child| CHILD_OVERHEAD + child.key.len()).collect()
            }
        }
    }

    fn split_off(&mut self, at: usize) -> Part {
        match self {
            Self::Leaf(items) => {
                let right = items.split_off(at);
                let left = &items.last().expect("a part of a leaf has an entry").key;
                let low = separator(left, &right[0].key);
                Part { low, content: Self::Leaf(right) }
            }
            Self::Inner(children) => {
                let mut right = children.split_off(at);
                let low = std::mem::take(&mut right[0].key);
                Part { low, content: Self::Inner(right) }
            }
        }
    }
}

fn leaf_items(leaf: Leaf<'_>, payload: &Bytes) -> Result<Vec<LeafItem>, Fault> {
    let mut starts = Vec::new();
    leaf.index(&mut starts)?;
    let item = |start| {
        let slot = leaf.slot(start)?;
        let bytes = payload.slice(start..slot.end());
        Ok(LeafItem { key: payload.slice(slot.key), bytes })
    };
    starts.into_iter().map(item).collect()
}

/// The shortest key above `left` and not above `right`: a prefix of `right`.
fn separator(left: &Bytes, right: &Bytes) -> Bytes {
    let common = left.iter().zip(right).take_while(|(left, right)| left == right).count();
    right.slice(..right.len().min(common + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_separator_is_the_shortest_key_that_divides() {
        let check = |left: &'static str, right: &'static str, expect: &str| {
            let (left, right) = (Bytes::from(left), Bytes::from(right));
            let low = separator(&left, &right);
            assert_eq!(low, expect);
            assert!(left < low && low <= right);
        };
        check("apple", "banana", "b");
        check("app", "apple", "appl");
        check("", "x", "x");
        check("ab", "ac", "ac");
    }
}
