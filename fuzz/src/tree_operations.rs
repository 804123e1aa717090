//! A B+tree against a map: any sequence of writes, lookups and ranges, on nodes of any size.

use std::collections::BTreeMap;
use std::ops::Bound;

use weald_collections::btree::{BTree, Conditional, Direction, EVERYTHING, Expected, NodeCapacity};
use weald_core::Revision;

use crate::blocks::Blocks;
use crate::script::Script;

type Model = BTreeMap<Vec<u8>, (Revision, Vec<u8>)>;

struct Subject {
    blocks: Blocks,
    tree: BTree,
    model: Model,
}

/// Reads `data` as a capacity and operations; every answer is the map's, and the tree verifies.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let capacity = [64, 100, 256, 1024][script.below(4)];
    let mut blocks = Blocks::new();
    let capacity = NodeCapacity::new(capacity).expect("a capacity within its bounds");
    let tree = BTree::create(&mut blocks, capacity).expect("memory takes a block");
    let mut subject = Subject { blocks, tree, model: Model::new() };
    for _ in 0..600 {
        if script.is_finished() {
            break;
        }
        subject.step(&mut script);
    }
    subject.verify();
}

impl Subject {
    fn step(&mut self, script: &mut Script<'_>) {
        self.blocks.revision = self.blocks.revision.next();
        let key = key(script);
        match script.byte() % 16 {
            0 => self.range(script, &key),
            1 => self.rekey(script, &key),
            2 => self.fill(script, &key),
            3 => self.verify(),
            4 => self.neighbours(&key),
            5..=8 => self.delete(&key),
            _ => self.put(script, &key),
        }
    }

    fn put(&mut self, script: &mut Script<'_>, key: &[u8]) {
        let value = value(script);
        let before = self.model.get(key).cloned();
        let (expected, holds) = match script.byte() % 8 {
            0 => (Expected::Absent, before.is_none()),
            1 => (Expected::Present, before.is_some()),
            2 => (
                Expected::At(Revision(3)),
                before.as_ref().is_some_and(|(revision, _)| *revision == Revision(3)),
            ),
            _ => (Expected::Anything, true),
        };
        let done =
            self.tree.put_if(&mut self.blocks, key, &value, expected).expect("every block is here");
        let (Conditional::Written(found) | Conditional::Refused(found)) = &done;
        assert_eq!(matches!(done, Conditional::Written(_)), holds);
        assert_eq!(found.as_ref().map(|entry| (entry.revision, entry.value.to_vec())), before);
        if holds {
            self.model.insert(key.to_vec(), (self.blocks.revision, value));
        }
    }

    fn delete(&mut self, key: &[u8]) {
        let found = self.tree.delete(&mut self.blocks, key).expect("every block is here");
        assert_eq!(
            found.map(|entry| (entry.revision, entry.value.to_vec())),
            self.model.remove(key)
        );
    }

    fn rekey(&mut self, script: &mut Script<'_>, from: &[u8]) {
        let (to, value) = (key(script), value(script));
        let done =
            self.tree.rekey(&mut self.blocks, from, &to, &value).expect("every block is here");
        let is_taken = from != to && self.model.contains_key(&to);
        let moves = self.model.contains_key(from) && !is_taken;
        assert_eq!(
            matches!(done, Conditional::Refused(_)),
            self.model.contains_key(from) && is_taken
        );
        if moves {
            self.model.remove(from);
            self.model.insert(to, (self.blocks.revision, value));
        }
    }

    /// Many neighbours at once, so that short inputs reach deep trees.
    fn fill(&mut self, script: &mut Script<'_>, key: &[u8]) {
        for number in 0..script.byte() {
            let key = [key, &[number]].concat();
            self.tree.put(&mut self.blocks, &key, &[number]).expect("every block is here");
            self.model.insert(key, (self.blocks.revision, vec![number]));
        }
    }

    fn neighbours(&mut self, key: &[u8]) {
        let (tree, blocks) = (&self.tree, &mut self.blocks);
        let entry =
            tree.get(blocks, key).expect("every block is here").map(|entry| entry.value.to_vec());
        assert_eq!(entry.as_ref(), self.model.get(key).map(|(_, value)| value));
        let after =
            tree.after(blocks, key).expect("every block is here").map(|entry| entry.key.to_vec());
        let above = (Bound::Excluded(key), Bound::Unbounded);
        assert_eq!(after.as_ref(), self.model.range::<[u8], _>(above).next().map(|(key, _)| key));
        let before =
            tree.before(blocks, key).expect("every block is here").map(|entry| entry.key.to_vec());
        assert_eq!(
            before.as_ref(),
            self.model
                .range::<[u8], _>((Bound::Unbounded, Bound::Excluded(key)))
                .next_back()
                .map(|(key, _)| key)
        );
    }

    fn range(&mut self, script: &mut Script<'_>, low: &[u8]) {
        let high = key(script);
        let bound = |kind: u8, key| match kind % 3 {
            0 => Bound::Unbounded,
            1 => Bound::Included(key),
            _ => Bound::Excluded(key),
        };
        let bounds = (bound(script.byte(), low), bound(script.byte(), &high[..]));
        let mut expected: Vec<Vec<u8>> = self
            .model
            .keys()
            .filter(|key| std::ops::RangeBounds::<[u8]>::contains(&bounds, &key[..]))
            .cloned()
            .collect();
        for direction in [Direction::Forward, Direction::Backward] {
            let scan = self.tree.range(&mut self.blocks, bounds, direction);
            let found: Vec<Vec<u8>> =
                scan.map(|entry| entry.expect("every block is here").key.to_vec()).collect();
            assert_eq!(found, expected);
            expected.reverse();
        }
    }

    fn verify(&mut self) {
        let survey = self.tree.verify(&mut self.blocks).expect("the tree is intact");
        assert_eq!(survey.entries, self.model.len() as u64);
        assert_eq!(
            usize::try_from(survey.leaves + survey.inners).expect("blocks fit into memory"),
            self.blocks.len(),
            "a node was lost or left behind"
        );
        let scan = self.tree.range(&mut self.blocks, EVERYTHING, Direction::Forward);
        let found = scan.map(|entry| entry.expect("every block is here"));
        assert!(
            found.map(|e| (e.key.to_vec(), (e.revision, e.value.to_vec()))).eq(self.model.clone())
        );
    }
}

/// Few different keys, so that operations meet; some long ones.
fn key(script: &mut Script<'_>) -> Vec<u8> {
    let byte = script.byte();
    match byte % 4 {
        0 => vec![byte; script.below(90)],
        1 => vec![script.byte(), script.byte()],
        _ => vec![byte],
    }
}

fn value(script: &mut Script<'_>) -> Vec<u8> {
    let byte = script.byte();
    if byte.is_multiple_of(8) {
        vec![byte; script.below(600)]
    } else {
        vec![byte; usize::from(byte % 32)]
    }
}
