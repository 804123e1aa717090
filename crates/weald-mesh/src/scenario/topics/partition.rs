//! Links are cut while messages are published: what is acknowledged is heard, once, on both sides of the cut.

use std::thread;
use std::time::Duration;

use anyhow::Result;

use super::{Defaults, Gathering, PUBLISH_MAX, Publishes, Scenario, Subscribes, heard};
use crate::isolation;
use crate::mesh::{Mesh, Setup};
use crate::namespaces::between;
use crate::random::Random;
use crate::report::Report;

pub(in crate::scenario) const SCENARIO: Scenario = Scenario {
    name: "topic-partition",
    about: "one node after the other is cut off or stopped while messages are published; nothing lost or doubled",
    defaults: Defaults { nodes: 3, nodes_min: 3, k: Some(3), operations: 1000, rounds: 4 },
    run,
};

const PUBLISHERS: usize = 4;
const PAUSE_MS: (usize, usize) = (50, 150);
/// How long a node is cut off.
const CUT: Duration = Duration::from_secs(4);

fn run(setup: &Setup) -> Result<Report> {
    let mut report = Report::default();
    let can_cut = isolation::is_isolated();
    let mesh = if can_cut {
        Mesh::prepare_apart(setup, "partition", setup.node_count)?
    } else {
        Mesh::prepare(setup, "partition", setup.node_count)?
    };
    report.tell("links are cut", can_cut);
    let mut gathering = Gathering::found(setup, mesh)?;
    let count = setup.operation_count / PUBLISHERS;
    let plan = |label| Publishes::new(label, count, PAUSE_MS);
    let plans: Vec<Publishes> = (0..PUBLISHERS).map(plan).collect();
    gathering.publish(&plans)?;
    gathering.wait_published(1)?;
    let subscriber = gathering.subscribe(&Subscribes::default())?;
    let mut random = Random::new(setup.seed);
    for _ in 0..setup.round_count {
        let victim = random.below(setup.node_count);
        set_away(&mut gathering.mesh, (victim, can_cut), true)?;
        thread::sleep(CUT);
        set_away(&mut gathering.mesh, (victim, can_cut), false)?;
        gathering.mesh.wait_ready(PUBLISH_MAX)?;
    }
    let sent = gathering.published_all()?;
    let heard = heard(subscriber)?;
    report.tell("nodes away", format_args!("{} times", setup.round_count));
    sent.judge(&mut report, (PUBLISHERS, count));
    heard.judge(&mut report, &sent);
    heard.judge_contiguous(&mut report);
    Ok(report)
}

/// Cuts a node off from the others, or stops it where links cannot be cut; or takes that back.
fn set_away(mesh: &mut Mesh, (victim, can_cut): (usize, bool), is_away: bool) -> Result<()> {
    if !can_cut {
        let node = &mesh.nodes[victim];
        return if is_away { node.pause() } else { node.resume() };
    }
    let others: Vec<usize> = (0..mesh.nodes.len()).filter(|place| *place != victim).collect();
    let links = between(&[victim], &others);
    let namespaces = mesh.namespaces()?;
    if is_away { namespaces.cut(&links) } else { namespaces.heal(&links) }
}
