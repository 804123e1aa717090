//! Every change of a stored chain is found.

use weald_core::Digest;

use super::{block::ChainBlock, *};

fn three_blocks() -> Bench {
    let mut bench = Bench::default();
    for n in 0..80 {
        bench.append_numbers(n..n + 1);
    }
    bench
}

#[test]
fn a29_each_block_stores_the_hash_that_its_predecessor_gives() {
    let mut bench = Bench::default();
    bench.append_numbers(0..300);
    let mut hash = Digest::ZERO;
    let mut at = bench.chain.ends.map(|ends| ends.head);
    let mut blocks = 0;
    while let Some(id) = at {
        let block = ChainBlock::read(&mut bench, id).unwrap();
        assert_eq!(block.head.hash, hash);
        for sequence in block.head.first.0..block.end().0 {
            let entry = block.entry(Sequence(sequence)).unwrap();
            hash = block::next_hash(&hash, entry.sequence, &block::encode_entry(&entry));
        }
        at = block.head.next;
        blocks += 1;
    }
    assert_eq!((blocks, hash), (10, bench.chain.hash));
}

#[test]
fn a34_flipping_any_byte_of_a_chain_block_is_found() {
    let clean = three_blocks();
    assert_eq!(clean.clone().verify().unwrap(), 80);
    for (&id, stored) in &clean.blocks {
        for at in 0..stored.block.payload.len() {
            let mut bench = clean.clone();
            let mut payload = stored.block.payload.to_vec();
            payload[at] ^= 0x10;
            Arc::make_mut(bench.blocks.get_mut(&id).unwrap()).block.payload = payload.into();
            assert!(bench.verify().is_err(), "block={id} at={at}");
        }
    }
}

#[test]
fn a_missing_block_is_a_fault_and_never_the_end() {
    let clean = three_blocks();
    for id in clean.blocks.keys() {
        let mut bench = clean.clone();
        bench.blocks.remove(id);
        assert!(matches!(bench.verify(), Err(ChainDamage::Halt(Halt::Fault(_)))));
    }
}

#[test]
fn what_is_retained_verifies_without_what_is_gone() {
    let mut bench = three_blocks();
    for left in (0..80).rev() {
        bench.dequeue(1);
        assert_eq!(bench.verify().unwrap(), left);
    }
}

#[test]
fn another_state_than_the_blocks_say_is_found() {
    let clean = three_blocks();
    let changes: [fn(&mut ChainState); 6] = [
        |chain| chain.first = Sequence(1),
        |chain| chain.next = Sequence(81),
        |chain| chain.bytes += 1,
        |chain| chain.hash = Digest::ZERO,
        |chain| chain.ends.as_mut().unwrap().oldest_index = LogIndex(11),
        |chain| {
            let ends = chain.ends.as_mut().unwrap();
            ends.head = ends.tail;
        },
    ];
    for (n, change) in changes.into_iter().enumerate() {
        let mut bench = clean.clone();
        change(&mut bench.chain);
        assert!(bench.verify().is_err(), "change={n}");
    }
}

#[test]
fn malformed_chain_blocks_are_damage_and_never_a_panic() {
    let clean = three_blocks();
    let id = clean.chain.ends.unwrap().tail;
    let payload = clean.blocks[&id].block.payload.clone();
    for len in 0..payload.len() {
        let mut bench = clean.clone();
        let cut = payload.slice(..len);
        Arc::make_mut(bench.blocks.get_mut(&id).unwrap()).block.payload = cut;
        assert!(bench.verify().is_err(), "len={len}");
    }
}
