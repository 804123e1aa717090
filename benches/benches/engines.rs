//! The engines under this project's own workload: checkpoints of block records, look-ups of the
//! newest version of a block, scans, pruning of history, and opening again.
//!
//! `cargo bench -p weald-benches --bench engines [-- ROUNDS]` prints one line per engine and round.
//! Each engine runs in a process of its own, so that memory and bytes written are its own, and the
//! engines take turns, so that a busy machine disturbs all of them alike. Compare lines of one run.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use weald_storage::engine::{
    self, Batch, Direction, Durability, Engine, EngineConfig, EngineKind, KeyRange, Keyspace,
};

/// Engines of this build that keep files.
const ENGINES: &[EngineKind] = &[
    EngineKind::Redb,
    #[cfg(feature = "rocksdb")]
    EngineKind::RocksDb,
];

/// The phase that syncs each checkpoint.
const LOAD: &str = "load";
/// The phase that syncs every tenth.
const RARE_SYNC: &str = "load-rare-sync";
/// Checkpoints written.
const CHECKPOINTS: u64 = 150;
/// Records of a checkpoint.
const RECORDS: u64 = 2000;
/// Of them, records of blocks that were not there before; the others update any older block.
const NEW_BLOCKS: u64 = 500;
/// Versions of a block that are kept; a checkpoint prunes what is older.
const VERSIONS_KEPT: usize = 3;
const LOOKUPS: u64 = 50_000;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--child") {
        let [phase, engine, folder] = &arguments[at + 1..at + 4] else { bail!("bad arguments") };
        return child(phase, engine, Path::new(folder));
    }
    let rounds = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(1);
    for round in 1..=rounds {
        for kind in ENGINES {
            println!("round={round} engine={kind}");
            run_child(RARE_SYNC, *kind, tempfile::tempdir()?.path())?;
            let folder = tempfile::tempdir()?;
            for phase in [LOAD, "reopen-after-kill", "reopen-after-close"] {
                run_child(phase, *kind, folder.path())?;
            }
        }
    }
    Ok(())
}

fn run_child(phase: &str, kind: EngineKind, folder: &Path) -> Result<()> {
    let output = Command::new(std::env::current_exe()?)
        .args(["--child", phase, kind.name()])
        .arg(folder)
        .stderr(Stdio::inherit())
        .output()?;
    let lines = String::from_utf8(output.stdout)?;
    // Loading ends by aborting, the way a killed process does.
    if !output.status.success() && !lines.contains("aborting") {
        bail!("phase={phase} engine={kind} failed: {lines}");
    }
    for line in lines.lines().filter(|line| line.contains('=')) {
        println!("  {phase:<18} {line}");
    }
    Ok(())
}

fn child(phase: &str, engine: &str, folder: &Path) -> Result<()> {
    let kind = ENGINES.iter().find(|kind| kind.name() == engine).context("engine not built in")?;
    let started = Instant::now();
    let engine = engine::open(*kind, folder, &EngineConfig::default())?;
    println!("open_ms={:.1}", milliseconds(started.elapsed()));
    if phase == LOAD || phase == RARE_SYNC {
        let blocks = load(&*engine, if phase == LOAD { 1 } else { 10 })?;
        read(&*engine, blocks)?;
        report_process("after reads")?;
        println!("aborting");
        std::process::abort();
    }
    let snapshot = engine.snapshot()?;
    let count = snapshot.scan(Keyspace::Blocks, &KeyRange::all(), Direction::Backward).count();
    println!("records={count}");
    drop(snapshot);
    let started = Instant::now();
    engine.verify()?;
    println!("verify_ms={:.0}", milliseconds(started.elapsed()));
    report_process("at rest")
}

