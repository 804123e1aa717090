//! T2: many publishers at once, calm and with a coordinator killed every two seconds.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Defaults, Gathering, PUBLISH_MAX, Publishes, Scenario, Subscribes, TOPIC, heard};
use crate::mesh::{Mesh, Setup};
use crate::partitions;
use crate::report::Report;
use crate::statistics::Shown;

pub(in crate::scenario) const SCENARIO: Scenario = Scenario {
    name: "topic-concurrent",
    about: "10 publishers x 100 messages, calm and with the coordinator killed every 2 s: nothing lost, nothing twice",
    defaults: Defaults { nodes: 3, nodes_min: 3, k: Some(3), operations: 1000, rounds: 1 },
    run,
};

const PUBLISHERS: usize = 10;
/// From one message of a publisher to its next.
const PAUSE_MS: (usize, usize) = (10, 50);
const LATE: Duration = Duration::from_secs(2);
const KILL_EVERY: Duration = Duration::from_secs(2);
/// How long members may take until they are the same after the load.
const CONVERGE_MAX: Duration = Duration::from_secs(60);
const COORDINATOR_MAX: Duration = Duration::from_secs(30);

fn run(setup: &Setup) -> Result<Report> {
    let mut report = Report::default();
    report.absorb("calm", one(setup, "calm", false)?);
    report.absorb("killed", one(setup, "killed", true)?);
    Ok(report)
}

fn one(setup: &Setup, name: &str, kills: bool) -> Result<Report> {
    let mut report = Report::default();
    let mesh = Mesh::prepare(setup, name, setup.node_count)?;
    let mut gathering = Gathering::found(setup, mesh)?;
    let count = setup.operation_count / PUBLISHERS;
    let plan =
        |label| Publishes { label, count, pause: PAUSE_MS, expires_ms: None, available: false };
    let plans: Vec<Publishes> = (0..PUBLISHERS).map(plan).collect();
    gathering.publish(&plans)?;
    thread::sleep(LATE);
    let before = gathering.published();
    let subscriber = gathering.subscribe(&Subscribes::default())?;
    let kill_count = if kills { kill_on(&mut gathering, PUBLISHERS * count)? } else { 0 };
    let sent = gathering.published_all()?;
    let heard = heard(subscriber)?;
    report.tell("published before the subscriber came", before);
    if kills {
        report.expect(
            kill_count > 0,
            "kill -9 of the coordinator",
            format_args!("{kill_count} times"),
        );
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
