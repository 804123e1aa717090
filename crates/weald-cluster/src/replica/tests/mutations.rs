//! Rules that are left out, one at a time: a scenario shows what goes wrong without each.

use weald_core::LogIndex;

use super::{
    rig::{Rig, member},
    takeovers::contested,
};
use crate::{mutation::Mutation, replica::*};

fn without(mutation: Mutation) -> Rig {
    let config = Config { mutation: Some(mutation), ..Rig::config() };
    let mut rig = Rig::with("abc", "", config);
    rig.elect('a');
    rig
}

#[test]
fn without_a_round_a_deposed_coordinator_answers_reads() {
    let mut rig = without(Mutation::ReadWithoutRound);
    rig.write('a', "x");
    rig.cut_off.insert('a');
    rig.read('a', 1);
    assert_eq!(rig.reads_ready('a').len(), 1, "nobody was asked");
}

#[test]
fn with_an_earlier_round_a_deposed_coordinator_answers_reads() {
    let mut rig = without(Mutation::ReadByEarlierRound);
    rig.write('a', "x");
    rig.run(200);
    rig.cut_off.insert('a');
    rig.read('a', 1);
    assert_eq!(rig.reads_ready('a').len(), 1, "the answers are to the round before");
}

#[test]
fn without_an_own_entry_a_new_coordinator_answers_reads_with_an_old_watermark() {
    let config = Config { mutation: Some(Mutation::ReadBeforeOwnEntry), ..Rig::config() };
    let mut rig = Rig::with("abc", "", config);
    rig.drops =
        Box::new(|_, e| matches!(&e.message, Message::ReplicateWrite(w) if !w.entries.is_empty()));
    rig.elect('a');
    rig.read('a', 1);
    rig.run(200);
    assert_eq!(rig.reads_ready('a'), [(1, 0)]);
}

#[test]
fn without_checking_its_quorum_a_coordinator_goes_on_alone() {
    let mut rig = without(Mutation::CoordinateUnheard);
    rig.cut_off.extend(['b', 'c']);
    rig.run(3_000);
    assert_eq!(rig.state('a').role(), Role::Coordinator);
}

#[test]
fn by_counting_entries_of_earlier_epochs_two_are_committed_at_one_place() {
    let config = Config { mutation: Some(Mutation::CommitEarlierEpochs), ..Rig::config() };
    let mut rig = contested(config);
    let place = LogIndex(2);
    assert_eq!(rig.state('a').watermark(), place);
    let first = *rig.state('a').entry(place).unwrap().point();
    rig.cut_off = ['a'].into();
    rig.drops = Box::new(|_, _| false);
    rig.elect('b');
    assert!(rig.state('b').watermark() >= place);
    assert_ne!(*rig.state('b').entry(place).unwrap().point(), first);
}

#[test]
fn without_waiting_for_silence_a_live_coordinator_is_deposed() {
    let mut rig = without(Mutation::PromiseWhileCoordinated);
    let last = LogEnd { epoch: rig.state('a').epoch(), index: LogIndex(99) };
    let ask = Message::PreVote { number: 50, last };
    let mut envelope = rig.envelope(member('b'), 'c', ask);
    envelope.run.incarnation = 100;
    let said = rig.nodes[&'c'].outputs.len();
    rig.input('c', Input::Message(envelope));
    let granted = |output: &Output| {
        matches!(output, Output::Send(e)
            if matches!(e.message, Message::PreVoteReply { is_granted: true, .. }))
    };
    assert!(rig.nodes[&'c'].outputs.iter().skip(said).any(granted));
}

#[test]
fn without_the_epoch_of_what_is_cut_two_histories_of_one_epoch_are_taken() {
    let mut rig = without(Mutation::CutEqualEpochs);
    let epoch = rig.state('a').epoch();
    rig.cut_off.extend(['b', 'c']);
    rig.propose('a', "x").unwrap();
    let before = *rig.state('a').entry(LogIndex(1)).unwrap().point();
    let write = |rig: &Rig, payload: &[u8]| {
        let content = (EntryKind::Command, payload);
        let entry = LogEntry::new(&before, epoch, rig.state('a').log_time(), content);
        let entries = vec![entry];
        let watermark = LogIndex(0);
        Message::ReplicateWrite(ReplicateWrite { epoch, before, entries, watermark, round: 0 })
    };
    for payload in [&b"one"[..], b"other"] {
        let message = write(&rig, payload);
        let mut envelope = rig.envelope(member('a'), 'b', message);
        envelope.run = Run { incarnation: 100, nonce: 1 };
        rig.input('b', Input::Message(envelope));
    }
    assert_eq!(rig.state('b').stop(), None, "the contradiction goes unnoticed");
    assert_eq!(rig.state('b').entry(LogIndex(2)).unwrap().payload(), &b"other"[..]);
}
