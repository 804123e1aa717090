//! Measures puts and gets of a mesh, and of what it is compared with, in one run by one program.

mod connection;
mod etcd;
mod floor;
mod grpc;
mod http;
mod idle;
mod light;
mod process;
mod run;
mod topics;
mod weald;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::arguments::BenchOptions;
use crate::guard::Guard;
use crate::report::Table;
use run::{Call, Measured, measure};
pub(crate) use topics::run as run_topics;

/// Bytes of a value.
const VALUE_BYTES: usize = 256;
/// Keys that are written and read.
const KEY_COUNT: usize = 4096;

/// What a client of a system does over one connection, one request after the other.
trait Caller: Send {
    /// Writes the key of this number and waits until it is durable.
    fn put(&mut self, key: usize) -> Result<()>;
    /// Reads the key of this number, linearizably; it has to be there.
    fn get(&mut self, key: usize) -> Result<()>;
}

/// Connections of clients to a cluster.
trait Callers {
    /// A connection of the client of this number; they are spread over the nodes.
    fn caller(&self, client: usize) -> Result<Box<dyn Caller>>;
}

/// A running cluster under measurement.
trait System {
    /// What it is called in the table.
    fn name(&self) -> String;
    /// Has `clients` clients call for that long, each one call after the other; how long each call took.
    fn load(&self, call: Call, clients: usize, length: Duration) -> Result<Vec<Duration>>;
    /// Writes every key once.
    fn fill(&self) -> Result<()>;
    /// Counters so far, over all nodes.
    fn counters(&self) -> Result<Counters>;
    /// Process ids of the nodes.
    fn pids(&self) -> Vec<u32>;
}

/// Counted by the nodes themselves; none where they do not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Counters {
    syncs: Option<f64>,
    /// Sent between nodes.
    wire_bytes: Option<f64>,
}

/// Runs what is asked for and prints one table.
pub(crate) fn run(options: &BenchOptions) -> Result<()> {
    let (directory, guard) = place(&options.directory)?;
    let mut table = Table::new(&HEADING);
    if options.nodes > 0 {
        let mesh =
            weald::Mesh::start((&options.weald, options.nodes, options.k), &directory, &guard)?;
        if options.idle {
            idle::measure(&mesh, options.idle_clients)?;
        }
        measure_system(&light::Light::start(&mesh)?, options, &mut table)?;
        if !options.rust_only {
            measure_system(&mesh, options, &mut table)?;
        }
    }
    for peer in &options.peers {
        match peer.as_str() {
            "etcd" => match etcd::Etcd::start(&directory, &guard)? {
                Some(etcd) => measure_system(&etcd, options, &mut table)?,
                None => println!("etcd is not on this machine: apt-get install etcd-server"),
            },
            "floor" => floor::run(options, &directory, &mut table)?,
            other => anyhow::bail!("nothing is known to compare with: {other}"),
        }
    }
    print!("{table}");
    Ok(())
}

/// A directory for the nodes of this run in `parent`, and who removes it.
fn place(parent: &Path) -> Result<(PathBuf, Arc<Guard>)> {
    let directory = tempfile::Builder::new().prefix("weald-mesh-").tempdir_in(parent);
    let directory = directory.context("no directory for the nodes")?.keep();
    let guard = Arc::new(Guard::start(&directory)?);
    Ok((directory, guard))
}

const HEADING: [&str; 10] = [
    "system",
    "call",
    "clients",
    "calls/s",
    "p50 ms",
    "p99 ms",
    "max ms",
    "wire B/call",
    "syncs/call",
    "MiB/node",
];

fn measure_system(system: &dyn System, options: &BenchOptions, table: &mut Table) -> Result<()> {
    println!("measuring {}", system.name());
    system.fill().with_context(|| format!("filling {}", system.name()))?;
    for call in [Call::Put, Call::Get] {
        for clients in &options.clients {
            ensure!(*clients > 0, "a measurement needs a client");
            let measured = measure(system, call, *clients, options)?;
            table.line(line(&system.name(), call, *clients, &measured));
        }
    }
    Ok(())
}

fn line(name: &str, call: Call, clients: usize, measured: &Measured) -> Vec<String> {
    let millis = |duration: Duration| format!("{:.2}", duration.as_secs_f64() * 1e3);
    let counted = |count: Option<f64>| count.map_or_else(|| "-".into(), |one| format!("{one:.2}"));
    vec![
        name.to_owned(),
        call.name().to_owned(),
        clients.to_string(),
        format!("{:.0}", measured.per_second),
        millis(measured.summary.p50),
        millis(measured.summary.p99),
        millis(measured.summary.max),
        counted(measured.wire_bytes),
        counted(measured.syncs),
        format!("{:.0}", measured.resident_mib),
    ]
}
