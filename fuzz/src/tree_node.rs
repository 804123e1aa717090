//! Nodes of a B+tree as a disk may give them back: any bytes in place of a node, or over a part of one.

use std::sync::LazyLock;

use bytes::Bytes;
use weald_collections::btree::{
    BTree, Direction, EVERYTHING, INNER_KIND, LEAF_KIND, NodeCapacity, check_node,
};
use weald_core::BlockId;

use crate::blocks::Blocks;
use crate::script::Script;

static INTACT: LazyLock<(Blocks, BTree)> = LazyLock::new(intact);

/// Checks `data` as a node by itself, then damages a node of a tree and uses the tree.
pub fn run(data: &[u8]) {
    let id = BlockId::header(&"fuzz".parse().expect("a valid name"));
    let payload = Bytes::copy_from_slice(data);
    for kind in [LEAF_KIND, INNER_KIND] {
        let _ = check_node(id, kind, &payload);
    }
    let (mut blocks, tree) = INTACT.clone();
    let mut script = Script::new(data);
    let position = script.below(blocks.len());
    let mut payload = if script.byte().is_multiple_of(2) {
        blocks.payload(position).to_vec()
    } else {
        Vec::new()
    };
    while !script.is_finished() {
        let at = script.below(payload.len() + 1);
        let remove = script.below(payload.len() - at + 1).min(16);
        payload.splice(at..at + remove, script.bytes(256).iter().copied());
    }
    blocks.damage(position, payload);
    use_all(&blocks, &tree);
}

/// Whatever the damage: an answer or a fault, in bounded time.
fn use_all(blocks: &Blocks, tree: &BTree) {
    let mut reader = blocks.clone();
    let _ = tree.verify(&mut reader);
    for direction in [Direction::Forward, Direction::Backward] {
        // A failed scan stays where it was and says the same again.
        let _ = tree
            .range(&mut reader, EVERYTHING, direction)
            .take_while(Result::is_ok)
            .take(10_000)
            .count();
    }
    for key in [[0, 0], [0, 63], [1, 20], [255, 255]] {
        let _ = tree.get(&mut reader, &key);
        let _ = tree.after(&mut reader, &key);
        let _ = tree.before(&mut reader, &key);
        let _ = tree.clone().put(&mut blocks.clone(), &key, &[7; 40]);
        let _ = tree.clone().delete(&mut blocks.clone(), &key);
    }
}

/// Three levels of small nodes.
fn intact() -> (Blocks, BTree) {
    let mut blocks = Blocks::new();
    let capacity = NodeCapacity::new(128).expect("a capacity within its bounds");
    let mut tree = BTree::create(&mut blocks, capacity).expect("memory takes a block");
    for number in 0..96_u8 {
        tree.put(&mut blocks, &[number / 64, number % 64], &[number; 6])
            .expect("every block is here");
    }
    (blocks, tree)
}
