//! Random operations through the executor against an ordered map.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::{Orchard, key};
use crate::{
    RawTree,
    btree::{Direction, NodeCapacity},
    tree::{Expectation, KeyChange, TreeOptions},
};

type Changes = Vec<(u32, Option<usize>)>;

fn changes() -> impl Strategy<Value = Changes> {
    proptest::collection::vec((0u32..400, proptest::option::weighted(0.6, 0usize..60)), 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, ..ProptestConfig::default() })]

    #[test]
    fn a58_batches_agree_with_a_sorted_map_and_reopening_changes_nothing(
        capacity in 96u32..600,
        batches in proptest::collection::vec(changes(), 1..60),
    ) {
        let capacity = NodeCapacity::new(capacity).unwrap();
        let mut orchard = Orchard::new(&TreeOptions { capacity, ..TreeOptions::default() });
        let mut model = BTreeMap::new();
        for batch in batches {
            orchard.tree = RawTree::new(orchard.tree.name().clone());
            let changes = batch.iter().map(|&(n, put)| match put {
                Some(len) => KeyChange::put(key(n), Expectation::Any, vec![7; len]),
                None => KeyChange::delete(key(n), Expectation::Any),
            });
            let answer = orchard.run(orchard.tree.batch(changes.collect())).unwrap();
            for ((n, put), replaced) in batch.into_iter().zip(answer.replaced) {
                let before = match put {
                    Some(len) => model.insert(key(n), (Bytes::from(vec![7; len]), answer.revision)),
                    None => model.remove(&key(n)),
                };
                prop_assert_eq!(replaced, before.map(|(_, revision)| revision));
            }
            prop_assert_eq!(orchard.verify().entries, model.len() as u64);
        }
        let expect: Vec<_> = model.into_iter().map(|(key, (value, _))| (key, value)).collect();
        prop_assert_eq!(orchard.all(Direction::Forward), expect);
    }
}
