//! Campaigns, promises, handovers.

use super::rig::{Rig, epoch, member};
use crate::replica::*;
use weald_core::{LogIndex, Time};

fn standing(started: u64) -> Standing {
    Standing { started: Time::from_millis(started), is_healthy: true }
}

#[test]
fn a_single_voter_coordinates_at_once() {
    let mut rig = Rig::new("a", "");
    rig.run(10);
    assert_eq!(rig.leader(), Some('a'));
    let index = rig.write('a', "x");
    assert_eq!(rig.state('a').watermark(), index);
    rig.read('a', 1);
    assert_eq!(rig.reads_ready('a'), [(1, index.0)]);
}

#[test]
fn w125_somebody_takes_over_when_the_coordinator_is_gone() {
    let mut rig = Rig::led();
    rig.write('a', "x");
    rig.cut_off.insert('a');
    rig.run(1_500);
    let leader = rig.leader().unwrap();
    let index = rig.write(leader, "y");
    assert_eq!(rig.state(leader).watermark(), index);
    assert_eq!(rig.commands(leader), ["x", "y"]);
}

#[test]
fn w124_a_coordinator_that_hears_no_quorum_steps_down() {
    let mut rig = Rig::led();
    rig.cut_off.extend(['b', 'c']);
    rig.run(700);
    assert_eq!(rig.state('a').role(), Role::Follower);
}

#[test]
fn w36_w37_the_longest_running_healthy_member_is_first_to_campaign() {
    for young in ['b', 'c'] {
        let mut rig = Rig::led();
        rig.run(1_000);
        rig.restart(young, Health::Whole);
        for of in ['a', 'b', 'c'] {
            let began = standing(if of == young { rig.millis } else { 1_000_000 });
            for name in ['a', 'b', 'c'].into_iter().filter(|name| *name != of) {
                rig.input(name, Input::Standing(member(of), began));
            }
        }
        rig.run(200);
        rig.cut_off.insert('a');
        rig.run(2_000);
        assert_eq!(rig.leader(), Some(if young == 'b' { 'c' } else { 'b' }));
    }
}

#[test]
fn w127_a_shorter_log_is_never_promised() {
    let mut rig = Rig::led();
    rig.cut_off.insert('c');
    rig.write('a', "x");
    rig.cut_off.clear();
    rig.cut_off.insert('a');
    rig.drops = Box::new(|rig, e| {
        // c does not hear of b's campaigns, so only its own could succeed.
        rig.name_of(&e.from) == Some('b')
            && matches!(e.message, Message::PreVote { .. } | Message::Prepare { .. })
    });
    rig.run(5_000);
    assert_ne!(rig.state('c').role(), Role::Coordinator);
    rig.drops = Box::new(|_, _| false);
    rig.run(2_000);
    assert_eq!(rig.leader(), Some('b'));
    assert_eq!(rig.commands('c'), ["x"]);
}

#[test]
fn w125_a_coordinator_whose_clock_is_refused_makes_room() {
    let mut rig = Rig::led();
    rig.write('a', "x");
    rig.cut_off.insert('c');
    rig.ahead.insert('a', 3_600_000);
    rig.write('a', "late");
    rig.run(3_000);
    assert_eq!(rig.leader(), Some('b'), "b cannot do without a, which ended in what b refuses");
    let cut = |output: &Output| matches!(output, Output::Cut { .. });
    assert!(rig.nodes[&'a'].outputs.iter().any(cut));
    let index = rig.write('b', "y");
    assert_eq!(rig.state('a').watermark(), index);
    assert_eq!(rig.commands('a'), ["x", "y"]);
}

#[test]
fn who_resigns_for_its_clock_keeps_what_was_taken_before() {
    let mut rig = Rig::led();
    rig.cut_off.insert('c');
    rig.drops = Box::new(|_, e| matches!(e.message, Message::ReplicateAck(_)));
    rig.write('a', "early");
    rig.drops = Box::new(|_, _| false);
    rig.ahead.insert('a', 3_600_000);
    rig.write('a', "late");
    rig.run(3_000);
    assert_eq!((rig.leader(), rig.commands('a')), (Some('b'), vec!["early".to_owned()]));
}

#[test]
fn who_is_refused_by_a_minority_goes_on() {
    let mut rig = Rig::led();
    rig.ahead.extend([('a', 3_600_000), ('c', 3_600_000)]);
    let index = rig.write('a', "x");
    rig.run(3_000);
    assert_eq!((rig.leader(), rig.state('a').watermark()), (Some('a'), index));
    assert_eq!(rig.commands('b'), ["x"], "the watermark covers it");
}

/// The fate of an entry that a majority holds and an earlier epoch made (figure 8 of Ongaro and
/// Ousterhout 2014). `x` of epoch 1 reaches `a` alone; `b` coordinates epoch 2 and keeps its entry
/// for itself; `a` coordinates again and gives `x` to `c`, but no entry of its own epoch:
///
/// ```text
///      1  2        1  2        1  2
/// a   a1 x1       a1 x1       a1 x1  (a3)
/// b   a1          a1 b2       a1 b2
/// c   a1          a1          a1 x1
/// ```
pub(super) fn contested(config: Config) -> Rig {
    let mut rig = Rig::with("abc", "", Config { append_bytes_max: 1, ..config });
    rig.elect('a');
    rig.cut_off.extend(['b', 'c']);
    rig.write('a', "x");
    rig.run(700);
    rig.cut_off = ['a'].into();
    rig.drops = Box::new(holds_entry_of('b'));
    rig.elect('b');
    rig.cut_off = ['b'].into();
    rig.run(700);
    let is_of_a = holds_entry_of('a');
    let reign = rig.state('b').epoch();
    rig.drops = Box::new(move |rig, envelope| match &envelope.message {
        Message::ReplicateWrite(write) => {
            is_of_a(rig, envelope) && write.entries.iter().any(|e| e.point().epoch > reign)
        }
        Message::Heartbeat(heartbeat) => heartbeat.watermark > LogIndex(1),
        Message::ConfirmTransaction { .. } => true,
        _ => false,
    });
    rig.elect('a');
    assert_eq!(rig.commands('c'), ["x"]);
    rig
}

