//! What members do when a disk or a peer lets them down.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use weald_cluster::configuration::{Configuration, Member};
use weald_core::{
    FrameSink, Handlers, LogIndex, Mailbox, Outcome, PartitionId, PeerId, Priority, UnknownCause,
};
use weald_storage::{
    log::{Disk as _, testing::SimDisk},
    testing::Fault,
};

use super::{
    PARTITION,
    rig::{Cluster, put, wait},
};
use crate::members::{Answer, Letterbox, MemberHealth, MembersConfig, ProposeError};

#[test]
fn w62_a_coordinator_whose_disk_is_slow_hands_over() {
    let config = MembersConfig {
        slow_sync: Duration::from_millis(50),
        slow_for: Duration::from_millis(300),
        ..Default::default()
    };
    let mut cluster = Cluster::in_memory_with(3, config);
    cluster.found(PARTITION, 3);
    cluster.write(PARTITION, put(0));
    let slow = cluster.coordinator(PARTITION);
    cluster.node(slow).stall(true);
    // The others are a majority without its disk.
    let answer = cluster.node(slow).write(PARTITION, put(1));
    assert!(matches!(answer, Answer::Settled(Outcome::Committed(_))), "{answer:?}");
    let next = cluster.wait_coordinator_but(PARTITION, slow);
    wait(|| !cluster.node(slow).status(PARTITION).unwrap().is_coordinator());
    assert!(matches!(
        cluster.node(next).write(PARTITION, put(2)),
        Answer::Settled(Outcome::Committed(_))
    ));
    cluster.node(slow).stall(false);
    cluster.write(PARTITION, put(3));
    cluster.wait_equal(PARTITION);
}

#[test]
fn w14_after_a_failed_sync_a_member_stops_and_a_restart_heals_it() {
    let mut cluster = Cluster::on_simulated_disks(3);
    cluster.found(PARTITION, 3);
    cluster.write(PARTITION, put(0));
    let failing = cluster.coordinator(PARTITION);
    cluster.node(failing).disk.as_ref().unwrap().fail_sync_after(0);
    for number in 1..6 {
        cluster.write(PARTITION, put(number));
    }
    let health = || cluster.node(failing).status(PARTITION).unwrap().health;
    wait(|| matches!(health(), MemberHealth::Stopped(_)));
    assert!(!cluster.node(failing).status(PARTITION).unwrap().is_coordinator());
    assert_eq!(cluster.node(failing).members().figures().stops, 1, "it is told of once");
    cluster.kill(failing);
    cluster.start(failing);
    cluster.wait_equal(PARTITION);
    assert_eq!(cluster.node(failing).count(PARTITION), 6);
}

#[test]
fn r34_a_full_disk_refuses_writes_and_heals_without_a_restart() {
    let mut cluster = Cluster::on_simulated_disks(1);
    cluster.found(PARTITION, 1);
    cluster.write(PARTITION, put(0));
    let disk = cluster.node(0).disk.clone().unwrap();
    disk.set_capacity(disk.used());
    let (mut number, patience) = (0, Duration::from_millis(200));
    wait(|| {
        number += 1;
        match cluster.node(0).write_within(PARTITION, put(number), patience) {
            Answer::Refused(error) => {
                assert_eq!(error, ProposeError::DiskFull);
                true
            }
            // The one that met the end of the space waits for more of it.
            Answer::Settled(Outcome::Committed(_) | Outcome::Unknown(UnknownCause::Deadline)) => {
                false
            }
            answer => panic!("{answer:?}"),
        }
    });
    disk.set_capacity(u64::MAX);
    cluster.write(PARTITION, put(number));
    assert_eq!(cluster.node(0).count(PARTITION), number + 1, "nothing is lost, nothing stuck");
}

