//! Ends, block boundaries, seeks.

use super::*;

#[test]
fn a22_an_empty_chain_has_no_ends_and_gives_nothing() {
    let mut bench = Bench::default();
    assert!(bench.chain.is_empty());
    assert_eq!(bench.pop(3), vec![]);
    assert_eq!(bench.dequeue(3), vec![]);
    assert_eq!(bench.all(), vec![]);
    assert_eq!(bench.backward(9, 9), vec![]);
    let chain = bench.chain;
    assert_eq!(seek_revision(&mut bench, &chain, Revision(1)).unwrap(), Sequence(0));
    assert_eq!(bench.verify().unwrap(), 0);
}

#[test]
fn a22_several_entries_share_a_block_and_the_33rd_opens_the_second() {
    for (count, blocks) in [(1, 1), (31, 1), (32, 1), (33, 2), (64, 2), (65, 3)] {
        let mut bench = Bench::default();
        bench.append_numbers(0..count);
        assert_eq!(bench.blocks.len(), blocks, "count={count}");
        assert_eq!(bench.all(), (0..count).collect::<Vec<_>>());
        assert_eq!(bench.verify().unwrap(), count);
        let mut singly = Bench::default();
        (0..count).for_each(|n| singly.append_numbers(n..n + 1));
        assert_eq!(singly.blocks.len(), blocks, "count={count}");
        assert_eq!(singly.verify().unwrap(), count);
    }
}

#[test]
fn a22_large_entries_close_a_block_and_a_huge_one_stands_alone() {
    let mut bench = Bench::default();
    let sized = |n: u64, len: usize| {
        let mut payload = n.to_le_bytes().to_vec();
        payload.resize(len, 7);
        Bytes::from(payload)
    };
    let payloads = [sized(0, 9_000), sized(1, 9_000), sized(2, 1 << 20), sized(3, 8)];
    bench.append(&payloads);
    assert_eq!(bench.blocks.len(), 4);
    assert_eq!(bench.all(), vec![0, 1, 2, 3]);
    assert_eq!(bench.chain.bytes, payloads.iter().map(|p| p.len() as u64).sum::<u64>());
    assert_eq!(bench.verify().unwrap(), 4);
}

#[test]
fn a23_each_block_names_the_one_right_before_it() {
    let mut bench = Bench::default();
    let mut opened = Vec::new();
    for n in 0..200 {
        let tail = bench.chain.ends.map(|ends| ends.tail);
        bench.append_numbers(n..n + 1);
        let now = bench.chain.ends.unwrap().tail;
        if tail != Some(now) {
            let block = block::ChainBlock::read(&mut bench, now).unwrap();
            assert_eq!(block.head.prev, tail);
            opened.push(now);
        }
    }
    assert_eq!(opened.len(), 7);
}

#[test]
fn a24_taking_from_either_end_crosses_blocks_and_may_take_everything() {
    for taken in [1, 2, 31, 32, 33, 64, 99, 100, 150] {
        let expected: Vec<u64> = (0..100).collect();
        let kept = taken.min(100);
        let mut bench = Bench::default();
        bench.append_numbers(0..100);
        assert_eq!(bench.dequeue(taken), expected[..kept]);
        assert_eq!(bench.all(), expected[kept..]);
        assert_eq!(bench.verify().unwrap(), 100 - kept as u64);
        let mut bench = Bench::default();
        bench.append_numbers(0..100);
        let popped: Vec<u64> = expected[100 - kept..].iter().rev().copied().collect();
        assert_eq!(bench.pop(taken), popped);
        assert_eq!(bench.all(), expected[..100 - kept]);
        assert_eq!(bench.blocks.len(), (100 - kept).div_ceil(32));
        bench.append_numbers(500..540);
        assert_eq!(bench.all().last(), Some(&539));
        assert_eq!(bench.verify().unwrap(), 140 - kept as u64);
    }
}

