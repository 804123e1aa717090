//! Reading partitions that have no member here: a view is a place in their log, and blocks are
//! fetched when they are needed.

use std::{
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
    limits::BLOCKS_MAX,
    message::{Answered, BLOCKS, Found, Question, VIEW, Wanted, Wire},
    route_error,
};
use crate::{
    Error, ErrorKind, Result,
    backend::{Reading, Version, behind},
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

    /// A version of the partition that has `key`, as fresh as the reading wants it.
    pub(super) async fn view(
        self: &Arc<Self>,
        key: PlacementKey,
        reading: Reading,
    ) -> Result<Version> {
        let at_least = reading.at_least.map_or(LogIndex::ZERO, |position| position.index);
        let question = Question::View { fresh: reading.consistency.into(), at_least };
        match self.ask(VIEW, key, &question).await {
            Ok(Answered::View { index, log_time }) => Ok(self.version(key, index, log_time)),
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
        Ok(Version::new(view.partition, Arc::new(view), Time::ZERO))
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

    fn version(self: &Arc<Self>, key: PlacementKey, index: LogIndex, log_time: Time) -> Version {
        let view = self.far_view(key, index);
        Version::new(view.partition, Arc::new(view), log_time)
    }

    fn far_view(self: &Arc<Self>, key: PlacementKey, index: LogIndex) -> FarView {
        let partition = self.asker.partition(key);
        FarView { far: Arc::clone(self), key, partition, index, blocks: RwLock::default() }
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
        let known: Vec<_> = ids.iter().map(|id| self.far.cache.find(*id)).collect();
        let revision = |block: &Option<Arc<StoredBlock>>| block.as_ref().map(|b| b.revision);
        let wanted = ids.iter().zip(&known);
        let wanted = wanted.map(|(id, block)| Wanted { id: *id, known: revision(block) });
        let question = Question::Blocks { index: self.index, wanted: wanted.collect() };
        let found = match self.far.ask(BLOCKS, self.key, &question).await {
            Ok(Answered::Blocks(found)) if !found.is_empty() && found.len() <= ids.len() => found,
            Ok(Answered::Gone) => return Err(Fault::Pruned(format!("index={}", self.index))),
            Ok(_) => return Err(Fault::Unreachable("an answer does not fit".to_owned())),
            Err(error) => return Err(Fault::Unreachable(error.to_string())),
        };
        let count = found.len();
        for ((id, known), found) in ids.iter().zip(known).zip(found) {
            let block = self.taken(*id, known, found)?;
            self.blocks.write().insert(*id, block);
        }
        Ok(count)
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
