//! Behaviour of the overlay against a map of blocks.

use std::cell::Cell;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{BlockKind, CollectionName, Fault, PlacementKey, TransactionId};

/// A source that counts how often it is asked.
#[derive(Default)]
struct Map {
    blocks: BTreeMap<BlockId, Arc<StoredBlock>>,
    asked: Cell<usize>,
}

impl BlockSource for Map {
    fn block(&self, id: BlockId) -> Result<BlockRead, Fault> {
        self.asked.set(self.asked.get() + 1);
        Ok(self.blocks.get(&id).map_or(BlockRead::Absent, |b| BlockRead::Present(b.clone())))
    }
}

fn name() -> CollectionName {
    "c".parse().unwrap()
}

fn id(n: u32) -> BlockId {
    let key = PlacementKey::of(&name());
    BlockId::derived(key, &TransactionId::new(key, [0; 16]), n)
}

fn block(n: u32, payload: &[u8]) -> Block {
    let collection = BlockId::header(&name());
    let payload = Bytes::copy_from_slice(payload);
    Block { id: id(n), kind: BlockKind::CHAIN, collection, payload }
}

fn map(blocks: &[(u32, &[u8])]) -> Map {
    let stored = |&(n, payload): &(u32, &[u8])| {
        (id(n), Arc::new(StoredBlock { block: block(n, payload), revision: Revision(1) }))
    };
    Map { blocks: blocks.iter().map(stored).collect(), asked: Cell::new(0) }
}

fn payload(overlay: &mut Overlay<'_>, n: u32) -> Option<Bytes> {
    overlay.read(id(n)).unwrap().map(|stored| stored.block.payload.clone())
}

/// The source after the overlay's effects.
fn committed(source: &Map, overlay: Overlay<'_>, revision: u64) -> Map {
    let mut blocks = source.blocks.clone();
    for effect in overlay.into_effects(|_| Revision(revision)) {
        match effect.after {
            Some(after) => drop(blocks.insert(effect.id, after)),
            None => drop(blocks.remove(&effect.id)),
        }
    }
    Map { blocks, asked: Cell::new(0) }
}

#[test]
fn a35_staged_changes_shadow_the_source() {
    let source = map(&[(1, b"one"), (2, b"two")]);
    let mut overlay = Overlay::new(&source);
    overlay.splice(id(1), vec![Splice::new(0, 1, "O".as_bytes())]).unwrap();
    overlay.delete(id(2)).unwrap();
    overlay.insert(block(3, b"three")).unwrap();
    overlay.splice(id(3), vec![Splice::new(5, 0, "!".as_bytes())]).unwrap();
    assert_eq!(payload(&mut overlay, 1).unwrap(), "One");
    assert_eq!(payload(&mut overlay, 2), None);
    assert_eq!(payload(&mut overlay, 3).unwrap(), "three!");
    overlay.insert(block(2, b"second")).unwrap();
    assert_eq!(payload(&mut overlay, 2).unwrap(), "second");
    let transforms = overlay.transforms();
    assert_eq!(transforms.len(), 3);
    assert_eq!(source.blocks[&id(1)].block.payload, "one");
}

#[test]
fn a35_rolling_everything_back_empties_the_overlay() {
    let source = map(&[(1, b"one"), (2, b"two")]);
    let mut overlay = Overlay::new(&source);
    let start = overlay.savepoint();
    overlay.splice(id(1), vec![Splice::new(0, 1, "O".as_bytes())]).unwrap();
    overlay.splice(id(1), vec![Splice::new(0, 1, "Q".as_bytes())]).unwrap();
    overlay.delete(id(2)).unwrap();
    overlay.insert(block(3, b"three")).unwrap();
    overlay.rollback(start);
    assert!(overlay.is_clean());
    assert_eq!(overlay.transforms(), vec![]);
    assert_eq!(payload(&mut overlay, 1).unwrap(), "one");
    assert_eq!(payload(&mut overlay, 3), None);
}

#[test]
fn a37_delete_then_insert_leaves_no_phantom_delete() {
    let source = map(&[(1, b"one")]);
    let mut overlay = Overlay::new(&source);
    overlay.delete(id(1)).unwrap();
    assert_eq!(overlay.delete(id(1)), Err(OverlayError::Absent(id(1))));
    overlay.insert(block(1, b"uno")).unwrap();
    let transforms = overlay.transforms();
    assert_eq!(transforms.len(), 1);
    assert_eq!(transforms[0].change, Change::Insert(block(1, b"uno")));
    assert_eq!(transforms[0].base, Base::At(Revision(1)));
}

#[test]
fn a37_conflicting_inserts_are_an_error() {
    let source = map(&[(1, b"one")]);
    let mut overlay = Overlay::new(&source);
    assert_eq!(overlay.insert(block(1, b"uno")), Err(OverlayError::Exists(id(1))));
    overlay.insert(block(2, b"two")).unwrap();
    assert_eq!(overlay.insert(block(2, b"dos")), Err(OverlayError::Exists(id(2))));
    assert_eq!(payload(&mut overlay, 2).unwrap(), "two");
}

#[test]
fn a37_made_and_deleted_here_is_no_change() {
    let source = map(&[]);
    let mut overlay = Overlay::new(&source);
    overlay.insert(block(1, b"one")).unwrap();
    overlay.delete(id(1)).unwrap();
    assert!(overlay.is_clean());
    assert!(overlay.into_effects(|_| Revision(1)).is_empty());
}