#[test]
fn r17_w140_what_rots_in_a_members_log_is_repaired_from_its_peers() {
    let mut cluster = Cluster::on_simulated_disks(3);
    cluster.found(PARTITION, 3);
    for number in 0..30 {
        cluster.write(PARTITION, put(number));
    }
    cluster.wait_equal(PARTITION);
    let rotten = (cluster.coordinator(PARTITION) + 1) % 3;
    let last = cluster.node(rotten).status(PARTITION).unwrap().last;
    cluster.kill(rotten);
    let disk = cluster.node(rotten).disk.clone().unwrap();
    assert!(flip_first_entry(&disk), "the log has an entry of the test's");
    cluster.isolate(rotten);
    cluster.start(rotten);
    let status = |cluster: &Cluster| cluster.node(rotten).status(PARTITION).unwrap();
    wait(|| status(&cluster).health == MemberHealth::Damaged);
    assert!(status(&cluster).last < last, "what follows the damage is not vouched for");
    cluster.heal();
    wait(|| status(&cluster).health == MemberHealth::Well);
    cluster.write(PARTITION, put(30));
    cluster.wait_equal(PARTITION);
    assert_eq!(cluster.node(rotten).count(PARTITION), 31);
    // It is mended on the disk, too.
    cluster.kill(rotten);
    cluster.start(rotten);
    cluster.wait_equal(PARTITION);
    assert_eq!(cluster.node(rotten).count(PARTITION), 31);
}

/// Flips a bit in the middle of the first entry that the test wrote.
fn flip_first_entry(disk: &SimDisk) -> bool {
    let names = disk.list().unwrap();
    names
        .iter()
        .any(|name| position_of_value(disk, name).is_some_and(|at| disk.flip(name, at + 50, 3)))
}

/// Where the first value of the test is in a file.
fn position_of_value(disk: &SimDisk, name: &str) -> Option<usize> {
    let bytes = disk.bytes(name).unwrap_or_default();
    let value = [7; 100];
    bytes.windows(value.len()).position(|window| window == value)
}

#[test]
fn w20_what_is_malformed_or_said_in_anothers_name_is_counted_and_dropped() {
    let mut cluster = Cluster::in_memory(3);
    cluster.found(PARTITION, 3);
    cluster.write(PARTITION, put(0));
    cluster.wait_equal(PARTITION);
    let rogue_id = PeerId::from_digest(weald_core::Digest::of("weald test", &[b"rogue"]));
    let ear = Letterbox::new();
    let handlers = Handlers { frames: ear.clone(), services: BTreeMap::new(), events: ear.clone() };
    let rogue = cluster.network.connect(rogue_id, handlers);
    let target = cluster.node(0);
    let before = target.members().figures().refused;
    let frames: [&[u8]; 6] =
        [&[], &[0, 9, 0, 0], &[0, 1, 0, 0, 0, 7], &[1, 0], &[2; 40], &[250, 1, 2]];
    for frame in frames {
        rogue.send(target.peer(), Priority::Consensus, Bytes::copy_from_slice(frame)).unwrap();
    }
    // What one node says of itself, another sends as its own.
    let overheard = Arc::new(Overheard::default());
    let spy = Handlers { frames: overheard.clone(), services: BTreeMap::new(), events: ear };
    let spy_id = cluster.node(1).peer();
    let spied = cluster.network.connect(spy_id, spy);
    drop(spied);
    wait(|| !overheard.0.lock().is_empty());
    let replayed = overheard.0.lock().clone();
    for frame in replayed {
        rogue.send(target.peer(), Priority::Consensus, frame).unwrap();
    }
    wait(|| target.members().figures().refused > before + 5);
    assert_eq!(target.status(PARTITION).unwrap().health, MemberHealth::Well);
    let other = PartitionId(77);
    assert!(target.members().hosted(other).is_none());
}

/// Keeps the frames that it is sent.
#[derive(Default)]
struct Overheard(parking_lot::Mutex<Vec<Bytes>>);

impl FrameSink for Overheard {
    fn frame(&self, _from: PeerId, _priority: Priority, frame: Bytes) -> bool {
        self.0.lock().push(frame);
        true
    }
}