/// Whether an envelope of this member has entries.
fn holds_entry_of(name: char) -> impl Fn(&Rig, &Envelope) -> bool {
    move |rig, envelope| {
        rig.name_of(&envelope.from) == Some(name)
            && matches!(&envelope.message, Message::ReplicateWrite(w) if !w.entries.is_empty())
    }
}

#[test]
fn an_entry_of_an_earlier_epoch_is_not_committed_by_counting() {
    let mut rig = contested(Rig::config());
    assert_eq!(rig.state('a').watermark(), LogIndex(1), "c and a have x, and still it may go");
    rig.cut_off = ['a'].into();
    rig.drops = Box::new(|_, _| false);
    rig.elect('b');
    assert!(rig.commands('c').is_empty(), "b's log is the more up to date");
    rig.cut_off.clear();
    rig.run(1_000);
    assert_eq!(rig.state('a').watermark(), rig.state('b').watermark());
    assert!(rig.commands('a').is_empty());
}

#[test]
fn a_live_coordinator_is_not_deposed() {
    let mut rig = Rig::led();
    let before = rig.state('a').epoch();
    rig.restart('b', Health::Whole);
    rig.run(3_000);
    assert_eq!((rig.leader(), rig.state('a').epoch()), (Some('a'), before));
    let last = LogEnd { epoch: epoch(9, 'b'), index: LogIndex(99) };
    let ask = Message::PreVote { number: 50, last };
    let mut envelope = rig.envelope(member('b'), 'c', ask);
    envelope.run.incarnation = 100;
    let said = rig.nodes[&'c'].outputs.len();
    rig.input('c', Input::Message(envelope));
    let granted = |output: &Output| matches!(output, Output::Send(e) if matches!(e.message, Message::PreVoteReply { is_granted: true, .. }));
    assert!(!rig.nodes[&'c'].outputs.iter().skip(said).any(granted));
}

#[test]
fn a_promise_leaves_only_when_it_is_durable() {
    let mut rig = Rig::new("abc", "");
    rig.cut_off.insert('c');
    rig.nodes.get_mut(&'b').unwrap().is_disk_slow = true;
    rig.run(1_200);
    assert_eq!(rig.leader(), None, "b's promise is not durable");
    rig.sync_all('b');
    rig.settle();
    rig.run(50);
    rig.nodes.get_mut(&'b').unwrap().is_disk_slow = false;
    rig.run(2_000);
    assert!(rig.leader().is_some());
}

#[test]
fn r15_a_restarted_member_keeps_its_promise() {
    let mut rig = Rig::led();
    let promised = rig.state('b').epoch();
    rig.restart('b', Health::Whole);
    assert_eq!(rig.state('b').epoch(), promised);
    let last = LogEnd { epoch: promised, index: LogIndex(99) };
    let lower = epoch(promised.number - 1, 'c');
    let ask = Message::Prepare { epoch: lower, last, releasing: None };
    let envelope = rig.envelope(member('c'), 'b', ask);
    rig.input('b', Input::Message(envelope));
    assert_eq!(rig.state('b').epoch(), promised);
    assert!(rig.refused('b', RefusedReason::LowerEpoch) > 0);
}

#[test]
fn w187_a_handover_is_quick_and_loses_nothing() {
    let mut rig = Rig::led();
    rig.write('a', "x");
    rig.transfer('a', 'c').unwrap();
    rig.run(50);
    assert_eq!(rig.leader(), Some('c'));
    assert_eq!(rig.state('a').role(), Role::Follower);
    rig.write('c', "y");
    assert_eq!(rig.commands('b'), ["x", "y"]);
    assert!(matches!(rig.transfer('c', 'c'), Err(TransferError::NotVoter { .. })));
}

#[test]
fn w62_an_unhealthy_coordinator_hands_over() {
    let mut rig = Rig::led();
    rig.input('a', Input::Health { is_healthy: false });
    rig.settle();
    rig.run(100);
    assert!(matches!(rig.leader(), Some('b' | 'c')));
}

#[test]
fn a_handover_to_a_silent_member_is_given_up() {
    let mut rig = Rig::led();
    rig.cut_off.insert('c');
    rig.transfer('a', 'c').unwrap();
    assert!(matches!(rig.propose('a', "x"), Err(ProposeError::HandingOver { .. })));
    rig.run(700);
    assert!(rig.propose('a', "x").is_ok());
}

#[test]
fn w14_after_a_failed_sync_nothing_is_promised_or_acknowledged() {
    let mut rig = Rig::led();
    rig.input('a', Input::PersistFailed);
    rig.settle();
    assert_eq!(rig.state('a').stop(), Some(&Stop::SyncFailed));
    rig.run(1_500);
    assert!(matches!(rig.leader(), Some('b' | 'c')));
    assert_eq!(rig.state('a').poll_timeout(), None);
}

#[test]
fn r33_a_clock_that_goes_back_over_a_restart_changes_nothing() {
    let mut rig = Rig::led();
    rig.write('a', "x");
    rig.ahead.insert('b', 0);
    rig.millis += 1;
    rig.restart('b', Health::Whole);
    rig.run(300);
    let index = rig.write('a', "y");
    assert_eq!(rig.state('b').watermark(), index);
}
