//! What a whole node takes: bytes written to the disk for a put of 256 B, and resident memory beside
//! what its configuration allows.
//!
//! `cargo bench -p weald-benches --bench footprint`. The files lie in the system's temporary folder;
//! set `TMPDIR` to a real disk. Needs Linux. The figures go to `target/bench/figures/footprint.json`.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::path::Path;

use anyhow::Result;
use tokio::runtime::Runtime;
use weald::{Config, RawTree, Weald};
use weald_benches::{figures, process};

const VALUE_BYTES: usize = 256;
/// Puts whose bytes on the disk are counted, with so many callers at once.
const COUNTED: [(u64, u64); 3] = [(1, 5_000), (16, 50_000), (64, 100_000)];
/// Puts that fill the node's memory.
const FILLING: u64 = 400_000;
const MIB: usize = 1 << 20;

/// A key of 16 bytes, in no order; the same number gives the same key.
fn key(number: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    key[8..].copy_from_slice(&number.to_be_bytes());
    key
}

async fn put_all(tree: &RawTree, callers: u64, puts: u64) -> Result<()> {
    let share = puts / callers;
    let tasks = (0..callers).map(|caller| {
        let tree = tree.clone();
        tokio::spawn(async move {
            for number in caller * share..(caller + 1) * share {
                tree.put(key(number), [0x55; VALUE_BYTES]).await?;
            }
            weald::Result::Ok(())
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await??;
    }
    Ok(())
}

async fn opened(path: &Path, config: Config) -> Result<(Weald, RawTree)> {
    let node = Weald::builder().config(config).open(path).await?;
    let tree = node.raw_tree("bench").create().await?;
    Ok((node, tree))
}

/// Bytes written from the first put until the node is closed and everything is in the engine.
async fn written(callers: u64, puts: u64) -> Result<String> {
    let folder = tempfile::tempdir()?;
    let (node, tree) = opened(folder.path(), Config::default()).await?;
    let before = process::written_bytes()?;
    put_all(&tree, callers, puts).await?;
    let running = process::written_bytes()? - before;
    node.close().await?;
    let all = process::written_bytes()? - before;
    Ok(format!(
        "{{\"kind\":\"written\",\"callers\":{callers},\"puts\":{puts},\"bytes_per_put\":{},\
         \"bytes_per_put_before_close\":{}}}",
        all / puts,
        running / puts
    ))
}

/// Resident memory at its peak while more is put than the node may hold.
async fn resident() -> Result<String> {
    let folder = tempfile::tempdir()?;
    let config = Config { dirty_bytes: 32 * MIB, cache_bytes: 64 * MIB, ..Config::default() };
    let budget = config.dirty_bytes + config.cache_bytes;
    process::forget_peak()?;
    let before = process::resident_bytes()?;
    let (node, tree) = opened(folder.path(), config).await?;
    put_all(&tree, 64, FILLING).await?;
    let peak = process::resident_peak_bytes()? - before;
    node.close().await?;
    Ok(format!(
        "{{\"kind\":\"resident\",\"puts\":{FILLING},\"budget_bytes\":{budget},\
         \"peak_bytes\":{peak}}}"
    ))
}

fn main() -> Result<()> {
    let runtime = Runtime::new()?;
    // First, while nothing else has left its memory behind.
    let mut lines = vec![runtime.block_on(resident())?];
    for (callers, puts) in COUNTED {
        lines.push(runtime.block_on(written(callers, puts))?);
    }
    lines.iter().for_each(|line| println!("{line}"));
    figures::write("footprint", &lines)?;
    Ok(())
}