#[test]
fn r28_a_block_that_cannot_be_read_stops_its_member_and_nobody_diverges() {
    let mut cluster = Cluster::on_simulated_disks(3);
    cluster.found(PARTITION, 3);
    for number in 0..10 {
        cluster.write(PARTITION, put(number));
    }
    cluster.wait_equal(PARTITION);
    let ill = (cluster.coordinator(PARTITION) + 1) % 3;
    // After a checkpoint and a restart its blocks are on the disk only.
    cluster.node(ill).members().checkpoint().blocking_recv().unwrap().unwrap();
    cluster.kill(ill);
    cluster.start(ill);
    cluster.node(ill).engine_faults().fail_reads(Fault::Corrupt);
    let before = cluster.node(ill).status(PARTITION).unwrap().applied;
    for number in 10..15 {
        cluster.write(PARTITION, put(number));
    }
    let status = |cluster: &Cluster| cluster.node(ill).status(PARTITION).unwrap();
    wait(|| matches!(status(&cluster).health, MemberHealth::Stopped(_)));
    let stopped_at = status(&cluster).applied;
    assert!(stopped_at <= LogIndex(before.0 + 1), "nothing behind what cannot be applied is");
    cluster.write(PARTITION, put(15));
    assert_eq!(status(&cluster).applied, stopped_at);
    cluster.node(ill).engine_faults().fail_reads(None);
    cluster.kill(ill);
    cluster.start(ill);
    cluster.wait_equal(PARTITION);
    assert_eq!(cluster.node(ill).count(PARTITION), 16, "each entry is applied once");
}

#[test]
fn c11_w111_a_member_whose_log_has_lost_its_tail_comes_back_with_its_next_life() {
    let mut cluster = Cluster::on_disks(3);
    let (loser, coordinator) = lose_log(&mut cluster, 1);
    cluster.start(loser);
    comes_back(&mut cluster, loser, coordinator);
}

#[test]
fn c11_a_node_whose_log_is_gone_takes_no_membership_for_a_new_one() {
    let mut cluster = Cluster::on_disks(3);
    let (loser, coordinator) = lose_log(&mut cluster, 0);
    let known = cluster.node(coordinator).status(PARTITION).unwrap().configuration;
    cluster.start(loser);
    assert!(cluster.node(loser).status(PARTITION).is_none(), "nothing says that it lived here");
    // The coordinator names it as it knows it, in the life that it has forgotten.
    let named = cluster.node(loser).member();
    let host = || {
        let hosted = cluster.node(loser).members().adopt(PARTITION, known.clone(), named);
        hosted.blocking_recv().unwrap()
    };
    // The log has a segment prepared first.
    wait(|| host().is_ok());
    comes_back(&mut cluster, loser, coordinator);
}

/// A partition with more entries than a segment holds, and a member whose process has ended and whose
/// log has `kept` segments left. Returns it, and the coordinator.
fn lose_log(cluster: &mut Cluster, kept: usize) -> (usize, usize) {
    cluster.found(PARTITION, 3);
    let coordinator = cluster.coordinator(PARTITION);
    // An entry alone takes a sector of 4 KiB: these are more than a segment of 1 MiB holds.
    (0..300).for_each(|number| cluster.write(PARTITION, put(number)));
    cluster.wait_equal(PARTITION);
    let loser = (coordinator + 1) % 3;
    cluster.kill(loser);
    cluster.lose_tail(loser, kept);
    (loser, coordinator)
}

/// Waits until a member that has forgotten everything votes again, in its next life.
fn comes_back(cluster: &mut Cluster, loser: usize, coordinator: usize) {
    let reborn = Member { life: 1, ..cluster.node(loser).member() };
    wait(|| {
        let status = cluster.node(coordinator).status(PARTITION).unwrap();
        let Configuration { voters, learners, .. } = &status.configuration;
        let is_settled = !status.configuration.is_joint() && learners.is_empty();
        is_settled && voters.len() == 3 && voters.contains(&reborn)
    });
    cluster.wait_equal(PARTITION);
    // Its vote counts, also after a restart: without it there is no majority now.
    let third = (0..3).find(|node| ![loser, coordinator].contains(node)).unwrap();
    cluster.kill(third);
    cluster.write(PARTITION, put(300));
    cluster.kill(loser);
    cluster.start(loser);
    cluster.write(PARTITION, put(301));
    let status = cluster.node(loser).status(PARTITION).unwrap();
    assert_eq!((status.member, status.health), (reborn, MemberHealth::Well));
    cluster.start(third);
    cluster.wait_equal(PARTITION);
    assert_eq!(cluster.node(loser).count(PARTITION), 302);
}
