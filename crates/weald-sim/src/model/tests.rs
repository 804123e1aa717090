use std::time::Duration;

use weald_cluster::mutation::Mutation;

use super::*;

/// No exploration here takes as long; one that does has grown past what a test may explore.
const LIMIT: Duration = Duration::from_secs(600);

fn holds(bounds: Bounds) -> Explored {
    let explored = check(bounds, 2, LIMIT);
    assert!(explored.failures.is_empty(), "{explored}");
    assert!(explored.is_complete, "{explored}");
    explored
}

fn is_caught(mutation: Mutation, bounds: Bounds, properties: &[&str]) {
    let explored = search(Bounds { mutation: Some(mutation), ..bounds }, 2, LIMIT);
    let found = explored.failures.iter().find(|(_, steps)| !steps.is_empty());
    let (name, steps) = found.unwrap_or_else(|| panic!("{mutation:?} is not caught: {explored}"));
    println!("{mutation:?}: {name}, {} steps, {} states", steps.len(), explored.unique_count);
    assert!(properties.contains(name), "{mutation:?} breaks another rule: {explored}");
}

#[test]
fn probe() {
    let small = Bounds::small;
    let crash = || Bounds { crashes: 1, ..small() };
    let wipe = || Bounds { wipes: 1, ..small() };
    let change = || Bounds { has_change: true, is_begun: true, campaigns: 1, ..small() };
    use Mutation::*;
    let single = || Bounds { has_single_entries: true, ..small() };
    for (m, b) in [
        (CoordinateByMinority, small()),
        (CommitEarlierEpochs, Bounds { campaigns: 4, proposals: 0, ..single() }),
        (CommitWithoutAgreement, Bounds { beats: 1, proposals: 0, ..small() }),
        (CountSelfUnsynced, crash()),
    ] {
        let explored = search(Bounds { mutation: Some(m), ..b }, 2, Duration::from_secs(20));
        let found = explored.failures.iter().find(|(_, steps)| !steps.is_empty());
        match found {
            Some((name, steps)) => println!(
                "{m:?}: {name}, {} steps, {} states {:?}",
                steps.len(),
                explored.unique_count,
                explored.duration
            ),
            None => println!("{m:?}: NOT {} {}", explored.unique_count, explored.depth),
        }
    }
}
