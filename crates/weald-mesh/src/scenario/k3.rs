//! Three members for each partition: writes go on while one of them is away, whichever it is, stop with a definite
//! answer while two are away, and go on when one is back.

use std::time::Duration;

use anyhow::Result;

use super::{Defaults, Scenario, Trial};
use crate::client::{Client, Condition};
use crate::mesh::{Mesh, Setup};
use crate::report::Report;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "k3",
    about: "three members: one may be away; with two away writes are refused, not lost",
    defaults: Defaults { nodes: 3, nodes_min: 3, k: Some(3), operations: 4000, rounds: 1 },
    run,
};

/// Longer than a node's own bound for a write.
const REFUSAL_MAX: Duration = Duration::from_secs(20);

fn run(setup: &Setup) -> Result<Report> {
    let mut report = Report::default();
    let mut mesh = Mesh::prepare(setup, "k3", setup.node_count)?;
    mesh.found()?;
    let share = setup.operation_count / (mesh.nodes.len() + 2);
    let mut trial = Trial::begin(setup, mesh, "k3")?;
    for place in 0..trial.mesh.nodes.len() {
        trial.wait_operations(share)?;
        trial.hit("one member away", place);
        trial.mesh.nodes[place].kill()?;
        trial.wait_written_again()?;
        trial.wait_operations(share)?;
        trial.mesh.nodes[place].start()?;
    }
    two_away(&mut trial, &mut report)?;
    trial.wait_operations(share)?;
    trial.end_converged(&mut report)?;
    Ok(report)
}

/// The last node alone has to say that it cannot write.
fn two_away(trial: &mut Trial, report: &mut Report) -> Result<()> {
    let last = trial.mesh.nodes.len() - 1;
    for place in 0..last {
        trial.mesh.nodes[place].kill()?;
    }
    let client = trial.mesh.nodes[last].client()?.within(REFUSAL_MAX);
    let told = refusal(&client);
    report.expect(told.is_ok(), "a write while two are away", told.unwrap_or_else(|why| why));
    trial.hit_all("two members away");
    for place in 0..last {
        trial.mesh.nodes[place].spawn()?;
    }
    trial.mesh.wait_all_started()?;
    trial.wait_written_again()
}

/// How a node without a majority answers a write: an error that says so, within the bound.
pub(super) fn refusal(client: &Client) -> Result<String, String> {
    let started = std::time::Instant::now();
    let answer = client.put(("refused", "k"), b"1", Condition::Always, "refused-1");
    let taken = crate::statistics::Shown(started.elapsed());
    match answer {
        Ok(_) => Err(format!("acknowledged after {taken}")),
        Err(failure) if failure.is_stated() => Ok(format!("{failure} (after {taken})")),
        Err(failure) => Err(format!("no answer within the bound: {failure}")),
    }
}
