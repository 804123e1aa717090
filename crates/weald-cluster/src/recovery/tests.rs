//! Which acts are made, and which are believed.

use weald_core::{Epoch, PeerId, SeededEntropy, StoreId, identity::Identity};

use super::*;
use crate::replica::{EntryKind, Health, LogEnd, LogEntry, Stored};

const PARTITION: PartitionId = PartitionId(3);

fn identity(seed: u64) -> Identity {
    Identity::generate(&mut SeededEntropy::new(seed))
}

fn authority() -> Authority {
    let administrators = [identity(9).public().peer_id()].into();
    Authority { network: Digest::of("network", &[b"one"]), administrators }
}

fn member(name: u8) -> Member {
    let peer = PeerId::from_digest(Digest::of("peer", &[&[name]]));
    Member { peer, store: StoreId([name; 16]), life: 0 }
}

fn stored(name: u8) -> Stored {
    let voters = Configuration::founding([b'a', b'b', b'c'].map(member), []).unwrap();
    Stored::founding(member(name), voters)
}

fn log(epochs: &[u64]) -> Vec<LogEntry> {
    let mut last = Point::default();
    let entry = |number: &u64| {
        let epoch = Epoch { number: *number, campaigner: None };
        let entry = LogEntry::new(&last, epoch, Time::ZERO, (EntryKind::Command, b"x"));
        last = *entry.point();
        entry
    };
    epochs.iter().map(entry).collect()
}

fn remains(name: u8, epochs: &[u64], health: Health) -> Remains {
    Remains::new(stored(name), (Point::default(), &log(epochs)), health)
}

fn planned(beginner: &Remains, others: &[Remains]) -> Result<Act, RecoveryError> {
    let beginning = Beginning { partition: PARTITION, at: Time::from_millis(7), nonce: [1; 16] };
    plan(&authority(), beginning, beginner, others)
}

fn lone() -> Remains {
    remains(b'a', &[1, 1, 2], Health::Whole)
}

fn signed(act: Act) -> Recovery {
    Recovery::sign(act, &identity(9)).unwrap()
}

#[test]
fn w29_a_survivor_keeps_all_that_it_has_and_votes_alone_from_there_on() {
    let act = planned(&lone(), &[]).unwrap();
    assert_eq!((act.generation, act.kept.index, act.beginner), (1, LogIndex(3), member(b'a')));
    let kept = stored(b'a').recovered((&authority(), PARTITION), signed(act)).unwrap();
    assert_eq!((kept.generation, kept.watermark), (1, LogIndex(3)));
    let root = &kept.configurations.root;
    assert_eq!(root.index, LogIndex(3));
    assert!(root.configuration.is_quorum(|one| *one == member(b'a')));
    assert_eq!(Stored::decode(&kept.encode()).unwrap(), kept, "it survives a restart");
}

#[test]
fn w29_the_survivor_with_the_most_complete_log_has_to_begin() {
    // Of five voters three are lost.
    let voters = [b'a', b'b', b'c', b'd', b'e'].map(member);
    let of_five = |name: u8, epochs: &[u64]| {
        let stored = Stored::founding(member(name), Configuration::founding(voters, []).unwrap());
        Remains::new(stored, (Point::default(), &log(epochs)), Health::Whole)
    };
    let (long, late) = (of_five(b'a', &[1, 1, 1, 1]), of_five(b'b', &[1, 1, 2]));
    let end = LogEnd { epoch: Epoch { number: 2, campaigner: None }, index: LogIndex(3) };
    let behind = RecoveryError::Behind { member: member(b'b'), end };
    assert_eq!(planned(&long, std::slice::from_ref(&late)), Err(behind));
    let act = planned(&late, &[long]).unwrap();
    assert_eq!(act.survivors.len(), 2, "what each had is named");
    let dropped = Dropped { from: LogIndex(4), to: LogIndex(4) };
    assert_eq!(act.dropped(), Some(dropped), "the end of the longer log is given up");
    assert_eq!(signed(act).check(&authority(), PARTITION, &[]), Ok(()));
}

