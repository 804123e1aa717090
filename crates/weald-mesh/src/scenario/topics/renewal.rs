//! A session that is longer than its lease goes on: it renews by itself, whoever coordinates.

use anyhow::Result;

use super::{Defaults, Gathering, PUBLISH_MAX, Publishes, Scenario, Subscribes, heard};
use crate::mesh::{Mesh, Setup};
use crate::report::Report;

pub(in crate::scenario) const SCENARIO: Scenario = Scenario {
    name: "topic-renewal",
    about: "a subscription of 10 s lasts through 60 s of messages and ten restarts of nodes; none is missed",
    defaults: Defaults { nodes: 3, nodes_min: 3, k: Some(3), operations: 600, rounds: 10 },
    run,
};

const PAUSE_MS: usize = 100;
const LEASE_MS: u64 = 10_000;

fn run(setup: &Setup) -> Result<Report> {
    let mut report = Report::default();
    let mesh = Mesh::prepare(setup, "renewal", setup.node_count)?;
    let mut gathering = Gathering::found(setup, mesh)?;
    let count = setup.operation_count;
    let plan = Publishes::new(0, count, (PAUSE_MS, PAUSE_MS));
    gathering.publish(&[plan])?;
    gathering.wait_published(1)?;
    let how = Subscribes { lease_ms: Some(LEASE_MS), ..Subscribes::default() };
    let mut subscriber = gathering.subscribe(&how)?;
    subscriber.wait_for("subscribed", super::BEGIN_MAX)?;
    let share = count / (setup.round_count + 1);
    for round in 1..=setup.round_count {
        gathering.wait_published(share * round)?;
        let node = &mut gathering.mesh.nodes[round % setup.node_count];
        node.stop()?;
        node.start()?;
        node.wait_ready(PUBLISH_MAX)?;
    }
    let sent = gathering.published_all()?;
    let heard = heard(subscriber)?;
    report.tell("nodes restarted", format_args!("{} times", setup.round_count));
    sent.judge(&mut report, (1, count));
    heard.judge(&mut report, &sent);
    heard.judge_contiguous(&mut report);
    Ok(report)
}
