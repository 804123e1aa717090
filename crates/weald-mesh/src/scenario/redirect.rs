//! A node that does not coordinate sends a request on once and knows the way from then on, until the coordinator is
//! another.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::{Defaults, Scenario};
use crate::client::{Client, Condition};
use crate::mesh::{Mesh, Setup};
use crate::metrics;
use crate::partitions;
use crate::report::Report;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "redirect",
    about: "one redirect to find a coordinator, none for the next hundred writes, one after its death",
    defaults: Defaults { nodes: 3, nodes_min: 3, k: Some(3), operations: 100, rounds: 6 },
    run,
};

/// Redirects that a client of this node has followed.
const REDIRECTS: &str = "weald_redirects_total";
const COORDINATOR_MAX: Duration = Duration::from_secs(30);

/// Redirects of one round.
#[derive(Debug, Default)]
struct Followed {
    first: Vec<u64>,
    later: Vec<u64>,
    first_after_death: Vec<u64>,
    later_after_death: Vec<u64>,
}

fn run(setup: &Setup) -> Result<Report> {
    let mut report = Report::default();
    let mut mesh = Mesh::prepare(setup, "redirect", setup.node_count)?;
    mesh.found()?;
    let mut followed = Followed::default();
    for round in 0..setup.round_count {
        one_round(setup, &mut mesh, round, &mut followed)?;
    }
    mesh.check_alive()?;
    let mut tell = |what: &str, counts: &[u64], most: u64| {
        let holds = counts.iter().all(|count| *count <= most);
        report.expect(holds, what, format_args!("{counts:?}, at most {most}"));
    };
    tell("redirects of a first write", &followed.first, 1);
    tell("redirects of the writes after it", &followed.later, 0);
    tell("redirects of the first after a death", &followed.first_after_death, 1);
    tell("redirects of the writes after that", &followed.later_after_death, 0);
    let any = followed.first.iter().chain(&followed.first_after_death).sum::<u64>();
    report.expect(any > 0, "redirects that were counted at all", any);
    Ok(report)
}

/// A tree of its own, so that nobody has asked for its partition's coordinator before; the coordinator dies.
fn one_round(setup: &Setup, mesh: &mut Mesh, round: usize, followed: &mut Followed) -> Result<()> {
    let tree = format!("redirect-{round}");
    let partition = partition_of(&mesh.nodes[0].client()?, &tree)?;
    let coordinator = partitions::wait_coordinator(mesh, partition, COORDINATOR_MAX)?;
    // The node that was asked for the partition knows it already.
    let asker = (1..mesh.nodes.len()).find(|place| *place != coordinator);
    let asker = asker.context("three nodes have one that does not coordinate")?;
    let client = mesh.nodes[asker].client()?;
    followed.first.push(redirects_of(&client, &tree, 0..1)?);
    followed.later.push(redirects_of(&client, &tree, 1..setup.operation_count)?);
    mesh.nodes[coordinator].kill()?;
    let next = partitions::wait_coordinator(mesh, partition, COORDINATOR_MAX)?;
    if next != asker {
        let from = setup.operation_count;
        followed.first_after_death.push(redirects_of(&client, &tree, from..from + 1)?);
        followed.later_after_death.push(redirects_of(&client, &tree, from + 1..2 * from)?);
    }
    mesh.nodes[coordinator].start()?;
    partitions::wait_converged(mesh, COORDINATOR_MAX).map(|_| ())
}

fn partition_of(client: &Client, tree: &str) -> Result<u64> {
    let id = format!("{tree}-create");
    client.put((tree, "-"), b"0", Condition::Always, &id).context("the tree is not made")?;
    Ok(client.partition_of(tree)?)
}

/// Writes, and how many redirects the node has followed for that.
fn redirects_of(client: &Client, tree: &str, writes: std::ops::Range<usize>) -> Result<u64> {
    let before = redirects(client)?;
    for write in writes {
        let (key, id) = (format!("k{write}"), format!("{tree}-{write}"));
        let put = client.put((tree, &key), b"1", Condition::Always, &id);
        put.with_context(|| format!("{tree} {key} is not written"))?;
    }
    let after = redirects(client)?;
    ensure!(after >= before, "a counter went back from {before} to {after}");
    Ok(after - before)
}

fn redirects(client: &Client) -> Result<u64> {
    let text = client.text("/metrics")?;
    let count = metrics::count(&text, REDIRECTS);
    count.with_context(|| format!("no {REDIRECTS} among the metrics"))
}
