//! Layout of the state block.

use weald_core::Block;

use super::*;

fn sample() -> CollectionState {
    let id = |text: &str| BlockId::header(&text.parse().unwrap());
    let ends = ChainEnds {
        head: id("h"),
        tail: id("t"),
        oldest_revision: Revision(2),
        oldest_index: LogIndex(77),
        oldest_time: Time::from_millis(1_000),
    };
    let chain = ChainState {
        first: Sequence(3),
        next: Sequence(40),
        bytes: 512,
        hash: Digest::of("t", &[]),
        pruned: Revision(1),
        ends: Some(ends),
    };
    CollectionState { revision: Revision(9), items: 5, chain }
}

fn stored(payload: Bytes) -> StoredBlock {
    let name = "c".parse().unwrap();
    let (id, collection) = (BlockId::state(&name), BlockId::header(&name));
    let block = Block { id, kind: BlockKind::STATE, collection, payload };
    StoredBlock { block, revision: Revision(1) }
}

#[test]
fn state_round_trips_and_splices_reach_the_next_state() {
    for state in [CollectionState::default(), sample()] {
        assert_eq!(CollectionState::decode(&stored(state.encode())).unwrap(), state);
    }
    let before = sample();
    let mut after = before;
    after.revision = Revision(10);
    after.chain.next = Sequence(41);
    let splice = after.splice_from(&before).unwrap();
    assert!(splice.insert.len() <= 24, "bytes={}", splice.insert.len());
    let mut payload = before.encode().to_vec();
    let start = usize::try_from(splice.offset).unwrap();
    payload.splice(start..start + splice.insert.len(), splice.insert.iter().copied());
    assert_eq!(CollectionState::decode(&stored(payload.into())).unwrap(), after);
    assert_eq!(after.splice_from(&after), None);
}

#[test]
fn a_malformed_state_is_damage_and_never_a_panic() {
    let payload = sample().encode();
    for len in 0..payload.len() {
        assert!(CollectionState::decode(&stored(payload.slice(..len))).is_err());
    }
    for at in 0..payload.len() {
        let mut flipped = payload.to_vec();
        flipped[at] ^= 0xff;
        let _ = CollectionState::decode(&stored(flipped.into()));
    }
    let mut other = payload.to_vec();
    other[0] = 2;
    assert!(CollectionState::decode(&stored(other.into())).is_err());
}

/// A changed vector is a changed format: what is on disk could not be read.
#[test]
fn golden_state_holds() {
    let state = sample();
    let number = |n: u64| n.to_le_bytes().to_vec();
    let ends = state.chain.ends.unwrap();
    let expected = [
        vec![1],
        [9, 5, 40, 512].map(number).concat(),
        state.chain.hash.as_bytes().to_vec(),
        ends.tail.to_bytes().to_vec(),
        [3, 1, 2, 77, 1_000].map(number).concat(),
        ends.head.to_bytes().to_vec(),
    ];
    assert_eq!(state.encode(), expected.concat());
    assert_eq!(state.encode().len(), 153);
}
