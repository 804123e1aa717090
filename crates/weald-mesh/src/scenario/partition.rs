//! The network falls apart: the minority refuses writes and says why, the majority goes on, and when it is whole
//! again all members become the same without anybody's help.

use std::thread;
use std::time::Duration;

use anyhow::Result;

use super::{Defaults, Scenario, Trial, k3};
use crate::mesh::{Mesh, Setup};
use crate::namespaces::{Link, between};
use crate::random::Random;
use crate::report::Report;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "partition",
    about: "cut links, both ways and one way: minority refuses, majority serves, all agree after",
    defaults: Defaults { nodes: 3, nodes_min: 3, k: Some(3), operations: 12_000, rounds: 8 },
    run,
};

/// Longer than a node's own bound for a write.
const REFUSAL_MAX: Duration = Duration::from_secs(20);
/// How long links stay cut one way, where no node is in a minority.
const ONE_WAY: Duration = Duration::from_secs(3);

fn run(setup: &Setup) -> Result<Report> {
    let mut report = Report::default();
    let mut mesh = Mesh::prepare_apart(setup, "partition", setup.node_count)?;
    mesh.found()?;
    cuts_are_real(&mesh, &mut report)?;
    let share = setup.operation_count / (setup.round_count + 1);
    let mut random = Random::new(setup.seed);
    let mut trial = Trial::begin(setup, mesh, "partition")?;
    for round in 0..setup.round_count {
        trial.wait_operations(share)?;
        let tree = random.below(trial.tree_count());
        let victim = trial.coordinator_of_tree(tree)?;
        if round % 3 == 2 {
            one_way(&mut trial, victim)?;
        } else {
            alone(&mut trial, victim, &mut report)?;
        }
    }
    trial.wait_operations(share)?;
    trial.end_converged(&mut report)?;
    Ok(report)
}

/// A cut that lets something through would show nothing.
fn cuts_are_real(mesh: &Mesh, report: &mut Report) -> Result<()> {
    let (namespaces, links) = (mesh.namespaces()?, between(&[0], &[1]));
    let (one, other) = (&mesh.nodes[0].file()?.http, &mesh.nodes[1].file()?.http);
    namespaces.cut(&links)?;
    let is_cut = !namespaces.reaches(0, other)? && !namespaces.reaches(1, one)?;
    namespaces.heal(&links)?;
    let is_whole = namespaces.reaches(0, other)? && namespaces.reaches(1, one)?;
    report.expect(is_cut && is_whole, "links can be cut and healed", is_cut && is_whole);
    Ok(())
}

/// A coordinator without its followers.
fn alone(trial: &mut Trial, victim: usize, report: &mut Report) -> Result<()> {
    let others: Vec<usize> = (0..trial.mesh.nodes.len()).filter(|place| *place != victim).collect();
    let links = between(&[victim], &others);
    trial.hit("a coordinator cut off", victim);
    trial.mesh.namespaces()?.cut(&links)?;
    trial.wait_written_again()?;
    let client = trial.mesh.nodes[victim].client()?.within(REFUSAL_MAX);
    let told = k3::refusal(&client);
    report.expect(told.is_ok(), "a write on the minority's side", told.unwrap_or_else(|why| why));
    trial.mesh.namespaces()?.heal(&links)
}

/// A coordinator that hears one follower and is not heard by it.
fn one_way(trial: &mut Trial, victim: usize) -> Result<()> {
    let deaf = (victim + 1) % trial.mesh.nodes.len();
    let links = [Link { from: victim, to: deaf }];
    trial.hit("a coordinator that one follower does not hear", victim);
    trial.mesh.namespaces()?.cut(&links)?;
    thread::sleep(ONE_WAY);
    trial.wait_written_again()?;
    trial.mesh.namespaces()?.heal(&links)
}
