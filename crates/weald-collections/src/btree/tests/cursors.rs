//! Cursors under change.

use super::support::{Grove, key};
use crate::{
    SourceReader,
    btree::{BTree, BTreeError, Entry},
};

fn grove(count: u32) -> Grove {
    let mut grove = Grove::new(64);
    (0..count).for_each(|n| drop(grove.put(key(2 * n), "v")));
    grove
}

fn number(entry: Option<&Entry>) -> Option<u32> {
    entry.map(|entry| u32::from_be_bytes(entry.key[..].try_into().unwrap()))
}

#[test]
fn a_cursor_walks_both_ways_and_over_gaps() {
    let grove = grove(50);
    let (tree, reader) = (&grove.tree, &mut SourceReader(&grove.blocks));
    let mut cursor = tree.seek(reader, &key(40)).unwrap();
    assert_eq!(number(cursor.entry(tree).unwrap()), Some(40));
    assert_eq!(number(cursor.next(tree, reader).unwrap()), Some(42));
    assert_eq!(number(cursor.prev(tree, reader).unwrap()), Some(40));
    assert_eq!(number(cursor.prev(tree, reader).unwrap()), Some(38));
    assert_eq!(number(cursor.next(tree, reader).unwrap()), Some(40));

    let mut gap = tree.seek(reader, &key(41)).unwrap();
    assert_eq!(gap.entry(tree).unwrap(), None);
    assert_eq!(number(gap.clone().next(tree, reader).unwrap()), Some(42));
    assert_eq!(number(gap.prev(tree, reader).unwrap()), Some(40));

    let mut end = tree.seek_end(reader).unwrap();
    assert_eq!(number(end.next(tree, reader).unwrap()), None);
    assert_eq!(number(end.prev(tree, reader).unwrap()), Some(98));
    let mut start = tree.seek_start(reader).unwrap();
    let mut seen = Vec::new();
    while let Some(n) = number(start.next(tree, reader).unwrap()) {
        seen.push(n);
    }
    assert_eq!(seen, (0..50).map(|n| 2 * n).collect::<Vec<_>>());
    assert_eq!(number(start.prev(tree, reader).unwrap()), Some(98));
}

#[test]
fn a9_a_cursor_is_stale_after_any_change_that_was_not_made_with_it() {
    type Change = fn(&mut BTree, &mut super::support::Writer<'_>);
    let changes: [Change; 6] = [
        |tree, writer| drop(tree.put(writer, b"new", b"")),
        |tree, writer| drop(tree.insert(writer, b"new", b"")),
        |tree, writer| drop(tree.put(writer, &key(4), b"other")),
        |tree, writer| drop(tree.delete(writer, &key(4))),
        |tree, writer| {
            let mut other = tree.seek(writer, &key(4)).unwrap();
            tree.update_at(writer, &mut other, b"other").unwrap();
        },
        |tree, writer| {
            let mut other = tree.seek(writer, &key(4)).unwrap();
            tree.delete_at(writer, &mut other).unwrap();
        },
    ];
    for change in changes {
        let mut grove = grove(20);
        grove.write(|tree, writer| {
            let mut cursor = tree.seek(writer, &key(10)).unwrap();
            change(tree, writer);
            assert_eq!(cursor.entry(tree), Err(BTreeError::StaleCursor));
            assert_eq!(cursor.next(tree, writer), Err(BTreeError::StaleCursor));
            assert_eq!(cursor.prev(tree, writer), Err(BTreeError::StaleCursor));
            let refused = tree.update_at(writer, &mut cursor, b"x");
            assert_eq!(refused, Err(BTreeError::StaleCursor));
            assert_eq!(tree.delete_at(writer, &mut cursor), Err(BTreeError::StaleCursor));
        });
    }
}

#[test]
fn a9_a_change_that_changed_nothing_leaves_cursors_valid() {
    let mut grove = grove(20);
    grove.write(|tree, writer| {
        let cursor = tree.seek(writer, &key(10)).unwrap();
        tree.insert(writer, &key(10), b"refused").unwrap();
        tree.delete(writer, b"absent").unwrap();
        assert_eq!(number(cursor.entry(tree).unwrap()), Some(10));
    });
}

#[test]
fn a9_the_cursor_that_changes_the_tree_stays_valid() {
    let mut grove = grove(60);
    grove.write(|tree, writer| {
        let mut cursor = tree.seek(writer, &key(40)).unwrap();
        let previous = tree.update_at(writer, &mut cursor, &[b'x'; 60]).unwrap();
        assert_eq!(&previous.value[..], b"v");
        assert_eq!(&cursor.entry(tree).unwrap().unwrap().value[..], &[b'x'; 60]);
        assert_eq!(number(cursor.next(tree, writer).unwrap()), Some(42));

        let mut removed = 0;
        while cursor.entry(tree).unwrap().is_some() {
            tree.delete_at(writer, &mut cursor).unwrap();
            removed += 1;
            assert_eq!(cursor.entry(tree).unwrap(), None);
            assert_eq!(
                tree.delete_at(writer, &mut cursor).unwrap_err(),
                BTreeError::OffEntry,
                "a gap has nothing to delete"
            );
            cursor.next(tree, writer).unwrap();
        }
        assert_eq!(removed, 60 - 21);
        assert_eq!(number(cursor.prev(tree, writer).unwrap()), Some(40));
    });
    assert_eq!(grove.verify().entries, 21);
}

#[test]
fn a10_a_change_while_iterating_is_an_error_on_the_next_step() {
    let mut grove = grove(20);
    grove.write(|tree, writer| {
        let mut cursor = tree.seek_start(writer).unwrap();
        assert_eq!(number(cursor.next(tree, writer).unwrap()), Some(0));
        tree.put(writer, &key(1), b"between").unwrap();
        assert_eq!(cursor.next(tree, writer), Err(BTreeError::StaleCursor));
        let mut again = tree.seek(writer, &key(0)).unwrap();
        assert_eq!(number(again.next(tree, writer).unwrap()), Some(1));
    });
}

#[test]
fn a20_cursors_on_two_snapshots_see_exactly_their_own() {
    let mut grove = grove(100);
    let (early, early_tree) = (grove.blocks.clone(), grove.tree.clone());
    (0..100).filter(|n| n % 3 != 0).for_each(|n| drop(grove.delete(key(2 * n))));
    let (late, late_tree) = (grove.blocks.clone(), grove.tree.clone());
    let (mut early_reader, mut late_reader) = (SourceReader(&early), SourceReader(&late));
    let mut first = early_tree.seek_start(&mut early_reader).unwrap();
    let mut second = late_tree.seek_start(&mut late_reader).unwrap();
    let (mut early_seen, mut late_seen) = (Vec::new(), Vec::new());
    for n in 0..200 {
        early_seen.extend(number(first.next(&early_tree, &mut early_reader).unwrap()));
        late_seen.extend(number(second.next(&late_tree, &mut late_reader).unwrap()));
        grove.put(key(2 * n + 1), "splits");
        grove.delete(key(6 * (n / 2)));
    }
    grove.verify();
    assert_eq!(early_seen, (0..100).map(|n| 2 * n).collect::<Vec<_>>());
    assert_eq!(late_seen, (0..34).map(|n| 6 * n).collect::<Vec<_>>());
}
