//! One durable write beside one bare `fdatasync` of as many bytes, by turns, so that a disk that is
//! slower for a while is so for both; then many callers, with the processor time and the switches of
//! threads that a write takes.
//!
//! `cargo bench -p weald-benches --bench writers`. The files lie in the system's temporary folder;
//! set `TMPDIR` to another disk. Needs Linux. The figures go to `target/bench/figures/writers.json`.
//! The seconds of each case of many callers can be given, and then one case alone: `-- 5 put 100 16`.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use tokio::runtime::{Builder, Runtime};
use weald::{MetricValue, RawDiary, RawTree, Weald};
use weald_benches::{figures, process::Effort};

const SIZES: [usize; 3] = [100, 1 << 10, 64 << 10];
/// Bytes of the preallocated file; writes go round in it.
const FILE_BYTES: u64 = 64 << 20;
/// Many callers at once: bytes of each write, and callers.
const CROWDS: [(usize, u64); 4] = [(100, 16), (100, 64), (1 << 10, 16), (64 << 10, 16)];
/// Rounds of one write by each.
const ROUNDS: usize = 1500;
/// Rounds before anything is measured.
const WARM_UP: usize = 200;

/// A file as the log prepares its own: written in full and synced.
struct Bare {
    file: File,
    at: u64,
}

impl Bare {
    fn new() -> Result<Self> {
        let file = tempfile::tempfile()?;
        let block = vec![0xaa; 1 << 20];
        for at in 0..FILE_BYTES >> 20 {
            file.write_all_at(&block, at << 20)?;
        }
        file.sync_all()?;
        Ok(Self { file, at: 0 })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<Duration> {
        let length = u64::try_from(bytes.len())?;
        self.at = if self.at + length > FILE_BYTES { 0 } else { self.at };
        let begun = Instant::now();
        self.file.write_all_at(bytes, self.at)?;
        self.file.sync_data()?;
        self.at += length;
        Ok(begun.elapsed())
    }
}

struct Node {
    node: Weald,
    tree: RawTree,
    diary: RawDiary,
}

impl Node {
    async fn open(path: &Path) -> Result<Self> {
        let node = Weald::open(path).await?;
        let tree = node.raw_tree("bench").create().await?;
        let diary = node.raw_diary("bench log").create().await?;
        Ok(Self { node, tree, diary })
    }

