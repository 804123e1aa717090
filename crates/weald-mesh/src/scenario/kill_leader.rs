//! The coordinator of a partition is killed under load, over and over: how long until writes go on, and whether
//! anything is lost or doubled.

use std::time::Duration;

use anyhow::Result;

use super::{Defaults, Scenario, Trial};
use crate::mesh::{Mesh, Setup};
use crate::random::Random;
use crate::report::Report;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "kill-leader",
    about: "kill -9 of a coordinator under load; writes go on within 2 s at p99",
    defaults: Defaults { nodes: 3, nodes_min: 3, k: Some(3), operations: 20_000, rounds: 50 },
    run,
};

/// What 99 of 100 kills must not exceed.
const NEXT_ACK_P99: Duration = Duration::from_secs(2);
/// Fewer kills tell nothing of that.
const KILLS_MIN: usize = 50;
const KILL: &str = "kill -9 of a coordinator";

fn run(setup: &Setup) -> Result<Report> {
    let mut report = Report::default();
    let mut mesh = Mesh::prepare(setup, "kill-leader", setup.node_count)?;
    mesh.found()?;
    let share = setup.operation_count / (setup.round_count + 1);
    let mut random = Random::new(setup.seed);
    let mut trial = Trial::begin(setup, mesh, "kill-leader")?;
    for _ in 0..setup.round_count {
        trial.wait_operations(share)?;
        let tree = random.below(trial.tree_count());
        let victim = trial.coordinator_of_tree(tree)?;
        trial.hit(KILL, victim);
        trial.mesh.nodes[victim].kill()?;
        trial.wait_written_again()?;
        trial.mesh.nodes[victim].start()?;
    }
    trial.wait_operations(share)?;
    if setup.round_count >= KILLS_MIN {
        trial.limit(KILL, NEXT_ACK_P99);
    }
    trial.end_converged(&mut report)?;
    Ok(report)
}
