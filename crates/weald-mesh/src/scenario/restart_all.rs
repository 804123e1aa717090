//! All nodes are killed at once in the middle of a load, again and again, and nothing is lost.

use anyhow::Result;

use super::{Defaults, Scenario, Trial};
use crate::mesh::{Mesh, Setup};
use crate::report::Report;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "restart-all",
    about: "kill -9 of all nodes at once under load; nothing is lost",
    defaults: Defaults { nodes: 3, nodes_min: 1, k: None, operations: 6000, rounds: 4 },
    run,
};

fn run(setup: &Setup) -> Result<Report> {
    let mut report = Report::default();
    let mut mesh = Mesh::prepare(setup, "restart-all", setup.node_count)?;
    mesh.found()?;
    let share = setup.operation_count / (setup.round_count + 1);
    let mut trial = Trial::begin(setup, mesh, "restart-all")?;
    for _ in 0..setup.round_count {
        trial.wait_operations(share)?;
        trial.hit_all("kill -9 of all");
        for node in &mut trial.mesh.nodes {
            node.kill()?;
        }
        trial.mesh.start_missing()?;
        trial.wait_written_again()?;
    }
    trial.wait_operations(share)?;
    trial.end_converged(&mut report)?;
    Ok(report)
}
