//! T2: many publishers at once, calm, with a coordinator killed every two seconds, and through the gateways of all
//! nodes without pauses, one by one and in batches, while the coordination is handed round.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::{Defaults, Gathering, PUBLISH_MAX, Publishes, Scenario, Subscribes, TOPIC, heard};
use crate::mesh::{Mesh, Setup};
use crate::partitions;
use crate::report::Report;
use crate::statistics::Shown;

pub(in crate::scenario) const SCENARIO: Scenario = Scenario {
    name: "topic-concurrent",
    about: "10 publishers x 100 messages, calm, with the coordinator killed every 2 s, and without pauses: nothing lost, \
            nothing twice",
    defaults: Defaults { nodes: 3, nodes_min: 3, k: Some(3), operations: 1000, rounds: 1 },
    run,
};

const PUBLISHERS: usize = 10;
/// From one message of a publisher to its next.
const PAUSE_MS: (usize, usize) = (10, 50);
const LATE: Duration = Duration::from_secs(2);
const KILL_EVERY: Duration = Duration::from_secs(2);
/// How much more is published without pauses, so that it takes about as long.
const RUSHED: usize = 10;
/// Messages at a time of who publishes in batches.
const BATCH: usize = 10;
const HAND_OVER_EVERY: Duration = Duration::from_millis(500);
/// How long members may take until they are the same after the load.
const CONVERGE_MAX: Duration = Duration::from_secs(60);
const COORDINATOR_MAX: Duration = Duration::from_secs(30);

/// One of the scenario's parts.
#[derive(Clone, Copy, Debug)]
struct Part {
    name: &'static str,
    /// What is done to the coordinator meanwhile.
    fault: Fault,
    /// Messages at a time through the gateways of all nodes, without pauses; `None` for light nodes that pause.
    rush: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    Kill,
    HandOver,
}

const PARTS: [Part; 4] = [
    Part { name: "calm", fault: Fault::None, rush: None },
    Part { name: "killed", fault: Fault::Kill, rush: None },
    Part { name: "rushed", fault: Fault::HandOver, rush: Some(1) },
    Part { name: "batched", fault: Fault::HandOver, rush: Some(BATCH) },
];

fn run(setup: &Setup) -> Result<Report> {
    let mut report = Report::default();
    for part in PARTS {
        report.absorb(part.name, one(setup, part)?);
    }
    Ok(report)
}

fn one(setup: &Setup, part: Part) -> Result<Report> {
    let mut report = Report::default();
    let mesh = Mesh::prepare(setup, part.name, setup.node_count)?;
    let mut gathering = Gathering::found(setup, mesh)?;
    let plans = plans(setup, part);
    let count = plans[0].count;
    gathering.publish(&plans)?;
    if part.rush.is_none() {
        thread::sleep(LATE);
    } else {
        gathering.wait_published(count)?;
    }
    let before = gathering.published();
    let subscriber = gathering.subscribe(&Subscribes::default())?;
    let fault_count = match part.fault {
        Fault::None => 0,
        Fault::Kill => kill_on(&mut gathering, PUBLISHERS * count)?,
        Fault::HandOver => hand_over_on(&gathering, PUBLISHERS * count)?,
    };
    let sent = gathering.published_all()?;
    let heard = heard(subscriber)?;
    report.tell("published before the subscriber came", before);
    if part.fault != Fault::None {
        let what = format!("{:?} of the coordination", part.fault);
        report.expect(fault_count > 0, &what, format_args!("{fault_count} times"));
    }
    sent.judge(&mut report, (PUBLISHERS, count));
    heard.judge(&mut report, &sent);
    heard.judge_contiguous(&mut report);
    gathering.mesh.start_missing()?;
    // The digest of a partition covers the pages of its topics: the same set and the same root everywhere.
    match partitions::wait_converged(&gathering.mesh, CONVERGE_MAX) {
        Ok(taken) => report.tell("replicas are equal after", Shown(taken)),
        Err(error) => report.expect(false, "replicas are equal", format_args!("{error:#}")),
    }
    Ok(report)
}

fn plans(setup: &Setup, part: Part) -> Vec<Publishes> {
    let count = setup.operation_count / PUBLISHERS;
    let plan = |label| match part.rush {
        None => Publishes::new(label, count, PAUSE_MS),
        Some(batch) => Publishes {
            batch,
            through: Some(label % setup.node_count),
            ..Publishes::new(label, count * RUSHED, (0, 0))
        },
    };
    (0..PUBLISHERS).map(plan).collect()
}

/// Kills the topic's coordinator every two seconds, and starts it again a second later, until everything is published.
fn kill_on(gathering: &mut Gathering, wanted: usize) -> Result<usize> {
    let partition = gathering.mesh.nodes[0].client()?.partition_of_topic(TOPIC)?;
    let (started, mut count) = (Instant::now(), 0);
    while gathering.published() < wanted && started.elapsed() < PUBLISH_MAX {
        let victim = partitions::wait_coordinator(&gathering.mesh, partition, COORDINATOR_MAX)?;
        gathering.mesh.nodes[victim].kill()?;
        count += 1;
        thread::sleep(KILL_EVERY / 2);
        gathering.mesh.nodes[victim].start()?;
        thread::sleep(KILL_EVERY / 2);
        gathering.mesh.check_alive()?;
    }
    Ok(count)
}

/// Has the topic's coordinator hand over to the next node, again and again, until everything is published; how often
/// it did.
fn hand_over_on(gathering: &Gathering, wanted: usize) -> Result<usize> {
    let nodes = &gathering.mesh.nodes;
    let partition = nodes[0].client()?.partition_of_topic(TOPIC)?;
    let (started, mut count) = (Instant::now(), 0);
    while gathering.published() < wanted && started.elapsed() < PUBLISH_MAX {
        let from = partitions::wait_coordinator(&gathering.mesh, partition, COORDINATOR_MAX)?;
        let to = nodes.get(from + 1).or(nodes.first()).context("there are no nodes")?;
        // One that lags too far is not handed to.
        let handed = nodes[from].client()?.transfer(partition, &to.file()?.peer_id);
        count += usize::from(handed.is_ok());
        thread::sleep(HAND_OVER_EVERY);
    }
    Ok(count)
}
