//! The real state machine: a [`Partition`] with collections, its blocks in a store over an engine
//! in memory, topics among them. Requests become transactions on one tree and a few diaries; what comes of them is told
//! in the model's words, so that both can be compared.

use std::sync::{Arc, OnceLock};

use bytes::{BufMut, Bytes, BytesMut};
use weald_cluster::{
    partition::{Applied, Partition},
    replica::{EntryKind, LogEntry, Point},
};
use weald_collections::{
    CollectionExecutor, DiaryAnswer, DiaryType, ExpectedVersion, RawDiary, RawTree, ReadError,
    Registry, SourceReader, TreeType, chain::ReadLimit, tree::TreeOptions,
};
use weald_core::{
    At, CollectionPolicy, CreateMode, Digest, Entry, Halt, LogIndex, Outcome as RealOutcome,
    PartitionId, Payload, PlacementKey, Rejection, Revision, Sequence, SessionStamp, StateStore,
    StateView, Time, TransactionBody, TransactionId, TransactionRequest, codec,
};
use weald_pubsub::{TopicReadError, TopicType};
use weald_storage::{
    engine::{Engine, MemoryEngine},
    state::{BlockCache, PartitionStore, StateConfig, StateInstall},
};

use super::{Action, Outcome, Request, Shown};

/// Bytes of clean blocks in memory: few, so that blocks are missed and read again.
const CACHE_BYTES: usize = 32 * 1024;
/// Bytes of a snapshot that are taken.
const SNAPSHOT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Entries that a read of a diary shows.
const SHOWN_MAX: usize = 100_000;

/// See the module's page.
#[derive(Debug)]
pub(crate) struct RealMachine {
    point: Point,
    partition: Partition,
    store: PartitionStore,
    /// What the last entry did.
    applied: Option<Applied>,
    is_rotten: bool,
}

impl RealMachine {
    /// The state of a partition before its first entry.
    pub(super) fn new(id: PartitionId) -> Self {
        Self::open(id, Point::default(), Arc::new(MemoryEngine::new()))
    }

    /// The state that these pages hold, which is that after `point`.
    pub(super) fn install(id: PartitionId, point: Point, pages: &[Bytes]) -> Self {
        let engine = Arc::new(MemoryEngine::new());
        let mut install = StateInstall::new(id, SNAPSHOT_BYTES_MAX);
        for page in pages {
            install.take(page).expect("a page arrives as it was sent");
        }
        let index = install.switch(&*engine).expect("all pages have come");
        assert_eq!(index, point.index, "a snapshot is of the entry that it names");
        Self::open(id, point, engine)
    }

    fn open(id: PartitionId, point: Point, engine: Arc<dyn Engine>) -> Self {
        let cache = Arc::new(BlockCache::new(CACHE_BYTES));
        let store = PartitionStore::open(id, engine, cache, StateConfig::default())
            .expect("an engine in memory can be read");
        let rows = store.rows(&[]).expect("an engine in memory can be read");
        let partition =
            Partition::restore(id, store.applied(), rows).expect("what was kept parses");
        Self { point, partition, store, applied: None, is_rotten: false }
    }

    /// The partition.
    pub(crate) fn partition(&self) -> &Partition {
        &self.partition
    }

    pub(super) fn take_applied(&mut self) -> Option<Applied> {
        self.applied.take()
    }

    /// The value that a tree has under a key, and the revision that wrote it.
    pub(crate) fn entry(&self, tree: &RawTree, key: &[u8]) -> Option<(Bytes, Revision)> {
        let found = loading(&*self.view(), |reader| tree.get(reader, key))?;
        found.map(|entry| (entry.value, entry.revision))
    }

