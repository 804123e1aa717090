//! Snapshots: links, room, time.

use super::*;
use crate::{
    limits::PAGE_BYTES_MAX,
    testing::{at, golden},
};

fn entries(versions: std::ops::Range<u64>) -> Vec<LineageEntry> {
    let entry = |n: u64| LineageEntry { version: TopicVersion(n), root: Cid::of(&n.to_le_bytes()) };
    versions.map(entry).collect()
}

fn leaving(versions: std::ops::Range<u64>) -> Leaving {
    Leaving { messages: entries(versions), subscribers: Vec::new() }
}

fn snapshot(versions: std::ops::Range<u64>) -> CoordinatorSnapshot {
    CoordinatorSnapshot::new(TopicId::of("chat"), None, leaving(versions), at(10))
}

#[test]
fn ps1524_ps70_ps256_a_snapshot_links_back_and_expires_after_an_hour() {
    let first = snapshot(1..5);
    let second = CoordinatorSnapshot { previous: Some(first.cid()), ..snapshot(5..9) };
    assert_ne!(first.cid(), second.cid());
    assert_eq!(CoordinatorSnapshot::decode(&second.encode()).unwrap().previous, Some(first.cid()));
    assert_eq!(first.expires_at, at(10 + 3600));
}

#[test]
fn ps1524_ps394_a_snapshot_takes_what_leaves_until_it_is_full() {
    let mut grown = snapshot(1..5);
    for n in 1.. {
        let next = leaving(n * 5..n * 5 + 5);
        if !grown.has_room_for(&next) {
            break;
        }
        grown = grown.with(next, at(20));
    }
    assert!(grown.message_history.len() > SNAPSHOT_ENTRIES_MAX - 5);
    assert_eq!(grown.expires_at, at(20 + 3600), "what came last is kept an hour");
    assert!(grown.encode().len() <= PAGE_BYTES_MAX);
    assert_eq!(CoordinatorSnapshot::decode(&grown.encode()).unwrap(), grown);
}

#[test]
fn ps1524_snapshots_that_contradict_themselves_are_refused() {
    let mut disordered = snapshot(1..5);
    disordered.message_history.reverse();
    let long = snapshot(1..SNAPSHOT_ENTRIES_MAX as u64 + 5);
    let timeless = CoordinatorSnapshot { expires_at: at(10), ..snapshot(1..5) };
    for broken in [disordered, long, timeless] {
        assert!(CoordinatorSnapshot::decode(&broken.encode()).is_err());
    }
}

#[test]
fn ps1485_ps1527_snapshots_have_fixed_bytes() {
    assert_eq!(golden(&snapshot(1..5).encode()), "775fd21c233b986f");
}
