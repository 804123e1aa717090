//! Applying committed entries: what whoever drives a partition does between a sync and an answer, in one thread and
//! without a log: decode the entry, run it through the partition and the executor, commit the effects.
//!
//! Figures are processor time of the thread. Puts and appends of 100 bytes in sessions of 16 clients, as handles
//! make them: each client has one request on its way and settles it with the next. Publishes of 256 bytes by one of ten
//! publishers each, in a topic that retains 10,000 messages.

#![expect(clippy::expect_used, reason = "a bench that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "a bench reports what it measured")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use weald_benches::process::processor_time;
use weald_cluster::partition::Partition;
use weald_collections::{
    CollectionExecutor, DiaryType, ExpectedVersion, RawDiary, RawTree, Registry, TreeType,
    tree::TreeOptions,
};
use weald_core::{
    Action, At, CollectionPolicy, CreateMode, Digest, Entry, Halt, LogIndex, Outcome, PartitionId,
    Payload, PlacementKey, SeededEntropy, SessionStamp, StateStore, Time, TransactionBody,
    TransactionId, TransactionRequest,
    codec::{self, Kind},
    identity::Identity,
};
use weald_pubsub::{
    BatchMode, Draft, Incarnation, Message, PublisherSequence, Topic, TopicAddress, TopicId,
    TopicPolicy, TopicType,
};
use weald_storage::{
    engine::MemoryEngine,
    state::{BlockCache, PartitionStore, StateConfig},
};

const CLIENTS: u64 = 16;
/// Keys in the tree before anything is measured.
const KEYS: u64 = 20_000;
/// Publishers of the topic.
const PUBLISHERS: u64 = 10;
/// Messages that the topic retains.
const RETAINED: u64 = 10_000;
/// Entries made ahead of those that are measured; making them does not count.
const CHUNK: usize = 1000;
/// Entries between two checkpoints, whose time does not count: they run on another thread.
const CHECKPOINT_INTERVAL: u64 = 20_000;

/// A partition with its state, and clients that ask for something.
struct Site {
    partition: Partition,
    store: PartitionStore,
    executor: CollectionExecutor,
    tree: RawTree,
    diary: RawDiary,
    topic: Topic,
    publishers: Vec<Identity>,
    published: u64,
    asked: u64,
    checkpointed: u64,
}

impl Site {
    fn new() -> Self {
        let mut registry = Registry::new();
        registry.register(Arc::new(TreeType)).expect("registered once");
        registry.register(Arc::new(DiaryType)).expect("registered once");
        registry.register(Arc::new(TopicType::default())).expect("registered once");
        let engine = Arc::new(MemoryEngine::new());
        let cache = Arc::new(BlockCache::new(64 << 20));
        let config = StateConfig::default();
        let store = PartitionStore::open(PartitionId(0), engine, cache, config);
        let mut site = Self {
            partition: Partition::new(PartitionId(0)),
            store: store.expect("memory is here"),
            executor: CollectionExecutor::new(registry),
            tree: RawTree::new("tree".parse().expect("a valid name")),
            diary: RawDiary::new("diary".parse().expect("a valid name")),
            topic: Topic::new(TopicAddress { network: Digest::ZERO, topic: TopicId::of("bench") }),
            publishers: (1..=PUBLISHERS)
                .map(|seed| Identity::generate(&mut SeededEntropy::new(seed)))
                .collect(),
            published: 0,
            asked: 0,
            checkpointed: 0,
        };
        let policy = CollectionPolicy::default();
        let tree = site.tree.create(CreateMode::Create, policy.clone(), &TreeOptions::default());
        let diary = site.diary.create(CreateMode::Create, policy);
        let policy = TopicPolicy { messages_max: RETAINED, ..TopicPolicy::default() };
        let topic = site.topic.create(CreateMode::Create, policy, None);
        site.run([tree, diary, topic].into_iter());
        let puts: Vec<Action> = (0..KEYS).map(|key| site.put(key)).collect();
        site.run(puts.into_iter());
        site
    }

    fn put(&self, key: u64) -> Action {
        let spread = key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.tree.put(
            [spread.to_be_bytes(), key.to_be_bytes()].concat(),
            vec![key.to_le_bytes()[0]; 100],
        )
    }

