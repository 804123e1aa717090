//! Forced recoveries: what a generation that is over can still do, and who comes back how.

use std::collections::BTreeSet;

use weald_core::{Digest, LogIndex, PartitionId, Time, identity::KeyStore as _};

use super::rig::{Rig, identity, member};
use crate::{
    configuration::Member,
    recovery::{Act, Authority, Beginning, Recovery, RecoveryError},
    replica::*,
};

/// Who signs.
const ADMINISTRATOR: char = 'A';

fn config() -> Config {
    let administrators = [identity(ADMINISTRATOR).public().peer_id()].into();
    let authority = Authority { network: Digest::of("network", &[]), administrators };
    Config { authority, ..Rig::config() }
}

/// Three voters of which `a` coordinated and made an entry that only it has, before two others were
/// gone with what they held. Entries up to the second command are everywhere.
fn bereaved() -> Rig {
    let mut rig = Rig::with("abc", "", config());
    rig.elect('a');
    rig.write('a', "one");
    rig.write('a', "two");
    rig
}

fn recover(rig: &mut Rig, name: char) -> Result<Recovery, RecoveryError> {
    rig.recover(name, ADMINISTRATOR, &config().authority)
}

fn beats(rig: &mut Rig) {
    rig.run(3_000);
}

fn generation(rig: &Rig, name: char) -> (u32, Health) {
    (rig.state(name).generation(), rig.state(name).health())
}

/// The life of a peer that coordinates or follows in the new generation.
fn learners(rig: &Rig, name: char) -> BTreeSet<Member> {
    rig.state(name).configuration().learners.clone()
}

#[test]
fn w29_a_survivor_goes_on_alone_with_all_that_it_holds() {
    let mut rig = bereaved();
    rig.cut_off = ['b', 'c'].into();
    rig.propose('a', "held by one").unwrap();
    beats(&mut rig);
    assert_eq!(rig.leader(), None, "no majority, no coordinator");
    recover(&mut rig, 'a').unwrap();
    beats(&mut rig);
    assert_eq!(rig.leader(), Some('a'));
    assert_eq!(rig.commands('a'), ["one", "two", "held by one"]);
    let index = rig.write('a', "after");
    assert_eq!(rig.state('a').watermark(), index);
    rig.restart('a', Health::Whole);
    beats(&mut rig);
    assert_eq!(generation(&rig, 'a'), (1, Health::Whole), "it outlives a restart");
    assert_eq!(rig.leader(), Some('a'));
}

#[test]
fn w29_an_old_member_comes_back_as_a_learner_with_nothing_and_the_next_life() {
    let mut rig = bereaved();
    // `b` holds an entry that the survivor never saw, and which nobody else may get from it.
    rig.cut_off = ['a'].into();
    rig.elect('b');
    rig.write('b', "dropped");
    rig.cut_off = ['b', 'c'].into();
    recover(&mut rig, 'a').unwrap();
    beats(&mut rig);
    rig.write('a', "after");
    rig.cut_off = ['c'].into();
    beats(&mut rig);
    assert_eq!(generation(&rig, 'b'), (1, Health::Whole));
    let back = rig.state('b').me();
    assert!(back.life > member('b').life && learners(&rig, 'a').contains(&back));
    assert!(rig.state('a').configuration().is_quorum(|one| *one == rig.state('a').me()));
    for name in ['a', 'b'] {
        assert_eq!(rig.commands(name), ["one", "two", "after"], "{name}");
    }
    let held = rig.nodes[&'b'].outputs.iter().find_map(|output| match output {
        Output::Recovered { held, .. } => Some(held.index),
        _ => None,
    });
    assert!(held.is_some_and(|held| held > LogIndex(4)), "what it gave up is told");
}

