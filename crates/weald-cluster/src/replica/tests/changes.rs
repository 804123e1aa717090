//! Reconfiguration, lost promises, damage, attestations.

use super::rig::{Rig, identity, member, members};
use crate::{
    configuration::{ConfigurationId, Member},
    replica::*,
};
use weald_core::{Epoch, LogIndex, LogPoint, identity::KeyStore};

/// Adds `names` as learners and lets them catch up.
fn add_learners(rig: &mut Rig, leader: char, names: &str) {
    for name in names.chars() {
        rig.change(leader, &Change::AddLearner(member(name))).unwrap();
        rig.run(500);
    }
}

#[test]
fn c8_one_grows_to_three_to_five_and_shrinks_again() {
    let mut rig = Rig::new("a", "bcde");
    rig.run(200);
    rig.write('a', "x");
    add_learners(&mut rig, 'a', "bc");
    rig.change('a', &Change::SetVoters(members("abc"))).unwrap();
    rig.run(1_000);
    assert_eq!(rig.state('b').configuration().voters, members("abc"));
    assert!(!rig.state('b').configuration().is_joint(), "the coordinator leaves it by itself");
    add_learners(&mut rig, 'a', "de");
    rig.change('a', &Change::SetVoters(members("abcde"))).unwrap();
    rig.run(1_000);
    rig.cut_off.extend(['d', 'e']);
    rig.write('a', "y");
    rig.change('a', &Change::SetVoters(members("abc"))).unwrap();
    rig.run(1_000);
    assert_eq!(rig.state('c').configuration().voters, members("abc"));
    rig.cut_off.clear();
    rig.cut_off.insert('b');
    let index = rig.write('a', "z");
    assert_eq!(rig.state('c').watermark(), index);
    assert_eq!(rig.commands('c'), ["x", "y", "z"]);
}

#[test]
fn c8_who_alone_has_the_entry_that_takes_its_vote_may_still_take_over() {
    let mut rig = Rig::new("a", "bcd");
    rig.run(200);
    rig.write('a', "x");
    add_learners(&mut rig, 'a', "bcd");
    let voters = members("bcd");
    let is_settled = |entry: &LogEntry| {
        entry.carried().is_some_and(|c| c.voters == members("bcd") && !c.is_joint())
    };
    rig.drops = Box::new(move |_, e| match &e.message {
        Message::ReplicateWrite(write) => write.entries.iter().any(is_settled),
        _ => false,
    });
    rig.change('a', &Change::SetVoters(voters.clone())).unwrap();
    while rig.state('a').configuration().is_joint() {
        rig.run(1);
    }
    assert_eq!(rig.state('a').configuration().voters, voters);
    assert!(rig.state('b').configuration().is_joint(), "the others cannot do without a's promise");
    rig.cut_off.insert('a');
    rig.run(1_500);
    assert_eq!(rig.leader(), None);
    rig.cut_off.clear();
    rig.drops = Box::new(|_, _| false);
    rig.run(3_000);
    let leader = rig.leader().expect("a takes over and hands over");
    assert_ne!(leader, 'a');
    let index = rig.write(leader, "y");
    assert_eq!(rig.state(leader).watermark(), index);
}

#[test]
fn c8_changes_are_refused_with_a_reason() {
    let mut rig = Rig::new("abc", "de");
    rig.elect('a');
    rig.run(300);
    let learner = Change::AddLearner(member('d'));
    let refused = rig.change('b', &learner);
    assert!(matches!(refused, Err(ChangeError::NotCoordinator { .. })));
    assert_eq!(rig.change('a', &Change::AddLearner(member('b'))), Err(ChangeError::Unchanged));
    let early = rig.change('a', &Change::SetVoters(members("abd")));
    assert!(matches!(early, Err(ChangeError::NotCaughtUp { .. })));
    let even = rig.change('a', &Change::SetVoters(members("ab")));
    assert!(matches!(even, Err(ChangeError::Configuration(_))));
    rig.cut_off.extend(['b', 'c']);
    rig.change('a', &learner).unwrap();
    let second = rig.change('a', &Change::AddLearner(member('e')));
    assert_eq!(second, Err(ChangeError::UnderWay));
    assert!(ChangeError::UnderWay.is_retryable() && !ChangeError::Unchanged.is_retryable());
}