#[test]
fn a24_popping_restores_the_hash_before() {
    let mut bench = Bench::default();
    let mut hashes = vec![bench.chain.hash];
    for n in 0..70 {
        bench.append_numbers(n..n + 1);
        hashes.push(bench.chain.hash);
    }
    for n in (0..70).rev() {
        bench.pop(1);
        assert_eq!(bench.chain.hash, hashes[n]);
    }
    assert!(bench.blocks.is_empty());
}

#[test]
fn a25_reading_both_ways_from_any_place_meets_every_entry_once() {
    let mut bench = Bench::default();
    bench.append_numbers(0..130);
    bench.dequeue(40);
    for from in [0, 39, 40, 41, 63, 64, 65, 127, 128, 129, 130, 200] {
        let start = from.clamp(40, 130);
        assert_eq!(bench.forward(from, 500), (start..130).collect::<Vec<_>>());
        assert_eq!(bench.backward(from, 500), (40..start).rev().collect::<Vec<_>>());
    }
    let chain = bench.chain;
    let mut cursor = ChainCursor::new(&chain, Sequence(64));
    for _ in 0..3 {
        assert_eq!(cursor.prev(&mut bench).unwrap().map(|e| value(&e)), Some(63));
        assert_eq!(cursor.next(&mut bench).unwrap().map(|e| value(&e)), Some(63));
        assert_eq!(cursor.next(&mut bench).unwrap().map(|e| value(&e)), Some(64));
        assert_eq!(cursor.prev(&mut bench).unwrap().map(|e| value(&e)), Some(64));
    }
    assert_eq!(cursor.position(), Sequence(64));
}

#[test]
fn a_byte_limit_ends_a_page_but_gives_at_least_one_entry() {
    let mut bench = Bench::default();
    bench.append_numbers(0..100);
    let chain = bench.chain;
    for (bytes_max, count) in [(0, 1), (8, 1), (15, 1), (16, 2), (usize::MAX, 100)] {
        let limit = ReadLimit { entries_max: 1000, bytes_max };
        let page = read_forward(&mut bench, &chain, Sequence(0), limit).unwrap();
        assert_eq!(page.len(), count);
        let page = read_backward(&mut bench, &chain, chain.next, limit).unwrap();
        assert_eq!(page.len(), count);
    }
}

#[test]
fn seeking_by_sequence_and_revision_costs_logarithmically_many_blocks() {
    let mut bench = Bench::default();
    let blocks = 4096_u64;
    for n in 0..blocks * 4 {
        bench.append_numbers(n * 8..n * 8 + 8);
    }
    let chain = bench.chain;
    for target in (0..chain.next.0).step_by(997) {
        bench.reads = 0;
        let found = read_forward(&mut bench, &chain, Sequence(target), ReadLimit::entries(1));
        assert_eq!(value(&found.unwrap()[0]), target);
        assert!(bench.reads <= 40, "target={target} reads={}", bench.reads);
        bench.reads = 0;
        let revision = Revision(target / 8 + 1);
        let sequence = seek_revision(&mut bench, &chain, revision).unwrap();
        assert_eq!(sequence, Sequence(target / 8 * 8));
        assert!(bench.reads <= 40, "revision={revision} reads={}", bench.reads);
    }
}

#[test]
fn seeking_a_revision_that_appended_nothing_finds_the_next() {
    let mut bench = Bench::default();
    for _ in 0..100 {
        bench.revision += 1;
        bench.append_numbers(0..5);
    }
    bench.dequeue(50);
    let chain = bench.chain;
    for (revision, sequence) in
        [(0, 50), (1, 50), (21, 50), (22, 50), (23, 55), (24, 55), (200, 495)]
    {
        let found = seek_revision(&mut bench, &chain, Revision(revision)).unwrap();
        assert_eq!(found, Sequence(sequence), "revision={revision}");
    }
    let end = seek_revision(&mut bench, &chain, Revision(201)).unwrap();
    assert_eq!(end, chain.next);
}
