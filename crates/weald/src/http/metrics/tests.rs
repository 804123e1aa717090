//! What the metrics tell of partitions of a network.

use std::time::Duration;

use weald_core::{Digest, LogIndex, PartitionId, PeerId, Time};

use super::*;
use crate::MemberInfo;

fn peer(name: &str) -> PeerId {
    PeerId::from_digest(Digest::of("weald test", &[name.as_bytes()]))
}

fn member(name: &str, matched: Option<u64>) -> MemberInfo {
    MemberInfo {
        peer: Some(peer(name)),
        life: 0,
        is_voter: true,
        matched: matched.map(LogIndex),
        last_contact: None,
        started: None,
        incarnation: None,
    }
}

/// A partition whose log ends at 30, of which 20 are committed and 15 applied.
fn coordinated(members: Vec<MemberInfo>) -> PartitionInfo {
    PartitionInfo {
        partition: PartitionId(7),
        role: PartitionRole::Coordinator,
        coordinator: Some(peer("a")),
        last_contact: Some(Duration::ZERO),
        epoch: 3,
        last: LogIndex(30),
        committed: LogIndex(20),
        applied: LogIndex(15),
        checkpointed: LogIndex(10),
        digest_index: LogIndex(15),
        digest: Digest::of("weald test", &[]),
        log_time: Time::ZERO,
        recovery: None,
        trouble: None,
        members,
    }
}

fn told(info: PartitionInfo) -> String {
    let mut text = Text::default();
    text.partitions(&[info]);
    text.0
}

#[test]
fn w83_w180_w183_lag_and_gap_are_told_for_each_partition_and_member() {
    let told = told(coordinated(vec![member("a", None), member("b", Some(26)), member("c", None)]));
    let lines = [
        "weald_commit_gap{partition=\"7\"} 10".to_owned(),
        "weald_apply_lag{partition=\"7\"} 5".to_owned(),
        "weald_coordinator{partition=\"7\"} 1".to_owned(),
        format!("weald_replication_lag{{partition=\"7\",peer=\"{}\"}} 4", peer("b")),
    ];
    for line in lines {
        assert!(told.lines().any(|other| other == line), "{line}\n{told}");
    }
    let of_unknown = told.lines().filter(|line| line.starts_with("weald_replication_lag{"));
    assert_eq!(of_unknown.count(), 1, "of whom nothing is known nothing is told");
}

#[test]
fn a_member_that_has_caught_up_has_no_lag_and_one_that_takes_no_part_is_marked() {
    let mut info = coordinated(vec![member("b", Some(30))]);
    info.trouble = Some("a disk".to_owned());
    let told = told(info);
    let lag = format!("weald_replication_lag{{partition=\"7\",peer=\"{}\"}} 0", peer("b"));
    assert!(told.lines().any(|line| line == lag), "{told}");
    assert!(
        told.lines().any(|line| line == "weald_partition_trouble{partition=\"7\"} 1"),
        "{told}"
    );
}

#[test]
fn w123_when_a_coordinator_was_last_heard_is_told_for_each_partition() {
    let told_of = |last_contact| {
        let text = told(PartitionInfo { last_contact, ..coordinated(Vec::new()) });
        let line = |line: &&str| line.starts_with("weald_coordinator_last_contact_seconds{");
        text.lines().find(line).map(str::to_owned)
    };
    let line = |seconds| {
        Some(format!("weald_coordinator_last_contact_seconds{{partition=\"7\"}} {seconds}"))
    };
    assert_eq!(told_of(Some(Duration::ZERO)), line("0.000000"));
    assert_eq!(told_of(Some(Duration::from_millis(61_234))), line("61.234000"));
    assert_eq!(told_of(None), None, "of whom nothing was heard nothing is told");
}

#[test]
fn a_histogram_without_labels_has_nothing_but_the_ends_of_its_buckets() {
    let mut text = Text::default();
    let mut times = Histogram { sum_us: 300, ..Histogram::default() };
    times.counts[0] = 1;
    text.histogram("weald_test_seconds", "", &times);
    assert!(text.0.starts_with("weald_test_seconds_bucket{le=\"0.000100\"} 1\n"), "{}", text.0);
    assert!(text.0.ends_with("weald_test_seconds_sum 0.000300\nweald_test_seconds_count 1\n"));
}