#[test]
fn w214_votes_are_not_given_to_a_majority_that_is_silent() {
    let mut rig = Rig::led();
    rig.cut_off.insert('b');
    rig.run(600);
    let change = Change::SetVoters(members("b"));
    let refused = rig.change('a', &change).unwrap_err();
    assert_eq!(refused, ChangeError::NotHeard { member: member('b') });
    assert!(refused.is_retryable() && !rig.state('a').configuration().is_joint());
    rig.cut_off.clear();
    rig.run(200);
    rig.change('a', &change).unwrap();
    rig.run(1_000);
    assert_eq!(rig.state('b').configuration().voters, members("b"));
    assert_eq!(rig.leader(), Some('b'));
}

#[test]
fn r18_a_member_that_slept_through_a_change_is_told_by_certificates() {
    let mut rig = Rig::new("abc", "de");
    rig.elect('b');
    rig.write('b', "x");
    rig.cut_off.insert('a');
    add_learners(&mut rig, 'b', "de");
    rig.change('b', &Change::SetVoters(members("ade"))).unwrap();
    rig.run(1_000);
    // The old voters b and c, and of the new ones d and e, have decided; a knows nothing of it.
    let leader = rig.leader().unwrap();
    assert!(matches!(leader, 'd' | 'e'), "b has no vote any more: {leader}");
    rig.write(leader, "y");
    // Now only d or e and the sleeper are left.
    let other = if leader == 'd' { 'e' } else { 'd' };
    rig.cut_off = [other, 'b', 'c'].into();
    rig.run(1_000);
    let leader = rig.leader().unwrap();
    let index = rig.write(leader, "z");
    assert_eq!(rig.state('a').watermark(), index, "the sleeper follows whom the chain names");
    assert_eq!(rig.commands('a'), ["x", "y", "z"]);
}

/// `b`, which alone could sign for the joint configuration beside `a` and `c`, sleeps; `a` collects the
/// certificate, tells nobody of it and loses its disk.
#[test]
fn r16_a_certificate_outlives_the_only_member_that_was_told_of_it() {
    let mut rig = Rig::new("abc", "d");
    rig.elect('a');
    rig.write('a', "x");
    add_learners(&mut rig, 'a', "d");
    rig.cut_off.insert('b');
    rig.drops = Box::new(|_, e| matches!(e.message, Message::Configurations { .. }));
    rig.change('a', &Change::SetVoters(members("acd"))).unwrap();
    rig.run(500);
    assert_eq!(rig.state('d').configuration().voters, members("acd"));
    assert!(!rig.state('d').configuration().is_joint());
    rig.restart('a', Health::Amnesiac);
    rig.drops = Box::new(|_, _| false);
    rig.run(5_000);
    let reborn = Member { life: 2, ..member('a') };
    assert_eq!((rig.state('a').me(), rig.state('a').stop()), (reborn, None));
    assert!(rig.state('c').configuration().is_voter(&reborn));
}

#[test]
fn a_configuration_that_is_cut_counts_no_more() {
    let mut rig = Rig::new("abc", "d");
    rig.elect('a');
    rig.cut_off.insert('a');
    rig.change('a', &Change::AddLearner(member('d'))).unwrap();
    assert!(rig.state('a').configuration().contains(&member('d')));
    rig.run(1_500);
    rig.cut_off.clear();
    rig.run(1_000);
    assert!(!rig.state('a').configuration().contains(&member('d')));
}

