//! A coordinator is stopped for a while and goes on as if nothing had happened: nobody may believe it.

use std::thread;
use std::time::Duration;

use anyhow::Result;

use super::{Defaults, Scenario, Trial};
use crate::mesh::{Mesh, Setup};
use crate::random::Random;
use crate::report::Report;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "pause",
    about: "SIGSTOP of a coordinator under load, SIGCONT after its successor has written",
    defaults: Defaults { nodes: 3, nodes_min: 3, k: Some(3), operations: 10_000, rounds: 15 },
    run,
};

/// After the successor has written: a pause longer than all timeouts of a partition.
const PAUSE: Duration = Duration::from_millis(500);

fn run(setup: &Setup) -> Result<Report> {
    let mut report = Report::default();
    let mut mesh = Mesh::prepare(setup, "pause", setup.node_count)?;
    mesh.found()?;
    let share = setup.operation_count / (setup.round_count + 1);
    let mut random = Random::new(setup.seed);
    let mut trial = Trial::begin(setup, mesh, "pause")?;
    for _ in 0..setup.round_count {
        trial.wait_operations(share)?;
        let tree = random.below(trial.tree_count());
        let victim = trial.coordinator_of_tree(tree)?;
        trial.hit("SIGSTOP of a coordinator", victim);
        trial.mesh.nodes[victim].pause()?;
        trial.wait_written_again()?;
        thread::sleep(PAUSE);
        trial.mesh.nodes[victim].resume()?;
    }
    trial.wait_operations(share)?;
    trial.end_converged(&mut report)?;
    Ok(report)
}
