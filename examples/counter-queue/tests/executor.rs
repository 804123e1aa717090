//! Both types run at the coordinator, through the executor, and at the client, in a draft.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use counter_queue::{Counter, Queue, create};
use weald_collections::{
    CollectionExecutor, Registry, SourceReader, changes,
    transaction::{Draft, resolve_conflict},
};
use weald_core::{
    Action, BlockId, BlockRead, BlockSource, CollectionName, Context, Executed, Executor, Fault,
    FeedPage, LogIndex, Overlay, PlacementKey, Rejection, Revision, StoredBlock, Time,
    TransactionId,
};

#[derive(Default)]
struct Blocks(BTreeMap<BlockId, Arc<StoredBlock>>);

impl BlockSource for Blocks {
    fn block(&self, id: BlockId) -> Result<BlockRead, Fault> {
        Ok(self.0.get(&id).cloned().map_or(BlockRead::Absent, BlockRead::Present))
    }
}

struct Node {
    blocks: Blocks,
    executor: CollectionExecutor,
    index: u64,
}

impl Node {
    fn new() -> Self {
        let mut registry = Registry::new();
        registry.register(Arc::new(Counter)).unwrap();
        registry.register(Arc::new(Queue)).unwrap();
        let mut node = Self {
            blocks: Blocks::default(),
            executor: CollectionExecutor::new(registry),
            index: 0,
        };
        let most = Bytes::copy_from_slice(&10_i64.to_le_bytes());
        node.run(&[create(&Counter, &name("c"), most), create(&Queue, &name("q"), Bytes::new())])
            .unwrap();
        node
    }

    fn context(&self) -> Context {
        let mut unique = [0; 16];
        unique[..8].copy_from_slice(&self.index.to_le_bytes());
        Context {
            transaction: TransactionId::new(PlacementKey::of(&name("c")), unique),
            index: LogIndex(self.index + 1),
            time: Time::from_millis(self.index),
            limits: weald_core::limits::TransactionLimits::default(),
            types: self.executor.registry().types(),
        }
    }

    fn run(&mut self, actions: &[Action]) -> Result<Vec<Bytes>, Rejection> {
        let mut overlay = Overlay::new(&self.blocks);
        let executed = self.executor.execute(&self.context(), actions, &mut overlay).unwrap();
        let (answers, commits) = match executed {
            Executed::Done { answers, commits } => (answers, commits),
            Executed::Refused(rejection) => return Err(rejection),
        };
        for effect in overlay.into_effects(|collection| commits[&collection].revision) {
            match effect.after {
                Some(after) => drop(self.blocks.0.insert(effect.id, after)),
                None => drop(self.blocks.0.remove(&effect.id)),
            }
        }
        self.index += 1;
        Ok(answers)
    }
}

fn name(text: &str) -> CollectionName {
    text.parse().unwrap()
}

fn value(answer: &Bytes) -> i64 {
    i64::from_le_bytes(answer[..].try_into().unwrap())
}

#[test]
fn d13_a_counter_adds_and_keeps_within_its_bounds() {
    let mut node = Node::new();
    let answers = node.run(&[Counter::add(&name("c"), 7), Counter::add(&name("c"), -2)]).unwrap();
    assert_eq!(answers.iter().map(value).collect::<Vec<_>>(), vec![7, 5]);
    let refused = node.run(&[Counter::add(&name("c"), 5), Counter::add(&name("c"), 1)]);
    assert!(matches!(refused, Err(Rejection::Custom { code: 2, .. })));
    assert_eq!(value(&node.run(&[Counter::add(&name("c"), 5)]).unwrap()[0]), 10);
    let mut reader = SourceReader(&node.blocks);
    let page = changes(&mut reader, &name("c"), Revision(1), usize::MAX).unwrap();
    assert!(matches!(page, FeedPage::Changes(changes) if changes.len() == 3));
}

#[test]
fn d13_a_queue_gives_each_item_once_in_order() {
    let mut node = Node::new();
    let queue = name("q");
    for n in 0..100_u8 {
        node.run(&[Queue::push(&queue, &[n])]).unwrap();
    }
    let taken: Vec<u8> =
        (0..100).map(|_| node.run(&[Queue::take(&queue)]).unwrap()[0][0]).collect();
    assert_eq!(taken, (0..100).collect::<Vec<u8>>());
    assert!(matches!(node.run(&[Queue::take(&queue)]), Err(Rejection::Custom { code: 2, .. })));
    node.run(&[Queue::push(&queue, b"more"), Queue::take(&queue)]).unwrap();
}

#[test]
fn d13_both_run_at_the_client_and_resolve_their_conflicts() {
    let mut node = Node::new();
    node.run(&[Queue::push(&name("q"), b"work")]).unwrap();
    let body = {
        let mut draft = Draft::new(&node.executor, &node.blocks, node.context());
        let work = draft.run(Queue::take(&name("q"))).unwrap();
        assert_eq!(work, "work");
        draft.stage(Counter::add(&name("c"), 1)).unwrap();
        draft.finish()
    };
    assert!(!body.reads.is_empty(), "what was taken was looked at");
    // Another consumer was faster: the taking is dropped, the count is kept.
    node.run(&[Queue::take(&name("q"))]).unwrap();
    let kept = resolve_conflict(node.executor.registry(), body.actions, |_| Vec::new());
    assert_eq!(kept, vec![Counter::add(&name("c"), 1)]);
    assert_eq!(value(&node.run(&kept).unwrap()[0]), 1);
}
