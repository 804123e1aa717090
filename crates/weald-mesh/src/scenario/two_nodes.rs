//! Two nodes: the second vanishes and the first serves on, then the second comes back and learns what it missed.

use anyhow::{Context as _, Result};

use super::{Defaults, Scenario, Trial};
use crate::mesh::{Mesh, Setup};
use crate::report::Report;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "two-nodes",
    about: "the second of two vanishes, the first serves on, the second comes back",
    defaults: Defaults { nodes: 2, nodes_min: 2, k: None, operations: 4000, rounds: 3 },
    run,
};

fn run(setup: &Setup) -> Result<Report> {
    let mut report = Report::default();
    let mut mesh = Mesh::prepare(setup, "two-nodes", 2)?;
    mesh.found()?;
    let share = setup.operation_count / (2 * setup.round_count);
    let mut trial = Trial::begin(setup, mesh, "two-nodes")?;
    for _ in 0..setup.round_count {
        trial.wait_operations(share)?;
        trial.hit_all("the second vanishes");
        trial.mesh.nodes[1].kill()?;
        trial.wait_written_again().context("the first has to serve on")?;
        trial.wait_operations(share)?;
        trial.mesh.nodes[1].start()?;
    }
    trial.end_converged(&mut report)?;
    Ok(report)
}