#[test]
fn w29_old_members_that_meet_again_without_the_survivor_cannot_bring_back_what_was_dropped() {
    let mut rig = bereaved();
    rig.cut_off = ['a'].into();
    rig.elect('b');
    rig.write('b', "dropped");
    rig.cut_off = ['b', 'c'].into();
    recover(&mut rig, 'a').unwrap();
    beats(&mut rig);
    rig.write('a', "after");
    // A majority of the old generation is back at once; it hears of the recovery and ends.
    rig.cut_off.clear();
    beats(&mut rig);
    rig.write('a', "later");
    beats(&mut rig);
    for name in ['a', 'b', 'c'] {
        assert_eq!(generation(&rig, name), (1, Health::Whole), "{name}");
        assert_eq!(rig.commands(name), ["one", "two", "after", "later"], "{name}");
    }
    assert_eq!(learners(&rig, 'a').len(), 2);
    let voters: BTreeSet<_> = ['a', 'b', 'c'].map(|name| rig.state(name).me()).into();
    rig.change('a', &Change::SetVoters(voters.clone())).unwrap();
    beats(&mut rig);
    assert_eq!(rig.state('b').configuration().voters, voters, "they vote again, by the log");
    rig.cut_off = ['a'].into();
    beats(&mut rig);
    assert!(rig.leader().is_some(), "and go on without the one that began");
}

#[test]
fn w29_a_recovery_that_a_stranger_signed_is_followed_by_nobody() {
    let mut rig = bereaved();
    let refused = rig.recover('a', 'X', &config().authority);
    assert_eq!(refused, Err(RecoveryError::NotAdministrator(identity('X').public().peer_id())));
    // Handed to the others all the same.
    let act = rig.recovery_act('a', &config().authority).unwrap();
    let forged = Recovery::sign(act, &identity('X')).unwrap();
    let message = Message::Recovered { recoveries: vec![forged] };
    let envelope = Envelope { generation: 1, ..rig.envelope(member('a'), 'b', message) };
    let before = rig.state('b').fingerprint();
    rig.input('b', Input::Message(envelope));
    assert_eq!(rig.refused('b', RefusedReason::BadRecovery), 1);
    assert_eq!(rig.state('b').fingerprint(), before);
}

#[test]
fn w29_a_second_recovery_of_one_generation_is_refused() {
    let mut rig = bereaved();
    rig.cut_off = ['b', 'c'].into();
    let first = rig.recovery_act('a', &config().authority).unwrap();
    recover(&mut rig, 'a').unwrap();
    beats(&mut rig);
    let first = Act { nonce: [2; 16], ..first };
    let again = Recovery::sign(first, &identity(ADMINISTRATOR)).unwrap();
    let message = Message::Recovered { recoveries: vec![again] };
    let envelope = Envelope { generation: 1, ..rig.envelope(member('b'), 'a', message) };
    rig.input('a', Input::Message(envelope));
    assert_eq!(rig.refused('a', RefusedReason::BadRecovery), 1);
    assert_eq!(generation(&rig, 'a'), (1, Health::Whole));
    let alone = recover(&mut rig, 'a');
    assert_eq!(alone.map(drop), Err(RecoveryError::MajorityLives { count: 1 }));
}

#[test]
fn w29_what_an_earlier_generation_says_is_answered_with_the_recovery_and_changes_nothing() {
    let mut rig = bereaved();
    rig.cut_off = ['b', 'c'].into();
    recover(&mut rig, 'a').unwrap();
    beats(&mut rig);
    let (epoch, watermark) = (rig.state('a').epoch(), rig.state('a').watermark());
    let higher = weald_core::Epoch { number: 99, campaigner: Some(member('b').peer) };
    let last = LogEnd { epoch: higher, index: LogIndex(99) };
    let messages = [
        Message::Prepare { epoch: higher, last, releasing: None },
        Message::ConfirmTransaction { epoch: higher, watermark: LogIndex(99) },
        Message::Outlived { refused: Run { incarnation: 2, nonce: 0 } },
        Message::Configurations { chain: Vec::new() },
    ];
    for message in messages {
        let name = message.name();
        let envelope = rig.envelope(member('b'), 'a', message);
        rig.input('a', Input::Message(envelope));
        let told = rig.nodes[&'a'].outputs.last();
        let is_told = matches!(told, Some(Output::Report(Report::Refused { .. })));
        assert!(is_told, "{name}");
    }
    assert_eq!(rig.refused('a', RefusedReason::OtherGeneration), 4);
    assert_eq!((rig.state('a').epoch(), rig.state('a').watermark()), (epoch, watermark));
    assert_eq!(generation(&rig, 'a'), (1, Health::Whole));
}

