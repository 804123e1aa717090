//! Any bytes in a node are an error that names the block, never a panic.

use bytes::Bytes;
use proptest::prelude::*;
use weald_core::{BlockId, BlockKind, Fault, Halt, Revision};

use super::support::{Grove, key};
use crate::{
    SourceReader,
    btree::{
        BTreeError, Direction, EVERYTHING, INNER_KIND, LEAF_KIND, check_node, leaf::encode_entry,
    },
};

fn grove() -> Grove {
    let mut grove = Grove::new(128);
    (0..100).for_each(|n| drop(grove.put(key(n), [b'v'; 10])));
    grove
}

fn set_payload(grove: &mut Grove, id: BlockId, payload: Bytes) {
    let mut stored = (*grove.blocks.0[&id]).clone();
    stored.block.payload = payload;
    grove.blocks.0.insert(id, stored.into());
}

/// Runs everything that reads; whatever it says, it says it as a value.
fn use_all(grove: &mut Grove) {
    for direction in [Direction::Forward, Direction::Backward] {
        let mut reader = SourceReader(&grove.blocks);
        let _ =
            grove.tree.range(&mut reader, EVERYTHING, direction).take(1000).find(Result::is_err);
    }
    let _ = grove.tree.verify(&mut SourceReader(&grove.blocks));
    for n in (0..100).step_by(7) {
        let _ = grove.tree.get(&mut SourceReader(&grove.blocks), &key(n));
        let mut writer = super::support::Writer::new(&grove.blocks, grove.revision);
        let mut tree = grove.tree.clone();
        let _: Result<_, BTreeError> = tree.put(&mut writer, &key(n), &[1; 30]);
        let _: Result<_, BTreeError> = tree.delete(&mut writer, &key(n + 1));
    }
}

#[test]
fn a_node_of_another_kind_or_a_missing_one_is_a_fault_that_names_it() {
    let grove = grove();
    let root = grove.tree.root();
    let fault = |grove: &Grove| match grove.tree.get(&mut SourceReader(&grove.blocks), &key(5)) {
        Err(Halt::Fault(fault)) => fault,
        other => panic!("expected a fault: {other:?}"),
    };
    let mut gone = grove.clone();
    gone.blocks.0.remove(&root);
    assert_eq!(fault(&gone), Fault::Missing { id: root });
    let mut other = grove.clone();
    let mut stored = (*grove.blocks.0[&root]).clone();
    stored.block.kind = BlockKind::CHAIN;
    other.blocks.0.insert(root, stored.into());
    assert!(matches!(fault(&other), Fault::Damaged { id, .. } if id == root));
}

#[test]
fn a_leaf_whose_keys_are_in_no_order_panics_no_put() {
    let keys = [b"b", b"a", b"a", b"a", b"a"];
    let entry = |key: &&[u8; 1]| encode_entry(&key[..], Revision(1), &[7; 20]);
    let leaf = keys.iter().map(entry).collect::<Vec<_>>().concat();
    let mut grove = Grove::new(64);
    let root = grove.tree.root();
    set_payload(&mut grove, root, leaf.into());
    let mut writer = super::support::Writer::new(&grove.blocks, grove.revision.next());
    grove.tree.clone().put(&mut writer, b"b", &[7; 60]).unwrap();
    let verified = grove.tree.verify(&mut SourceReader(&grove.blocks));
    assert!(matches!(verified, Err(Halt::Fault(Fault::Damaged { .. }))));
}

#[test]
fn lengths_beyond_what_is_ever_written_are_damage() {
    let id = super::support::collection();
    let long = encode_entry(&[1; 1025], Revision(1), b"");
    assert!(check_node(id, LEAF_KIND, &long).is_err());
    let child = |key| crate::btree::inner::Child { key, id };
    let long = [child(Bytes::new()), child(Bytes::from(vec![1; 1025]))];
    assert!(check_node(id, INNER_KIND, &crate::btree::inner::encode(&long)).is_err());
}

#[test]
fn a_cycle_is_a_fault_and_not_an_endless_loop() {
    let mut grove = grove();
    let root = grove.tree.root();
    let payload = crate::btree::inner::encode(&[
        crate::btree::inner::Child { key: Bytes::new(), id: root },
        crate::btree::inner::Child { key: Bytes::from_static(b"x"), id: root },
    ]);
    set_payload(&mut grove, root, payload);
    let mut reader = SourceReader(&grove.blocks);
    assert!(grove.tree.get(&mut reader, b"k").is_err());
    assert!(grove.tree.verify(&mut reader).is_err());
    assert!(grove.tree.range(&mut reader, EVERYTHING, Direction::Forward).next().unwrap().is_err());
}

#[test]
fn verify_finds_every_flipped_bit_of_a_length_a_key_or_a_link() {
    let grove = grove();
    for (&id, stored) in &grove.blocks.0 {
        if stored.block.kind != INNER_KIND {
            continue;
        }
        // Every byte of an inner node is structure, but not every change is disorder: another
        // separator in the same gap is as good. The count, the directory and the links never are.
        let count = usize::from(stored.block.payload[0]);
        for at in 0..2 + 2 * count + 16 {
            let mut payload = stored.block.payload.to_vec();
            payload[at] ^= 1;
            let mut damaged = grove.clone();
            set_payload(&mut damaged, id, payload.into());
            let verified = damaged.tree.verify(&mut SourceReader(&damaged.blocks));
            assert!(verified.is_err(), "{id} {at}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_parse_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let id = super::support::collection();
        for kind in [LEAF_KIND, INNER_KIND] {
            let _ = check_node(id, kind, &Bytes::from(bytes.clone()));
        }
        let mut grove = grove();
        for id in [grove.tree.root(), *grove.blocks.0.keys().next().unwrap()] {
            set_payload(&mut grove, id, bytes.clone().into());
            use_all(&mut grove);
        }
    }

    #[test]
    fn any_flipped_bit_panics_nothing(node in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut grove = grove();
        let (&id, stored) = grove.blocks.0.iter().nth(node.index(grove.blocks.0.len())).unwrap();
        let mut payload = stored.block.payload.to_vec();
        let at = at.index(payload.len());
        payload[at] ^= 1 << bit;
        set_payload(&mut grove, id, payload.into());
        use_all(&mut grove);
    }
}
