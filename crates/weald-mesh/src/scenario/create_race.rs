//! All nodes are asked at once to write into a collection that is not there: one collection comes of it, and every
//! write is in it.

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};

use super::{Defaults, Scenario};
use crate::client::{Answer, Client, Condition};
use crate::mesh::{Mesh, Setup};
use crate::report::Report;
use crate::statistics::Summary;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "create-race",
    about: "all nodes create one name at once, 200 times: one collection, no error",
    defaults: Defaults { nodes: 5, nodes_min: 1, k: None, operations: 0, rounds: 200 },
    run,
};

const CALL_MAX: Duration = Duration::from_secs(20);

fn run(setup: &Setup) -> Result<Report> {
    let mut report = Report::default();
    let mut mesh = Mesh::prepare(setup, "create-race", setup.node_count)?;
    mesh.found()?;
    let clients: Vec<Client> =
        mesh.clients()?.into_iter().map(|client| client.within(CALL_MAX)).collect();
    let (mut times, mut errors) = (Vec::new(), Vec::new());
    for round in 0..setup.round_count {
        for (taken, answer) in race(&clients, round)? {
            match answer {
                Ok(()) => times.push(taken),
                Err(failure) => errors.push(format!("round {round}: {failure}")),
            }
        }
        let missing = missing(&clients, round).with_context(|| format!("round {round}"))?;
        ensure!(missing == 0, "round {round}: {missing} writes are not to be seen everywhere");
    }
    report.tell("rounds", setup.round_count);
    if let Some(summary) = Summary::of(times) {
        report.tell("a creating write", summary);
    }
    report.expect(errors.is_empty(), "errors", errors.len());
    errors.into_iter().take(5).for_each(|error| report.fail(error));
    tell_collections(&mut report, &clients[0], setup.round_count)?;
    mesh.check_alive()?;
    Ok(report)
}

/// Trees in even rounds, diaries in odd ones.
fn race(clients: &[Client], round: usize) -> Result<Vec<(Duration, Answer<()>)>> {
    let barrier = Barrier::new(clients.len());
    thread::scope(|scope| {
        let racers: Vec<_> = clients
            .iter()
            .enumerate()
            .map(|(place, client)| {
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    let started = Instant::now();
                    let answer = create(client, round, place);
                    (started.elapsed(), answer)
                })
            })
            .collect();
        let join = |racer: thread::ScopedJoinHandle<'_, _>| {
            racer.join().map_err(|_| anyhow!("a racer panicked"))
        };
        racers.into_iter().map(join).collect()
    })
}

fn create(client: &Client, round: usize, place: usize) -> Answer<()> {
    let (name, key) = (name(round), place.to_string());
    let id = format!("race-{round}-{place}");
    if round.is_multiple_of(2) {
        client.put((&name, &key), key.as_bytes(), Condition::Always, &id).map(|_| ())
    } else {
        client.append(&name, key.as_bytes(), &id).map(|_| ())
    }
}

/// Writes of a round that some node does not show.
fn missing(clients: &[Client], round: usize) -> Result<usize> {
    let (name, mut missing) = (name(round), 0);
    for client in clients {
        let seen: BTreeSet<Vec<u8>> = if round.is_multiple_of(2) {
            client.scan(&name)?.into_iter().map(|(_, value)| value).collect()
        } else {
            client.entries(&name, 0, 1000)?.into_iter().map(|(_, entry)| entry).collect()
        };
        missing += clients.len() - seen.len().min(clients.len());
    }
    Ok(missing)
}

fn tell_collections(report: &mut Report, client: &Client, round_count: usize) -> Result<()> {
    let answer = client.json("/v1/collections")?;
    let list = answer.get("collections").and_then(|list| list.as_array());
    let list = list.context("no list of collections")?;
    let names = list.iter().filter_map(|one| one.get("name")?.as_str());
    let count = names.filter(|name| name.starts_with("race-")).count();
    report.expect(count == round_count, "collections at the end", count);
    Ok(())
}

fn name(round: usize) -> String {
    format!("race-{round}")
}