#[test]
fn w29_a_majority_that_lives_is_not_recovered_by_force() {
    let others = [remains(b'b', &[1], Health::Whole)];
    assert_eq!(planned(&lone(), &others), Err(RecoveryError::MajorityLives { count: 2 }));
    let longer = [remains(b'b', &[1, 1, 2, 2], Health::Whole)];
    assert_eq!(
        planned(&lone(), &longer),
        Err(RecoveryError::MajorityLives { count: 2 }),
        "there, too"
    );
    let known_end = LogEnd { epoch: Epoch::default(), index: LogIndex(5) };
    let damaged = Health::Damaged { known_end };
    let act = planned(&lone(), &[remains(b'b', &[1], damaged)]).unwrap();
    let dropped = Dropped { from: LogIndex(4), to: LogIndex(5) };
    assert_eq!(act.dropped(), Some(dropped), "the damaged one had synced more");
    let alone =
        Stored::founding(member(b'a'), Configuration::founding([member(b'a')], []).unwrap());
    let alone = |health| Remains::new(alone.clone(), (Point::default(), &[]), health);
    assert_eq!(planned(&alone(Health::Whole), &[]), Err(RecoveryError::MajorityLives { count: 1 }));
    assert!(planned(&alone(damaged), &[]).is_ok(), "a single member whose log is damaged");
}

#[test]
fn w29_who_is_no_member_begins_nothing() {
    let stranger = remains(b'x', &[1], Health::Whole);
    assert_eq!(planned(&stranger, &[]), Err(RecoveryError::NotMember(member(b'x'))));
}

/// What is changed about a good recovery, and why it is refused then.
type Wrong = (fn(Act) -> Recovery, RecoveryError);

#[test]
fn w29_only_an_administrators_word_about_this_partition_is_believed() {
    let act = planned(&lone(), &[]).unwrap();
    let check = |recovery: &Recovery| recovery.check(&authority(), PARTITION, &[]);
    assert_eq!(check(&signed(act.clone())), Ok(()));
    let wrong: [Wrong; 6] = [
        (
            |act| Recovery::sign(act, &identity(8)).unwrap(),
            RecoveryError::NotAdministrator(identity(8).public().peer_id()),
        ),
        (
            |act| Recovery { act: Act { nonce: [9; 16], ..act.clone() }, ..signed(act) },
            RecoveryError::BadSignature,
        ),
        (
            |act| signed(Act { partition: PartitionId(4), ..act }),
            RecoveryError::OtherPartition(PartitionId(4)),
        ),
        (
            |act| signed(Act { network: Digest::of("network", &[b"two"]), ..act }),
            RecoveryError::OtherNetwork,
        ),
        (
            |act| signed(Act { generation: 2, ..act }),
            RecoveryError::Generation { named: 2, held: 0 },
        ),
        (|act| signed(Act { survivors: Vec::new(), ..act }), RecoveryError::Unsound),
    ];
    for (change, error) in wrong {
        assert_eq!(check(&change(act.clone())), Err(error));
    }
    let nobody = Authority { administrators: BTreeSet::new(), ..authority() };
    assert!(signed(act).check(&nobody, PARTITION, &[]).is_err());
}

#[test]
fn w29_a_second_recovery_of_one_generation_is_refused_and_the_next_one_is_bound_to_the_first() {
    let trust = authority();
    let act = planned(&lone(), &[]).unwrap();
    let second = signed(Act { nonce: [2; 16], ..act.clone() });
    let kept = stored(b'a').recovered((&trust, PARTITION), signed(act)).unwrap();
    let refused = kept.recovered((&trust, PARTITION), second.clone());
    assert_eq!(refused, Err(RecoveryError::Generation { named: 1, held: 1 }));
    // Voters of the new generation are lost, too: the next recovery says what it follows.
    let mut lost = kept.clone();
    let id = ConfigurationId(kept.configurations.root.configuration.id.0 + 1);
    let voters = [b'a', b'b', b'c'].map(member).into();
    lost.configurations.committed.configuration =
        Configuration { id, voters, ..kept.configurations.root.configuration.clone() };
    let again = Remains::new(lost.clone(), (Point::default(), &log(&[1, 1, 2])), Health::Whole);
    let next = planned(&again, &[]).unwrap();
    assert_eq!(next.generation, 2);
    assert!(next.first_life() > kept.recoveries[0].act.first_life());
    assert_eq!(signed(next.clone()).check(&trust, PARTITION, &kept.recoveries), Ok(()));
    let bound = signed(next).check(&trust, PARTITION, &[second]);
    assert_eq!(bound, Err(RecoveryError::Generation { named: 2, held: 1 }));
}

#[test]
fn w29_what_is_kept_says_nothing_of_members_any_more() {
    let act = planned(&lone(), &[]).unwrap();
    assert!(act.root().configuration.id > act.old.id);
    assert!(!act.gave_life_to(&member(b'b')), "an old member has no life in the new generation");
    assert!(act.gave_life_to(&Member { life: act.first_life(), ..member(b'b') }));
    assert!(!act.gave_life_to(&member(b'a')), "a beginner that does not know is rolled back");
}

#[test]
fn the_golden_bytes_of_an_act_hold() {
    let act = planned(&lone(), &[]).unwrap();
    let bytes: String = act.encode().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(bytes, include_str!("golden.txt").trim_end());
}
