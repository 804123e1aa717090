//! What a tree does, operation by operation.

use std::ops::Bound::{Excluded, Included, Unbounded};

use weald_core::Revision;

use super::support::{Grove, key, shuffled};
use crate::{
    SourceReader,
    btree::{BTreeError, Conditional, Direction, EVERYTHING, Expected},
};

const CAPACITIES: [u32; 3] = [64, 160, 4096];

#[test]
fn a1_an_empty_tree_has_nothing_and_an_inserted_entry_is_found() {
    let mut grove = Grove::new(4096);
    {
        let mut reader = SourceReader(&grove.blocks);
        assert_eq!(grove.tree.first(&mut reader).unwrap(), None);
        assert_eq!(grove.tree.last(&mut reader).unwrap(), None);
        assert_eq!(grove.tree.after(&mut reader, b"a").unwrap(), None);
        assert_eq!(grove.tree.before(&mut reader, b"a").unwrap(), None);
        assert_eq!(grove.tree.recount(&mut reader).unwrap(), 0);
    }
    assert_eq!(grove.get("a"), None);
    assert_eq!(grove.delete("a"), None);
    assert!(grove.range(EVERYTHING, Direction::Backward).is_empty());

    assert_eq!(grove.put("a", "1"), None);
    let entry = grove.get("a").unwrap();
    assert_eq!((&entry.key[..], &entry.value[..]), (&b"a"[..], &b"1"[..]));
    assert_eq!(entry.revision, grove.revision, "an entry stores who wrote it");
    assert_eq!(grove.get("b"), None);
    assert_eq!(grove.get(""), None);
}

#[test]
fn a2_sequential_and_shuffled_inserts_give_the_same_order() {
    for capacity in CAPACITIES {
        let fill = |numbers: &[u32]| {
            let mut grove = Grove::new(capacity);
            numbers.iter().for_each(|&number| drop(grove.put(key(number), key(number))));
            grove.verify();
            grove.all()
        };
        let ascending: Vec<u32> = (0..300).collect();
        let descending: Vec<u32> = (0..300).rev().collect();
        let expect: Vec<_> = (0..300).map(|n| (key(n).to_vec(), key(n).to_vec())).collect();
        assert_eq!(fill(&ascending), expect);
        assert_eq!(fill(&descending), expect);
        assert_eq!(fill(&shuffled(300, 7)), expect);
    }
}

#[test]
fn a3_ranges_honour_their_bounds() {
    for capacity in CAPACITIES {
        let mut grove = Grove::new(capacity);
        (0..50).for_each(|n| drop(grove.put(key(2 * n), "")));
        let (k10, k11, k20, k94, k98) = (key(10), key(11), key(20), key(94), key(98));
        let check = |bounds, expect: Vec<u32>| {
            let mut expect: Vec<_> =
                expect.into_iter().map(|n| (key(n).to_vec(), vec![])).collect();
            assert_eq!(grove.range(bounds, Direction::Forward), expect);
            expect.reverse();
            assert_eq!(grove.range(bounds, Direction::Backward), expect);
        };
        check((Included(&k10), Included(&k10)), vec![10]);
        check((Included(&k10), Included(&k20)), vec![10, 12, 14, 16, 18, 20]);
        check((Excluded(&k10), Excluded(&k20)), vec![12, 14, 16, 18]);
        check((Included(&k11), Excluded(&k20)), vec![12, 14, 16, 18]);
        check((Unbounded, Excluded(&k10)), vec![0, 2, 4, 6, 8]);
        check((Included(&k94), Unbounded), vec![94, 96, 98]);
        check((Excluded(&k10), Included(&k10)), vec![]);
        check((Included(&k20), Included(&k10)), vec![]);
        check((Excluded(&k98), Unbounded), vec![]);
    }
}

#[test]
fn a4_an_update_replaces_and_a_change_of_key_moves_the_entry() {
    let mut grove = Grove::new(64);
    (0..200).for_each(|n| drop(grove.put(key(2 * n), "old")));
    assert_eq!(&grove.put(key(20), "new").unwrap().value[..], b"old");
    assert_eq!(&grove.get(key(20)).unwrap().value[..], b"new");

    for n in (0..200).step_by(3) {
        let (from, to) = (key(2 * n), key(2 * n + 1));
        let moved = grove.write(|tree, writer| tree.rekey(writer, &from, &to, b"moved").unwrap());
        assert!(matches!(moved, Conditional::Written(Some(_))));
        grove.verify();
    }
    let expect: Vec<_> = (0..200).map(|n| key(2 * n + u32::from(n % 3 == 0)).to_vec()).collect();
    assert_eq!(grove.keys(), expect);

    let before = grove.all();
    let taken = grove.write(|tree, writer| tree.rekey(writer, &key(2), &key(4), b"x").unwrap());
    assert!(matches!(taken, Conditional::Refused(Some(_))));
    let absent = grove.write(|tree, writer| tree.rekey(writer, b"absent", b"z", b"x").unwrap());
    assert_eq!(absent, Conditional::Written(None));
    assert_eq!(grove.all(), before);
}

#[test]
fn a5_a_duplicate_insert_is_refused_and_changes_nothing() {
    let mut grove = Grove::new(4096);
    grove.put("a", "1");
    let changed = grove.write(|tree, writer| {
        let refused = tree.insert(writer, b"a", b"2").unwrap();
        assert!(matches!(refused, Conditional::Refused(Some(entry)) if entry.value == "1"));
        writer.changed_count()
    });
    assert_eq!(changed, 0);
    assert_eq!(&grove.get("a").unwrap().value[..], b"1");
}

