//! What is said by those who may not say it changes nothing.

use super::rig::{Rig, epoch, identity, member, members};
use crate::{configuration::Member, replica::*};
use weald_core::{LogIndex, PartitionId, StoreId, identity::KeyStore as _};

fn messages(epoch: weald_core::Epoch) -> Vec<Message> {
    let last = LogEnd { epoch, index: LogIndex(1_000) };
    vec![
        Message::PreVote { number: 100, last },
        Message::Prepare { epoch, last, releasing: None },
        Message::ReplicateWrite(ReplicateWrite {
            epoch,
            before: Point::default(),
            entries: Vec::new(),
            watermark: LogIndex(1_000),
            round: 1,
        }),
        Message::ConfirmTransaction { epoch, watermark: LogIndex(1_000) },
        Message::TransferCoordinator { epoch },
        Message::SnapshotOffer { epoch, point: Point::default() },
        Message::Attest { epoch, index: LogIndex(1) },
        Message::ReadIndex { ids: vec![ReadId(1)] },
        Message::Promise { epoch },
        Message::Amnesiac { nonce: 1 },
    ]
}

#[test]
fn w20_w60_what_a_stranger_says_is_refused_whatever_it_is() {
    let mut rig = Rig::led();
    let before = rig.state('b').clone();
    for message in messages(epoch(100, 'x')) {
        let envelope = rig.envelope(member('x'), 'b', message);
        rig.input('b', Input::Message(envelope));
    }
    assert_eq!(rig.refused('b', RefusedReason::NotMember), 10);
    assert_eq!((rig.state('b').epoch(), rig.state('b').last()), (before.epoch(), before.last()));
    assert_eq!(rig.state('b').coordinator(), before.coordinator());
}

#[test]
fn w91_an_earlier_run_and_another_life_are_refused() {
    let mut rig = Rig::led();
    rig.restart('c', Health::Whole);
    rig.run(200);
    let heard = rig.refused('b', RefusedReason::EarlierRun);
    let mut old = rig.envelope(member('c'), 'a', Message::Promise { epoch: epoch(1, 'a') });
    old.run = Run { incarnation: 1, nonce: 5 };
    rig.restart('c', Health::Whole);
    rig.run(200);
    rig.input('a', Input::Message(old));
    assert_eq!(rig.refused('a', RefusedReason::EarlierRun), 1, "{heard}");
    let other_store = Member { store: StoreId([9; 16]), ..member('c') };
    let envelope = rig.envelope(other_store, 'a', Message::Promise { epoch: epoch(1, 'a') });
    rig.input('a', Input::Message(envelope));
    assert!(rig.refused('a', RefusedReason::NotMember) > 0);
}

#[test]
fn w90_a_member_may_not_speak_in_anothers_epoch() {
    let mut rig = Rig::led();
    let forged = Message::ConfirmTransaction { epoch: epoch(100, 'a'), watermark: LogIndex(9) };
    let mut envelope = rig.envelope(member('c'), 'b', forged);
    envelope.run.incarnation = 1;
    envelope.run.nonce = 0;
    envelope.run = run_of(&rig, 'c');
    rig.input('b', Input::Message(envelope));
    assert_eq!(rig.refused('b', RefusedReason::ForeignEpoch), 1);
}

fn run_of(rig: &Rig, name: char) -> Run {
    let sent = rig.nodes[&name].outputs.iter().find_map(|output| match output {
        Output::Send(envelope) => Some(envelope.run),
        _ => None,
    });
    sent.unwrap()
}

#[test]
fn w92_entries_that_do_not_chain_are_refused_even_with_the_right_index() {
    let mut rig = Rig::led();
    let last = rig.state('b').last();
    let other = Point { hash: weald_core::Digest::of("other", &[]), ..last };
    let content = (EntryKind::Command, &b"forged"[..]);
    let entry = LogEntry::new(&other, rig.state('a').epoch(), rig.state('a').log_time(), content);
    let write = ReplicateWrite {
        epoch: rig.state('a').epoch(),
        before: last,
        entries: vec![entry],
        watermark: LogIndex(0),
        round: 0,
    };
    let mut envelope = rig.envelope(member('a'), 'b', Message::ReplicateWrite(write));
    envelope.run = run_of(&rig, 'a');
    rig.input('b', Input::Message(envelope));
    assert_eq!(rig.refused('b', RefusedReason::BrokenChain), 1);
    assert_eq!(rig.state('b').last(), last);
}

