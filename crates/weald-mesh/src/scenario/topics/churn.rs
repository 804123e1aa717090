//! Nodes and a subscriber come and go while messages are published; a durable cursor joins its sessions.

use std::thread;
use std::time::Duration;

use anyhow::Result;

use super::{Defaults, Gathering, PUBLISH_MAX, Publishes, Scenario, Subscribes, heard};
use crate::mesh::{Mesh, Setup};
use crate::random::Random;
use crate::report::Report;
use crate::scenario::topics::account::Heard;

pub(in crate::scenario) const SCENARIO: Scenario = Scenario {
    name: "topic-churn",
    about: "nodes and a durable subscriber are killed in turn; its sessions together miss and double nothing",
    defaults: Defaults { nodes: 3, nodes_min: 3, k: Some(3), operations: 1500, rounds: 8 },
    run,
};

const PUBLISHERS: usize = 5;
const PAUSE_MS: (usize, usize) = (50, 150);
/// How long a node is away.
const AWAY: Duration = Duration::from_millis(500);

fn run(setup: &Setup) -> Result<Report> {
    let mut report = Report::default();
    let mesh = Mesh::prepare(setup, "churn", setup.node_count)?;
    let mut gathering = Gathering::found(setup, mesh)?;
    let count = setup.operation_count / PUBLISHERS;
    let plan = |label| Publishes::new(label, count, PAUSE_MS);
    let plans: Vec<Publishes> = (0..PUBLISHERS).map(plan).collect();
    gathering.publish(&plans)?;
    gathering.wait_published(1)?;
    let how = Subscribes { durable: Some(String::from("reader")), ..Subscribes::default() };
    let mut random = Random::new(setup.seed);
    let share = count * PUBLISHERS / (setup.round_count + 1);
    let mut whole = Heard::default();
    for round in 1..=setup.round_count {
        let mut subscriber = gathering.subscribe(&how)?;
        subscriber.wait_for("subscribed", super::BEGIN_MAX)?;
        gathering.wait_published(share * round)?;
        let node = &mut gathering.mesh.nodes[random.below(setup.node_count)];
        node.kill()?;
        thread::sleep(AWAY);
        whole = whole.followed_by(Heard::of(&subscriber.kill()?));
        node.start()?;
        node.wait_ready(PUBLISH_MAX)?;
    }
    let last = gathering.subscribe(&how)?;
    let sent = gathering.published_all()?;
    let whole = whole.followed_by(heard(last)?);
    report.tell("nodes killed, subscribers killed", format_args!("{0}, {0}", setup.round_count));
    sent.judge(&mut report, (PUBLISHERS, count));
    whole.judge(&mut report, &sent);
    whole.judge_contiguous(&mut report);
    Ok(report)
}
