//! What the metrics tell of partitions of a network.

use weald_core::{Digest, LogIndex, PartitionId, PeerId, Time};

use super::*;
use crate::MemberInfo;

fn peer(name: &str) -> PeerId {
    PeerId::from_digest(Digest::of("weald test", &[name.as_bytes()]))
}

fn member(name: &str, matched: Option<u64>) -> MemberInfo {
    MemberInfo { peer: Some(peer(name)), is_voter: true, matched: matched.map(LogIndex) }
}

/// A partition whose log ends at 30, of which 20 are committed and 15 applied.
fn coordinated(members: Vec<MemberInfo>) -> PartitionInfo {
    PartitionInfo {
        partition: PartitionId(7),
        role: PartitionRole::Coordinator,
        coordinator: Some(peer("a")),
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