#[test]
fn a6_deletes_in_any_pattern_leave_the_rest() {
    for capacity in CAPACITIES {
        let mut grove = Grove::new(capacity);
        (0..400).for_each(|n| drop(grove.put(key(n), "v")));
        (0..400).filter(|n| n % 2 == 1).for_each(|n| assert!(grove.delete(key(n)).is_some()));
        let survey = grove.verify();
        assert_eq!(survey.entries, 200);
        let even: Vec<_> = (0..400).filter(|n| n % 2 == 0).map(|n| key(n).to_vec()).collect();
        assert_eq!(grove.keys(), even);
        (0..300).for_each(|n| assert_eq!(grove.delete(key(n)).is_some(), n % 2 == 0));
        assert_eq!(grove.verify().entries, 50);
        for n in 0..200 {
            grove.put(key(1000 + n), "w");
            assert!(grove.delete(key(1000 + n / 2)).is_some() || n % 2 == 1);
        }
        assert_eq!(grove.verify().entries, 50 + 100);
    }
}

#[test]
fn a8_bulk_upserts_change_values_and_not_the_count() {
    for capacity in CAPACITIES {
        let mut grove = Grove::new(capacity);
        shuffled(500, 3).iter().for_each(|&n| drop(grove.put(key(n), "v")));
        assert_eq!(grove.verify().entries, 500);
        let longer = [b'x'; 40];
        grove.write(|tree, writer| {
            for n in shuffled(500, 4) {
                let previous = tree.put(writer, &key(n), &longer[..1 + n as usize % 40]).unwrap();
                assert_eq!(&previous.unwrap().value[..], b"v");
            }
        });
        assert_eq!(grove.verify().entries, 500);
        let fits = |(n, (_, value)): (usize, &(Vec<u8>, Vec<u8>))| value.len() == 1 + n % 40;
        assert!(grove.all().iter().enumerate().all(fits));
    }
}

#[test]
fn conditional_writes_hold_to_what_is_expected() {
    let mut grove = Grove::new(4096);
    grove.put("a", "1");
    let at = grove.revision;
    let check = |expected: Expected<'_>, key: &str, holds: bool| {
        let mut grove = grove.clone();
        let put = grove.write(|tree, w| tree.put_if(w, key.as_bytes(), b"2", expected).unwrap());
        assert_eq!(matches!(put, Conditional::Written(_)), holds, "{expected:?} {key}");
        assert_eq!(grove.get(key).is_some_and(|entry| entry.value == "2"), holds);
        let mut grove = grove.clone();
        grove.write(|tree, w| tree.put(w, b"a", b"1").unwrap());
    };
    check(Expected::Anything, "a", true);
    check(Expected::Anything, "b", true);
    check(Expected::Absent, "a", false);
    check(Expected::Absent, "b", true);
    check(Expected::Present, "a", true);
    check(Expected::Present, "b", false);
    check(Expected::At(at), "a", true);
    check(Expected::At(Revision(at.0 + 1)), "a", false);
    check(Expected::At(at), "b", false);
    check(Expected::Value(b"1"), "a", true);
    check(Expected::Value(b"0"), "a", false);
    check(Expected::Value(b""), "b", false);

    let refused = grove.write(|tree, w| tree.delete_if(w, b"a", Expected::Value(b"0")).unwrap());
    assert!(matches!(refused, Conditional::Refused(Some(_))));
    let refused = grove.write(|tree, w| tree.delete_if(w, b"b", Expected::Present).unwrap());
    assert_eq!(refused, Conditional::Refused(None));
    let done = grove.write(|tree, w| tree.delete_if(w, b"a", Expected::At(at)).unwrap());
    assert!(matches!(done, Conditional::Written(Some(_))));
    assert_eq!(grove.get("a"), None);
}

#[test]
fn keys_and_values_over_their_limits_are_refused() {
    let mut grove = Grove::new(64);
    grove.write(|tree, writer| {
        let refused = tree.put(writer, &[0; 1025], b"").unwrap_err();
        assert_eq!(refused, BTreeError::KeyTooLong { bytes: 1025 });
        let bytes = crate::btree::ENTRY_VALUE_BYTES_MAX + 1;
        let refused = tree.put(writer, b"k", &vec![0; bytes]).unwrap_err();
        assert_eq!(refused, BTreeError::ValueTooLarge { bytes });
        assert_eq!(writer.changed_count(), 0);
        tree.put(writer, &[0; 1024], &vec![1; bytes - 1]).unwrap();
        tree.put(writer, &[1; 1024], &vec![2; bytes - 1]).unwrap();
        tree.put(writer, &[2; 1024], &vec![3; bytes - 1]).unwrap();
    });
    assert_eq!(grove.verify().leaves, 3, "each large entry has a leaf of its own");
    assert_eq!(grove.get([1; 1024]).unwrap().value[0], 2);
}

#[test]
fn a16_operations_of_one_transaction_happen_in_order_and_a_failed_one_is_taken_back_alone() {
    let mut grove = Grove::new(64);
    grove.write(|tree, writer| {
        for n in 0..100 {
            tree.put(writer, &key(n), b"first").unwrap();
        }
        let savepoint = writer.savepoint();
        writer.fails_at = Some(writer.operations + 6);
        let failed = (100..200).try_for_each(|n| tree.put(writer, &key(n), b"lost").map(drop));
        assert!(matches!(failed, Err(BTreeError::Halt(_))));
        writer.rollback(savepoint);
        writer.fails_at = None;
        for n in 50..150 {
            tree.put(writer, &key(n), b"second").unwrap();
        }
    });
    assert_eq!(grove.verify().entries, 150);
    let values: Vec<_> = grove.all().into_iter().map(|(_, value)| value).collect();
    assert!(values[..50].iter().all(|value| value == b"first"));
    assert!(values[50..].iter().all(|value| value == b"second"));
}