#[test]
fn r16_a_member_that_lost_its_promises_comes_back_as_a_learner_and_is_swapped_in() {
    let mut rig = Rig::led();
    rig.write('a', "x");
    rig.restart('b', Health::Amnesiac);
    assert_eq!(rig.state('b').stop(), Some(&Stop::Amnesiac));
    rig.run(3_000);
    let reborn = Member { life: 2, ..member('b') };
    assert_eq!(rig.state('b').me(), reborn);
    let configuration = rig.state('a').configuration();
    assert!(configuration.voters.contains(&reborn) && !configuration.is_joint());
    assert!(!configuration.contains(&member('b')), "the earlier life is gone");
    assert_eq!(rig.commands('b'), ["x"]);
    rig.cut_off.insert('a');
    rig.run(1_500);
    let leader = rig.leader().unwrap();
    rig.write(leader, "y");
    assert_eq!(rig.commands('b'), ["x", "y"]);
}

#[test]
fn r16_an_amnesiac_member_helps_nobody_to_lose_a_write() {
    let mut rig = Rig::led();
    rig.cut_off.insert('c');
    rig.write('a', "x");
    rig.restart('b', Health::Amnesiac);
    rig.cut_off = ['a'].into();
    rig.run(5_000);
    assert_eq!(rig.leader(), None, "c and the amnesiac are no majority");
    rig.cut_off.clear();
    rig.run(3_000);
    assert_eq!(rig.commands('c'), ["x"]);
}

#[test]
fn r17_a_damaged_member_keeps_its_promises_and_refuses_who_is_behind_its_known_end() {
    let mut rig = Rig::led();
    rig.cut_off.insert('c');
    rig.write('a', "x");
    rig.cut_off.clear();
    rig.cut_off.insert('a');
    let known_end = rig.end('b');
    rig.restart('b', Health::Damaged { known_end });
    rig.run(3_000);
    assert_eq!(rig.leader(), None, "c is behind, b may not campaign");
    rig.cut_off.clear();
    rig.run(2_000);
    assert_eq!(rig.leader(), Some('a'));
    rig.input('b', Input::Repaired);
    rig.run(500);
    assert_eq!(rig.state('b').health(), Health::Whole);
    let last = rig.write('a', "y");
    assert_eq!(rig.state('b').watermark(), last);
}

/// `c`, cut off in the first epoch, holds more entries than the others commit in the next; `b` finds those
/// behind a gap in its log. Whether `c` wins then, with `b` alone, where `b` finds `health`.
fn wins_with_a_damaged_voter(health: impl FnOnce(&Rig) -> Health) -> bool {
    let mut rig = Rig::led();
    rig.transfer('a', 'c').unwrap();
    rig.run(500);
    assert_eq!(rig.leader(), Some('c'));
    rig.cut_off.insert('c');
    for n in 0..10 {
        rig.propose('c', &format!("unseen {n}")).unwrap();
    }
    rig.run(2_000);
    let leader = rig.leader().unwrap();
    let index = rig.write(leader, "acknowledged");
    assert_eq!(rig.state('b').watermark(), index);
    assert!(rig.end('c').index > index && rig.end('c').epoch < rig.end('b').epoch);
    let health = health(&rig);
    rig.cut_off = ['a'].into();
    // The entry before is damaged as well, so that what is left ends in the first epoch.
    rig.damage('b', LogIndex(index.0 - 1));
    rig.restart('b', health);
    rig.run(5_000);
    let has_won = rig.leader().is_some();
    rig.cut_off.clear();
    rig.run(3_000);
    let kept = rig.commands('b').contains(&"acknowledged".to_owned());
    assert_ne!(has_won, kept, "it is lost if c wins");
    has_won
}

#[test]
fn r17_what_is_missing_of_a_damaged_log_counts_with_its_epoch() {
    let damaged = |rig: &Rig| Health::Damaged { known_end: rig.end('b') };
    assert!(!wins_with_a_damaged_voter(damaged));
}