#[test]
fn a41_a_hot_block_is_fetched_once_and_never_replayed() {
    let source = map(&[(1, &[0; 64])]);
    let mut overlay = Overlay::new(&source);
    for n in 0..100u8 {
        overlay.splice(id(1), vec![Splice::new(usize::from(n % 64), 1, vec![n])]).unwrap();
        for _ in 0..10 {
            payload(&mut overlay, 1).unwrap();
        }
    }
    assert_eq!(source.asked.get(), 1);
}

#[test]
fn a41_a_change_based_on_another_revision_is_refused_even_when_it_comes_later() {
    let source = map(&[(1, b"one")]);
    let mut overlay = Overlay::new(&source);
    let update = |revision, text: &str| Transform {
        id: id(1),
        base: Base::At(Revision(revision)),
        change: Change::Update(vec![Splice::new(0, 0, text.to_owned())]),
    };
    assert!(overlay.apply(&update(2, "x")).is_err());
    overlay.apply(&update(1, "y")).unwrap();
    assert_eq!(payload(&mut overlay, 1).unwrap(), "yone");
}

#[test]
fn reads_of_others_blocks_are_noted_and_own_blocks_are_not() {
    let source = map(&[(1, b"one")]);
    let mut overlay = Overlay::with_reads_noted(&source);
    overlay.insert(block(3, b"three")).unwrap();
    for n in 1..=3 {
        overlay.read_noted(id(n)).unwrap();
    }
    overlay.read(id(4)).unwrap();
    let mut expect = vec![
        ReadDependency { block: id(1), base: Base::At(Revision(1)) },
        ReadDependency { block: id(2), base: Base::Absent },
    ];
    expect.sort();
    assert_eq!(overlay.noted_reads(), expect);
}

#[test]
fn a_block_that_is_not_here_halts() {
    struct Nowhere;
    impl BlockSource for Nowhere {
        fn block(&self, _: BlockId) -> Result<BlockRead, Fault> {
            Ok(BlockRead::NotHere)
        }
    }
    let mut overlay = Overlay::new(&Nowhere);
    assert_eq!(overlay.read(id(1)).unwrap_err(), Halt::Need(vec![id(1)]));
    assert_eq!(overlay.insert(block(1, b"")), Err(OverlayError::Halt(Halt::Need(vec![id(1)]))));
}

#[derive(Clone, Debug)]
enum Op {
    Insert(u32, Vec<u8>),
    Splice(u32, u8, Vec<u8>),
    Delete(u32),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let bytes = proptest::collection::vec(any::<u8>(), 0..12);
    let op = prop_oneof![
        (0u32..6, bytes.clone()).prop_map(|(n, b)| Op::Insert(n, b)),
        (0u32..6, any::<u8>(), bytes).prop_map(|(n, at, b)| Op::Splice(n, at, b)),
        (0u32..6).prop_map(Op::Delete),
    ];
    proptest::collection::vec(op, 0..40)
}

/// Runs `ops` on the overlay and on a map of payloads; refusals must agree.
fn run(overlay: &mut Overlay<'_>, model: &mut BTreeMap<u32, Vec<u8>>, ops: &[Op]) {
    for op in ops {
        match op {
            Op::Insert(n, bytes) => {
                assert_eq!(overlay.insert(block(*n, bytes)).is_ok(), !model.contains_key(n));
                model.entry(*n).or_insert_with(|| bytes.clone());
            }
            Op::Splice(n, at, bytes) => {
                let Some(payload) = model.get_mut(n) else {
                    let refused = overlay.splice(id(*n), vec![Splice::new(0, 0, bytes.clone())]);
                    assert_eq!(refused, Err(OverlayError::Absent(id(*n))));
                    continue;
                };
                let at = usize::from(*at) % (payload.len() + 1);
                let remove = (payload.len() - at).min(2);
                payload.splice(at..at + remove, bytes.iter().copied());
                overlay.splice(id(*n), vec![Splice::new(at, remove, bytes.clone())]).unwrap();
            }
            Op::Delete(n) => {
                assert_eq!(overlay.delete(id(*n)).is_ok(), model.remove(n).is_some());
            }
        }
    }
}

proptest! {
    #[test]
    fn a36_a38_commit_replay_and_rollback_agree_with_a_map(first in ops(), second in ops()) {
        let source = map(&[(0, b"zero"), (1, b"one"), (2, b"two")]);
        let untouched = source.blocks.clone();
        let mut model: BTreeMap<u32, Vec<u8>> =
            [(0, b"zero".to_vec()), (1, b"one".to_vec()), (2, b"two".to_vec())].into();
        let mut overlay = Overlay::new(&source);
        run(&mut overlay, &mut model, &first);
        let savepoint = overlay.savepoint();
        let before = overlay.transforms();
        run(&mut overlay, &mut model.clone(), &second);
        overlay.rollback(savepoint);
        prop_assert_eq!(&overlay.transforms(), &before);
        for n in 0..6 {
            prop_assert_eq!(payload(&mut overlay, n).map(|p| p.to_vec()), model.get(&n).cloned());
        }
        // Replaying the transforms on a fresh overlay gives the same blocks.
        let mut replay = Overlay::new(&source);
        before.iter().for_each(|transform| replay.apply(transform).unwrap());
        let direct = committed(&source, overlay, 2);
        prop_assert_eq!(&committed(&source, replay, 2).blocks, &direct.blocks);
        let found: BTreeMap<BlockId, Vec<u8>> =
            direct.blocks.iter().map(|(id, b)| (*id, b.block.payload.to_vec())).collect();
        let expect: BTreeMap<BlockId, Vec<u8>> =
            model.into_iter().map(|(n, payload)| (id(n), payload)).collect();
        prop_assert_eq!(found, expect);
        prop_assert_eq!(&source.blocks, &untouched);
    }
}
