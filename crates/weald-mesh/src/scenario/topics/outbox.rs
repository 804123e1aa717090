//! What a node queues while the home of a topic is away comes once, though the node is killed meanwhile.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::{Defaults, Gathering, PUBLISH_MAX, Publishes, Scenario, Subscribes, TOPIC, heard};
use crate::mesh::{Mesh, Setup};
use crate::report::Report;
use crate::statistics::Shown;

pub(in crate::scenario) const SCENARIO: Scenario = Scenario {
    name: "topic-outbox",
    about: "two of three nodes are killed; the third queues what is published, is killed, too; all comes once",
    defaults: Defaults { nodes: 3, nodes_min: 3, k: Some(3), operations: 200, rounds: 1 },
    run,
};

/// Messages before anything happens.
const BEFORE: usize = 20;
/// The publisher that the gateway's messages name.
const QUEUED: u64 = 1;

fn run(setup: &Setup) -> Result<Report> {
    let mut report = Report::default();
    let mesh = Mesh::prepare(setup, "outbox", setup.node_count)?;
    let mut gathering = Gathering::found(setup, mesh)?;
    let plan = Publishes { available: true, ..Publishes::new(0, BEFORE, (5, 5)) };
    gathering.publish(&[plan])?;
    let sent = gathering.published_all()?;
    let (first, count) = (publish(&gathering, 0)?, setup.operation_count);
    report.expect(first["queued"] == false, "queued with all nodes up", &first["queued"]);
    let last = setup.node_count - 1;
    gathering.mesh.nodes[..last].iter_mut().try_for_each(|node| node.kill())?;
    let begun = Instant::now();
    let mut queued = 0;
    for number in 1..count {
        let told = publish(&gathering, number)?;
        queued += usize::from(told["queued"] == true && told["position"].is_null());
    }
    let all = format_args!("{queued} of {}, in {}", count - 1, Shown(begun.elapsed())).to_string();
    report.expect(queued == count - 1, "queued", all);
    gathering.mesh.nodes[last].kill()?;
    for node in &mut gathering.mesh.nodes {
        // One alone is not ready.
        node.spawn()?;
        node.wait_started()?;
    }
    gathering.mesh.wait_ready(PUBLISH_MAX)?;
    let came = came(&gathering, BEFORE + count)?;
    report.tell("came after all nodes were ready", Shown(came));
    let subscriber = gathering.subscribe(&Subscribes::default())?;
    let heard = heard(subscriber)?;
    sent.judge(&mut report, (1, BEFORE));
    heard.judge(&mut report, &sent);
    let of_it = heard.deliveries_of(QUEUED);
    let text = format!("{} deliveries of {} messages, of {count}", of_it.0, of_it.1);
    report.expect(of_it == (count, count), "what was queued", text);
    Ok(report)
}

/// Publishes through the gateway of the last node.
fn publish(gathering: &Gathering, number: usize) -> Result<Value> {
    let node = gathering.mesh.nodes.last().context("there are nodes")?;
    let body = json!({ "p": QUEUED, "i": number }).to_string();
    Ok(node.client()?.publish(TOPIC, &body)?)
}

/// Waits until the topic has as many messages.
fn came(gathering: &Gathering, count: usize) -> Result<Duration> {
    let begun = Instant::now();
    let wanted = u64::try_from(count)?;
    while begun.elapsed() < PUBLISH_MAX {
        let topic = gathering.mesh.nodes[0].client()?.topic(TOPIC)?;
        if topic["messages"]["count"].as_u64() >= Some(wanted) {
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(begun.elapsed())
}
