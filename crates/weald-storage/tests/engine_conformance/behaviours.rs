//! What an engine does while it is open.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use bytes::Bytes;
use weald_storage::engine::{
    Batch, Direction, Durability, EngineError, EngineKind, KEY_LEN_MAX, KeyRange, Keyspace,
};

use crate::subject::{Subject, entries, version_key};

pub(crate) fn a_new_engine_is_empty(kind: EngineKind) {
    let subject = Subject::new(kind);
    assert_eq!(subject.engine.kind(), kind);
    for keyspace in Keyspace::ALL {
        assert_eq!(subject.value(keyspace, b"k"), None);
        assert_eq!(subject.entries(keyspace), vec![]);
    }
}

pub(crate) fn a_batch_writes_all_keyspaces_at_once(kind: EngineKind) {
    let subject = Subject::new(kind);
    subject.write(|batch| {
        batch.put(Keyspace::Blocks, &b"k"[..], &b"block"[..]);
        batch.put(Keyspace::Meta, &b"k"[..], &b"meta"[..]);
    });
    assert_eq!(subject.value(Keyspace::Blocks, b"k"), Some("block".into()));
    assert_eq!(subject.value(Keyspace::Meta, b"k"), Some("meta".into()));
    subject.write(|batch| {
        batch.delete(Keyspace::Blocks, &b"k"[..]);
        batch.delete(Keyspace::Blocks, &b"never there"[..]);
    });
    assert_eq!(subject.value(Keyspace::Blocks, b"k"), None);
    assert_eq!(subject.value(Keyspace::Meta, b"k"), Some("meta".into()));
    subject.write(|_| {});
    assert_eq!(subject.entries(Keyspace::Meta).len(), 1);
}

pub(crate) fn writes_in_a_batch_take_effect_in_order(kind: EngineKind) {
    let subject = Subject::new(kind);
    subject.write(|batch| batch.put(Keyspace::Meta, &b"b"[..], &b"old"[..]));
    subject.write(|batch| {
        batch.put(Keyspace::Meta, &b"a"[..], &b"1"[..]);
        batch.put(Keyspace::Meta, &b"a"[..], &b"2"[..]);
        batch.put(Keyspace::Meta, &b"c"[..], &b"covered"[..]);
        batch.put(Keyspace::Meta, &b"d"[..], &b"1"[..]);
        batch.delete(Keyspace::Meta, &b"d"[..]);
        batch.delete_range(Keyspace::Meta, KeyRange::new(&b"b"[..], &b"d"[..]));
        batch.put(Keyspace::Meta, &b"b"[..], &b"new"[..]);
    });
    let expect: Vec<(Bytes, Bytes)> = vec![("a".into(), "2".into()), ("b".into(), "new".into())];
    assert_eq!(subject.entries(Keyspace::Meta), expect);
}

pub(crate) fn a_refused_batch_changes_nothing(kind: EngineKind) {
    let subject = Subject::new(kind);
    for key_len in [0, KEY_LEN_MAX + 1] {
        let mut batch = Batch::new();
        batch.put(Keyspace::Meta, &b"fine"[..], &b"1"[..]);
        batch.put(Keyspace::Blocks, vec![1; key_len], &b"1"[..]);
        let refused = subject.engine.write(batch, Durability::Unsynced).unwrap_err();
        assert!(matches!(refused, EngineError::TooLarge { .. }), "{refused}");
    }
    assert_eq!(subject.entries(Keyspace::Meta), vec![]);
    subject.write(|batch| batch.put(Keyspace::Meta, vec![1; KEY_LEN_MAX], &b"1"[..]));
    assert_eq!(subject.value(Keyspace::Meta, &[1; KEY_LEN_MAX]), Some("1".into()));
}

pub(crate) fn scans_go_both_ways_within_bounds(kind: EngineKind) {
    let subject = Subject::new(kind);
    let key = |number: u32| Bytes::copy_from_slice(&number.to_be_bytes());
    subject.write(|batch| {
        for number in (0..1000).step_by(2) {
            batch.put(Keyspace::Blocks, key(number), key(number + 1));
        }
        batch.put(Keyspace::Meta, key(3), &b"other keyspace"[..]);
    });
    let snapshot = subject.engine.snapshot().unwrap();
    let table = [
        (KeyRange::all(), (0..1000).step_by(2).collect::<Vec<u32>>()),
        (KeyRange::new(key(10), key(14)), vec![10, 12]),
        (KeyRange::new(key(9), key(15)), vec![10, 12, 14]),
        (KeyRange::new(key(9), key(10)), vec![]),
        (KeyRange::new(key(14), key(10)), vec![]),
        (KeyRange::new(key(10), key(10)), vec![]),
        (KeyRange::from(key(995)), vec![996, 998]),
        (KeyRange::from(key(2000)), vec![]),
        (KeyRange::prefix(vec![0, 0, 3]), (768..1000).step_by(2).collect()),
    ];
    for (range, mut expect) in table {
        let numbers = |direction| -> Vec<u32> {
            let read = entries(&*snapshot, Keyspace::Blocks, &range, direction);
            read.iter().map(|(key, _)| u32::from_be_bytes((**key).try_into().unwrap())).collect()
        };
        assert_eq!(numbers(Direction::Forward), expect, "{range:?}");
        expect.reverse();
        assert_eq!(numbers(Direction::Backward), expect, "{range:?}");
    }
    let mut scan = snapshot.scan(Keyspace::Blocks, &KeyRange::all(), Direction::Forward);
    assert_eq!(scan.next().unwrap().unwrap(), (key(0), key(1)), "a scan can be left early");
}

