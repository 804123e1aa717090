//! A member loses its disk while the others have 200 MB, and is fed until it is the same again: once with its key
//! kept, once with its key lost.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};

use super::{Defaults, Scenario};
use crate::client::{Client, Condition};
use crate::mesh::{Mesh, READY_MAX, Setup};
use crate::partitions;
use crate::report::Report;
use crate::statistics::Shown;

pub(super) const SCENARIO: Scenario = Scenario {
    name: "catch-up",
    about: "a member with an empty disk is fed 200 MB, with its key kept and with its key lost",
    defaults: Defaults { nodes: 3, nodes_min: 3, k: Some(3), operations: 3200, rounds: 1 },
    run,
};

/// Bytes of a value: 3200 of them are 200 MB.
const VALUE_BYTES: usize = 64 * 1024;
/// Trees, each in a group of its own.
const TREES: usize = 8;
/// The file that a node keeps its key in.
const IDENTITY: &str = "identity.key";
const CATCH_UP_MAX: Duration = Duration::from_secs(300);
/// Of so many values one is read through the member at the end, from its own disk where it is a member.
const READ_EVERY: usize = 37;

fn run(setup: &Setup) -> Result<Report> {
    let mut report = Report::default();
    let mut mesh = Mesh::prepare(setup, "catch-up", setup.node_count)?;
    mesh.found()?;
    let started = Instant::now();
    fill(&mesh.clients()?, setup.operation_count)?;
    report.tell("written", format_args!("{} MB", megabytes(setup.operation_count)));
    report.tell("written within", Shown(started.elapsed()));
    for (what, keeps_key) in [("key kept", true), ("key lost", false)] {
        let place = mesh.nodes.len() - 1;
        mesh.nodes[place].kill()?;
        wipe(mesh.nodes[place].data_dir(), keeps_key)?;
        let started = Instant::now();
        mesh.join(place)?;
        mesh.nodes[place].wait_ready(READY_MAX)?;
        report.tell(format!("{what}: ready after"), Shown(started.elapsed()));
        let all = partitions::count(&mesh)?;
        let least = if keeps_key { all } else { 1 };
        partitions::wait_memberships(&mesh, place, least, CATCH_UP_MAX)?;
        partitions::wait_converged(&mesh, CATCH_UP_MAX)?;
        let taken = started.elapsed();
        let held = partitions::membership_count(&mesh, place)?;
        report.tell(format!("{what}: a member of"), format_args!("{held} of {all} partitions"));
        report.tell(format!("{what}: the same as the others after"), Shown(taken));
        let wrong = wrong_values(&mesh.nodes[place].client()?, setup.operation_count)?;
        report.expect(wrong == 0, &format!("{what}: wrong values through it"), wrong);
    }
    mesh.check_alive()?;
    Ok(report)
}

fn megabytes(count: usize) -> usize {
    count * VALUE_BYTES / 1_000_000
}

fn fill(clients: &[Client], count: usize) -> Result<()> {
    thread::scope(|scope| {
        let fillers: Vec<_> = (0..TREES)
            .map(|tree| {
                let client = clients[tree % clients.len()].clone().within(READY_MAX);
                scope.spawn(move || {
                    (tree..count).step_by(TREES).try_for_each(|number| fill_one(&client, number))
                })
            })
            .collect();
        fillers
            .into_iter()
            .try_for_each(|filler| filler.join().map_err(|_| anyhow!("a client panicked"))?)
    })
}

fn fill_one(client: &Client, number: usize) -> Result<()> {
    let (tree, key) = place_of(number);
    let id = format!("fill-{number}");
    let put = client.put((&tree, &key), &value(number), Condition::Always, &id);
    put.map(|_| ()).with_context(|| format!("value {number} is not written"))
}

fn place_of(number: usize) -> (String, String) {
    (format!("big-{}", number % TREES), format!("k{number:06}"))
}

/// Bytes that no compression makes small and that tell the value's number.
fn value(number: usize) -> Vec<u8> {
    let mut random = crate::random::Random::new(u64::try_from(number).expect("few values"));
    (0..VALUE_BYTES).map(|_| u8::try_from(random.below(256)).expect("below 256")).collect()
}

/// Everything but, if it is kept, the key.
fn wipe(data_dir: &Path, keeps_key: bool) -> Result<()> {
    for entry in fs::read_dir(data_dir)? {
        let entry = entry?;
        if keeps_key && entry.file_name() == IDENTITY {
            continue;
        }
        let path = entry.path();
        let removed =
            if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

fn wrong_values(client: &Client, count: usize) -> Result<usize> {
    let mut wrong = 0;
    for number in (0..count).step_by(READ_EVERY) {
        let (tree, key) = place_of(number);
        let found = client.get((&tree, &key), "?consistency=local")?;
        wrong += usize::from(found.is_none_or(|found| found.bytes != value(number)));
    }
    Ok(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_wiped_with_and_without_the_key() {
        let directory = tempfile::tempdir().unwrap();
        let (key, log) = (directory.path().join(IDENTITY), directory.path().join("log"));
        fs::write(&key, "k").unwrap();
        fs::create_dir(&log).unwrap();
        wipe(directory.path(), true).unwrap();
        assert!(key.is_file() && !log.exists());
        wipe(directory.path(), false).unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn values_differ_and_are_the_same_again() {
        assert_eq!(value(3), value(3));
        assert_ne!(value(3), value(4));
        assert_eq!(value(3).len(), VALUE_BYTES);
    }
}
