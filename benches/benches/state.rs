//! The state of a partition under puts of 256 bytes as a tree makes them: a splice of a leaf, an
//! append to the chain, a splice of the state block, and two rows.
//!
//! Prints, besides criterion's figures, the bytes handed to the engine for each put.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "a bench reports what it measured")]

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use weald_core::{
    At, Base, Block, BlockEffect, BlockId, BlockKind, Change, Digest, Effects, LogIndex,
    PartitionId, Revision, Splice, StateStore, StoredBlock, Transform,
};
use weald_storage::{
    engine::{Engine, EngineConfig, EngineKind, MemoryEngine, open},
    state::{BlockCache, Compression, PartitionStore, StateConfig},
};

const LEAF_COUNT: usize = 1000;
const LEAF_BYTES: usize = 4096;
const CHAIN_BYTES_MAX: usize = 8192;
const VALUE_BYTES: usize = 256;
/// Puts between two checkpoints.
const PUTS: usize = 20_000;

/// Makes the effects of puts, the blocks' contents included, as an executor would.
struct Puts {
    leaves: Vec<Arc<StoredBlock>>,
    chain: Arc<StoredBlock>,
    state: Arc<StoredBlock>,
    index: u64,
    seed: u64,
}

fn id(kind: &str, number: u64) -> BlockId {
    BlockId::from_bytes(Digest::of(kind, &[&number.to_le_bytes()]).prefix())
}

fn stored(id: BlockId, payload: Vec<u8>) -> Arc<StoredBlock> {
    let collection = BlockId::header(&"bench".parse().unwrap());
    let block = Block { id, kind: BlockKind::STRUCTURE_FIRST, collection, payload: payload.into() };
    Arc::new(StoredBlock { block, revision: Revision(1) })
}

/// Text that compresses about as JSON does.
fn text(seed: u64, len: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(len + 64);
    let mut number = seed;
    while text.len() < len {
        number = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
        text.extend_from_slice(
            format!("{{\"id\":{},\"name\":\"x{:x}\"}},", number >> 40, number >> 32).as_bytes(),
        );
    }
    text.truncate(len);
    text
}

impl Puts {
    fn new() -> Self {
        let leaves =
            (0..LEAF_COUNT as u64).map(|n| stored(id("leaf", n), text(n, LEAF_BYTES))).collect();
        Self {
            leaves,
            chain: stored(id("chain", 0), Vec::new()),
            state: stored(id("state", 0), vec![0; 120]),
            index: 1,
            seed: 1,
        }
    }

    /// The entry that makes all blocks.
    fn first(&self) -> Effects {
        let blocks = self
            .leaves
            .iter()
            .chain([&self.chain, &self.state])
            .map(|stored| insert(stored, Revision(1)));
        Effects { blocks: blocks.collect(), ..Effects::default() }
    }

    fn next(&mut self) -> (LogIndex, Effects) {
        self.index += 1;
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let (revision, at) = (Revision(self.index), usize::try_from(self.seed >> 33).unwrap());
        let leaf = &mut self.leaves[at % LEAF_COUNT];
        // An overwrite: revision, length and value go, others come.
        let splice = Splice::new(
            at % (LEAF_BYTES - VALUE_BYTES - 12),
            VALUE_BYTES + 12,
            text(self.seed, VALUE_BYTES + 12),
        );
        let mut blocks = vec![update(leaf, revision, splice)];
        let splice = Splice::new(40, 24, [self.index.to_le_bytes(); 3].concat());
        blocks.push(update(&mut self.state, revision, splice));
        let end = self.chain.block.payload.len();
        if end > CHAIN_BYTES_MAX {
            self.chain = stored(id("chain", self.index), text(self.seed, 150));
            let effect = insert(&self.chain, revision);
            self.chain.clone_from(effect.after.as_ref().unwrap());
            blocks.push(effect);
        } else {
            blocks.push(update(
                &mut self.chain,
                revision,
                Splice::new(end, 0, text(self.seed, 110)),
            ));
        }
        let rows = [(format!("result/{:x}", self.seed), 60), ("session/1".to_owned(), 24)];
        let rows: BTreeMap<_, _> = rows
            .into_iter()
            .map(|(key, len)| (Bytes::from(key), Some(Bytes::from(vec![1; len]))))
            .collect();
        (LogIndex(self.index), Effects { blocks, rows, ..Effects::default() })
    }
}

fn insert(stored: &Arc<StoredBlock>, revision: Revision) -> BlockEffect {
    let change = Change::Insert(stored.block.clone());
    let after = Arc::new(StoredBlock { block: stored.block.clone(), revision });
    BlockEffect { id: stored.block.id, base: Base::Absent, revision, change, after: Some(after) }
}

