//! Nodes are killed, paused, stopped and come back in any order, a minority at a time, and a new one joins now and then.

use std::thread;
use std::time::Duration;

use anyhow::Result;

use super::{Defaults, Scenario, Trial};
use crate::mesh::{Mesh, Setup};
use crate::random::Random;
use crate::report::Report;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "churn",
    about: "five nodes come and go in any order, two new ones join",
    defaults: Defaults { nodes: 5, nodes_min: 3, k: Some(3), operations: 15_000, rounds: 30 },
    run,
};

/// Rounds after which a new node joins.
const JOIN_EVERY: usize = 12;
const PAUSE: Duration = Duration::from_millis(1500);

fn run(setup: &Setup) -> Result<Report> {
    let mut report = Report::default();
    let mut mesh = Mesh::prepare(setup, "churn", setup.node_count)?;
    mesh.found()?;
    let share = setup.operation_count / (setup.round_count + 1);
    let mut random = Random::new(setup.seed);
    let mut trial = Trial::begin(setup, mesh, "churn")?;
    for round in 1..=setup.round_count {
        trial.wait_operations(share)?;
        let victim = random.below(trial.mesh.nodes.len());
        disturb(&mut trial, victim, random.below(3))?;
        if round % JOIN_EVERY == 0 {
            let place = trial.mesh.add()?;
            trial.mesh.join(place)?;
        }
    }
    trial.wait_operations(share)?;
    trial.mesh.wait_ready(crate::node::READY_MAX)?;
    report.tell("nodes at the end", trial.mesh.nodes.len());
    trial.end_converged(&mut report)?;
    Ok(report)
}

/// One of three things that may happen to a node; it is back afterwards.
pub(super) fn disturb(trial: &mut Trial, victim: usize, choice: usize) -> Result<()> {
    match choice {
        0 => {
            trial.hit("kill -9", victim);
            trial.mesh.nodes[victim].kill()?;
            trial.wait_written_again()?;
            trial.mesh.nodes[victim].start().map(|_| ())
        }
        1 => {
            trial.hit("SIGTERM", victim);
            trial.mesh.nodes[victim].stop()?;
            trial.wait_written_again()?;
            trial.mesh.nodes[victim].start().map(|_| ())
        }
        _ => {
            trial.hit("SIGSTOP", victim);
            trial.mesh.nodes[victim].pause()?;
            thread::sleep(PAUSE);
            trial.mesh.nodes[victim].resume()?;
            trial.wait_written_again()
        }
    }
}