    /// Syncs of the log so far.
    fn syncs(&self) -> u64 {
        let metrics = self.node.metrics();
        let syncs = metrics.iter().find(|metric| metric.name == "weald_log_syncs_total");
        match syncs.map(|metric| &metric.value) {
            Some(MetricValue::Counter(count)) => *count,
            _ => 0,
        }
    }
}

/// A key of 16 bytes among 64 Ki, in no order.
fn key(number: u64) -> [u8; 16] {
    let spread = (number % 65_536).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut key = [0; 16];
    key[..8].copy_from_slice(&spread.to_be_bytes());
    key
}

fn median(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e6
}

/// A bare sync, an append and a put by turns, from a task of the runtime as a caller would.
async fn by_turns(node: &Node, bare: &mut Bare, size: usize) -> Result<String> {
    let value = vec![0x55; size];
    // The log writes whole sectors.
    let bytes = vec![0x55; size.next_multiple_of(4096)];
    let [mut syncs, mut appends, mut puts] = [const { Vec::new() }; 3];
    for round in 0..WARM_UP + ROUNDS {
        let sync = bare.write(&bytes)?;
        let begun = Instant::now();
        node.diary.append(value.clone()).await?;
        let append = begun.elapsed();
        let begun = Instant::now();
        node.tree.put(key(u64::try_from(round)?), value.clone()).await?;
        let put = begun.elapsed();
        if round >= WARM_UP {
            syncs.push(sync);
            appends.push(append);
            puts.push(put);
        }
    }
    let sync = median(&mut syncs);
    let (append, put) = (median(&mut appends), median(&mut puts));
    Ok(format!(
        "{{\"kind\":\"by turns\",\"bytes\":{size},\"sync_us\":{sync:.0},\"append_us\":{append:.0},\
         \"put_us\":{put:.0},\"append_ratio\":{:.2},\"put_ratio\":{:.2}}}",
        append / sync,
        put / sync
    ))
}

/// Writes of `size` bytes by `callers` at once for as long as `length`.
async fn at_once(
    node: &Node,
    (name, size, callers): (&str, usize, u64),
    length: Duration,
) -> Result<String> {
    let (done, is_over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let is_put = name == "put";
    let tasks = (0..callers).map(|caller| {
        let (tree, diary) = (node.tree.clone(), node.diary.clone());
        let (done, is_over) = (Arc::clone(&done), Arc::clone(&is_over));
        tokio::spawn(async move {
            let mut number = caller << 32;
            while !is_over.load(Ordering::Relaxed) {
                number += 1;
                if is_put {
                    tree.put(key(number), vec![0x55; size]).await?;
                } else {
                    diary.append(vec![0x55; size]).await?;
                }
                done.fetch_add(1, Ordering::Relaxed);
            }
            weald::Result::Ok(())
        })
    });
    let tasks: Vec<_> = tasks.collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (before, syncs) = (done.load(Ordering::Relaxed), node.syncs());
    let (effort, begun) = (Effort::now()?, Instant::now());
    tokio::time::sleep(length).await;
    let (writes, syncs) = (done.load(Ordering::Relaxed) - before, node.syncs() - syncs);
    let (effort, took) = (Effort::now()?.since(&effort), begun.elapsed().as_secs_f64());
    is_over.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await??;
    }
    let writes = f64::from(u32::try_from(writes.max(1))?);
    Ok(format!(
        "{{\"kind\":\"at once\",\"what\":\"{name}\",\"bytes\":{size},\"callers\":{callers},\
         \"per_second\":{:.0},\"processor_us\":{:.1},\"switches\":{:.2},\"syncs\":{:.3}}}",
        writes / took,
        effort.processor.as_secs_f64() * 1e6 / writes,
        f64::from(u32::try_from(effort.switches)?) / writes,
        f64::from(u32::try_from(syncs)?) / writes
    ))
}

fn runtime() -> Result<Runtime> {
    Ok(Builder::new_multi_thread().worker_threads(2).enable_time().build()?)
}

/// What was asked for: the seconds of each case of many callers, and the one case, if only one.
struct Asked {
    length: Duration,
    only: Option<(String, usize, u64)>,
}

impl Asked {
    fn new() -> Self {
        // Cargo adds a flag of its own.
        let words: Vec<_> =
            std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
        let number = |at: usize| words.get(at)?.parse().ok();
        let length = Duration::from_secs(number(0).unwrap_or(3));
        let only = words.get(1).zip(number(2)).zip(number(3));
        let only = only.and_then(|((name, size), callers)| {
            Some((name.clone(), usize::try_from(size).ok()?, callers))
        });
        Self { length, only }
    }
}

fn main() -> Result<()> {
    let asked = Asked::new();
    let runtime = runtime()?;
    let folder = tempfile::tempdir()?;
    let node = Arc::new(runtime.block_on(Node::open(folder.path()))?);
    if let Some((name, size, callers)) = &asked.only {
        let case = (name.as_str(), *size, *callers);
        println!("{}", runtime.block_on(at_once(&node, case, asked.length))?);
        return Ok(runtime.block_on(node.node.close())?);
    }
    let mut lines = Vec::new();
    let mut tell = |line: String| {
        println!("{line}");
        lines.push(line);
    };
    let mut bare = Bare::new()?;
    for size in SIZES {
        let writer = Arc::clone(&node);
        let task = runtime.spawn(async move {
            let line = by_turns(&writer, &mut bare, size).await;
            (line, bare)
        });
        let (line, returned) = runtime.block_on(task)?;
        bare = returned;
        tell(line?);
    }
    for (size, callers) in CROWDS {
        for name in ["append", "put"] {
            tell(runtime.block_on(at_once(&node, (name, size, callers), asked.length))?);
        }
    }
    runtime.block_on(node.node.close())?;
    figures::write("writers", &lines)?;
    Ok(())
}
