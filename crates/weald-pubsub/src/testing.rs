//! Values for tests.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use weald_collections::{CollectionExecutor, Registry, SourceReader};
use weald_core::{
    Action, BlockId, BlockRead, BlockSource, Context, CreateMode, Digest, Executed, Executor,
    Fault, Halt, LogIndex, Overlay, PeerId, PlacementKey, Rejection, SeededEntropy, StoredBlock,
    Time, TransactionId, identity::Identity, limits::TransactionLimits,
};

use crate::{
    BatchMode, Bucket, CoordinatorObject, Draft, Incarnation, Lease, Message, MessageEntry,
    MessageId, PublishAnswer, Published, PublisherSequence, Source, Standing, SubscriberId, Topic,
    TopicAddress, TopicId, TopicItem, TopicPage, TopicPolicy, TopicPosition, TopicRefusal,
    TopicType, TopicVersion,
};

pub(crate) fn identity(seed: u64) -> Identity {
    Identity::generate(&mut SeededEntropy::new(seed))
}

pub(crate) fn address() -> TopicAddress {
    TopicAddress { network: Digest::of("network", &[]), topic: TopicId::of("chat") }
}

pub(crate) fn at(seconds: u64) -> Time {
    Time::from_millis(seconds * 1000)
}

pub(crate) fn peer(n: u64) -> PeerId {
    PeerId::from_digest(Digest::of("peer", &[&n.to_le_bytes()]))
}

pub(crate) fn draft(sequence: u64, body: impl Into<Bytes>) -> Draft {
    Draft {
        incarnation: Incarnation(1),
        sequence: PublisherSequence(sequence),
        published_at: at(1),
        expires_at: at(50_000),
        body: body.into(),
    }
}

pub(crate) fn message(keys: &Identity, sequence: u64, body: &'static str) -> Message {
    Message::sign(&address(), draft(sequence, body), keys).unwrap()
}

/// A message with a body of so many bytes, no two chunks of it alike.
pub(crate) fn sized(keys: &Identity, sequence: u64, bytes: usize) -> Message {
    let body: Vec<u8> = (0..251).cycle().take(bytes).collect();
    Message::sign(&address(), draft(sequence, body), keys).unwrap()
}

/// The entry of a message that nobody wrote.
pub(crate) fn entry(position: u64, publisher: u64, expires_at: Time) -> MessageEntry {
    MessageEntry {
        position: TopicPosition(position),
        id: MessageId(Digest::of("id", &[&position.to_le_bytes(), &publisher.to_le_bytes()])),
        source: Source {
            publisher: peer(publisher),
            incarnation: Incarnation(1),
            sequence: PublisherSequence(position),
        },
        expires_at,
        bytes: 100,
    }
}

pub(crate) fn subscriber(n: u64) -> SubscriberId {
    SubscriberId { peer: peer(n), stream: 1 }
}

pub(crate) fn lease(n: u64, version: u64, expires_at: Time) -> Lease {
    Lease {
        id: subscriber(n),
        version: TopicVersion(version),
        subscribed_at: at(1),
        expires_at,
        nonce: 1,
        last_seen: TopicPosition::ZERO,
        standing: Standing::Live,
        renewals: Bucket::default(),
    }
}

/// A digest of bytes, as golden vectors of a format state it.
pub(crate) fn golden(bytes: &[u8]) -> String {
    Digest::of("golden", &[bytes]).to_string()[..16].to_owned()
}

/// Blocks in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Blocks(pub(crate) BTreeMap<BlockId, Arc<StoredBlock>>);

impl BlockSource for Blocks {
    fn block(&self, id: BlockId) -> Result<BlockRead, Fault> {
        Ok(self.0.get(&id).cloned().map_or(BlockRead::Absent, BlockRead::Present))
    }
}

/// A partition in memory: actions in, blocks kept.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) blocks: Blocks,
    executor: CollectionExecutor,
    index: u64,
    pub(crate) time: Time,
}

impl Site {
    /// A partition that knows topics.
    pub(crate) fn new(code: TopicType) -> Self {
        let mut registry = Registry::new();
        registry.register(Arc::new(code)).unwrap();
        let executor = CollectionExecutor::new(registry);
        Self { blocks: Blocks::default(), executor, index: 0, time: at(10) }
    }

