//! A node that is alone: one partition, one log, one driver.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::RwLock;
use tokio::sync::{oneshot, watch};
use weald_core::{
    At, BlockId, Clock, CollectionName, Digest, LogIndex, ReadDependency, StateStore, TransactionId,
};
use weald_storage::state::PartitionStore;

use super::{
    MemberInfo, NodeStatus, PartitionInfo, PartitionRole, blocking, closed,
    home::{Home, PARTITION, state_error},
    listing::collections_in,
    read_disk,
};
use crate::{
    Result,
    backend::{Backend, Kept, Promise, Reading, Rehearsal, Version, behind},
    driver::{Driver, Event, Progress, Proposal, ProposeError, Standing, Watchers},
    topic::{Duty, Shelf},
};

/// The parts of a node that is alone. The driver stops before the stores go.
pub(super) struct Embedded {
    pub(super) driver: Driver,
    pub(super) store: Arc<PartitionStore>,
    pub(super) home: Arc<Home>,
    pub(super) watchers: Arc<Watchers>,
    pub(super) read_only: Arc<RwLock<Option<String>>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) lone_writers_sync: bool,
}

impl Embedded {
    fn version(&self, at: At) -> Result<Version> {
        let view = self.store.view(at).map_err(state_error)?;
        Ok(Version::new(PARTITION, view, self.clock.now()))
    }

    /// The newest version: whatever was acknowledged before is in it, since acks come after apply.
    fn latest(&self, reading: &Reading) -> Result<Version> {
        let version = self.version(At::Latest)?;
        if let Some(wanted) = reading.at_least {
            reading.check(PARTITION)?;
            let applied = version.index();
            if applied < wanted.index {
                return Err(behind(wanted.index, applied));
            }
        }
        Ok(version)
    }
}

/// A topic in the node's own store, which it does not keep open.
struct OwnShelf {
    store: Weak<PartitionStore>,
    watchers: Arc<Watchers>,
    clock: Arc<dyn Clock>,
    id: BlockId,
}

impl Shelf for OwnShelf {
    fn view(&self) -> Promise<Version> {
        let Some(store) = self.store.upgrade() else { return Promise::Ready(Err(closed())) };
        let view = store.view(At::Latest).map_err(state_error);
        Promise::Ready(view.map(|view| Version::new(PARTITION, view, self.clock.now())))
    }

    fn follow(&self) -> Result<watch::Receiver<()>> {
        self.watchers.follow(self.id).ok_or_else(closed)
    }
}

impl Backend for Embedded {
    fn propose(&self, proposal: Proposal) -> std::result::Result<bool, ProposeError> {
        self.driver.propose(proposal)
    }

    fn may_lead(&self) -> bool {
        self.lone_writers_sync && self.driver.may_lead()
    }

    fn lead(&self) {
        self.driver.lead();
    }

    fn rouse(&self) {
        self.driver.rouse();
    }

    fn standing(&self, id: TransactionId) -> Promise<Standing> {
        let (sender, receiver) = oneshot::channel();
        self.driver.queue().push(Event::Standing(id, sender));
        Promise::later(async move { receiver.await.map_err(|_| closed()) })
    }

    fn view(&self, _: BlockId, reading: &Reading, _: Rehearsal<'_>) -> Promise<Version> {
        Promise::Ready(self.latest(reading))
    }

    fn past(&self, _: BlockId, index: LogIndex) -> Promise<Version> {
        Promise::Ready(self.version(At::Index(index)))
    }

    fn whole(&self) -> Promise<Version> {
        Promise::Ready(self.version(At::Latest))
    }

    /// One version of one partition was read.
    fn confirm(&self, _: Vec<ReadDependency>) -> Promise<bool> {
        Promise::Ready(Ok(true))
    }

    fn follow(&self, collection: &CollectionName) -> Result<watch::Receiver<()>> {
        self.watchers.follow(BlockId::header(collection)).ok_or_else(closed)
    }

    fn collections(&self) -> Promise<Vec<BlockId>> {
        let store = Arc::clone(&self.store);
        Promise::later(async move { read_disk(move || collections_in(&store)).await? })
    }

    fn network(&self) -> Promise<Digest> {
        let peer = self.home.peer_id();
        let bytes = peer.as_ref().map_or(&[][..], |peer| peer.digest().as_bytes());
        Promise::Ready(Ok(Digest::of("weald alone", &[bytes])))
    }

    fn shelf(&self, collection: &CollectionName) -> Option<Arc<dyn Shelf>> {
        let (store, watchers) = (Arc::downgrade(&self.store), Arc::clone(&self.watchers));
        let (clock, id) = (Arc::clone(&self.clock), BlockId::header(collection));
        Some(Arc::new(OwnShelf { store, watchers, clock, id }))
    }

    fn duties(&self) -> Vec<Duty> {
        vec![Duty { partition: PARTITION, store: Arc::clone(&self.store) }]
    }

    fn kept(&self) -> Option<Kept> {
        Some(Kept { home: Arc::clone(&self.home), stores: vec![Arc::clone(&self.store)] })
    }

    fn status(&self) -> NodeStatus {
        NodeStatus {
            read_only: self.read_only.read().clone(),
            applied: self.store.applied(),
            checkpointed: self.store.checkpointed(),
            dirty_bytes: self.store.dirty_bytes(),
            writes_waiting: self.driver.writes_waiting(),
            partitions: 1,
            leaderless: 0,
            voters: None,
            reachability: None,
        }
    }

    fn partitions(&self) -> Promise<Vec<PartitionInfo>> {
        let (sender, receiver) = oneshot::channel();
        self.driver.queue().push(Event::Progress(sender));
        let (peer, checkpointed) = (self.home.peer_id(), self.store.checkpointed());
        let trouble = self.read_only.read().clone();
        Promise::later(async move {
            let Progress { applied, digest, log_time } = receiver.await.map_err(|_| closed())?;
            Ok(vec![PartitionInfo {
                partition: PARTITION,
                role: PartitionRole::Coordinator,
                coordinator: peer,
                last_contact: Some(Duration::ZERO),
                epoch: 0,
                last: applied,
                committed: applied,
                applied,
                checkpointed,
                digest_index: applied,
                digest,
                log_time,
                recovery: None,
                trouble,
                members: vec![MemberInfo {
                    peer,
                    life: 0,
                    is_voter: true,
                    matched: Some(applied),
                    last_contact: None,
                    started: None,
                    incarnation: None,
                }],
            }])
        })
    }

    fn checkpoint(&self) -> Promise<()> {
        let (sender, receiver) = oneshot::channel();
        self.driver.queue().push(Event::Checkpoint(sender));
        Promise::later(async move { receiver.await.map_err(|_| closed())?.map_err(state_error) })
    }

    fn close(self: Arc<Self>) -> Promise<()> {
        let (sender, receiver) = oneshot::channel();
        self.driver.queue().push(Event::Close(sender));
        Promise::later(async move {
            let ended = receiver.await.map_err(|_| closed())?;
            blocking(move || {
                self.driver.join();
                drop(self);
            })
            .await?;
            ended.map_err(state_error)
        })
    }
}