#[test]
fn w29_who_heard_of_a_recovery_stays_behind_over_a_restart() {
    let mut rig = bereaved();
    rig.cut_off = ['b', 'c'].into();
    recover(&mut rig, 'a').unwrap();
    beats(&mut rig);
    // It hears of the recovery, and of no life.
    rig.drops = Box::new(|_, envelope| matches!(envelope.message, Message::Welcome { .. }));
    rig.cut_off = ['c'].into();
    rig.run(1_000);
    assert_eq!(generation(&rig, 'b'), (1, Health::Amnesiac));
    // What the driver found of the log on the disk is whole.
    rig.restart('b', Health::Whole);
    assert_eq!(generation(&rig, 'b'), (1, Health::Amnesiac));
    rig.drops = Box::new(|_, _| false);
    beats(&mut rig);
    assert_eq!(generation(&rig, 'b'), (1, Health::Whole));
    assert_eq!(rig.commands('b'), ["one", "two"]);
}

#[test]
fn w29_a_beginner_whose_disk_was_rolled_back_does_not_begin_again_with_less() {
    let mut rig = bereaved();
    rig.cut_off = ['b', 'c'].into();
    let before = rig.copy('a');
    recover(&mut rig, 'a').unwrap();
    beats(&mut rig);
    rig.cut_off = ['c'].into();
    beats(&mut rig);
    rig.write('a', "after");
    rig.put_back('a', before);
    beats(&mut rig);
    assert_eq!(generation(&rig, 'a'), (1, Health::Amnesiac), "it waits for another recovery");
    assert_eq!(rig.leader(), None);
    assert_eq!(rig.commands('b'), ["one", "two", "after"]);
    recover(&mut rig, 'b').unwrap();
    beats(&mut rig);
    assert_eq!(rig.leader(), Some('b'));
    for name in ['a', 'b'] {
        assert_eq!(generation(&rig, name), (2, Health::Whole), "{name}");
        assert_eq!(rig.commands(name), ["one", "two", "after"], "{name}");
    }
}

#[test]
fn w29_certificates_and_signatures_of_another_generation_prove_nothing() {
    let attested = |generation, hash: u8| Attested {
        partition: PartitionId(1),
        generation,
        configuration: Default::default(),
        index: LogIndex(3),
        hash: Digest::of("entry", &[&[hash]]),
    };
    let sign = |attested: Attested| {
        let (key, name) = (identity('b'), member('b'));
        let signature = key.sign(Attestation::DOMAIN, &attested.encode()).unwrap();
        Attestation { attested, member: name, key: key.public(), signature }
    };
    let (held, other) = (sign(attested(0, 1)), sign(attested(0, 2)));
    assert!(held.contradicts(&other));
    assert!(!held.contradicts(&sign(attested(1, 2))), "a recovery lies between");
}

#[test]
fn w29_a_fresh_member_that_joins_after_a_recovery_learns_of_it_and_gets_a_vote() {
    let mut rig = Rig::with("abc", "d", config());
    rig.elect('a');
    rig.write('a', "one");
    rig.cut_off = ['b', 'c'].into();
    recover(&mut rig, 'a').unwrap();
    beats(&mut rig);
    // As the growth of a network names it: the life is above all that were given.
    let id = rig.state('a').configuration().id.0 + 1;
    let fresh = Member { life: u32::try_from(id).unwrap(), ..member('d') };
    rig.host('d', fresh);
    rig.change('a', &Change::AddLearner(fresh)).unwrap();
    beats(&mut rig);
    assert_eq!(generation(&rig, 'd'), (1, Health::Whole));
    assert_eq!((rig.state('d').me(), rig.commands('d')), (fresh, vec!["one".to_owned()]));
}

impl Rig {
    /// The act by which a node would begin alone with what is on its disk.
    fn recovery_act(&self, name: char, authority: &Authority) -> Result<Act, RecoveryError> {
        let beginning = Beginning {
            partition: PartitionId(1),
            at: Time::from_millis(self.millis),
            nonce: [name as u8; 16],
        };
        crate::recovery::plan(authority, beginning, &self.remains(name), &[])
    }

    /// Ends a node's run, recovers it by force and begins another.
    fn recover(
        &mut self,
        name: char,
        signer: char,
        authority: &Authority,
    ) -> Result<Recovery, RecoveryError> {
        let act = self.recovery_act(name, authority)?;
        let recovery = Recovery::sign(act, &identity(signer)).unwrap();
        let kept = self.stored(name).recovered((authority, PartitionId(1)), recovery.clone())?;
        self.keep(name, kept);
        self.restart(name, Health::Whole);
        Ok(recovery)
    }
}