#[test]
fn a_coordinator_that_shows_two_histories_stops_the_member() {
    let mut rig = Rig::led();
    rig.write('a', "x");
    let before = rig.state('b').entry(LogIndex(1)).map(|entry| *entry.point()).unwrap();
    let content = (EntryKind::Command, &b"another"[..]);
    let entry = LogEntry::new(&before, rig.state('a').epoch(), rig.state('a').log_time(), content);
    let write = ReplicateWrite {
        epoch: rig.state('a').epoch(),
        before,
        entries: vec![entry],
        watermark: LogIndex(0),
        round: 0,
    };
    let mut envelope = rig.envelope(member('a'), 'b', Message::ReplicateWrite(write));
    envelope.run = run_of(&rig, 'a');
    rig.input('b', Input::Message(envelope));
    assert!(matches!(rig.state('b').stop(), Some(Stop::Equivocation(_))));
    assert_eq!(rig.commands('b'), ["x"]);
}

#[test]
fn a_member_whose_state_differs_from_the_majority_stops_and_reloads() {
    let mut rig = Rig::led();
    let index = rig.write('a', "x");
    rig.run(300);
    let wrong = weald_core::Digest::of("rot", &[]);
    rig.drops = Box::new(|_, _| true);
    let next = rig.propose('a', "y").unwrap();
    rig.drops = Box::new(|_, _| false);
    assert!(next > index);
    // c applied something else at the index that comes.
    rig.input('c', Input::Applied { index: next, effect: wrong });
    rig.run(600);
    assert!(
        matches!(rig.state('c').stop(), Some(Stop::Diverged(_))),
        "{:?}",
        rig.state('c').stop()
    );
    assert_eq!(rig.state('a').stop(), None);
    assert!(rig.state('a').confirmed() >= next && rig.state('b').confirmed() >= next);
    assert_eq!(rig.state('c').confirmed(), index, "what differs is not kept");
}

#[test]
fn what_is_applied_is_confirmed_once_a_quorum_has_the_same() {
    let mut rig = Rig::led();
    let first = rig.write('a', "x");
    rig.run(300);
    for name in ['a', 'b', 'c'] {
        assert_eq!(rig.state(name).confirmed(), first);
    }
    rig.cut_off.insert('c');
    // What b says of its effects does not arrive, its acknowledgements do.
    let says = |envelope: &Envelope| match &envelope.message {
        Message::ReplicateAck(ack) => ack.effect.is_some(),
        _ => false,
    };
    rig.drops =
        Box::new(move |rig, envelope| says(envelope) && rig.name_of(&envelope.from) == Some('b'));
    let second = rig.write('a', "y");
    rig.run(300);
    assert!(rig.state('a').watermark() >= second);
    assert_eq!(rig.state('a').confirmed(), first, "one of three cannot tell");
    rig.drops = Box::new(|_, _| false);
    rig.run(300);
    assert_eq!((rig.state('a').confirmed(), rig.state('b').confirmed()), (second, second));
}

/// The next configuration of the group, certified by `signers` for a partition and a generation.
fn certified(rig: &Rig, scope: (PartitionId, u32), signers: &str) -> CertifiedConfiguration {
    let configuration = rig.state('a').configuration().joint(members("xyz"));
    let (last, time) = (rig.state('a').last(), rig.state('a').log_time());
    let entry = LogEntry::configuration(&last, epoch(9, 'x'), time, &configuration);
    let (partition, generation) = scope;
    let attested = Attested {
        partition,
        generation,
        configuration: configuration.id,
        index: entry.index(),
        hash: entry.hash(),
    };
    let sign = |name| {
        let key = identity(name);
        let signature = key.sign(Attestation::DOMAIN, &attested.encode()).unwrap();
        (member(name), (key.public(), signature))
    };
    let signatures = signers.chars().map(sign).collect();
    CertifiedConfiguration { entry, certificate: Certificate { attested, signatures } }
}

#[test]
fn a_configuration_is_learned_with_a_certificate_of_this_partition_and_generation_only() {
    let check = |scope: (u32, u32), signers: &str, is_learned: bool| {
        let mut rig = Rig::led();
        let certified = certified(&rig, (PartitionId(scope.0), scope.1), signers);
        let chain = vec![certified.clone()];
        let envelope = rig.envelope(member('x'), 'b', Message::Configurations { chain });
        rig.input('b', Input::Message(envelope));
        let refused = usize::from(!is_learned);
        assert_eq!(rig.refused('b', RefusedReason::BadCertificate), refused, "{scope:?} {signers}");
        let learned = if is_learned { vec![certified] } else { Vec::new() };
        assert_eq!(rig.state('b').configurations.chain(), learned, "{scope:?} {signers}");
    };
    check((1, 0), "", false);
    check((1, 0), "a", false);
    check((1, 0), "xyz", false);
    check((1, 0), "ab", true);
    // The same members, who are a majority elsewhere, too.
    check((2, 0), "ab", false);
    check((1, 1), "abc", false);
}