pub(crate) fn a_seek_finds_the_newest_version_of_a_block(kind: EngineKind) {
    let subject = Subject::new(kind);
    for index in [5, 9, 20] {
        subject.write(|batch| {
            for block in [1, 2, 3] {
                let value = format!("{block}@{index}");
                batch.put(Keyspace::Blocks, version_key(7, block, index), value);
            }
        });
    }
    let snapshot = subject.engine.snapshot().unwrap();
    let newest_at = |block, index| {
        let start = version_key(7, block, index);
        let range = KeyRange::new(start, version_key(7, block + 1, u64::MAX));
        let found = snapshot.scan(Keyspace::Blocks, &range, Direction::Forward).next();
        found.map(|entry| String::from_utf8(entry.unwrap().1.to_vec()).unwrap())
    };
    assert_eq!(newest_at(2, u64::MAX), Some("2@20".into()));
    assert_eq!(newest_at(2, 20), Some("2@20".into()));
    assert_eq!(newest_at(2, 19), Some("2@9".into()));
    assert_eq!(newest_at(2, 5), Some("2@5".into()));
    assert_eq!(newest_at(2, 4), None, "the first version of the next block is not an answer");
    assert_eq!(newest_at(4, u64::MAX), None);
}

pub(crate) fn a_snapshot_ignores_later_writes(kind: EngineKind) {
    let subject = Subject::new(kind);
    subject.write(|batch| {
        batch.put(Keyspace::Blocks, &b"changed"[..], &b"1"[..]);
        batch.put(Keyspace::Blocks, &b"deleted"[..], &b"1"[..]);
        batch.put(Keyspace::Blocks, &b"in range"[..], &b"1"[..]);
    });
    let before = subject.engine.snapshot().unwrap();
    let range = KeyRange::all();
    let mut scan = before.scan(Keyspace::Blocks, &range, Direction::Forward);
    assert_eq!(scan.next().unwrap().unwrap().0, "changed");
    subject.write(|batch| {
        batch.put(Keyspace::Blocks, &b"changed"[..], &b"2"[..]);
        batch.delete(Keyspace::Blocks, &b"deleted"[..]);
        batch.delete_range(Keyspace::Blocks, KeyRange::prefix(&b"in"[..]));
        batch.put(Keyspace::Blocks, &b"inserted"[..], &b"2"[..]);
    });
    let rest: Vec<Bytes> = scan.map(|entry| entry.unwrap().0).collect();
    assert_eq!(rest, vec!["deleted", "in range"], "a scan under way is not disturbed");
    for (key, old) in [("changed", Some("1")), ("deleted", Some("1")), ("inserted", None)] {
        let value = before.get(Keyspace::Blocks, key.as_bytes()).unwrap();
        assert_eq!(value, old.map(Bytes::from), "{key}");
    }
    assert_eq!(entries(&*before, Keyspace::Blocks, &range, Direction::Backward).len(), 3);
    let after: Vec<Bytes> =
        subject.entries(Keyspace::Blocks).into_iter().map(|entry| entry.0).collect();
    assert_eq!(after, vec!["changed", "inserted"]);
}

pub(crate) fn a_snapshot_outlives_the_handle_it_came_from(kind: EngineKind) {
    let subject = Subject::new(kind);
    subject.write(|batch| batch.put(Keyspace::Meta, &b"k"[..], &b"v"[..]));
    let snapshot = subject.engine.snapshot().unwrap();
    let Subject { engine, folder, .. } = subject;
    drop(engine);
    let read = thread::spawn(move || snapshot.get(Keyspace::Meta, b"k").unwrap()).join().unwrap();
    assert_eq!(read, Some("v".into()));
    drop(folder);
}

