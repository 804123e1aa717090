//! Reading partitions that have no member here: a view is a place in their log, and blocks are
//! fetched when they are needed.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::RwLock;
use weald_cluster::routing::{Purpose, RouteError};
use weald_core::{
    BlockId, BlockRead, BlockSource, Fault, LogIndex, PartitionId, PlacementKey, Service,
    StateView, StoredBlock, Time,
};

use super::{
    asker::{Ask, Asker},
    cache::Cache,
    limits::{BLOCKS_MAX, GUESSED_MAX},
    message::{Answered, BLOCKS, Found, Question, VIEW, Wanted, Wire},
    trouble::route_error,
};
use crate::{
    Error, ErrorKind, Result,
    backend::{Fetching, Reading, Rehearsal, Remote, Version, behind},
    members::Caller,
    node::fault_error,
};

/// Reads from members on other nodes.
pub(super) struct Far {
    asker: Arc<Asker>,
    cache: Cache,
    timeout: Duration,
}

impl Far {
    pub(super) fn new(asker: &Arc<Asker>, cache_bytes: usize, timeout: Duration) -> Arc<Self> {
        Arc::new(Self { asker: Arc::clone(asker), cache: Cache::new(cache_bytes), timeout })
    }

    /// Which blocks a read wants, as far as what is remembered tells.
    pub(super) fn guess(&self, rehearse: Rehearsal<'_>) -> Vec<BlockId> {
        let memory = Memory { cache: &self.cache, touched: RefCell::default() };
        rehearse(&memory);
        memory.touched.into_inner()
    }

    /// A version of the partition that has `key`, as fresh as the reading wants it, with the blocks
    /// of `guess` if the member that answers has them at hand.
    pub(super) async fn view(
        self: &Arc<Self>,
        key: PlacementKey,
        reading: Reading,
        guess: Vec<BlockId>,
    ) -> Result<Version> {
        let at_least = reading.at_least.map_or(LogIndex::ZERO, |position| position.index);
        let known = self.known(&guess);
        let wanted = wanted(&guess, &known);
        let question = Question::View { fresh: reading.consistency.into(), at_least, wanted };
        match self.ask(VIEW, key, &question).await {
            Ok(Answered::View { index, log_time, found }) if found.len() <= guess.len() => {
                let view = self.far_view(key, index);
                view.take(guess, known, found).map_err(fault_error)?;
                Ok(view.into_version(log_time))
            }
            Ok(_) => Err(unfitting()),
            Err(RouteError::Unavailable { .. }) if at_least > LogIndex::ZERO => {
                Err(behind(at_least, LogIndex::ZERO))
            }
            Err(error) => Err(route_error(&error)),
        }
    }

    /// The version right after `index` of the partition of a collection, if it is still kept.
    pub(super) async fn past(
        self: &Arc<Self>,
        collection: BlockId,
        index: LogIndex,
    ) -> Result<Version> {
        let view = self.far_view(collection.placement(), index);
        view.fetch(&[collection]).await.map_err(fault_error)?;
        Ok(view.into_version(Time::ZERO))
    }

    /// Asks a member of the partition that has `key`.
    pub(super) async fn ask(
        &self,
        service: Service,
        key: PlacementKey,
        question: &Question,
    ) -> std::result::Result<Answered, RouteError> {
        let (caller, receiver) = Caller::channel();
        let ask = Ask {
            service,
            purpose: Purpose::Read(key),
            payload: question.to_wire(),
            deadline: Instant::now() + self.timeout,
            tried: Vec::new(),
        };
        self.asker.ask(ask, caller);
        let gone = || RouteError::NoRoute { partition: self.asker.partition(key) };
        let bytes = receiver.await.map_err(|_| gone())??;
        Answered::from_wire(&bytes).map_err(|_| gone())
    }

    fn known(&self, ids: &[BlockId]) -> Vec<Option<Arc<StoredBlock>>> {
        ids.iter().map(|id| self.cache.find(*id)).collect()
    }

    fn far_view(self: &Arc<Self>, key: PlacementKey, index: LogIndex) -> FarView {
        let partition = self.asker.partition(key);
        FarView { far: Arc::clone(self), key, partition, index, blocks: RwLock::default() }
    }
}

fn wanted(ids: &[BlockId], known: &[Option<Arc<StoredBlock>>]) -> Vec<Wanted> {
    let wanted = ids.iter().zip(known);
    wanted
        .map(|(id, block)| Wanted { id: *id, known: block.as_ref().map(|block| block.revision) })
        .collect()
}

