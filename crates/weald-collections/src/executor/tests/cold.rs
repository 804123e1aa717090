//! Executing over blocks that are not in memory yet.

use std::{cell::RefCell, collections::BTreeSet};

use weald_core::{BlockRead, BlockSource, Fault};

use super::*;
use crate::testing::Blocks;

/// Holds in memory what was loaded.
struct Cold<'a> {
    blocks: &'a Blocks,
    loaded: RefCell<BTreeSet<BlockId>>,
}

impl BlockSource for Cold<'_> {
    fn block(&self, id: BlockId) -> Result<BlockRead, Fault> {
        match self.loaded.borrow().contains(&id) {
            true => self.blocks.block(id),
            false => Ok(BlockRead::NotHere),
        }
    }
}

/// Executes as a driver does and counts the runs.
fn execute(site: &Site, actions: &[Action]) -> (Executed, Vec<weald_core::Transform>, usize) {
    let cold = Cold { blocks: &site.source, loaded: RefCell::default() };
    for runs in 1.. {
        let mut overlay = Overlay::new(&cold);
        match site.executor.execute(&site.context(actions), actions, &mut overlay) {
            Ok(executed) => return (executed, overlay.transforms(), runs),
            Err(Halt::Need(ids)) => {
                let before = cold.loaded.borrow().len();
                cold.loaded.borrow_mut().extend(ids);
                assert!(cold.loaded.borrow().len() > before, "each run needs something else");
            }
            Err(halt) => panic!("{halt}"),
        }
    }
    unreachable!("the loop ends with a result")
}

fn names() -> Vec<String> {
    (0..100).map(|n| format!("p{n}")).collect()
}

#[test]
fn a_transaction_over_many_cold_collections_takes_few_runs() {
    let mut site = site();
    for name in names() {
        site.run(&[probe_create(&name, CreateMode::Create), probe(&name, "add x")]).unwrap();
    }
    let actions: Vec<Action> =
        names().iter().flat_map(|name| [probe(name, "add y"), probe(name, "add z")]).collect();
    let (executed, transforms, runs) = execute(&site, &actions);
    assert!(runs <= 8, "runs={runs}");
    let mut overlay = Overlay::new(&site.source);
    let warm = site.executor.execute(&site.context(&actions), &actions, &mut overlay).unwrap();
    assert_eq!((executed, transforms), (warm, overlay.transforms()));
}

#[test]
fn what_is_in_memory_never_shows_in_a_refusal() {
    let mut site = site();
    for name in ["p0", "p1"] {
        site.run(&[probe_create(name, CreateMode::Create)]).unwrap();
    }
    let scripts = [
        vec![probe("p0", "add x"), probe("p1", "refuse")],
        vec![probe("p0", "add x"), probe("p1", "panic"), probe("p0", "refuse")],
        vec![probe("p0", "unwrap"), probe("none", "read")],
        vec![probe("p0", "swallow"), probe_create("p1", CreateMode::Create)],
        vec![probe_create("new", CreateMode::Create), probe("new", "add x"), probe("p0", "huge")],
    ];
    for actions in scripts {
        let (executed, transforms, _) = execute(&site, &actions);
        let mut overlay = Overlay::new(&site.source);
        let warm = site.executor.execute(&site.context(&actions), &actions, &mut overlay);
        assert_eq!(Ok(executed.clone()), warm);
        assert!(matches!(executed, Executed::Refused(_)) && transforms.is_empty());
    }
}
