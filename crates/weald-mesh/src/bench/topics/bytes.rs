//! What a publish costs in bytes while few and while many messages are retained: in the log, between nodes, and on
//! the disk until everything is in the engine.

use std::path::Path;

use anyhow::{Context as _, Result};
use tokio::runtime::Runtime;
use weald::{Topic, TopicPolicy, Weald};

use super::arrivals::body;
use super::rust::{Rust, fill};
use super::{Broker as _, is_wanted};
use crate::arguments::TopicBenchOptions;
use crate::bench::process;
use crate::report::Table;

/// Messages that are retained where there are few.
const FEW: usize = 100;
/// Publishes whose bytes are counted: one after the other, and in batches of the client.
const ALONE: usize = 300;
const BATCHED: usize = 5000;

const HEADING: [&str; 5] =
    ["retained", "publishes", "log B/publish", "wire B/publish and follower", "disk B/publish"];

/// What the nodes have counted, added over all of them.
#[derive(Clone, Copy, Debug)]
struct Counted {
    log: f64,
    wire: f64,
}

/// Prints the bytes for each publish of 256 B.
pub(super) fn measure(rust: &Rust<'_>, options: &TopicBenchOptions) -> Result<()> {
    if !is_wanted(options, "bytes") {
        return Ok(());
    }
    let mut table = Table::new(&HEADING);
    for retained in [FEW, options.retained] {
        let name = format!("bytes-{retained}");
        let policy =
            TopicPolicy { messages_max: u64::try_from(retained)?, ..TopicPolicy::default() };
        let client = rust.clients(1)?.swap_remove(0);
        let runtime = rust.runtime();
        let topic = runtime.block_on(client.topic(&name).policy(policy.clone()).create())?;
        runtime.block_on(fill(&topic, 0..retained))?;
        let folder = tempfile::tempdir_in(&options.directory)?;
        let store = folder.path();
        runtime.block_on(prepare(store, &policy, retained))?;
        for is_alone in [true, false] {
            let count = if is_alone { ALONE } else { BATCHED };
            let before = counted(rust)?;
            runtime.block_on(publish(&topic, is_alone, count))?;
            let after = counted(rust)?;
            let disk = on_disk(runtime, store, is_alone, count)?;
            let nodes = rust.pids().len();
            table.line(line((retained, is_alone, count), (before, after), disk, nodes));
        }
    }
    print!("{table}");
    Ok(())
}

fn line(
    (retained, is_alone, count): (usize, bool, usize),
    (before, after): (Counted, Counted),
    disk: f64,
    nodes: usize,
) -> Vec<String> {
    let each = |sum: f64, parts: usize| {
        let parts = u32::try_from(parts.max(1)).unwrap_or(u32::MAX);
        format!(
            "{:.0}",
            sum / f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / f64::from(parts)
        )
    };
    vec![
        retained.to_string(),
        String::from(if is_alone { "one by one" } else { "batched" }),
        each(after.log - before.log, nodes),
        each(after.wire - before.wire, nodes.saturating_sub(1)),
        each(disk, 1),
    ]
}

fn counted(rust: &Rust<'_>) -> Result<Counted> {
    let sum =
        |name| rust.mesh().sum(name)?.with_context(|| format!("the nodes do not count {name}"));
    Ok(Counted {
        log: sum("weald_log_written_bytes_total")?,
        wire: sum("weald_members_sent_bytes_total")?,
    })
}

async fn publish(topic: &Topic, is_alone: bool, count: usize) -> Result<()> {
    if !is_alone {
        return fill(topic, 0..count).await;
    }
    for number in 0..count {
        topic.publish(body(number)).await?;
    }
    Ok(())
}

/// A store of a node alone, with a topic that has all that it may retain.
async fn prepare(store: &Path, policy: &TopicPolicy, retained: usize) -> Result<()> {
    let node = Weald::open(store).await?;
    let topic = node.topic("bytes").policy(policy.clone()).create().await?;
    fill(&topic, 0..retained).await?;
    Ok(node.close().await?)
}

/// What this process hands to the system from opening the store until it is closed.
fn on_disk(runtime: &Runtime, store: &Path, is_alone: bool, count: usize) -> Result<f64> {
    let before = process::written_bytes()?;
    runtime.block_on(async {
        let node = Weald::open(store).await?;
        let topic = node.topic("bytes").open().await?;
        publish(&topic, is_alone, count).await?;
        anyhow::Ok(node.close().await?)
    })?;
    Ok(process::written_bytes()? - before)
}
