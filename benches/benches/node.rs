//! Durable writes of the embedded node: appends and puts by 1, 16 and 64 concurrent callers, of
//! 100 B, 1 KiB and 64 KiB, beside a bare `fdatasync` loop of the same bytes into a preallocated
//! file and beside the engine alone, in one run.
//!
//! `cargo bench -p weald-benches --bench node`. The files lie in the system's temporary folder; set
//! `TMPDIR` to measure another disk. A time is that of one write, of all callers together.

use std::{
    fs::File,
    hint::black_box,
    os::unix::fs::FileExt,
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::Runtime;
use weald::{Config, RawDiary, RawTree, Weald};
use weald_storage::engine::{self, Batch, Durability, EngineConfig, EngineKind, Keyspace};

const SIZES: [(&str, usize); 3] = [("100B", 100), ("1KiB", 1024), ("64KiB", 64 << 10)];
const CALLERS: [u64; 3] = [1, 16, 64];
/// Bytes of the preallocated file; writes go round in it.
const FILE_BYTES: u64 = 64 << 20;

/// A file as the log prepares its own: written in full and synced.
fn prepared_file() -> File {
    let file = tempfile::tempfile().expect("a temporary file");
    let block = vec![0xaa; 1 << 20];
    for at in 0..FILE_BYTES >> 20 {
        file.write_all_at(&block, at << 20).expect("the file is prepared");
    }
    file.sync_all().expect("the file is synced");
    file
}

fn bare_sync(c: &mut Criterion) {
    let mut group = c.benchmark_group("fdatasync");
    let file = prepared_file();
    for (name, size) in SIZES {
        // The log writes whole sectors.
        let bytes = vec![0x55; size.next_multiple_of(4096)];
        let mut at = 0;
        group.throughput(Throughput::Elements(1));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let len = u64::try_from(bytes.len()).expect("a small length");
                at = if at + len > FILE_BYTES { 0 } else { at };
                file.write_all_at(&bytes, at).expect("written");
                file.sync_data().expect("synced");
                at += len;
            });
        });
    }
    group.finish();
}

fn engine_alone(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let engine = engine::open(EngineKind::Redb, folder.path(), &EngineConfig::default())
        .expect("the engine opens");
    let mut group = c.benchmark_group("engine-redb-synced-put");
    for (name, size) in SIZES {
        let value = vec![0x55; size];
        let mut number = 0_u64;
        group.throughput(Throughput::Elements(1));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                number += 1;
                let mut batch = Batch::new();
                batch.put(Keyspace::Blocks, number.to_be_bytes().to_vec(), value.clone());
                engine.write(batch, Durability::Synced).expect("written");
            });
        });
    }
    group.finish();
}

/// The time of `count` writes by `callers` at once.
fn timed<F>(runtime: &Runtime, count: u64, callers: u64, write: impl Fn(u64) -> F) -> Duration
where
    F: Future<Output = ()> + Send + 'static,
{
    runtime.block_on(async {
        let start = Instant::now();
        let share = count.div_ceil(callers);
        let tasks: Vec<_> = (0..callers)
            .map(|caller| {
                let writes: Vec<F> =
                    (0..share).map(|number| write(caller * share + number)).collect();
                tokio::spawn(async move {
                    for write in writes {
                        write.await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("a caller ends well");
        }
        let elapsed = start.elapsed();
        // More than asked were made where the callers' shares are rounded up.
        let made = u32::try_from(share * callers).unwrap_or(u32::MAX);
        elapsed * u32::try_from(count).unwrap_or(u32::MAX) / made.max(1)
    })
}

fn puts(c: &mut Criterion, runtime: &Runtime, tree: &RawTree, (name, callers): Group<'_>) {
    let mut group = c.benchmark_group(name);
    for (name, size) in SIZES {
        for &callers in callers {
            group.throughput(Throughput::Elements(1));
            group.bench_function(BenchmarkId::new(name, callers), |bencher| {
                bencher.iter_custom(|count| {
                    timed(runtime, count, callers, |number| {
                        let tree = tree.clone();
                        async move {
                            // Keys spread over the tree; 4,096 of them, so that it stays small.
                            let key = (number.wrapping_mul(0x9e37_79b9) % 4096).to_be_bytes();
                            let written = tree.put(key, vec![0x55; size]).await;
                            black_box(written.expect("written"));
                        }
                    })
                });
            });
        }
    }
    group.finish();
}

fn appends(c: &mut Criterion, runtime: &Runtime, diary: &RawDiary, (name, callers): Group<'_>) {
    let mut group = c.benchmark_group(name);
    for (name, size) in SIZES {
        for &callers in callers {
            group.throughput(Throughput::Elements(1));
            group.bench_function(BenchmarkId::new(name, callers), |bencher| {
                bencher.iter_custom(|count| {
                    timed(runtime, count, callers, |_| {
                        let diary = diary.clone();
                        async move {
                            let appended = diary.append(vec![0x55; size]).await;
                            black_box(appended.expect("appended"));
                        }
                    })
                });
            });
        }
    }
    group.finish();
}

/// A group's name, and how many callers there are at once.
type Group<'a> = (&'a str, &'a [u64]);

fn node(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .expect("a runtime");
    on_node(&runtime, Config::default(), |tree, diary| {
        appends(c, &runtime, diary, ("append", &CALLERS));
        puts(c, &runtime, tree, ("put", &CALLERS));
    });
    // The same with a wake-up of the log's thread for each write.
    let config = Config { lone_writers_sync: false, ..Config::default() };
    on_node(&runtime, config, |tree, diary| {
        appends(c, &runtime, diary, ("append-by-the-log", &[1]));
        puts(c, &runtime, tree, ("put-by-the-log", &[1]));
    });
}

fn on_node(runtime: &Runtime, config: Config, measure: impl FnOnce(&RawTree, &RawDiary)) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (node, tree, diary) = runtime.block_on(async {
        let opened = Weald::builder().config(config).open(folder.path()).await;
        let node = opened.expect("the node opens");
        let tree = node.raw_tree("bench").create().await.expect("a tree");
        let diary = node.raw_diary("bench log").create().await.expect("a diary");
        (node, tree, diary)
    });
    measure(&tree, &diary);
    runtime.block_on(node.close()).expect("the node closes");
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(10);
    targets = bare_sync, engine_alone, node
}
criterion_main!(benches);
