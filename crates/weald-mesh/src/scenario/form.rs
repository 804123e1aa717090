//! Ways in which three nodes become one network: the first without seeds or all with seeds and one founder, started
//! in the same instant or one after the other.

use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::{Defaults, Scenario};
use crate::client::Condition;
use crate::mesh::{Mesh, Setup};
use crate::partitions;
use crate::report::Report;
use crate::statistics::{Shown, Summary};

pub(super) const SCENARIO: Scenario = Scenario {
    name: "form",
    about: "three nodes become one network, in four ways, over and over",
    defaults: Defaults { nodes: 3, nodes_min: 2, k: Some(3), operations: 0, rounds: 5 },
    run,
};

/// Between two starts that are not in the same instant.
const APART: Duration = Duration::from_millis(700);
const FORM_MAX: Duration = Duration::from_secs(60);

/// Who knows whom, and who founds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seeds {
    /// The first node has none; the others have its address.
    FirstHasNone,
    /// Every node has the addresses of all others, and the last is told to found.
    LastFounds,
}

/// When they are started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Starts {
    AtOnce,
    OneAfterTheOther,
}

const WAYS: [(&str, Seeds, Starts); 4] = [
    ("first without seeds, at once", Seeds::FirstHasNone, Starts::AtOnce),
    ("first without seeds, one by one", Seeds::FirstHasNone, Starts::OneAfterTheOther),
    ("all with seeds, at once", Seeds::LastFounds, Starts::AtOnce),
    ("all with seeds, one by one", Seeds::LastFounds, Starts::OneAfterTheOther),
];

fn run(setup: &Setup) -> Result<Report> {
    let mut report = Report::default();
    for (way, seeds, starts) in WAYS {
        let mut times = Vec::new();
        for round in 0..setup.round_count {
            let name = format!("form-{seeds:?}-{starts:?}-{round}");
            let formed = form(setup, &name, seeds, starts);
            times.push(formed.with_context(|| format!("{way}, round {round}"))?);
        }
        if let Some(summary) = Summary::of(times) {
            report.tell(format!("{way}: until one network serves"), summary);
        }
    }
    Ok(report)
}

/// How long it took from the last start until every node serves what another has written.
fn form(setup: &Setup, name: &str, seeds: Seeds, starts: Starts) -> Result<Duration> {
    let mut mesh = Mesh::prepare(setup, name, setup.node_count)?;
    seed(&mut mesh, seeds)?;
    for node in &mut mesh.nodes {
        node.spawn()?;
        if starts == Starts::OneAfterTheOther {
            thread::sleep(APART);
        }
    }
    let started = Instant::now();
    mesh.wait_all_started()?;
    mesh.wait_ready(FORM_MAX)?;
    serves_as_one(&mesh).with_context(|| mesh.log_ends())?;
    Ok(started.elapsed())
}

fn seed(mesh: &mut Mesh, seeds: Seeds) -> Result<()> {
    let addresses: Result<Vec<String>> = mesh.nodes.iter().map(|_| free_address()).collect();
    let addresses = addresses?;
    let last = mesh.nodes.len() - 1;
    for (place, node) in mesh.nodes.iter_mut().enumerate() {
        let arguments = node.arguments_mut();
        arguments.listen = vec![addresses[place].clone()];
        arguments.is_init = seeds == Seeds::LastFounds && place == last;
        arguments.bootstrap = match seeds {
            Seeds::FirstHasNone if place == 0 => Vec::new(),
            Seeds::FirstHasNone => vec![addresses[0].clone()],
            Seeds::LastFounds => {
                let others = addresses.iter().enumerate().filter(|(other, _)| *other != place);
                others.map(|(_, address)| address.clone()).collect()
            }
        };
    }
    Ok(())
}

/// Each node writes, and each shows what all have written.
fn serves_as_one(mesh: &Mesh) -> Result<()> {
    let clients = mesh.clients()?;
    for (place, client) in clients.iter().enumerate() {
        let key = place.to_string();
        let put = client.put(("formed", &key), b"1", Condition::Always, &format!("formed-{key}"));
        put.with_context(|| format!("n{place} does not write"))?;
    }
    for (place, client) in clients.iter().enumerate() {
        let count = client.scan("formed").with_context(|| format!("n{place} does not read"))?.len();
        ensure!(count == clients.len(), "n{place} shows {count} writes: not one network");
    }
    let taken = partitions::wait_converged(mesh, FORM_MAX)?;
    ensure!(taken < FORM_MAX, "digests differ for {}", Shown(taken));
    Ok(())
}

/// An address that nobody listens on.
fn free_address() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no free port")?;
    Ok(format!("/ip4/127.0.0.1/tcp/{}", listener.local_addr()?.port()))
}
