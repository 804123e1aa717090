//! One node after the other is stopped with SIGTERM and started again under load.

use anyhow::Result;

use super::{Defaults, Scenario, Trial};
use crate::mesh::{Mesh, READY_MAX, Setup};
use crate::report::Report;
use crate::statistics::Summary;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "rolling-restart",
    about: "SIGTERM and start of one node after the other under load",
    defaults: Defaults { nodes: 3, nodes_min: 1, k: Some(3), operations: 8000, rounds: 3 },
    run,
};

fn run(setup: &Setup) -> Result<Report> {
    let mut report = Report::default();
    let mut mesh = Mesh::prepare(setup, "rolling-restart", setup.node_count)?;
    mesh.found()?;
    let step_count = setup.round_count * mesh.nodes.len() + 1;
    let share = setup.operation_count / step_count;
    let mut trial = Trial::begin(setup, mesh, "rolling-restart")?;
    let (mut stops, mut starts) = (Vec::new(), Vec::new());
    for step in 1..step_count {
        let place = step % trial.mesh.nodes.len();
        trial.wait_operations(share)?;
        trial.hit("SIGTERM", place);
        stops.push(trial.mesh.nodes[place].stop()?);
        if !trial.mesh.running().is_empty() {
            trial.wait_written_again()?;
        }
        trial.mesh.nodes[place].spawn()?;
        trial.mesh.nodes[place].wait_started()?;
        starts.push(trial.mesh.nodes[place].wait_ready(READY_MAX)?);
        trial.wait_written_again()?;
    }
    trial.wait_operations(share)?;
    for (what, times) in [("from SIGTERM to the end", stops), ("from the start to ready", starts)] {
        if let Some(summary) = Summary::of(times) {
            report.tell(what, summary);
        }
    }
    trial.end_converged(&mut report)?;
    Ok(report)
}
