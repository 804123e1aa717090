//! One node after the other is killed and finds its log gone, or the beginning of it: the others give it its next life
//! (rule C11), and nothing that was acknowledged is lost.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::{Defaults, Scenario, Trial};
use crate::mesh::{Mesh, READY_MAX, Setup};
use crate::partitions;
use crate::report::Report;
use crate::statistics::Summary;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "lost-log",
    about: "SIGKILL of one node after the other under load; it finds its log gone when it starts again",
    defaults: Defaults { nodes: 3, nodes_min: 3, k: Some(3), operations: 6000, rounds: 6 },
    run,
};

/// How long a node may take until it votes again in all partitions that it voted in.
const REBORN_MAX: Duration = Duration::from_secs(60);

fn run(setup: &Setup) -> Result<Report> {
    let mut report = Report::default();
    let mut mesh = Mesh::prepare(setup, "lost-log", setup.node_count)?;
    mesh.found()?;
    let share = setup.operation_count / (setup.round_count + 1);
    let mut trial = Trial::begin(setup, mesh, "lost-log")?;
    let mut times = Vec::new();
    for round in 0..setup.round_count {
        let place = round % trial.mesh.nodes.len();
        trial.wait_operations(share)?;
        let earlier = partitions::voter_lives(&trial.mesh, place)?;
        ensure!(!earlier.is_empty(), "n{place} votes in no partition");
        trial.hit("SIGKILL and loss of the log", place);
        trial.mesh.nodes[place].kill()?;
        let log = trial.mesh.nodes[place].data_dir().join("log");
        if round.is_multiple_of(2) {
            lose_all(&log)?
        } else {
            lose_first(&log)?
        }
        let started = Instant::now();
        trial.mesh.nodes[place].spawn()?;
        trial.mesh.nodes[place].wait_started()?;
        trial.mesh.nodes[place].wait_ready(READY_MAX)?;
        partitions::wait_reborn(&trial.mesh, place, &earlier, REBORN_MAX)?;
        times.push(started.elapsed());
        trial.wait_written_again()?;
    }
    trial.wait_operations(share)?;
    if let Some(summary) = Summary::of(times) {
        report.tell("from the start to a vote in all partitions", summary);
    }
    trial.end_converged(&mut report)?;
    Ok(report)
}

fn lose_all(log: &Path) -> Result<()> {
    segments(log)?.iter().try_for_each(|segment| lose(segment))
}

fn lose_first(log: &Path) -> Result<()> {
    let segments = segments(log)?;
    lose(segments.first().with_context(|| format!("no segment in {}", log.display()))?)
}

/// The files of a log that hold or may hold entries, oldest first.
fn segments(log: &Path) -> Result<Vec<PathBuf>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(log)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "seg") {
            segments.push(path);
        }
    }
    segments.sort_unstable();
    Ok(segments)
}

fn lose(segment: &Path) -> Result<()> {
    fs::remove_file(segment).with_context(|| format!("cannot remove {}", segment.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_go_and_what_else_is_there_stays() {
        let log = tempfile::tempdir().unwrap();
        let names = ["00000002.seg", "00000001.seg", "00000003.new"];
        names.iter().for_each(|name| fs::write(log.path().join(name), "").unwrap());
        lose_first(log.path()).unwrap();
        assert_eq!(segments(log.path()).unwrap(), [log.path().join("00000002.seg")]);
        lose_all(log.path()).unwrap();
        assert!(segments(log.path()).unwrap().is_empty() && lose_first(log.path()).is_err());
        assert!(log.path().join("00000003.new").exists());
    }
}
