//! A tree in memory with a million entries of 16 + 100 bytes, beside the standard library's map in
//! the same run: gets, puts, scans; and puts through the executor, with chain and state block.
//!
//! `cargo bench -p weald-benches --bench tree`
//!
//! Times are processor time of this thread where the system tells it, so that what else the machine
//! does disturbs little: it still shares caches. Compare lines of one run.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasherDefault, Hasher},
    hint::black_box,
    ops::Bound,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use weald_collections::{
    BlockReader, BlockWriter, CollectionExecutor, RawTree, Registry, SourceReader, TreeType,
    btree::{BTree, Direction, NodeCapacity},
    tree::TreeOptions,
};
use weald_core::{
    Action, Block, BlockEffect, BlockId, BlockKind, BlockRead, BlockSource, CollectionPolicy,
    Context, CreateMode, Executed, Executor, Fault, Halt, LogIndex, Overlay, Revision, Splice,
    StoredBlock, Time, TransactionId, TypeSet, limits::TransactionLimits,
};

const ENTRIES: u64 = 1_000_000;
const VALUE: [u8; 100] = [7; 100];
/// Entries of one scan.
const SCANNED: usize = 100_000;

/// Blocks in memory, hashed as the state store hashes them.
#[derive(Default)]
struct Blocks(HashMap<BlockId, Arc<StoredBlock>, BuildHasherDefault<IdHasher>>);

/// Block ids are digests: eight of their bytes are as good as any hash of them.
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk::<8>() {
            self.0 ^= u64::from_le_bytes(*first);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 ^= number;
    }

    fn write_usize(&mut self, _length: usize) {}
}

impl BlockSource for Blocks {
    fn block(&self, id: BlockId) -> Result<BlockRead, Fault> {
        Ok(self.0.get(&id).map_or(BlockRead::Absent, |stored| BlockRead::Present(stored.clone())))
    }
}

impl Blocks {
    fn commit(&mut self, effects: Vec<BlockEffect>) {
        for effect in effects {
            match effect.after {
                Some(after) => drop(self.0.insert(effect.id, after)),
                None => drop(self.0.remove(&effect.id)),
            }
        }
    }
}

/// One transaction on the blocks of one tree.
struct Writer<'s> {
    overlay: Overlay<'s>,
    revision: Revision,
    made: u32,
}

fn collection() -> BlockId {
    BlockId::header(&"bench".parse().expect("a valid name"))
}

fn transaction(number: u64) -> TransactionId {
    TransactionId::new(collection().placement(), u128::from(number).to_le_bytes())
}

impl BlockReader for Writer<'_> {
    fn read(&mut self, id: BlockId) -> Result<Option<Arc<StoredBlock>>, Halt> {
        self.overlay.read(id)
    }
}

impl BlockWriter for Writer<'_> {
    fn revision(&self) -> Revision {
        self.revision
    }

    fn insert(&mut self, kind: BlockKind, payload: Bytes) -> Result<BlockId, Halt> {
        let collection = collection();
        let made_by = transaction(self.revision.0);
        let id = BlockId::derived(collection.placement(), &made_by, self.made);
        self.made += 1;
        self.overlay.insert(Block { id, kind, collection, payload })?;
        Ok(id)
    }

    fn splice(&mut self, id: BlockId, splices: Vec<Splice>) -> Result<(), Halt> {
        Ok(self.overlay.splice(id, splices)?)
    }

    fn replace(&mut self, id: BlockId, kind: BlockKind, payload: Bytes) -> Result<(), Halt> {
        Ok(self.overlay.replace(Block { id, kind, collection: collection(), payload })?)
    }

    fn delete(&mut self, id: BlockId) -> Result<(), Halt> {
        Ok(self.overlay.delete(id)?)
    }
}

/// A tree with its blocks; each put is a transaction.
struct Forest {
    blocks: Blocks,
    tree: BTree,
    revision: u64,
}

impl Forest {
    fn new() -> Self {
        let mut blocks = Blocks::default();
        let mut writer = Writer { overlay: Overlay::new(&blocks), revision: Revision(0), made: 0 };
        let tree = BTree::create(&mut writer, NodeCapacity::default()).expect("memory is here");
        let effects = writer.overlay.into_effects(|_| Revision(0));
        blocks.commit(effects);
        Self { blocks, tree, revision: 0 }
    }

    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.revision += 1;
        let revision = Revision(self.revision);
        let mut writer = Writer { overlay: Overlay::new(&self.blocks), revision, made: 0 };
        black_box(self.tree.put(&mut writer, key, value).expect("memory is here"));
        let effects = writer.overlay.into_effects(|_| revision);
        self.blocks.commit(effects);
    }
}

/// A tree behind the executor; each put is an action.
struct Site {
    blocks: Blocks,
    executor: CollectionExecutor,
    tree: RawTree,
    index: u64,
}

impl Site {
    fn new() -> Self {
        let mut registry = Registry::new();
        registry.register(Arc::new(TreeType)).expect("registered once");
        let executor = CollectionExecutor::new(registry);
        let tree = RawTree::new("bench".parse().expect("a valid name"));
        let mut site = Self { blocks: Blocks::default(), executor, tree, index: 0 };
        let policy = CollectionPolicy::default();
        site.run(&site.tree.create(CreateMode::Create, policy, &TreeOptions::default()));
        site
    }