/// The blocks that are remembered, with a note of which were looked at.
struct Memory<'a> {
    cache: &'a Cache,
    touched: RefCell<Vec<BlockId>>,
}

impl BlockSource for Memory<'_> {
    fn block(&self, id: BlockId) -> std::result::Result<BlockRead, Fault> {
        let mut touched = self.touched.borrow_mut();
        if !touched.contains(&id) {
            if touched.len() == GUESSED_MAX {
                return Ok(BlockRead::NotHere);
            }
            touched.push(id);
        }
        Ok(self.cache.find(id).map_or(BlockRead::NotHere, BlockRead::Present))
    }
}

/// The error of an answer to another question.
pub(super) fn unfitting() -> Error {
    Error::new(ErrorKind::Unavailable, "a member answers another question than was asked")
}

/// A version of a partition that other nodes hold.
struct FarView {
    far: Arc<Far>,
    /// A key of the partition.
    key: PlacementKey,
    partition: PartitionId,
    index: LogIndex,
    /// Blocks that were fetched for this view, `None` for absent ones.
    blocks: RwLock<BTreeMap<BlockId, Option<Arc<StoredBlock>>>>,
}

impl FarView {
    fn into_version(self, log_time: Time) -> Version {
        Version::remote(self.partition, Arc::new(self), log_time)
    }

    async fn fetch(&self, ids: &[BlockId]) -> std::result::Result<(), Fault> {
        let mut left = ids;
        while !left.is_empty() {
            let now = &left[..left.len().min(BLOCKS_MAX)];
            let count = self.fetch_some(now).await?;
            left = &left[count..];
        }
        Ok(())
    }

    /// Fetches the first of `ids`, as many as one answer holds, and says how many those were.
    async fn fetch_some(&self, ids: &[BlockId]) -> std::result::Result<usize, Fault> {
        let known = self.far.known(ids);
        let question = Question::Blocks { index: self.index, wanted: wanted(ids, &known) };
        let found = match self.far.ask(BLOCKS, self.key, &question).await {
            Ok(Answered::Blocks(found)) if !found.is_empty() && found.len() <= ids.len() => found,
            Ok(Answered::Gone) => return Err(Fault::Pruned(format!("index={}", self.index))),
            Ok(_) => return Err(Fault::Unreachable("an answer does not fit".to_owned())),
            Err(error) => return Err(Fault::Unreachable(error.to_string())),
        };
        let count = found.len();
        self.take(ids.iter().copied(), known, found)?;
        Ok(count)
    }

    /// Takes the first of `ids` as they were found.
    fn take(
        &self,
        ids: impl IntoIterator<Item = BlockId>,
        known: Vec<Option<Arc<StoredBlock>>>,
        found: Vec<Found>,
    ) -> std::result::Result<(), Fault> {
        for ((id, known), found) in ids.into_iter().zip(known).zip(found) {
            let block = self.taken(id, known, found)?;
            self.blocks.write().insert(id, block);
        }
        Ok(())
    }

    fn taken(
        &self,
        id: BlockId,
        known: Option<Arc<StoredBlock>>,
        found: Found,
    ) -> std::result::Result<Option<Arc<StoredBlock>>, Fault> {
        match (found, known) {
            (Found::Absent, _) => Ok(None),
            (Found::Known, Some(known)) => Ok(Some(known)),
            (Found::Present(stored), _) if stored.block.id == id => {
                let stored = Arc::new(stored);
                self.far.cache.insert(Arc::clone(&stored));
                Ok(Some(stored))
            }
            _ => Err(Fault::Unreachable("a member answers another block".to_owned())),
        }
    }
}

impl BlockSource for FarView {
    fn block(&self, id: BlockId) -> std::result::Result<BlockRead, Fault> {
        Ok(match self.blocks.read().get(&id) {
            Some(Some(stored)) => BlockRead::Present(Arc::clone(stored)),
            Some(None) => BlockRead::Absent,
            None => BlockRead::NotHere,
        })
    }
}

impl StateView for FarView {
    fn index(&self) -> LogIndex {
        self.index
    }

    fn load(&self, ids: &[BlockId]) -> std::result::Result<(), Fault> {
        self.far.asker.runtime().block_on(self.fetch(ids))
    }
}

impl Remote for FarView {
    fn fetch(self: Arc<Self>, ids: Vec<BlockId>) -> Fetching {
        Box::pin(async move { FarView::fetch(&self, &ids).await })
    }
}
