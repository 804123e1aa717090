//! Random operations against ordered maps.

use std::{collections::BTreeMap, ops::Bound};

use proptest::prelude::*;

use super::support::{Grove, Pairs, key};
use crate::{
    SourceReader,
    btree::{Conditional, Direction, EVERYTHING},
};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

fn pairs(model: impl IntoIterator<Item = (impl AsRef<[u8]>, impl AsRef<[u8]>)>) -> Pairs {
    model.into_iter().map(|(k, v)| (k.as_ref().to_vec(), v.as_ref().to_vec())).collect()
}

/// Everything that can be asked of the tree agrees with the model.
fn check_all(grove: &Grove, model: &Model, probes: &[u32]) {
    assert_eq!(grove.verify().entries, model.len() as u64);
    assert_eq!(grove.all(), pairs(model));
    assert_eq!(grove.range(EVERYTHING, Direction::Backward), pairs(model.iter().rev()));
    let mut reader = SourceReader(&grove.blocks);
    for &probe in probes {
        let probe = key(probe);
        let found = grove.get(probe).map(|entry| entry.value.to_vec());
        assert_eq!(found.as_ref(), model.get(&probe[..]));
        let after = grove.tree.after(&mut reader, &probe).unwrap().map(|entry| entry.key.to_vec());
        let above = (Bound::Excluded(probe.to_vec()), Bound::Unbounded);
        assert_eq!(after, model.range(above).next().map(|(key, _)| key.clone()));
        let before = grove.tree.before(&mut reader, &probe).unwrap().map(|e| e.key.to_vec());
        assert_eq!(before, model.range(..probe.to_vec()).next_back().map(|(key, _)| key.clone()));
    }
}

fn check_ranges(grove: &Grove, model: &Model, probes: &[u32]) {
    for (&low, &high) in probes.iter().zip(probes.iter().skip(1)) {
        let (low, high) = (key(low.min(high)), key(low.max(high)));
        for bounds in [
            (Bound::Included(&low[..]), Bound::Included(&high[..])),
            (Bound::Excluded(&low[..]), Bound::Unbounded),
            (Bound::Unbounded, Bound::Excluded(&high[..])),
        ] {
            let owned = (bounds.0.map(<[u8]>::to_vec), bounds.1.map(<[u8]>::to_vec));
            let expect = pairs(model.range(owned));
            let mut reversed = grove.range(bounds, Direction::Backward);
            reversed.reverse();
            assert_eq!(grove.range(bounds, Direction::Forward), expect);
            assert_eq!(reversed, expect);
        }
    }
}

#[derive(Clone, Debug)]
enum Operation {
    Put(u32, usize),
    Insert(u32, usize),
    Delete(u32),
    Rekey(u32, u32),
    Reopen,
}

fn operation(keys: u32, value_max: usize) -> impl Strategy<Value = Operation> {
    // Odd numbers only, so that even ones are cracks.
    let number = move || (0..keys).prop_map(|n| 2 * n + 1);
    prop_oneof![
        4 => (number(), 0..value_max).prop_map(|(n, len)| Operation::Put(n, len)),
        2 => (number(), 0..value_max).prop_map(|(n, len)| Operation::Insert(n, len)),
        5 => number().prop_map(Operation::Delete),
        1 => (number(), number()).prop_map(|(from, to)| Operation::Rekey(from, to)),
        1 => Just(Operation::Reopen),
    ]
}

