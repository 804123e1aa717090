//! The messages that one of two collections has and the other not.

use std::collections::BTreeSet;

use weald_core::Time;

use super::Fork;
use crate::{
    MessageEntry, MessageId, PageFault, PageMap,
    messages::index_of,
    page::{Page, PageRef, Pages, collect},
};

/// A page with its level.
#[derive(Clone, Copy)]
struct Node {
    level: u8,
    page: PageRef<()>,
}

/// What was found on one side only.
struct Comparison<'p> {
    pages: [&'p mut PageMap; 2],
    now: Time,
    only: [Vec<MessageEntry>; 2],
}

/// What each side lacks.
pub(super) fn compare(
    left: &mut Fork<'_>,
    right: &mut Fork<'_>,
    now: Time,
) -> Result<[Vec<MessageEntry>; 2], PageFault> {
    let node = |fork: &Fork<'_>| {
        let (level, root) = (fork.messages.level(), fork.messages.root());
        root.map(|page| Node { level, page: *page })
    };
    let at = [node(left), node(right)];
    let pages = [&mut *left.pages, &mut *right.pages];
    let mut comparison = Comparison { pages, now, only: [Vec::new(), Vec::new()] };
    comparison.compare(at)?;
    let [left_only, right_only] = comparison.only;
    Ok([without(right_only.clone(), &left_only), without(left_only, &right_only)])
}

/// `entries` that are not among `others` at another position, in the order of a union.
fn without(mut entries: Vec<MessageEntry>, others: &[MessageEntry]) -> Vec<MessageEntry> {
    let ids: BTreeSet<MessageId> = others.iter().map(|entry| entry.id).collect();
    entries.retain(|entry| !ids.contains(&entry.id));
    entries.sort_by_key(|entry| (entry.source, entry.id));
    entries.dedup_by_key(|entry| entry.id);
    entries
}

impl Comparison<'_> {
    fn compare(&mut self, at: [Option<Node>; 2]) -> Result<(), PageFault> {
        let live = |node: Option<Node>| node.filter(|n| n.page.summary.latest > self.now);
        match at.map(live) {
            [None, None] => Ok(()),
            [Some(left), None] => self.gather(0, left),
            [None, Some(right)] => self.gather(1, right),
            [Some(left), Some(right)] if left.page.cid == right.page.cid => Ok(()),
            [Some(left), Some(right)] if left.level > right.level => self.descend(0, left, right),
            [Some(left), Some(right)] if left.level < right.level => self.descend(1, right, left),
            [Some(left), Some(right)] => self.compare_equals(left, right),
        }
    }

    /// All below a page is on this side only.
    fn gather(&mut self, side: usize, node: Node) -> Result<(), PageFault> {
        let now = self.now;
        let below = |summary: &crate::Summary| summary.latest > now;
        let is_picked = |entry: &MessageEntry| entry.expires_at > now;
        let found =
            collect(&mut *self.pages[side], Some(&node.page), usize::MAX, (below, is_picked))?;
        self.only[side].extend(found);
        Ok(())
    }

    /// Compares the children of the higher page, which is on `side`, with the lower page.
    fn descend(&mut self, side: usize, high: Node, low: Node) -> Result<(), PageFault> {
        let level = high.level - 1;
        let place = |page: &PageRef<()>| index_of(page.summary.first, level);
        let mut has_met = false;
        for page in self.children(side, &high)?.into_iter().map(|(_, page)| page) {
            let child = Node { level, page };
            if place(&page) == place(&low.page) {
                has_met = true;
                let mut at = [Some(child), Some(low)];
                if side == 1 {
                    at.swap(0, 1);
                }
                self.compare(at)?;
            } else {
                let mut at = [Some(child), None];
                if side == 1 {
                    at.swap(0, 1);
                }
                self.compare(at)?;
            }
        }
        match (has_met, side) {
            (true, _) => Ok(()),
            (false, 0) => self.compare([None, Some(low)]),
            (false, _) => self.compare([Some(low), None]),
        }
    }

    fn children(&mut self, side: usize, node: &Node) -> Result<Vec<(u8, PageRef<()>)>, PageFault> {
        let pages = &mut *self.pages[side];
        match Pages::<MessageEntry>::load(pages, &node.page)? {
            Page::Inner { level, children } if level == node.level => Ok(children),
            _ => Err(Pages::<MessageEntry>::malformed(pages, &node.page, "it is of another level")),
        }
    }

    /// Two pages of one level that differ.
    fn compare_equals(&mut self, left: Node, right: Node) -> Result<(), PageFault> {
        if index_of(left.page.summary.first, left.level)
            != index_of(right.page.summary.first, right.level)
        {
            self.compare([Some(left), None])?;
            return self.compare([None, Some(right)]);
        }
        if left.level == 0 {
            return self.compare_leaves(&left, &right);
        }
        let level = left.level - 1;
        let (mut lefts, mut rights) = (self.children(0, &left)?, self.children(1, &right)?);
        while let Some(slot) = first_slot(&lefts, &rights) {
            let take = |children: &mut Vec<(u8, PageRef<()>)>| {
                let is_here = children.first().is_some_and(|(at, _)| *at == slot);
                is_here.then(|| Node { level, page: children.remove(0).1 })
            };
            let at = [take(&mut lefts), take(&mut rights)];
            self.compare(at)?;
        }
        Ok(())
    }

    fn compare_leaves(&mut self, left: &Node, right: &Node) -> Result<(), PageFault> {
        let entries = [self.leaf(0, left)?, self.leaf(1, right)?];
        for (side, other) in [(0, 1), (1, 0)] {
            let is_only = |entry: &&MessageEntry| {
                entry.expires_at > self.now && !entries[other].contains(entry)
            };
            let found: Vec<_> = entries[side].iter().filter(is_only).copied().collect();
            self.only[side].extend(found);
        }
        Ok(())
    }

    fn leaf(&mut self, side: usize, node: &Node) -> Result<Vec<MessageEntry>, PageFault> {
        let pages = &mut *self.pages[side];
        match Pages::<MessageEntry>::load(pages, &node.page)? {
            Page::Leaf(entries) => Ok(entries),
            Page::Inner { .. } => {
                Err(Pages::<MessageEntry>::malformed(pages, &node.page, "it is not a leaf"))
            }
        }
    }
}

/// The lowest slot that is in one of two lists.
fn first_slot(left: &[(u8, PageRef<()>)], right: &[(u8, PageRef<()>)]) -> Option<u8> {
    left.first().into_iter().chain(right.first()).map(|(slot, _)| *slot).min()
}