#[test]
fn r17_where_the_epoch_of_the_known_end_is_not_known_the_promised_one_counts() {
    let of_unknown_epoch = |rig: &Rig| {
        let last = LogPoint { index: rig.end('b').index, epoch: Epoch::default() };
        Health::damaged(last, rig.stored('b'))
    };
    assert!(!wins_with_a_damaged_voter(of_unknown_epoch));
}

#[test]
fn r17_a_damaged_voter_promises_to_whose_log_is_of_a_later_epoch_if_shorter() {
    let mut rig = Rig::led();
    rig.cut_off = ['b', 'c'].into();
    for n in 0..10 {
        rig.propose('a', &format!("unseen {n}")).unwrap();
    }
    let known_end = rig.end('a');
    rig.cut_off = ['a'].into();
    rig.run(2_000);
    let leader = rig.leader().unwrap();
    rig.write(leader, "x");
    assert!(rig.end(leader) > known_end && rig.end(leader).index < known_end.index);
    let other = if leader == 'b' { 'c' } else { 'b' };
    rig.cut_off.insert(other);
    rig.restart(leader, Health::Whole);
    rig.damage('a', LogIndex(3));
    rig.restart('a', Health::Damaged { known_end });
    rig.cut_off = [other].into();
    rig.run(3_000);
    assert_eq!(rig.leader(), Some(leader));
    assert_eq!(rig.commands('a'), ["x"]);
}

#[test]
fn r11_a_copied_disk_is_noticed_by_its_run() {
    let mut rig = Rig::led();
    rig.restart('c', Health::Whole);
    rig.run(300);
    // The same incarnation again, from a disk that was rolled back.
    let node = rig.nodes.get_mut(&'c').unwrap();
    node.rewind_incarnation();
    rig.restart('c', Health::Whole);
    rig.run(100);
    assert_eq!(rig.state('c').stop(), Some(&Stop::Amnesiac));
    rig.run(3_000);
    assert_eq!(rig.state('c').me().life, 2);
}

#[test]
fn r20_an_attestation_is_given_on_what_is_committed_only_and_contradictions_are_evidence() {
    let mut rig = Rig::led();
    rig.cut_off.extend(['b', 'c']);
    let index = rig.propose('a', "x").unwrap();
    let epoch = rig.state('a').epoch();
    rig.cut_off.clear();
    rig.drops = Box::new(|_, e| matches!(e.message, Message::ConfirmTransaction { .. }));
    rig.settle();
    let run = rig.nodes[&'a'].outputs.iter().find_map(|o| match o {
        Output::Send(e) => Some(e.run),
        _ => None,
    });
    let mut ask = rig.envelope(member('a'), 'b', Message::Attest { epoch, index });
    ask.run = run.unwrap();
    rig.input('b', Input::Message(ask.clone()));
    let signs = |rig: &Rig| {
        rig.nodes[&'b'].outputs.iter().filter(|o| matches!(o, Output::Sign { .. })).count()
    };
    assert_eq!(signs(&rig), 0, "not known to be committed");
    rig.run(200);
    for _ in 0..30 {
        rig.input('b', Input::Message(ask.clone()));
    }
    assert_eq!(signs(&rig), 10, "at most ten a second");
    let statement = |text: &str| {
        let attested = Attested {
            partition: weald_core::PartitionId(1),
            generation: 0,
            configuration: ConfigurationId(0),
            index: LogIndex(1),
            hash: weald_core::Digest::of(text, &[]),
        };
        let identity = identity('c');
        let signature = identity.sign(Attestation::DOMAIN, &attested.encode()).unwrap();
        Attestation { attested, member: member('c'), key: identity.public(), signature }
    };
    let (one, other) = (statement("one"), statement("other"));
    assert!(one.contradicts(&other) && !one.contradicts(&one));
    let mut forged = other;
    forged.attested.hash = weald_core::Digest::ZERO;
    assert!(one.is_valid() && !forged.is_valid());
}
