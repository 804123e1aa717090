//! A store beside a model of it: plain maps, one for each index.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use weald_core::{
    At, Base, Block, BlockEffect, BlockId, BlockKind, BlockRead, Change, Digest, Effects, Fault,
    LogIndex, PartitionId, Revision, Splice, StateStore, StateView, StoredBlock, Transform,
};
use weald_storage::{
    engine::Engine,
    state::{BlockCache, PartitionStore, StateConfig},
};

pub(crate) const PARTITION: PartitionId = PartitionId(7);

/// One of a few blocks; even ones are of one collection, odd ones of another.
pub(crate) fn id(number: u8) -> BlockId {
    let digest = Digest::of("block of a test", &[&[number]]);
    BlockId::from_bytes(digest.prefix())
}

pub(crate) fn collection(number: u8) -> BlockId {
    BlockId::header(&format!("c{}", number % 2).parse().unwrap())
}

pub(crate) fn block(number: u8, payload: impl Into<Bytes>) -> Block {
    let kind = BlockKind::STRUCTURE_FIRST;
    Block { id: id(number), kind, collection: collection(number), payload: payload.into() }
}

/// What becomes of a block.
#[derive(Clone, Debug)]
pub(crate) enum Edit {
    Put(Vec<u8>),
    Splice(u16, u8, Vec<u8>),
    Delete,
}

type State = BTreeMap<BlockId, StoredBlock>;

/// The model: the state and the rows after each index, and the log to replay.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) states: Vec<State>,
    pub(crate) rows: Vec<BTreeMap<Bytes, Bytes>>,
    pub(crate) log: Vec<Effects>,
}

impl Default for Model {
    fn default() -> Self {
        Self { states: vec![State::new()], rows: vec![BTreeMap::new()], log: Vec::new() }
    }
}

impl Model {
    pub(crate) fn applied(&self) -> LogIndex {
        LogIndex(u64::try_from(self.log.len()).unwrap())
    }

    pub(crate) fn at(&self, index: LogIndex) -> &State {
        &self.states[usize::try_from(index.0).unwrap()]
    }

    /// The effects of the next entry, applied to the model.
    pub(crate) fn next(&mut self, edits: &[(u8, Edit)]) -> Effects {
        let mut state = self.states.last().unwrap().clone();
        let mut effects = Effects::default();
        let revision = Revision(self.applied().0 + 1);
        let edits: BTreeMap<BlockId, _> = edits.iter().map(|edit| (id(edit.0), edit)).collect();
        for (id, (number, edit)) in edits {
            let before = state.get(&id);
            let Some(change) = change(*number, edit, before) else { continue };
            let base = Base::of(before);
            let transform = Transform { id, base, change: change.clone() };
            let after = transform.apply(before).unwrap();
            let after = after.map(|block| StoredBlock { block, revision });
            match &after {
                Some(stored) => drop(state.insert(id, stored.clone())),
                None => drop(state.remove(&id)),
            }
            effects.blocks.push(BlockEffect {
                id,
                base,
                revision,
                change,
                after: after.map(Arc::new),
            });
        }
        self.states.push(state);
        self.rows.push(self.rows.last().unwrap().clone());
        self.log.push(effects.clone());
        effects
    }

    /// As [`Model::next`], with a row; `None` deletes it.
    pub(crate) fn next_with_row(
        &mut self,
        edits: &[(u8, Edit)],
        key: u8,
        value: Option<u8>,
    ) -> Effects {
        self.next(edits);
        let (key, value) = (Bytes::from(vec![key]), value.map(|value| Bytes::from(vec![value; 3])));
        let rows = self.rows.last_mut().unwrap();
        match &value {
            Some(value) => drop(rows.insert(key.clone(), value.clone())),
            None => drop(rows.remove(&key)),
        }
        let effects = self.log.last_mut().unwrap();
        effects.rows.insert(key, value);
        effects.clone()
    }
}

fn change(number: u8, edit: &Edit, before: Option<&StoredBlock>) -> Option<Change> {
    match (edit, before) {
        (Edit::Put(payload), _) => Some(Change::Insert(block(number, payload.clone()))),
        (_, None) => None,
        (Edit::Delete, _) => Some(Change::Delete),
        (Edit::Splice(at, remove, insert), Some(stored)) => {
            let len = stored.block.payload.len();
            let offset = usize::from(*at) % (len + 1);
            let remove = usize::from(*remove).min(len - offset);
            Some(Change::Update(vec![Splice::new(offset, remove, insert.clone())]))
        }
    }
}

pub(crate) fn open(engine: &Arc<impl Engine + 'static>, config: StateConfig) -> PartitionStore {
    open_with(engine, config, &Arc::new(BlockCache::new(1 << 20)))
}

pub(crate) fn open_with(
    engine: &Arc<impl Engine + 'static>,
    config: StateConfig,
    cache: &Arc<BlockCache>,
) -> PartitionStore {
    let engine: Arc<dyn Engine> = Arc::clone(engine) as _;
    PartitionStore::open(PARTITION, engine, Arc::clone(cache), config).unwrap()
}

/// Commits the next entry of the model.
pub(crate) fn commit(store: &PartitionStore, model: &mut Model, edits: &[(u8, Edit)]) {
    let effects = model.next(edits);
    store.commit(model.applied(), effects).unwrap();
}

/// What a driver does after a restart: it replays the log from the checkpoint on.
pub(crate) fn replay(store: &PartitionStore, model: &Model) {
    for (position, effects) in model.log.iter().enumerate() {
        let index = LogIndex(u64::try_from(position).unwrap() + 1);
        if index > store.checkpointed() {
            store.commit(index, effects.clone()).unwrap();
        }
    }
}

/// Reads as a driver does: what is not here is loaded.
pub(crate) fn read(view: &dyn StateView, id: BlockId) -> Result<Option<StoredBlock>, Fault> {
    let read = match view.block(id)? {
        BlockRead::NotHere => {
            view.load(&[id])?;
            view.block(id)?
        }
        read => read,
    };
    match read {
        BlockRead::Present(stored) => Ok(Some(StoredBlock::clone(&stored))),
        BlockRead::Absent => Ok(None),
        BlockRead::NotHere => panic!("a loaded block is here: block={id}"),
    }
}

/// Every block of the model, and one that never was, as a view at `index` must see them.
pub(crate) fn assert_view(view: &dyn StateView, model: &Model) {
    for number in 0..=BLOCK_COUNT {
        let expected = model.at(view.index()).get(&id(number)).cloned();
        assert_eq!(read(view, id(number)), Ok(expected), "block={number} at={}", view.index());
    }
}

pub(crate) const BLOCK_COUNT: u8 = 6;

pub(crate) fn assert_latest(store: &PartitionStore, model: &Model) {
    assert_eq!(store.applied(), model.applied());
    assert_view(&*store.view(At::Latest).unwrap(), model);
    let rows: Vec<_> = model.rows.last().unwrap().clone().into_iter().collect();
    assert_eq!(store.rows(&[]).unwrap(), rows);
}
