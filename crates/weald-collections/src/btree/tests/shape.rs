//! Splits, joins and borrowing at their boundaries.

use std::ops::Bound::{Excluded, Included, Unbounded};

use super::support::{Grove, key, shuffled};
use crate::{
    SourceReader,
    btree::{Direction, INNER_KIND, inner::Inner},
};

/// Bytes of an entry with a key of four bytes and a value of six.
const ENTRY: u32 = 24;

#[test]
fn a7_a_leaf_is_split_one_entry_above_its_capacity() {
    let shuffle = shuffled(65, 5);
    let ascending: Vec<u32> = (0..65).collect();
    for order in [shuffle, ascending] {
        let mut grove = Grove::new(64 * ENTRY);
        for &n in &order[..64] {
            grove.put(key(n), "sixsix");
        }
        assert_eq!(grove.verify().leaves, 1);
        grove.put(key(order[64]), "sixsix");
        assert_eq!(grove.verify().leaves, 2);
        assert!((0..65).all(|n| grove.get(key(n)).is_some()));
        assert_eq!(grove.keys().len(), 65);
    }
}

#[test]
fn keys_put_in_ascending_order_leave_full_leaves() {
    let mut grove = Grove::new(10 * ENTRY);
    (0..1000).for_each(|n| drop(grove.put(key(n), "sixsix")));
    assert_eq!(grove.verify().leaves, 100);
}

#[test]
fn the_root_keeps_its_id_and_takes_back_the_last_childs_content() {
    let mut grove = Grove::new(64);
    let root = grove.tree.root();
    (0..100).for_each(|n| drop(grove.put(key(n), "v")));
    assert!(grove.verify().depth > 2);
    assert_eq!(grove.tree.root(), root);
    (0..100).for_each(|n| drop(grove.delete(key(n))));
    assert_eq!(grove.verify().depth, 1);
    assert_eq!(grove.blocks.0.len(), 1, "nothing but the root is left");
}

/// Two leaves of ten entries at most: 0..5 and 5..10 after an even split.
fn two_leaves(extra_left: u32, extra_right: u32) -> Grove {
    let mut grove = Grove::new(10 * ENTRY);
    let order: Vec<u32> = (0..10).map(|n| 100 * (n + 1)).rev().chain([50]).collect();
    order.into_iter().for_each(|n| drop(grove.put(key(n), "sixsix")));
    assert_eq!(grove.verify().leaves, 2);
    (0..extra_left).for_each(|n| drop(grove.put(key(1 + n), "sixsix")));
    (0..extra_right).for_each(|n| drop(grove.put(key(2000 + n), "sixsix")));
    assert_eq!(grove.verify().leaves, 2);
    grove
}

#[test]
fn a12_entries_borrowed_from_either_side_are_found() {
    // The left leaf gets low and borrows from the right one.
    let mut grove = two_leaves(0, 4);
    let keys = grove.keys();
    let survivors: Vec<_> = keys[4..].to_vec();
    keys[..4].iter().for_each(|key| drop(grove.delete(key)));
    assert_eq!(grove.verify().leaves, 2, "borrowed, not joined");
    assert!(survivors.iter().all(|key| grove.get(key).is_some()));
    assert_eq!(grove.keys(), survivors);

    // The right leaf gets low and borrows from the left one.
    let mut grove = two_leaves(4, 0);
    let keys = grove.keys();
    let (survivors, gone) = keys.split_at(keys.len() - 4);
    gone.iter().for_each(|key| drop(grove.delete(key)));
    assert_eq!(grove.verify().leaves, 2, "borrowed, not joined");
    assert!(survivors.iter().all(|key| grove.get(key).is_some()));
    assert_eq!(grove.keys(), survivors);
}

#[test]
fn a13_a_range_may_begin_between_two_leaves() {
    let mut grove = Grove::new(4 * ENTRY);
    (0..100).for_each(|n| drop(grove.put(key(10 * n), "sixsix")));
    for n in 0..99 {
        let crack = key(10 * n + 5);
        let next = grove.range((Included(&crack), Unbounded), Direction::Forward);
        assert_eq!(next[0].0, key(10 * n + 10));
        let previous = grove.range((Unbounded, Included(&crack)), Direction::Backward);
        assert_eq!(previous[0].0, key(10 * n));
    }
    for n in 1..99 {
        let gone = key(10 * n);
        let mut grove = grove.clone();
        grove.delete(gone);
        let next = grove.range((Included(&gone), Unbounded), Direction::Forward);
        assert_eq!(next[0].0, key(10 * n + 10));
        let previous = grove.range((Unbounded, Excluded(&gone)), Direction::Backward);
        assert_eq!(previous[0].0, key(10 * n - 10));
    }
}

#[test]
fn a14_many_sequential_inserts_over_several_levels_are_all_found() {
    let mut grove = Grove::new(256);
    (0..2200).for_each(|n| drop(grove.put(key(n), "v")));
    let survey = grove.verify();
    assert!(survey.depth >= 3, "{survey:?}");
    assert!((0..2200).all(|n| grove.get(key(n)).is_some()));
    assert_eq!(grove.keys(), (0..2200).map(|n| key(n).to_vec()).collect::<Vec<_>>());
}

#[test]
fn a15_deleting_around_the_roots_first_separator_keeps_every_survivor() {
    let mut grove = Grove::new(1024);
    for chunk in shuffled(70_000, 11).chunks(200) {
        grove.write(|tree, writer| {
            for &n in chunk {
                tree.put(writer, &key(n), &key(n)).unwrap();
            }
        });
    }
    assert_eq!(grove.verify().entries, 70_000);
    let root = grove.blocks.0[&grove.tree.root()].clone();
    assert_eq!(root.block.kind, INNER_KIND);
    let mut separator = Inner::of(&root).unwrap().key(1).unwrap().to_vec();
    separator.resize(4, 0);
    let middle = u32::from_be_bytes(separator.try_into().unwrap());
    let gone = middle.saturating_sub(1500)..middle.saturating_sub(1500) + 3000;
    for n in gone.clone() {
        assert!(grove.delete(key(n)).is_some());
    }
    assert_eq!(grove.verify().entries, 67_000);
    let expect: Vec<_> =
        (0..70_000).filter(|n| !gone.contains(n)).map(|n| key(n).to_vec()).collect();
    assert!(expect == grove.keys(), "the scan is complete");
    let mut reader = SourceReader(&grove.blocks);
    for n in 0..70_000 {
        let found = grove.tree.get(&mut reader, &key(n)).unwrap().is_some();
        assert_eq!(found, !gone.contains(&n), "{n}");
    }
}

#[test]
fn a_put_in_the_common_case_is_one_splice_as_large_as_the_entry() {
    let mut grove = Grove::new(4096);
    (0..20).for_each(|n| drop(grove.put(key(2 * n), [0; 100])));
    grove.revision = grove.revision.next();
    let bytes = |key: &[u8], value: &[u8]| {
        let mut writer = super::support::Writer::new(&grove.blocks, grove.revision);
        grove.tree.clone().put(&mut writer, key, value).unwrap();
        assert_eq!(writer.changed_count(), 1);
        writer.overlay().changed_bytes()
    };
    assert_eq!(bytes(&key(7), &[1; 100]), 14 + 4 + 100);
    assert_eq!(bytes(&key(8), &[1; 100]), 12 + 100, "an overwrite leaves the key");
}
