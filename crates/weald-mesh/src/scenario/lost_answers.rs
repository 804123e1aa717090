//! Answers get lost on their way to the clients, again and again: what was done is found out and not done twice.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{Defaults, Scenario, Trial};
use crate::client::Client;
use crate::load::Plan;
use crate::mesh::{Mesh, Setup};
use crate::proxy::{Direction, Proxy};
use crate::random::Random;
use crate::report::Report;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "lost-answers",
    about: "the lines of clients are cut, late and severed; nothing is lost or doubled",
    defaults: Defaults { nodes: 3, nodes_min: 1, k: None, operations: 6000, rounds: 40 },
    run,
};

/// How long answers are held back before they are lost.
const HELD: Duration = Duration::from_millis(60);
const LATE: Duration = Duration::from_millis(30);

fn run(setup: &Setup) -> Result<Report> {
    let mut report = Report::default();
    let mut mesh = Mesh::prepare(setup, "lost-answers", setup.node_count)?;
    mesh.found()?;
    let lines = lines(&mesh)?;
    let clients = lines.iter().map(|line| Client::new(&line.address().to_string(), None)).collect();
    let mut plan = Plan::new(setup.seed);
    // Longer than answers are held, so that losing them ends the wait.
    plan.attempt_max = Duration::from_secs(5);
    let mut trial = Trial::with_clients(mesh, "lost-answers", clients, plan)?;
    let mut random = Random::new(setup.seed);
    let share = setup.operation_count / (setup.round_count + 1);
    for _ in 0..setup.round_count {
        trial.wait_operations(share)?;
        disturb(random.one_of(&lines), random.below(3));
    }
    report.tell("lines disturbed", setup.round_count);
    trial.wait_operations(share)?;
    trial.end(&mut report)?;
    Ok(report)
}

fn lines(mesh: &Mesh) -> Result<Vec<Proxy>> {
    let line = |node: &crate::node::Node| {
        let address: SocketAddr = node.file()?.http.parse().context("a gateway's address")?;
        Proxy::start(address)
    };
    mesh.nodes.iter().map(line).collect()
}

fn disturb(line: &Proxy, choice: usize) {
    match choice {
        0 => {
            line.cut(Direction::Backward);
            thread::sleep(HELD);
            line.sever();
            line.heal(Direction::Backward);
        }
        1 => line.sever(),
        _ => {
            line.delay(Direction::Backward, LATE);
            thread::sleep(HELD);
            line.sever();
            line.delay(Direction::Backward, Duration::ZERO);
        }
    }
}