fn apply(grove: &mut Grove, model: &mut Model, operation: &Operation) {
    match *operation {
        Operation::Put(n, len) => {
            let previous = grove.put(key(n), vec![b'p'; len]).map(|entry| entry.value.to_vec());
            assert_eq!(previous, model.insert(key(n).to_vec(), vec![b'p'; len]));
        }
        Operation::Insert(n, len) => {
            let value = vec![b'i'; len];
            let done = grove.write(|tree, writer| tree.insert(writer, &key(n), &value).unwrap());
            let is_new = !model.contains_key(&key(n)[..]);
            assert_eq!(matches!(done, Conditional::Written(_)), is_new);
            model.entry(key(n).to_vec()).or_insert(value);
        }
        Operation::Delete(n) => {
            let previous = grove.delete(key(n)).map(|entry| entry.value.to_vec());
            assert_eq!(previous, model.remove(&key(n)[..]));
        }
        Operation::Rekey(from, to) => {
            let (from, to) = (key(from), key(to));
            let done = grove.write(|tree, writer| tree.rekey(writer, &from, &to, b"r").unwrap());
            let possible =
                model.contains_key(&from[..]) && (from == to || !model.contains_key(&to[..]));
            assert_eq!(matches!(done, Conditional::Written(Some(_))), possible);
            if possible {
                model.remove(&from[..]);
                model.insert(to.to_vec(), b"r".to_vec());
            }
        }
        Operation::Reopen => grove.reopen(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Four to eight entries a node, everything compared after every step.
    #[test]
    fn a18_a_tree_of_small_nodes_agrees_with_a_sorted_map_after_every_step(
        capacity in 72u32..150,
        operations in proptest::collection::vec(operation(40, 8), 1..150),
    ) {
        let (mut grove, mut model) = (Grove::new(capacity), Model::new());
        let probes: Vec<u32> = (0..=81).collect();
        for operation in &operations {
            apply(&mut grove, &mut model, operation);
            check_all(&grove, &model, &probes);
            check_ranges(&grove, &model, &[0, 1, 20, 41, 40, 81, 200, 7]);
        }
    }

    /// About 64 entries a node.
    #[test]
    fn a19_a_tree_of_larger_nodes_agrees_with_a_sorted_map(
        capacity in 1400u32..1600,
        operations in proptest::collection::vec(operation(600, 8), 500..1500),
    ) {
        let (mut grove, mut model) = (Grove::new(capacity), Model::new());
        for (step, operation) in operations.iter().enumerate() {
            apply(&mut grove, &mut model, operation);
            if step % 100 == 0 {
                check_all(&grove, &model, &[0, 1, 300, 601, 900, 1200]);
                check_ranges(&grove, &model, &[0, 600, 601, 1201]);
            }
        }
        check_all(&grove, &model, &(0..1201).collect::<Vec<_>>());
    }

    /// Values from nothing to several nodes' size.
    #[test]
    fn a_tree_of_uneven_entries_agrees_with_a_sorted_map(
        capacity in 64u32..400,
        operations in proptest::collection::vec(operation(60, 500), 1..200),
    ) {
        let (mut grove, mut model) = (Grove::new(capacity), Model::new());
        for operation in &operations {
            apply(&mut grove, &mut model, operation);
            check_all(&grove, &model, &[3, 4]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3, ..ProptestConfig::default() })]

    #[test]
    fn ten_thousand_operations_with_reopening_agree_with_a_sorted_map(
        capacity in prop_oneof![Just(100u32), Just(512), Just(4096)],
        operations in proptest::collection::vec(operation(3000, 40), 10_000),
    ) {
        let (mut grove, mut model) = (Grove::new(capacity), Model::new());
        for (step, operation) in operations.iter().enumerate() {
            apply(&mut grove, &mut model, operation);
            if step % 1000 == 999 {
                check_all(&grove, &model, &[1, 2, 3000, 5999, 6001]);
            }
        }
    }
}

#[test]
fn a19_a_cascade_of_deletes_empties_a_tree_of_several_levels() {
    for capacity in [64, 150, 1536] {
        let mut grove = Grove::new(capacity);
        (0..3000).for_each(|n| drop(grove.put(key(n), "value")));
        assert!(grove.verify().depth > 1);
        for (left, n) in super::support::shuffled(3000, 9).into_iter().enumerate() {
            assert!(grove.delete(key(n)).is_some());
            if left % 500 == 0 {
                grove.verify();
            }
        }
        assert_eq!(grove.blocks.0.len(), 1);
        assert!(grove.all().is_empty());
    }
}