fn update(stored: &mut Arc<StoredBlock>, revision: Revision, splice: Splice) -> BlockEffect {
    let (id, base) = (stored.block.id, Base::At(stored.revision));
    let transform = Transform { id, base, change: Change::Update(vec![splice]) };
    let block = transform.apply(Some(stored)).unwrap().unwrap();
    *stored = Arc::new(StoredBlock { block, revision });
    BlockEffect { id, base, revision, change: transform.change, after: Some(Arc::clone(stored)) }
}

fn store(engine: Arc<dyn Engine>, compression: Compression) -> PartitionStore {
    let config = StateConfig { compression, ..StateConfig::default() };
    PartitionStore::open(PartitionId(0), engine, Arc::new(BlockCache::new(64 << 20)), config)
        .unwrap()
}

/// A store with all blocks, and what goes on with it.
fn begun(engine: Arc<dyn Engine>, compression: Compression) -> (PartitionStore, Puts) {
    let (store, puts) = (store(engine, compression), Puts::new());
    store.commit(LogIndex(1), puts.first()).unwrap();
    store.checkpoint(LogIndex(1)).unwrap();
    (store, puts)
}

/// What this thread has computed; what else the machine does is not in it.
fn cpu_time() -> Duration {
    // The kernel brings the figure up to date when it may switch threads.
    std::thread::yield_now();
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

/// Processor time of `count` commits; making the effects and checkpoints do not count.
fn commits(store: &PartitionStore, puts: &mut Puts, count: u64) -> Duration {
    let mut time = Duration::ZERO;
    let mut left = usize::try_from(count).unwrap();
    while left > 0 {
        let chunk: Vec<_> = (0..left.min(100)).map(|_| puts.next()).collect();
        left -= chunk.len();
        let begin = cpu_time();
        for (index, effects) in chunk {
            store.commit(index, effects).unwrap();
        }
        time += cpu_time() - begin;
        if store.pressure().is_high() {
            store.checkpoint(store.applied()).unwrap();
        }
    }
    time
}

fn commit(c: &mut Criterion) {
    let (store, mut puts) = begun(Arc::new(MemoryEngine::new()), Compression::Lz4);
    let mut group = c.benchmark_group("state");
    group.throughput(Throughput::Elements(1)).sample_size(20);
    group.bench_function("commit_put_256", |b| b.iter_custom(|n| commits(&store, &mut puts, n)));
    group.finish();
}

fn reads(c: &mut Criterion) {
    let (store, mut puts) = begun(Arc::new(MemoryEngine::new()), Compression::Lz4);
    let ids: Vec<_> = puts.leaves.iter().map(|leaf| leaf.block.id).collect();
    let mut group = c.benchmark_group("state");
    group.throughput(Throughput::Elements(1)).sample_size(20);
    let mut turn = 0;
    let mut read = |view: &dyn weald_core::StateView| {
        turn = (turn + 7) % ids.len();
        view.block(ids[turn]).unwrap()
    };
    let view = store.view(At::Latest).unwrap();
    group.bench_function("get_clean", |b| b.iter(|| read(&*view)));
    commits(&store, &mut puts, 5000);
    let view = store.view(At::Latest).unwrap();
    group.bench_function("get_dirty", |b| b.iter(|| read(&*view)));
    group.bench_function("view_and_get", |b| b.iter(|| read(&*store.view(At::Latest).unwrap())));
    group.finish();
}

fn checkpoints(c: &mut Criterion) {
    for (name, compression) in [("off", Compression::Off), ("lz4", Compression::Lz4)] {
        let folder = tempfile::tempdir().unwrap();
        let engine = open(EngineKind::Redb, folder.path(), &EngineConfig::default()).unwrap();
        let (store, mut puts) = begun(engine, compression);
        let mut group = c.benchmark_group("state");
        group.throughput(Throughput::Elements(PUTS as u64)).sample_size(10);
        group.bench_function(format!("checkpoint_redb_{name}"), |b| {
            b.iter_custom(|n| (0..n).map(|_| checkpoint(&store, &mut puts)).sum());
        });
        group.finish();
        let (written, puts) = (store.written(), puts.index);
        println!("{name}: bytes to the engine for each put {}, {written:?}", written.bytes / puts);
    }
}

/// Time of one checkpoint of [`PUTS`] puts.
fn checkpoint(store: &PartitionStore, puts: &mut Puts) -> Duration {
    commits(store, puts, PUTS as u64);
    let begin = Instant::now();
    store.checkpoint(store.applied()).unwrap();
    begin.elapsed()
}

/// Bytes of the process and what the store says of them.
fn memory(_: &mut Criterion) {
    let (store, mut puts) = begun(Arc::new(MemoryEngine::new()), Compression::Lz4);
    let resident = || -> usize {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    };
    let before = (resident(), store.dirty_bytes());
    for _ in 0..PUTS {
        let (index, effects) = puts.next();
        store.commit(index, effects).unwrap();
    }
    let grown = resident().saturating_sub(before.0);
    println!("memory of {PUTS} puts: resident +{grown}, dirty +{}", store.dirty_bytes() - before.1);
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = memory, commit, reads, checkpoints
}
criterion_main!(benches);
