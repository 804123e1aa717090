//! A long load with everything that may happen, one after the other: kills, stops, pauses, cut links, all nodes at once.

use anyhow::Result;

use super::{Defaults, Scenario, Trial, churn};
use crate::isolation;
use crate::mesh::{Mesh, Setup};
use crate::namespaces::between;
use crate::random::Random;
use crate::report::Report;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "soak",
    about: "a long load with kills, stops, pauses and cut links in any order",
    defaults: Defaults { nodes: 3, nodes_min: 3, k: Some(3), operations: 30_000, rounds: 40 },
    run,
};

fn run(setup: &Setup) -> Result<Report> {
    let mut report = Report::default();
    let can_cut = isolation::is_isolated();
    let mut mesh = if can_cut {
        Mesh::prepare_apart(setup, "soak", setup.node_count)?
    } else {
        Mesh::prepare(setup, "soak", setup.node_count)?
    };
    report.tell("links are cut", can_cut);
    mesh.found()?;
    let share = setup.operation_count / (setup.round_count + 1);
    let mut random = Random::new(setup.seed);
    let mut trial = Trial::begin(setup, mesh, "soak")?;
    for _ in 0..setup.round_count {
        trial.wait_operations(share)?;
        let victim = random.below(trial.mesh.nodes.len());
        match random.below(10) {
            0 => all_at_once(&mut trial)?,
            1..=3 if can_cut => cut_off(&mut trial, victim)?,
            _ => churn::disturb(&mut trial, victim, random.below(3))?,
        }
    }
    trial.wait_operations(share)?;
    trial.end_converged(&mut report)?;
    Ok(report)
}

fn all_at_once(trial: &mut Trial) -> Result<()> {
    trial.hit_all("kill -9 of all");
    for node in &mut trial.mesh.nodes {
        node.kill()?;
    }
    trial.mesh.start_missing()?;
    trial.wait_written_again()
}

fn cut_off(trial: &mut Trial, victim: usize) -> Result<()> {
    let others: Vec<usize> = (0..trial.mesh.nodes.len()).filter(|place| *place != victim).collect();
    let links = between(&[victim], &others);
    trial.hit("cut off", victim);
    trial.mesh.namespaces()?.cut(&links)?;
    trial.wait_written_again()?;
    trial.mesh.namespaces()?.heal(&links)
}
