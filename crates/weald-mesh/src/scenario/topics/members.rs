//! Nodes join and leave for good while messages are published: the topic's partition moves from node to node.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::{Defaults, Gathering, Publishes, Scenario, Subscribes, TOPIC, heard};
use crate::mesh::{Mesh, READY_MAX, Setup};
use crate::partitions;
use crate::random::Random;
use crate::report::Report;
use crate::statistics::{Shown, Summary};

pub(in crate::scenario) const SCENARIO: Scenario = Scenario {
    name: "topic-members",
    about: "in turn a node joins and another leaves for good, the founder first: nothing lost, nothing twice",
    defaults: Defaults { nodes: 5, nodes_min: 4, k: Some(3), operations: 1500, rounds: 10 },
    run,
};

const PUBLISHERS: usize = 5;
/// From the end of one change to the next.
const CHANGE_EVERY: Duration = Duration::from_secs(5);
/// How long a node may take until it holds nothing any more.
const LEAVE_MAX: Duration = Duration::from_secs(60);
const COORDINATOR_MAX: Duration = Duration::from_secs(30);
const CONVERGE_MAX: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);

fn run(setup: &Setup) -> Result<Report> {
    let mut report = Report::default();
    let mesh = Mesh::prepare(setup, "members", setup.node_count)?;
    let mut gathering = Gathering::found(setup, mesh)?;
    let count = setup.operation_count / PUBLISHERS;
    let plans: Vec<_> = (0..PUBLISHERS).map(|label| plan(setup, label, count)).collect();
    gathering.publish(&plans)?;
    gathering.wait_published(1)?;
    let early = gathering.subscribe(&Subscribes::default())?;
    let first = voters(&gathering.mesh)?;
    let (joins, leaves) = change_members(&mut gathering, setup)?;
    let last = voters(&gathering.mesh)?;
    let sent = gathering.published_all()?;
    let late = gathering.subscribe(&Subscribes::default())?;
    sent.judge(&mut report, (PUBLISHERS, count));
    for (name, subscriber) in [("from the beginning", early), ("after all", late)] {
        let mut part = Report::default();
        let heard = heard(subscriber)?;
        heard.judge(&mut part, &sent);
        heard.judge_contiguous(&mut part);
        report.absorb(name, part);
    }
    for (what, times) in [("joined and ready after", joins), ("left after", leaves)] {
        report.tell(what, Summary::of(times).context("no node has joined and left")?);
    }
    report.tell("voters of the topic at first, and in the end", format_args!("{first}; {last}"));
    match partitions::wait_converged(&gathering.mesh, CONVERGE_MAX) {
        Ok(taken) => report.tell("replicas are equal after", Shown(taken)),
        Err(error) => report.expect(false, "replicas are equal", format_args!("{error:#}")),
    }
    Ok(report)
}

/// Messages for as long as members change.
fn plan(setup: &Setup, label: usize, count: usize) -> Publishes {
    let whole = CHANGE_EVERY * u32::try_from(setup.round_count).unwrap_or(u32::MAX);
    let pause = usize::try_from(whole.as_millis()).unwrap_or(usize::MAX) / count.max(1);
    Publishes::new(label, count, (pause / 2, pause + pause / 2))
}

/// The nodes that vote on the topic, by name.
fn voters(mesh: &Mesh) -> Result<String> {
    let running = *mesh.running().first().context("no node runs")?;
    let partition = mesh.nodes[running].client()?.partition_of_topic(TOPIC)?;
    let coordinator = partitions::wait_coordinator(mesh, partition, COORDINATOR_MAX)?;
    let seen = partitions::seen_by(&mesh.nodes[coordinator].client()?)?;
    let seen = seen.into_iter().find(|one| one.partition == partition);
    let member = seen.and_then(|one| one.member).context("its coordinator is no member")?;
    let places = member.voters.iter().filter_map(|peer| mesh.place_of(peer));
    let mut names: Vec<&str> = places.map(|place| mesh.nodes[place].name()).collect();
    names.sort_unstable();
    Ok(names.join(" "))
}

/// In turn one node joins and one leaves; how long each took.
fn change_members(
    gathering: &mut Gathering,
    setup: &Setup,
) -> Result<(Vec<Duration>, Vec<Duration>)> {
    let mut random = Random::new(setup.seed);
    let (mut joins, mut leaves) = (Vec::new(), Vec::new());
    for round in 0..setup.round_count {
        thread::sleep(CHANGE_EVERY);
        let running = gathering.mesh.running();
        let of_them = running[random.below(running.len())];
        if round.is_multiple_of(2) {
            joins.push(join(&mut gathering.mesh, of_them)?);
        } else {
            let goes = if round == 1 { 0 } else { of_them };
            leaves.push(leave(&mut gathering.mesh, goes)?);
        }
        gathering.mesh.check_alive()?;
    }
    Ok((joins, leaves))
}

/// A new node joins through the one at `seed`.
fn join(mesh: &mut Mesh, seed: usize) -> Result<Duration> {
    let started = Instant::now();
    let place = mesh.add()?;
    mesh.join_through(place, seed)?;
    mesh.nodes[place].wait_ready(READY_MAX)?;
    Ok(started.elapsed())
}

/// The node at `place` hands over everything, and is stopped once it says that it holds nothing.
fn leave(mesh: &mut Mesh, place: usize) -> Result<Duration> {
    let started = Instant::now();
    let client = mesh.nodes[place].client()?;
    client.drain()?;
    loop {
        let Err(why) = client.ready() else {
            thread::sleep(LOOK_EVERY);
            continue;
        };
        if why.contains("holds nothing any more") {
            break;
        }
        if started.elapsed() > LEAVE_MAX {
            bail!("n{place} has not left after {LEAVE_MAX:?}: {why}");
        }
        thread::sleep(LOOK_EVERY);
    }
    mesh.nodes[place].stop()?;
    Ok(started.elapsed())
}