/// Writes checkpoints, each pruned and every so often synced, and says what they cost.
fn load(engine: &dyn Engine, checkpoints_per_sync: u64) -> Result<u64> {
    let mut random = Random(7);
    let mut versions: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    let (mut blocks, mut user_bytes) = (0_u64, 0_u64);
    let (mut write_time, mut sync_time, mut slowest) =
        (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    for index in 1..=CHECKPOINTS {
        let mut batch = Batch::new();
        for record in 0..RECORDS {
            let block = if record < NEW_BLOCKS {
                blocks += 1;
                blocks
            } else {
                1 + random.below(blocks)
            };
            let value = random.record();
            user_bytes += u64::try_from(value.len())? + 36;
            batch.put(Keyspace::Blocks, version_key(block, index), value);
            let kept = versions.entry(block).or_default();
            if kept.last() != Some(&index) {
                kept.push(index);
            }
            if kept.len() > VERSIONS_KEPT {
                batch.delete(Keyspace::Blocks, version_key(block, kept.remove(0)));
            }
        }
        batch.put(Keyspace::Meta, &b"applied"[..], index.to_be_bytes().to_vec());
        let started = Instant::now();
        engine.write(batch, Durability::Unsynced)?;
        let written = Instant::now();
        if index % checkpoints_per_sync == 0 {
            engine.sync()?;
        }
        write_time += written - started;
        sync_time += written.elapsed();
        slowest = slowest.max(started.elapsed());
    }
    let total = write_time + sync_time;
    let records = f64::from(u32::try_from(CHECKPOINTS * RECORDS)?);
    println!(
        "checkpoint_records_per_s={:.0} write_ms={:.0} sync_ms={:.0} slowest_checkpoint_ms={:.0}",
        records / total.as_secs_f64(),
        milliseconds(write_time),
        milliseconds(sync_time),
        milliseconds(slowest),
    );
    let live: usize = versions.values().map(Vec::len).sum();
    println!(
        "user_mib={} live_records={live} disk_mib={}",
        mib(user_bytes),
        mib(engine.disk_bytes()?)
    );
    report_process("after load")?;
    Ok(blocks)
}

/// Seeks the newest version of random blocks, then scans everything.
fn read(engine: &dyn Engine, blocks: u64) -> Result<()> {
    let mut random = Random(11);
    let snapshot = engine.snapshot()?;
    let started = Instant::now();
    for _ in 0..LOOKUPS {
        let block = 1 + random.below(blocks);
        let range = KeyRange::new(version_key(block, u64::MAX), version_key(block, 0));
        let newest = snapshot.scan(Keyspace::Blocks, &range, Direction::Forward).next();
        newest.context("every block has a version")??;
    }
    let lookup_time = started.elapsed();
    let started = Instant::now();
    let mut count = 0_u32;
    for entry in snapshot.scan(Keyspace::Blocks, &KeyRange::all(), Direction::Forward) {
        entry?;
        count += 1;
    }
    let scan_time = started.elapsed();
    let started = Instant::now();
    for _ in 0..LOOKUPS / 10 {
        drop(engine.snapshot()?);
    }
    let snapshot_time = started.elapsed();
    println!(
        "lookups_per_s={:.0} scanned_per_s={:.0} snapshots_per_s={:.0}",
        f64::from(u32::try_from(LOOKUPS)?) / lookup_time.as_secs_f64(),
        f64::from(count) / scan_time.as_secs_f64(),
        f64::from(u32::try_from(LOOKUPS / 10)?) / snapshot_time.as_secs_f64(),
    );
    Ok(())
}

/// Memory, bytes written and processor time of this process, where the system tells.
fn report_process(when: &str) -> Result<()> {
    if !cfg!(target_os = "linux") {
        return Ok(());
    }
    let status = std::fs::read_to_string("/proc/self/status")?;
    let io = std::fs::read_to_string("/proc/self/io")?;
    let field = |text: &str, name: &str| -> u64 {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or(0)
    };
    println!(
        "rss_mib={} rss_peak_mib={} written_mib={} cpu_ms={} ({when})",
        field(&status, "VmRSS:") / 1024,
        field(&status, "VmHWM:") / 1024,
        mib(field(&io, "write_bytes:")),
        cpu_milliseconds()?,
    );
    Ok(())
}

/// Processor time of all threads so far: what a busy machine does not change much.
fn cpu_milliseconds() -> Result<u64> {
    /// Of the tick in which Linux reports times.
    const TICK_MILLISECONDS: u64 = 10;
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').context("a process has a name")?;
    // User and system time are fields 14 and 15; the state, field 3, is the first here.
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).flat_map(str::parse::<u64>).sum();
    Ok(ticks * TICK_MILLISECONDS)
}

fn version_key(block: u64, index: u64) -> Vec<u8> {
    let mut key = 0_u32.to_be_bytes().to_vec();
    // Ids are hashes: spread them.
    key.extend_from_slice(&block.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    key.extend_from_slice(&[0; 8]);
    key.extend_from_slice(&block.to_be_bytes());
    key.extend_from_slice(&(!index).to_be_bytes());
    key
}

fn mib(bytes: u64) -> u64 {
    bytes / (1024 * 1024)
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// A small generator: the same records in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// 150 to 600 bytes, half of them repetitive.
    fn record(&mut self) -> Vec<u8> {
        let length = usize::try_from(150 + self.below(451)).unwrap_or(150);
        let mut record = vec![b'w'; length];
        for chunk in record.chunks_mut(16) {
            let noise = self.next().to_le_bytes();
            let length = chunk.len().min(8);
            chunk[..length].copy_from_slice(&noise[..length]);
        }
        record
    }
}
