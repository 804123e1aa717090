//! What nodes cost that have nothing to do: alone, and with light clients connected to them.

use std::thread;
use std::time::Duration;

use ::weald::Weald;
use anyhow::{Context as _, Result};
use tokio::runtime::{Builder, Runtime};

use super::System as _;
use super::process;
use super::weald::Mesh;
use crate::light;

/// Before the first look: what starting left behind is done with.
const SETTLE: Duration = Duration::from_secs(10);
/// Between the two looks at the processor time.
const LENGTH: Duration = Duration::from_secs(20);
/// Clients that are started at a time.
const STARTED_AT_ONCE: usize = 16;

/// Prints what the nodes of `mesh` cost alone, and with `clients` light clients, which stay connected for
/// that long and can read in the end.
pub(super) fn measure(mesh: &Mesh, clients: usize) -> Result<()> {
    println!("idle: {}", cost(mesh));
    if clients == 0 {
        return Ok(());
    }
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let held = start(&runtime, mesh, clients)?;
    println!("idle with {clients} light clients: {}", cost(mesh));
    let reading = async {
        let mut ready = 0;
        for client in &held {
            ready += usize::from(client.collections().await.is_ok());
        }
        ready
    };
    println!("light clients that read after that: {} of {clients}", runtime.block_on(reading));
    let closing = async {
        for client in &held {
            // They hold nothing.
            let _ = client.close().await;
        }
    };
    runtime.block_on(closing);
    Ok(())
}

/// Starts light clients, a few at a time, each with another node first.
pub(super) fn start(runtime: &Runtime, mesh: &Mesh, clients: usize) -> Result<Vec<Weald>> {
    let addresses = mesh.addresses()?;
    let mut held = Vec::with_capacity(clients);
    while held.len() < clients {
        let count = STARTED_AT_ONCE.min(clients - held.len());
        let starting: Vec<_> = (held.len()..held.len() + count)
            .map(|client| {
                let mut known = addresses.clone();
                let first = client % known.len();
                known.rotate_left(first);
                runtime.spawn(light::start(known))
            })
            .collect();
        for client in starting {
            held.push(runtime.block_on(client).context("a client panicked")??);
        }
    }
    Ok(held)
}

/// Memory and processor time of the nodes while nobody asks them anything.
fn cost(mesh: &Mesh) -> String {
    thread::sleep(SETTLE);
    let pids = mesh.pids();
    let before: Vec<Duration> = pids.iter().map(|pid| process::processor_time(*pid)).collect();
    thread::sleep(LENGTH);
    let used = pids.iter().zip(before).map(|(pid, before)| {
        process::processor_time(*pid).saturating_sub(before).as_secs_f64() / LENGTH.as_secs_f64()
    });
    let (used, memory) =
        (used.fold(0.0, f64::max), pids.iter().map(|pid| process::resident_mib(*pid)));
    let (memory, count) = (memory.fold(0.0, f64::max), pids.len());
    format!("{memory:.0} MiB, {:.1} % of a core, the most of {count} nodes", used * 100.0)
}
