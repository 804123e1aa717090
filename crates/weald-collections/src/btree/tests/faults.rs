//! An error at every block operation of every tree operation.

use std::cell::Cell;

use weald_core::{BlockId, BlockRead, BlockSource, Fault, Halt};

use super::support::{Blocks, Grove, Writer, key};
use crate::{
    SourceReader,
    btree::{BTree, BTreeError, Direction, EVERYTHING},
};

type Operation = fn(&mut BTree, &mut Writer<'_>) -> Result<(), BTreeError>;

/// Each with a tree on which it splits, joins or borrows on several levels.
fn operations() -> Vec<(&'static str, Grove, Operation)> {
    let mut dense = Grove::new(64);
    (0..200).for_each(|n| drop(dense.put(key(2 * n), "v")));
    let mut sparse = dense.clone();
    (0..200).filter(|n| n % 4 != 0).for_each(|n| drop(sparse.delete(key(2 * n))));
    vec![
        ("put", dense.clone(), |tree, writer| tree.put(writer, &key(101), b"new").map(drop)),
        ("put at the end", dense.clone(), |tree, w| tree.put(w, &key(999), b"new").map(drop)),
        ("overwrite", dense.clone(), |tree, w| tree.put(w, &key(100), &[1; 50]).map(drop)),
        ("large", dense.clone(), |tree, w| tree.put(w, &key(101), &[1; 500]).map(drop)),
        ("insert", dense.clone(), |tree, w| tree.insert(w, &key(103), b"new").map(drop)),
        ("rekey", dense.clone(), |tree, w| tree.rekey(w, &key(4), &key(201), b"x").map(drop)),
        ("delete", sparse.clone(), |tree, w| tree.delete(w, &key(160)).map(drop)),
        ("delete first", sparse.clone(), |tree, w| tree.delete(w, &key(0)).map(drop)),
        ("delete last", sparse.clone(), |tree, w| tree.delete(w, &key(392)).map(drop)),
        ("delete all", sparse, |tree, writer| {
            (0..50).try_for_each(|n| tree.delete(writer, &key(8 * n)).map(drop))
        }),
    ]
}

#[test]
fn d5_a11_a_failing_block_operation_leaves_the_tree_as_before_and_usable() {
    for (name, grove, operation) in operations() {
        let mut after = grove.clone();
        let total = after.write(|tree, writer| {
            operation(tree, writer).unwrap();
            writer.operations
        });
        after.verify();
        assert_ne!(after.all(), grove.all(), "{name}");
        for fails_at in 0..total {
            let mut retried = grove.clone();
            retried.write(|tree, writer| {
                let savepoint = writer.savepoint();
                writer.fails_at = Some(fails_at);
                let failed = operation(tree, writer).unwrap_err();
                let injected = Halt::Fault(Fault::Storage("injected".into()));
                assert_eq!(failed, BTreeError::Halt(injected), "{name} {fails_at}");
                writer.rollback(savepoint);
                assert_eq!(writer.changed_count(), 0, "{name} {fails_at}");
                writer.fails_at = None;
                let all = tree.range(writer, EVERYTHING, Direction::Forward);
                let all: Vec<_> =
                    all.map(|e| e.map(|e| (e.key.to_vec(), e.value.to_vec()))).collect();
                assert_eq!(all.into_iter().collect::<Result<Vec<_>, _>>().unwrap(), grove.all());
                operation(tree, writer).unwrap();
            });
            retried.verify();
            assert_eq!(retried.all(), after.all(), "{name} {fails_at}");
        }
    }
}

/// A failed read comes before any write, so that nothing needs to be taken back.
#[test]
fn a11_an_operation_that_halts_while_reading_has_written_nothing() {
    let mut halted = 0;
    for (name, grove, operation) in operations() {
        if name == "rekey" || name == "delete all" {
            continue; // two operations and more
        }
        for &missing in grove.blocks.0.keys() {
            let partial = NotAll { blocks: grove.blocks.clone(), missing };
            let mut writer = Writer::new(&partial, grove.revision.next());
            let mut tree = grove.tree.clone();
            if let Err(error) = operation(&mut tree, &mut writer) {
                assert_eq!(error, BTreeError::Halt(Halt::Need(vec![missing])), "{name}");
                assert_eq!(writer.changed_count(), 0, "{name}");
                assert_eq!(tree, grove.tree, "cursors stay valid");
                halted += 1;
            }
        }
    }
    assert!(halted > 8 * 3, "every operation reads several blocks");
}

/// A scan that meets a block which is not in memory goes on where it was.
#[test]
fn a_scan_goes_on_after_the_missing_block_was_loaded() {
    let (_, grove, _) = operations().swap_remove(0);
    for &missing in grove.blocks.0.keys() {
        for direction in [Direction::Forward, Direction::Backward] {
            let partial = OnceMissing { blocks: &grove.blocks, missing: Cell::new(Some(missing)) };
            let mut reader = SourceReader(&partial);
            let (mut keys, mut halts) = (Vec::new(), 0);
            for entry in grove.tree.range(&mut reader, EVERYTHING, direction) {
                match entry {
                    Ok(entry) => keys.push(entry.key.to_vec()),
                    Err(_) => halts += 1,
                }
            }
            if direction == Direction::Backward {
                keys.reverse();
            }
            assert_eq!(halts, 1);
            assert_eq!(keys, grove.keys());
        }
    }
}

/// Blocks of which one is not in memory.
struct NotAll {
    blocks: Blocks,
    missing: BlockId,
}

impl BlockSource for NotAll {
    fn block(&self, id: BlockId) -> Result<BlockRead, Fault> {
        if id == self.missing { Ok(BlockRead::NotHere) } else { self.blocks.block(id) }
    }
}

/// Blocks of which one is not in memory when it is first asked for.
struct OnceMissing<'b> {
    blocks: &'b Blocks,
    missing: Cell<Option<BlockId>>,
}

impl BlockSource for OnceMissing<'_> {
    fn block(&self, id: BlockId) -> Result<BlockRead, Fault> {
        if self.missing.get() == Some(id) {
            self.missing.set(None);
            return Ok(BlockRead::NotHere);
        }
        self.blocks.block(id)
    }
}
