//! A damaged block in a chain: reading, verifying and changing the chain ends, with a fault or without, and never
//! panics. Damage that changes what is kept is found.

use std::sync::LazyLock;

use bytes::Bytes;
use weald_collections::ChainState;
use weald_collections::chain::{
    ChainVerifier, EntryStamp, ReadLimit, append, dequeue, pop, read_backward, read_forward,
    seek_revision,
};
use weald_core::{LogIndex, PlacementKey, Revision, Time, TransactionId};

use crate::blocks::Blocks;
use crate::script::Script;

static INTACT: LazyLock<(Blocks, ChainState)> = LazyLock::new(intact);

/// Reads `data` as which block to damage and how: bytes over a part of it, or in place of it.
pub fn run(data: &[u8]) {
    let (mut blocks, chain) = INTACT.clone();
    let mut script = Script::new(data);
    let position = script.below(blocks.len());
    let before = blocks.payload(position);
    let mut payload = if script.byte().is_multiple_of(2) { before.to_vec() } else { Vec::new() };
    while !script.is_finished() {
        let at = script.below(payload.len() + 1);
        let remove = script.below(payload.len() - at + 1).min(16);
        payload.splice(at..at + remove, script.bytes(256).iter().copied());
    }
    let is_changed = payload != before;
    blocks.damage(position, payload);

    let verified = ChainVerifier::new(&chain).run(&mut blocks);
    assert!(!is_changed || verified.is_err(), "the verifier passed a changed block");
    let all = ReadLimit::entries(10_000);
    let _ = read_forward(&mut blocks, &chain, chain.first, all);
    let _ = read_backward(&mut blocks, &chain, chain.next, all);
    let _ = seek_revision(&mut blocks, &chain, Revision(3));
    for change in [extend, shorten_front, shorten_end] {
        change(&mut blocks.clone(), &mut chain.clone());
    }
}

/// Four blocks of entries, some transactions over the boundary of two.
fn intact() -> (Blocks, ChainState) {
    let (mut blocks, mut chain) = (Blocks::new(), ChainState::default());
    for _ in 0..6 {
        blocks.revision = blocks.revision.next();
        extend(&mut blocks, &mut chain);
    }
    (blocks, chain)
}

fn extend(blocks: &mut Blocks, chain: &mut ChainState) {
    let revision = blocks.revision;
    let transaction = TransactionId::new(PlacementKey::from_u64(1), [1; 16]);
    let stamp = EntryStamp {
        revision,
        transaction,
        index: LogIndex(revision.0),
        time: Time::from_millis(7),
    };
    let payloads: Vec<Bytes> =
        (0..20_u8).map(|number| vec![number; usize::from(number)].into()).collect();
    let _ = append(blocks, chain, &stamp, &payloads);
}

fn shorten_front(blocks: &mut Blocks, chain: &mut ChainState) {
    let _ = dequeue(blocks, chain, 50);
}

fn shorten_end(blocks: &mut Blocks, chain: &mut ChainState) {
    let _ = pop(blocks, chain, 50);
}
