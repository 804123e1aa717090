//! Forced recoveries that end at any write or sync of the disk, as when the power fails.

use std::sync::Arc;

use weald_cluster::{
    configuration::{Configuration, Member},
    recovery::{Authority, Beginning, Recovery, RecoveryError, Remains, plan},
    replica::{EntryKind, LogEntry, Point, Stored},
};
use weald_core::{
    Digest, Epoch, LogBatch, LogIndex, LogStore, PartitionHealth, PartitionId, SeededEntropy,
    StoreId, Time,
    identity::{Identity, KeyStore},
};
use weald_storage::log::{
    Disk as _, DiskLog, LogHome, LogOptions,
    testing::{PowerCut, SimDisk},
};

use crate::members::{Left, desk::Kept, left};

const P: PartitionId = PartitionId(3);
/// Four of these are written together, and no sync takes more than two.
const ENTRY_BYTES: usize = 60_000;

fn administrator() -> Identity {
    Identity::generate(&mut SeededEntropy::new(77))
}

fn authority() -> Authority {
    let administrators = [administrator().public().peer_id()].into();
    Authority { network: Digest::of("network", &[]), administrators }
}

/// A log of which the test does the threads' work, or that has its own.
fn open(disk: &SimDisk, has_threads: bool) -> DiskLog {
    let home = LogHome {
        disk: Arc::new(disk.clone()),
        store: StoreId([5; 16]),
        entropy: Box::new(SeededEntropy::new(disk.counts().writes)),
        notifier: Arc::new(|| {}),
    };
    let options = LogOptions { segment_bytes: 1 << 20, ..LogOptions::default() };
    match has_threads {
        true => DiskLog::open(home, options).unwrap(),
        false => DiskLog::open_without_threads(home, options).unwrap(),
    }
}

/// The only voter, with so many entries, each in a batch of its own; and the entries.
fn voter(count: u64) -> (SimDisk, Vec<LogEntry>) {
    let disk = SimDisk::new(1);
    let log = open(&disk, false);
    log.run();
    let peer = administrator().public().peer_id();
    let member = Member { peer, store: StoreId([5; 16]), life: 0 };
    let configuration = Configuration::founding([member], []).unwrap();
    let state = Some(Kept::whole(Stored::founding(member, configuration)).encode());
    log.submit(LogBatch { partition: P, state, ..LogBatch::default() }).unwrap();
    let mut last = Point::default();
    let mut entries = Vec::new();
    for number in 1..=count {
        let payload = [&marker(number)[..], &vec![7; ENTRY_BYTES]].concat();
        let epoch = Epoch { number: 1, campaigner: Some(peer) };
        let content = (EntryKind::Command, &payload[..]);
        let entry = LogEntry::new(&last, epoch, Time::from_millis(7), content);
        last = *entry.point();
        let of = vec![entry.record()];
        log.submit(LogBatch { partition: P, entries: of, ..LogBatch::default() }).unwrap();
        log.run();
        entries.push(entry);
    }
    (disk, entries)
}

/// Bytes by which an entry is found on the disk.
fn marker(number: u64) -> [u8; 16] {
    let digest = Digest::of("entry", &[&number.to_be_bytes()]);
    digest.as_bytes()[..16].try_into().unwrap()
}

fn rot(disk: &SimDisk, number: u64) {
    let marker = marker(number);
    let is_rotten = disk.list().unwrap().iter().any(|name| {
        let bytes = disk.bytes(name).unwrap();
        let at = bytes.windows(marker.len()).position(|window| window == marker);
        at.is_some_and(|at| disk.flip(name, at, 3))
    });
    assert!(is_rotten, "the entry is on the disk: {number}");
}

fn found(log: &DiskLog, applied: u64) -> Left {
    left(log, |_| Ok(LogIndex(applied))).unwrap().pop().unwrap()
}

fn planned(remains: &Remains) -> Result<Recovery, RecoveryError> {
    let beginning = Beginning { partition: P, at: Time::from_millis(1), nonce: [7; 16] };
    let act = plan(&authority(), beginning, remains, &[])?;
    Ok(Recovery::sign(act, &administrator()).unwrap())
}

/// Recovers a disk whose machine stops at every change in turn, and shows `check` what is left each
/// time, beside what could be read before. How often it stopped.
fn interrupt(disk: &SimDisk, applied: u64, check: impl Fn(Left, Point)) -> u64 {
    for changes in 0.. {
        let disk = disk.copy();
        let log = open(&disk, true);
        let left = found(&log, applied);
        let remains = left.remains(true).unwrap();
        let recovery = planned(&remains).unwrap();
        disk.stop_after(changes);
        let begun = left.begin(&log, &authority(), recovery);
        drop(log);
        disk.power_cut(PowerCut::LoseAll);
        check(found(&open(&disk, false), applied), remains.end());
        if begun.is_ok() {
            let after = found(&open(&disk, false), applied).remains(false).unwrap();
            assert_eq!((after.generation(), after.end()), (1, remains.end()));
            let again = planned(&after);
            assert!(matches!(again, Err(RecoveryError::MajorityLives { .. })), "{again:?}");
            return changes;
        }
    }
    unreachable!("it ends")
}

#[test]
fn c16_a_recovery_of_a_damaged_log_is_interrupted_without_a_loss() {
    // A gap that ends what is kept, one that the state makes up for, and both.
    for rotten in [&[12][..], &[3], &[3, 12]] {
        let (disk, entries) = voter(14);
        rotten.iter().for_each(|number| rot(&disk, *number));
        let log = open(&disk, false);
        assert!(matches!(log.recovered()[&P].health, PartitionHealth::Damaged { .. }));
        drop(log);
        let kept = if rotten.contains(&12) { 11 } else { 14 };
        let stopped = interrupt(&disk, 6, |left, before| {
            let remains = left.remains(false).expect("nothing that was promised is lost");
            assert_eq!(remains.end(), before);
            assert_eq!(before, *entries[kept - 1].point());
        });
        assert!(stopped > 1, "{stopped}");
    }
}

#[test]
fn c16_a_recovery_of_a_log_without_its_end_is_interrupted_and_nobody_votes_with_less() {
    let (disk, entries) = voter(40);
    let names = disk.list().unwrap();
    let mut segments: Vec<_> = names.iter().filter(|name| name.ends_with(".seg")).collect();
    segments.sort();
    assert!(segments.len() > 3, "{segments:?}");
    segments.iter().skip(1).for_each(|name| disk.lose_file(name));
    let stopped = interrupt(&disk, 0, |left, before| {
        assert!(before.index.0 > 8 && entries.iter().any(|entry| *entry.point() == before));
        let lost = left.remains(true).unwrap();
        match left.remains(false) {
            Ok(whole) => assert_eq!((whole.generation(), whole.end()), (1, before)),
            Err(RecoveryError::Lossy) => {
                let known = lost.survivor().known.max(lost.end().index);
                assert_eq!((lost.generation(), known), (0, before.index), "it is known what was");
            }
            Err(error) => panic!("{error}"),
        }
    });
    assert!(stopped > 10, "{stopped}");
}
