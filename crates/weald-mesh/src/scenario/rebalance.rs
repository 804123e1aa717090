//! Nodes join under load: what there is spreads over all of them, no more moves than must, and work goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Defaults, Scenario, Trial};
use crate::load::Plan;
use crate::mesh::{Mesh, Setup};
use crate::partitions;
use crate::report::Report;
use crate::statistics::Shown;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "rebalance",
    about: "two nodes join three under load: replicas spread, little moves, work goes on",
    defaults: Defaults { nodes: 3, nodes_min: 3, k: Some(3), operations: 2000, rounds: 2 },
    run,
};

/// How long replicas may take to spread.
const SPREAD_WITHIN: Duration = Duration::from_secs(60);
/// How long nothing moves before it is taken for done.
const STILL_FOR: Duration = Duration::from_secs(8);
/// Work is counted for so long at a time.
const WINDOW: Duration = Duration::from_secs(2);
/// Windows before the first node joins.
const WINDOWS_BEFORE: usize = 5;
/// Clients ask at their own pace, which five nodes on one machine keep up with as well as three: who does less waits.
const PACE: Duration = Duration::from_millis(20);

/// Who has a replica of what.
type Replicas = BTreeMap<u64, BTreeSet<String>>;

fn run(setup: &Setup) -> Result<Report> {
    let mut report = Report::default();
    let mut mesh = Mesh::prepare(setup, "rebalance", setup.node_count)?;
    mesh.found()?;
    let old = partitions::replicas(&mesh)?;
    let plan = Plan { pause: PACE, ..Plan::new(setup.seed) };
    let mut trial = Trial::with_plan(mesh, "rebalance", plan)?;
    trial.wait_operations(setup.operation_count)?;
    let usual = (0..WINDOWS_BEFORE).map(|_| worked(&trial)).sum::<usize>() / WINDOWS_BEFORE;
    let started = Instant::now();
    for _ in 0..setup.round_count {
        let place = trial.mesh.add()?;
        trial.mesh.join(place)?;
    }
    let watched = watch(&mut trial, &old, started)?;
    tell(&mut report, setup, &watched, (&old, usual));
    trial.end_converged(&mut report)?;
    Ok(report)
}

/// Operations of one window.
fn worked(trial: &Trial) -> usize {
    let before = trial.operation_count();
    thread::sleep(WINDOW);
    trial.operation_count() - before
}

/// What was seen while replicas moved.
struct Watched {
    replicas: Replicas,
    /// From the start of the first new node until the last replica had moved.
    taken: Duration,
    /// Operations in the window with fewest.
    least: usize,
}

/// Watches until nothing has moved for a while.
fn watch(trial: &mut Trial, old: &Replicas, started: Instant) -> Result<Watched> {
    let mut watched = Watched { replicas: old.clone(), taken: Duration::ZERO, least: usize::MAX };
    let is_done = |watched: &Watched| {
        let is_still = started.elapsed() > watched.taken + STILL_FOR;
        is_still && (watched.replicas != *old || started.elapsed() > SPREAD_WITHIN)
    };
    while !is_done(&watched) && started.elapsed() < SPREAD_WITHIN * 2 {
        watched.least = watched.least.min(worked(trial));
        trial.mesh.check_alive()?;
        let now = partitions::replicas(&trial.mesh)?;
        if now != watched.replicas {
            (watched.replicas, watched.taken) = (now, started.elapsed());
        }
    }
    Ok(watched)
}

fn tell(report: &mut Report, setup: &Setup, watched: &Watched, (old, usual): (&Replicas, usize)) {
    let node_count = setup.node_count + setup.round_count;
    let counts = counts(&watched.replicas);
    let text = counts.values().map(usize::to_string).collect::<Vec<_>>().join(" ");
    report.expect(is_spread(&counts, node_count), "replicas of each node", text);
    report.expect(watched.taken <= SPREAD_WITHIN, "all had moved after", Shown(watched.taken));
    let (moved, astray) = moves(old, &watched.replicas);
    report.tell("replicas moved to new nodes", moved);
    report.expect(astray == 0, "replicas moved between old ones", astray);
    let least = watched.least;
    let text = format!("{least} at least, {usual} before");
    report.expect(least * 2 >= usual, "operations in two seconds", text);
}

/// How many replicas each node has.
fn counts(replicas: &Replicas) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for peer in replicas.values().flatten() {
        *counts.entry(peer.as_str()).or_default() += 1;
    }
    counts
}

/// Whether no node has more than 1.2 times what each would have if all had as many, and none has nothing.
fn is_spread(counts: &BTreeMap<&str, usize>, node_count: usize) -> bool {
    let all: usize = counts.values().sum();
    counts.len() == node_count && counts.values().all(|count| count * node_count * 10 <= all * 12)
}

/// How many replicas nodes have that had none before, and how many others have that they did not have.
fn moves(old: &Replicas, new: &Replicas) -> (usize, usize) {
    let old_nodes: BTreeSet<&String> = old.values().flatten().collect();
    let nobody = BTreeSet::new();
    let moved = new
        .iter()
        .flat_map(|(partition, peers)| peers.difference(old.get(partition).unwrap_or(&nobody)));
    let (astray, fresh): (Vec<&String>, _) = moved.partition(|peer| old_nodes.contains(peer));
    (fresh.len(), astray.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replicas(of: &[&[&str]]) -> Replicas {
        let peers = |peers: &&[&str]| peers.iter().map(|peer| (*peer).to_owned()).collect();
        (0..).zip(of.iter().map(peers)).collect()
    }

    #[test]
    fn moves_to_new_nodes_are_told_from_those_between_old_ones() {
        let old = replicas(&[&["a", "b"], &["a", "b"], &["b", "c"]]);
        let new = replicas(&[&["a", "n"], &["a", "c"], &["b", "c"]]);
        assert_eq!(moves(&old, &new), (1, 1));
        assert_eq!(moves(&old, &old), (0, 0));
    }

    #[test]
    fn a_node_with_too_much_or_nothing_is_no_spread() {
        let is = |of: &[&[&str]], nodes| is_spread(&counts(&replicas(of)), nodes);
        assert!(is(&[&["a", "b"], &["b", "c"], &["c", "a"]], 3));
        assert!(!is(&[&["a", "b"], &["b", "c"], &["c", "a"]], 4), "one has nothing");
        assert!(!is(&[&["a", "b"], &["a", "c"], &["c", "a"]], 3), "one has half as much again");
    }
}
