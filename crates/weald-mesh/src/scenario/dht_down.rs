//! The distributed hash table is off at every node: they find each other by what their peers tell, and whoever is
//! missing is looked for among the connected, which the logs say.

use anyhow::{Context as _, Result};

use super::{Defaults, Scenario, Trial};
use crate::mesh::{Mesh, Setup};
use crate::metrics;
use crate::report::Report;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "dht-down",
    about: "no hash table anywhere: nodes form, serve, lose one and find it again; logs tell why",
    defaults: Defaults { nodes: 4, nodes_min: 3, k: Some(3), operations: 4000, rounds: 2 },
    run,
};

/// What the logs have to say, and where.
const LOG: &str = "warn,weald::lookup=info";
const SAID: &str = "lookup falls back to connected peers";
const REASON: &str = "reason=Off";
const FALLEN_BACK: &str = "weald_network_lookups_fallen_back_total";

fn run(setup: &Setup) -> Result<Report> {
    let mut report = Report::default();
    let mut mesh = Mesh::prepare(setup, "dht-down", setup.node_count)?;
    for node in &mut mesh.nodes {
        let arguments = node.arguments_mut();
        arguments.has_no_lookups = true;
        arguments.log.get_or_insert_with(|| LOG.to_owned());
    }
    mesh.found()?;
    let share = setup.operation_count / (setup.round_count + 1);
    let mut trial = Trial::begin(setup, mesh, "dht-down")?;
    for round in 0..setup.round_count {
        trial.wait_operations(share)?;
        let victim = round % trial.mesh.nodes.len();
        trial.hit("one node away", victim);
        trial.mesh.nodes[victim].kill()?;
        trial.wait_written_again()?;
        is_looked_for(&mut trial, victim)?;
        trial.mesh.nodes[victim].start()?;
    }
    trial.wait_operations(share)?;
    let mesh = trial.end_converged(&mut report)?;
    tell_lookups(&mesh, &mut report)?;
    Ok(report)
}

/// Waits until somebody has looked for the node that is away.
fn is_looked_for(trial: &mut Trial, victim: usize) -> Result<()> {
    let others = (0..trial.mesh.nodes.len()).filter(|place| *place != victim);
    let others: Vec<usize> = others.collect();
    let count = |trial: &Trial| -> usize {
        others.iter().map(|place| trial.mesh.nodes[*place].log_count(SAID)).sum()
    };
    let before = count(trial);
    trial.wait_until(|trial| count(trial) > before).context("nobody looks for the missing node")
}

/// Each node that has looked says so in its log and its metrics, with the reason.
fn tell_lookups(mesh: &Mesh, report: &mut Report) -> Result<()> {
    let mut said = 0;
    for node in &mesh.nodes {
        said += node.log_count(SAID);
        let unexplained = node.log_count(SAID) - node.log_count(REASON).min(node.log_count(SAID));
        report.expect(
            unexplained == 0,
            &format!("{}: fallbacks without why", node.name()),
            unexplained,
        );
    }
    let texts: Result<Vec<String>, _> =
        mesh.clients()?.iter().map(|client| client.text("/metrics")).collect();
    let counted: Option<u64> =
        texts?.iter().map(|text| metrics::count(text, FALLEN_BACK)).sum::<Option<u64>>();
    report.expect(said > 0, "lookups that fell back, by the logs", said);
    let counted = counted.context("the metrics tell of no lookups")?;
    report.expect(counted > 0, "lookups that fell back, by the metrics of this run", counted);
    Ok(())
}