    /// The next message, signed by the publisher whose turn it is.
    fn publish(&mut self) -> Action {
        let (turn, sequence) = (self.published % PUBLISHERS, self.published / PUBLISHERS + 1);
        self.published += 1;
        let draft = Draft {
            incarnation: Incarnation(1),
            sequence: PublisherSequence(sequence),
            published_at: Time::from_millis(1),
            expires_at: Time::from_millis(86_400_000),
            body: Bytes::from(vec![5; 256]),
        };
        let turn = usize::try_from(turn).expect("it is small");
        let message = Message::sign(self.topic.address(), draft, &self.publishers[turn]);
        self.topic.publish(vec![message.expect("a key in memory signs")], BatchMode::Each)
    }

    /// The entry of the next request, encoded as the log has it.
    fn entry(&mut self, action: Action) -> Bytes {
        self.asked += 1;
        let (client, number) = (self.asked % CLIENTS, self.asked / CLIENTS + 1);
        let mut unique = [7; 16];
        unique[..8].copy_from_slice(&self.asked.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        let mut session = [3; 16];
        session[..8].copy_from_slice(&client.to_le_bytes());
        let time = Time::from_millis(self.asked / 16);
        let request = TransactionRequest {
            id: TransactionId::new(PlacementKey::of(&action.collection), unique),
            expiry: time.after(Duration::from_secs(30)),
            session: Some(SessionStamp { session, number, low_water: number }),
            body: TransactionBody { actions: vec![action], ..TransactionBody::default() },
        };
        codec::encode(Kind::ENTRY, &Entry { time, payload: Payload::Transaction(request) })
    }

    fn apply(&mut self, entry: &[u8]) {
        let entry: Entry = codec::decode(Kind::ENTRY, entry).expect("encoded above");
        let index = self.partition.applied().next();
        let view = self.store.view(At::Latest).expect("memory is here");
        let mut applied = loop {
            match self.partition.apply(index, &entry, &*view, &self.executor) {
                // That the id of a new block is free, once there was a checkpoint.
                Err(Halt::Need(ids)) => view.load(&ids).expect("memory is here"),
                done => break done.expect("nothing is broken"),
            }
        };
        drop(view);
        let effects = std::mem::take(&mut applied.effects);
        self.store.commit(index, effects).expect("the next index");
        assert!(
            matches!(applied.settled, Some((_, Outcome::Committed(_)))),
            "{:?}",
            applied.settled
        );
    }

    /// Applies these; tells the thread's processor time.
    fn run(&mut self, actions: impl Iterator<Item = Action>) -> Duration {
        let mut actions = actions.peekable();
        let mut time = Duration::ZERO;
        while actions.peek().is_some() {
            let chunk: Vec<Action> = actions.by_ref().take(CHUNK).collect();
            let chunk: Vec<Bytes> = chunk.into_iter().map(|action| self.entry(action)).collect();
            let before = processor_time().expect("told by the system");
            for entry in &chunk {
                self.apply(entry);
            }
            time += processor_time().expect("told by the system").saturating_sub(before);
            let LogIndex(applied) = self.partition.applied();
            if applied > self.checkpointed + CHECKPOINT_INTERVAL {
                self.checkpointed = applied;
                self.store.checkpoint(LogIndex(applied)).expect("memory is here");
            }
        }
        time
    }
}

fn apply(criterion: &mut Criterion) {
    let mut site = Site::new();
    let mut group = criterion.benchmark_group("apply");
    group.sample_size(10).measurement_time(Duration::from_secs(4));
    group.throughput(Throughput::Elements(1));
    let mut number = 0;
    group.bench_function("put_100", |bencher| {
        bencher.iter_custom(|times| {
            let puts: Vec<Action> = (number..number + times)
                .map(|number| site.put(number.wrapping_mul(7919) % KEYS))
                .collect();
            number += times;
            site.run(puts.into_iter())
        });
    });
    let payload = Bytes::from(vec![5; 100]);
    group.bench_function("append_100", |bencher| {
        bencher.iter_custom(|times| {
            let append = site.diary.append(ExpectedVersion::Any, vec![payload.clone()]);
            site.run((0..times).map(|_| append.clone()))
        });
    });
    let retained: Vec<Action> = (0..RETAINED).map(|_| site.publish()).collect();
    site.run(retained.into_iter());
    group.bench_function("publish_256", |bencher| {
        bencher.iter_custom(|times| {
            let publishes: Vec<Action> = (0..times).map(|_| site.publish()).collect();
            site.run(publishes.into_iter())
        });
    });
    group.finish();
    let begin = Instant::now();
    let puts: Vec<Action> = (0..KEYS).map(|key| site.put(key)).collect();
    let busy = site.run(puts.into_iter());
    println!("{KEYS} puts: {busy:?} of {:?}", begin.elapsed());
}

criterion_group!(benches, apply);
criterion_main!(benches);