    /// A partition with the topic `chat`.
    pub(crate) fn with(policy: TopicPolicy) -> Self {
        let mut site = Self::new(TopicType::default());
        site.run(&[topic().create(CreateMode::Create, policy, None)]).unwrap();
        site
    }

    fn context(&self) -> Context {
        let mut unique = [0; 16];
        unique[..8].copy_from_slice(&(self.index + 1).to_le_bytes());
        Context {
            transaction: TransactionId::new(PlacementKey::from_u64(0), unique),
            index: LogIndex(self.index + 1),
            time: self.time,
            limits: TransactionLimits::default(),
            types: self.executor.registry().types(),
        }
    }

    /// Runs one transaction and keeps its blocks; a refusal leaves no trace.
    pub(crate) fn run(&mut self, actions: &[Action]) -> Result<Vec<Bytes>, Rejection> {
        let mut overlay = Overlay::new(&self.blocks);
        let executed = self.executor.execute(&self.context(), actions, &mut overlay).unwrap();
        let (answers, commits) = match executed {
            Executed::Done { answers, commits } => {
                let limits = TransactionLimits::default();
                let (count, bytes) = (overlay.changed_count(), overlay.changed_bytes());
                assert!(count <= limits.blocks_max && bytes <= limits.bytes_max, "{count} {bytes}");
                (answers, commits)
            }
            Executed::Refused(rejection) => {
                assert!(overlay.is_clean(), "a refused transaction leaves no trace");
                return Err(rejection);
            }
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

    /// Runs one action on the blocks of `source` and keeps nothing of it.
    pub(crate) fn attempt(
        &self,
        source: &dyn BlockSource,
        action: &Action,
    ) -> Result<Executed, Halt> {
        let mut overlay = Overlay::new(source);
        self.executor.execute(&self.context(), std::slice::from_ref(action), &mut overlay)
    }

    /// Runs one action and returns its answer.
    pub(crate) fn act(&mut self, action: Action) -> Result<Bytes, Rejection> {
        self.run(&[action]).map(|mut answers| answers.remove(0))
    }

    /// Publishes messages, each for itself.
    pub(crate) fn publish(
        &mut self,
        messages: Vec<Message>,
    ) -> Vec<Result<Option<Published>, TopicRefusal>> {
        let answer = self.act(topic().publish(messages, BatchMode::Each)).unwrap();
        PublishAnswer::decode(&answer).unwrap().results
    }

    /// Publishes one message.
    pub(crate) fn publish_one(&mut self, message: Message) -> Result<Published, TopicRefusal> {
        self.publish(vec![message]).remove(0).map(Option::unwrap)
    }

    /// The head of the topic.
    pub(crate) fn head(&self) -> CoordinatorObject {
        topic().head(&mut self.reader()).unwrap()
    }

    /// The topic from a position on.
    pub(crate) fn read(&self, from: u64) -> TopicPage {
        topic().read(&mut self.reader(), TopicPosition(from), (10_000, self.time)).unwrap()
    }

    /// The bodies that can be read, with their positions.
    pub(crate) fn bodies(&self) -> Vec<(u64, Bytes)> {
        let body = |item| match item {
            TopicItem::Message { position, message } => Some((position.0, message.body)),
            TopicItem::Gone { .. } | TopicItem::Large { .. } => None,
        };
        self.read(0).items.into_iter().filter_map(body).collect()
    }

    pub(crate) fn reader(&self) -> SourceReader<'_> {
        SourceReader(&self.blocks)
    }

    /// Bytes of all blocks.
    pub(crate) fn bytes(&self) -> usize {
        self.blocks.0.values().map(|stored| stored.block.payload.len()).sum()
    }
}

/// The topic `chat`.
pub(crate) fn topic() -> Topic {
    Topic::new(address())
}

/// A message that lasts until `expires_at`.
pub(crate) fn lasting(keys: &Identity, sequence: u64, expires_at: Time) -> Message {
    let draft = Draft { expires_at, ..draft(sequence, format!("body {sequence}")) };
    Message::sign(&address(), draft, keys).unwrap()
}