    /// What `read` finds in a topic, with what is missing brought into memory; `None` where there is no
    /// such topic.
    pub(crate) fn topic<T>(
        &self,
        mut read: impl FnMut(&mut SourceReader<'_>) -> Result<T, TopicReadError>,
    ) -> Option<T> {
        let found = loading(&*self.view(), |reader| match read(reader) {
            Ok(found) => Ok(Some(found)),
            Err(TopicReadError::Deleted) => Ok(None),
            Err(TopicReadError::Read(error)) => Err(error),
        });
        found.flatten()
    }

    pub(super) fn point(&self) -> Point {
        self.point
    }

    pub(super) fn time(&self) -> Time {
        self.partition.time()
    }

    pub(super) fn effect(&self) -> Digest {
        self.partition.effect_hash()
    }

    pub(super) fn digest(&self) -> Digest {
        self.store.digest().expect("an engine in memory can be read")
    }

    pub(super) fn corrupt(&mut self) {
        self.is_rotten = true;
    }

    /// Covers all that was applied by a checkpoint, and exports it.
    pub(super) fn checkpoint(&self) -> Vec<Bytes> {
        let covered = self.store.checkpoint(self.point.index);
        assert_eq!(covered, Ok(self.point.index), "a checkpoint covers what is durable");
        let mut export = self.store.export().expect("an engine in memory can be read");
        let next = || export.next_page().expect("an engine in memory can be read");
        std::iter::from_fn(next).collect()
    }

    pub(super) fn apply(&mut self, entry: &LogEntry) -> Option<(Request, Outcome)> {
        let index = entry.index();
        let request = match entry.kind() {
            EntryKind::Command => Request::decode(&entry.payload()),
            EntryKind::Noop | EntryKind::Configuration => None,
        };
        let payload = match &request {
            Some(request) if request.action == Action::Opaque => opened(&entry.payload()),
            Some(request) => payload(request),
            None => Payload::Noop,
        };
        let time = entry.time();
        let time =
            if self.is_rotten { time.after(std::time::Duration::from_millis(1)) } else { time };
        let outcome = self.apply_payload(index, &Entry { time, payload });
        self.point = *entry.point();
        if request.is_some_and(|request| request.action == Action::Opaque) {
            return request.zip(Some(Outcome::Applied { index, position: 0 }));
        }
        let outcome = outcome.map(|outcome| told(&outcome));
        request.map(|request| (request, outcome.expect("a request has an outcome")))
    }

    fn apply_payload(&mut self, index: LogIndex, entry: &Entry) -> Option<RealOutcome> {
        let view = self.view();
        let mut applied = loop {
            match self.partition.apply(index, entry, &*view, executor()) {
                Ok(applied) => break applied,
                Err(Halt::Need(ids)) => view.load(&ids).expect("an engine in memory can be read"),
                Err(halt) => panic!("an entry cannot be applied: {halt}"),
            }
        };
        drop(view);
        let effects = std::mem::take(&mut applied.effects);
        self.store.commit(index, effects).expect("effects follow each other");
        let settled = applied.settled.as_ref().map(|(_, outcome)| outcome.clone());
        self.applied = Some(applied);
        settled
    }

    pub(super) fn show(&self, key: u8) -> Shown {
        let view = self.view();
        let value = loading(&*view, |reader| tree().get(reader, &[key]));
        let value = value.flatten().map_or(0, |entry| number(&entry.value));
        let limit = ReadLimit::entries(SHOWN_MAX);
        let list = loading(&*view, |reader| diary(key).read(reader, Sequence(0), limit));
        let list = list.unwrap_or_default().iter().map(|entry| number(&entry.payload)).collect();
        Shown { value, list }
    }

    fn view(&self) -> Arc<dyn StateView> {
        self.store.view(At::Latest).expect("the latest state can be seen")
    }
}

/// Reads, with what is missing brought into memory; `None` where there is no such collection.
fn loading<T>(
    view: &dyn StateView,
    mut read: impl FnMut(&mut SourceReader<'_>) -> Result<T, ReadError>,
) -> Option<T> {
    loop {
        match read(&mut SourceReader(&view)) {
            Ok(found) => return Some(found),
            Err(ReadError::NoSuchCollection(_)) => return None,
            Err(ReadError::Halt(Halt::Need(ids))) => {
                view.load(&ids).expect("an engine in memory can be read");
            }
            Err(error) => panic!("a collection cannot be read: {error}"),
        }
    }
}

fn executor() -> &'static CollectionExecutor {
    static EXECUTOR: OnceLock<CollectionExecutor> = OnceLock::new();
    EXECUTOR.get_or_init(|| {
        let mut registry = Registry::new();
        registry.register(Arc::new(TreeType)).expect("it is the first");
        registry.register(Arc::new(DiaryType)).expect("it has another name");
        registry.register(Arc::new(TopicType::default())).expect("it has another name");
        CollectionExecutor::new(registry)
    })
}

fn tree() -> &'static RawTree {
    static TREE: OnceLock<RawTree> = OnceLock::new();
    TREE.get_or_init(|| RawTree::new("sim/registers".parse().expect("a name")))
}