pub(crate) fn a_deleted_range_is_gone_and_its_neighbours_stay(kind: EngineKind) {
    let subject = Subject::new(kind);
    for index in 0..20 {
        subject.write(|batch| {
            for block in 0..50 {
                batch.put(Keyspace::Blocks, version_key(1, block, index), vec![3; 300]);
            }
        });
    }
    // Everything of block 10 that is older than index 15.
    subject.write(|batch| {
        let range = KeyRange::new(version_key(1, 10, 14), version_key(1, 11, u64::MAX));
        batch.delete_range(Keyspace::Blocks, range);
    });
    let left = subject.entries(Keyspace::Blocks);
    assert_eq!(left.len(), 20 * 50 - 15);
    let of_block = |block| {
        let range =
            KeyRange::new(version_key(1, block, u64::MAX), version_key(1, block + 1, u64::MAX));
        left.iter().filter(|(key, _)| range.contains(key)).count()
    };
    assert_eq!([of_block(9), of_block(10), of_block(11)], [20, 5, 20]);
    subject.write(|batch| batch.delete_range(Keyspace::Blocks, KeyRange::all()));
    assert_eq!(subject.entries(Keyspace::Blocks), vec![]);
    subject.write(|batch| batch.put(Keyspace::Blocks, version_key(1, 10, 3), &b"again"[..]));
    assert_eq!(subject.value(Keyspace::Blocks, &version_key(1, 10, 3)), Some("again".into()));
}

pub(crate) fn empty_and_large_values_come_back(kind: EngineKind) {
    let subject = Subject::new(kind);
    let large = Bytes::from((0..1 << 20).map(|n: u32| n.to_le_bytes()[0] ^ 7).collect::<Vec<u8>>());
    subject.write(|batch| {
        batch.put(Keyspace::Blocks, &b"empty"[..], Bytes::new());
        for number in 0..4_u8 {
            batch.put(Keyspace::Blocks, vec![b'l', number], large.clone());
        }
        batch.put(Keyspace::Blocks, vec![0], &b"zero key"[..]);
        batch.put(Keyspace::Blocks, vec![u8::MAX; 40], &b"high key"[..]);
    });
    assert_eq!(subject.value(Keyspace::Blocks, b"empty"), Some(Bytes::new()));
    assert_eq!(subject.value(Keyspace::Blocks, &[b'l', 3]), Some(large));
    assert_eq!(subject.value(Keyspace::Blocks, &[0]), Some("zero key".into()));
    assert_eq!(subject.value(Keyspace::Blocks, &[u8::MAX; 40]), Some("high key".into()));
    assert_eq!(subject.entries(Keyspace::Blocks).len(), 7);
    subject.write(|batch| batch.delete_range(Keyspace::Blocks, KeyRange::from(vec![u8::MAX])));
    assert_eq!(subject.value(Keyspace::Blocks, &[u8::MAX; 40]), None, "no end means to the last");
}

pub(crate) fn readers_beside_a_writer_see_whole_batches(kind: EngineKind) {
    let subject = Subject::new(kind);
    let done = AtomicBool::new(false);
    let read_until_done = || {
        let (mut rounds, mut last) = (0, 0);
        while !done.load(Ordering::Acquire) || rounds == 0 {
            let snapshot = subject.engine.snapshot().unwrap();
            let rows = entries(&*snapshot, Keyspace::Blocks, &KeyRange::all(), Direction::Forward);
            let meta = snapshot.get(Keyspace::Meta, b"round").unwrap();
            let round = meta.map_or(0, |b| u64::from_be_bytes((*b).try_into().unwrap()));
            assert!(round >= last, "rounds go forward");
            assert_eq!(rows.len(), if round == 0 { 0 } else { 16 });
            assert!(rows.iter().all(|(_, value)| value[..] == round.to_be_bytes()), "{round}");
            (rounds, last) = (rounds + 1, round);
        }
    };
    thread::scope(|scope| {
        let readers: Vec<_> = (0..3).map(|_| scope.spawn(read_until_done)).collect();
        for round in 1..=200_u64 {
            subject.write(|batch| {
                for key in 0..16_u8 {
                    batch.put(Keyspace::Blocks, vec![key + 1], round.to_be_bytes().to_vec());
                }
                batch.put(Keyspace::Meta, &b"round"[..], round.to_be_bytes().to_vec());
            });
        }
        done.store(true, Ordering::Release);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
}

pub(crate) fn size_and_verification_answer(kind: EngineKind) {
    let subject = Subject::new(kind);
    subject.write(|batch| {
        for block in 0..500 {
            batch.put(
                Keyspace::Blocks,
                version_key(1, block, 1),
                vec![block.to_le_bytes()[0]; 400],
            );
        }
    });
    subject.engine.sync().unwrap();
    assert!(subject.engine.disk_bytes().unwrap() >= 500 * 36);
    subject.engine.verify().unwrap();
    assert_eq!(subject.entries(Keyspace::Blocks).len(), 500, "verifying changes nothing");
}