    fn run(&mut self, action: &Action) {
        self.index += 1;
        let context = Context {
            transaction: transaction(self.index),
            index: LogIndex(self.index),
            time: Time::from_millis(self.index),
            limits: TransactionLimits::default(),
            types: TypeSet::built_in(),
        };
        let mut overlay = Overlay::new(&self.blocks);
        let executed = self
            .executor
            .execute(&context, std::slice::from_ref(action), &mut overlay)
            .expect("memory is here");
        let Executed::Done { commits, .. } = executed else { panic!("refused: {executed:?}") };
        let effects = overlay.into_effects(|collection| commits[&collection].revision);
        self.blocks.commit(effects);
    }
}

/// Keys in no order: a number spread over 64 bits, then the number.
fn key(number: u64) -> [u8; 16] {
    let mut spread = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    spread = (spread ^ (spread >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    spread = (spread ^ (spread >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let mut key = [0; 16];
    key[..8].copy_from_slice(&(spread ^ (spread >> 31)).to_be_bytes());
    key[8..].copy_from_slice(&number.to_be_bytes());
    key
}

/// Processor time that this thread has had.
fn processor_time() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

/// Runs `routine` as often as asked and tells how long it took.
fn timed<T>(times: u64, mut routine: impl FnMut() -> T) -> Duration {
    let (started, busy) = (Instant::now(), processor_time());
    for _ in 0..times {
        black_box(routine());
    }
    let (elapsed, busy_after) = (started.elapsed(), processor_time());
    let busy = busy.zip(busy_after).map(|(before, after)| after - before);
    // The system counts in steps of some milliseconds; below, the clock on the wall is better.
    busy.filter(|busy| *busy > Duration::from_millis(20)).unwrap_or(elapsed)
}

/// Numbers of entries in no order, again and again.
fn numbers() -> impl FnMut() -> u64 {
    let mut number = 0u64;
    move || {
        number = (number + 618_033) % ENTRIES;
        number
    }
}

fn trees(criterion: &mut Criterion) {
    let mut forest = Forest::new();
    let mut map = BTreeMap::<Vec<u8>, Vec<u8>>::new();
    for number in 0..ENTRIES {
        forest.put(&key(number), &VALUE);
        map.insert(key(number).to_vec(), VALUE.to_vec());
    }
    let survey = forest.tree.verify(&mut SourceReader(&forest.blocks)).expect("a whole tree");
    assert_eq!(survey.entries, ENTRIES);

    let mut group = criterion.benchmark_group("tree");
    group.sample_size(20).warm_up_time(Duration::from_millis(500));
    group.measurement_time(Duration::from_secs(3)).throughput(Throughput::Elements(1));
    let mut next = numbers();
    group.bench_function("get/weald", |bencher| {
        let mut reader = SourceReader(&forest.blocks);
        bencher.iter_custom(|times| {
            timed(times, || forest.tree.get(&mut reader, &key(next())).expect("memory is here"))
        });
    });
    group.bench_function("get/std", |bencher| {
        bencher.iter_custom(|times| timed(times, || map.get(&key(next())[..]).cloned()));
    });
    group.bench_function("put/weald", |bencher| {
        bencher.iter_custom(|times| timed(times, || forest.put(&key(next()), &VALUE)));
    });
    group.bench_function("put/std", |bencher| {
        bencher
            .iter_custom(|times| timed(times, || map.insert(key(next()).to_vec(), VALUE.to_vec())));
    });
    let mut fresh = ENTRIES;
    group.bench_function("insert/weald", |bencher| {
        bencher.iter_custom(|times| {
            timed(times, || {
                fresh += 1;
                forest.put(&key(fresh), &VALUE);
            })
        });
    });

    group.throughput(Throughput::Elements(SCANNED as u64));
    let middle = key(1234);
    group.bench_function("scan/weald", |bencher| {
        let scan = || {
            let mut reader = SourceReader(&forest.blocks);
            let bounds = (Bound::Included(&middle[..]), Bound::Unbounded);
            let scan = forest.tree.range(&mut reader, bounds, Direction::Forward).take(SCANNED);
            scan.map(|entry| entry.expect("memory is here").value.len()).sum::<usize>()
        };
        bencher.iter_custom(|times| timed(times, scan));
    });
    group.bench_function("scan/std", |bencher| {
        let bytes = |(_, value): (&Vec<u8>, &Vec<u8>)| value.clone().len();
        let scan = || map.range(middle.to_vec()..).take(SCANNED).map(bytes).sum::<usize>();
        bencher.iter_custom(|times| timed(times, scan));
    });
    group.finish();
}

fn executor(criterion: &mut Criterion) {
    let mut site = Site::new();
    for number in 0..ENTRIES / 10 {
        site.run(&site.tree.put(key(number).to_vec(), &VALUE[..]));
    }
    let mut group = criterion.benchmark_group("executor");
    group.sample_size(20).warm_up_time(Duration::from_millis(500));
    group.measurement_time(Duration::from_secs(3)).throughput(Throughput::Elements(1));
    let mut next = numbers();
    group.bench_function("put", |bencher| {
        bencher.iter_custom(|times| {
            timed(times, || site.run(&site.tree.put(key(next() / 10).to_vec(), &VALUE[..])))
        });
    });
    group.finish();
}

criterion_group!(benches, trees, executor);
criterion_main!(benches);