fn diary(list: u8) -> RawDiary {
    RawDiary::new(format!("sim/list{list}").parse().expect("a name"))
}

/// The codec kind of a payload in a log of several partitions.
pub(crate) const PAYLOAD: codec::Kind = codec::Kind(codec::Kind::FOREIGN_FIRST.0 + 1);

/// What an opaque entry carries.
fn opened(bytes: &[u8]) -> Payload {
    codec::decode(PAYLOAD, Request::payload(bytes)).expect("it was encoded by a node")
}

/// What a request is in a real log.
fn payload(request: &Request) -> Payload {
    let mut unique = [0; 16];
    unique[0] = request.id.client;
    unique[1..5].copy_from_slice(&request.id.number.to_le_bytes());
    let id = TransactionId::new(PlacementKey::of(tree().name()), unique);
    let number = request.id.number.into();
    let session = [request.id.client; 16];
    let session = Some(SessionStamp { session, number, low_water: number });
    let expiry = request.expiry.expect("requests to the real state machine expire");
    let body = body(request);
    if body.actions.is_empty() {
        return Payload::Resolve { id, expiry, session };
    }
    Payload::Transaction(TransactionRequest { id, expiry, session, body })
}

fn body(request: &Request) -> TransactionBody {
    let mut actions = Vec::new();
    let (mode, policy) = (CreateMode::OpenOrCreate, CollectionPolicy::default());
    if let Some((key, value)) = request.action.register() {
        actions.push(tree().create(mode, policy.clone(), &TreeOptions::default()));
        actions.push(tree().put(vec![key], bytes(value, request.padding)));
    }
    if let Some((list, value)) = request.action.list() {
        let entries = vec![bytes(value, request.padding)];
        actions.push(diary(list).create(mode, policy));
        actions.push(diary(list).append(ExpectedVersion::Any, entries));
    }
    TransactionBody { actions, ..TransactionBody::default() }
}

fn bytes(value: u32, padding: u16) -> Bytes {
    let mut bytes = BytesMut::with_capacity(4 + usize::from(padding));
    bytes.put_u32_le(value);
    bytes.put_bytes(0, padding.into());
    bytes.freeze()
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(*bytes.first_chunk().expect("four bytes were written"))
}

/// An outcome in the model's words.
fn told(outcome: &RealOutcome) -> Outcome {
    match outcome {
        RealOutcome::Committed(commit) => {
            let last = commit.answers.last().expect("each action is answered");
            let position = DiaryAnswer::decode(last).map_or(0, |answer| answer.first.0 + 1);
            Outcome::Applied { index: commit.position.index, position }
        }
        RealOutcome::Rejected(Rejection::Fenced) => Outcome::Fenced,
        RealOutcome::Rejected(Rejection::Forgotten) => Outcome::Forgotten,
        RealOutcome::Rejected(Rejection::Expired { .. }) => Outcome::Early,
        other => panic!("nothing else can come of a request: {other:?}"),
    }
}

#[cfg(test)]
mod tests;
