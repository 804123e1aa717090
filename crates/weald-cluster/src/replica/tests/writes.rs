//! The path of a write, of a read, and of a member that lags.

use super::rig::{Rig, effect_of, epoch, member};
use crate::replica::*;
use weald_core::{Digest, LogIndex, Time};

#[test]
fn w151_w155_a_place_is_given_before_earlier_writes_are_committed() {
    let mut rig = Rig::led();
    let before = rig.state('a').watermark();
    let (first, second) = (rig.propose('a', "x").unwrap(), rig.propose('a', "y").unwrap());
    assert_eq!(second, first.next());
    assert_eq!(rig.state('a').watermark(), before);
    rig.settle();
    assert_eq!(rig.state('a').watermark(), second);
    for name in ['a', 'b', 'c'] {
        assert_eq!(rig.commands(name), ["x", "y"]);
    }
}

#[test]
fn r36_the_watermark_reaches_followers_at_once_on_an_idle_partition() {
    let mut rig = Rig::led();
    let index = rig.write('a', "x");
    assert!(['b', 'c'].iter().all(|name| rig.state(*name).watermark() == index));
}

#[test]
fn nothing_is_acknowledged_before_it_is_synced() {
    let mut rig = Rig::led();
    for name in ['a', 'b', 'c'] {
        rig.nodes.get_mut(&name).unwrap().is_disk_slow = true;
    }
    let index = rig.write('a', "x");
    assert!(rig.state('a').watermark() < index);
    rig.sync_all('b');
    rig.settle();
    assert!(rig.state('a').watermark() < index, "one of three");
    rig.sync_all('c');
    rig.settle();
    assert_eq!(rig.state('a').watermark(), index, "two of three, without the coordinator");
}

#[test]
fn w45_w82_a_lost_append_is_noticed_and_repaired_without_new_writes() {
    let mut rig = Rig::led();
    rig.drops = Box::new(|rig, e| {
        rig.name_of(&e.to) == Some('c') && matches!(e.message, Message::ReplicateWrite(_))
    });
    let index = rig.write('a', "x");
    assert_eq!((rig.state('a').watermark(), rig.state('c').last().index < index), (index, true));
    rig.drops = Box::new(|_, _| false);
    rig.run(400);
    assert_eq!(rig.state('c').watermark(), index);
}

#[test]
fn w8_lost_notices_are_made_up_by_heartbeats() {
    let mut rig = Rig::led();
    rig.drops = Box::new(|_, e| matches!(e.message, Message::ConfirmTransaction { .. }));
    let index = rig.write('a', "x");
    assert!(rig.state('b').watermark() < index);
    rig.run(200);
    assert_eq!(rig.state('b').watermark(), index);
}

#[test]
fn w96_a_divergent_suffix_is_cut_and_made_up() {
    let mut rig = Rig::led();
    rig.write('a', "kept");
    rig.cut_off.insert('a');
    for n in 0..3 {
        rig.propose('a', &format!("lost {n}")).unwrap();
    }
    rig.settle();
    rig.run(1_500);
    let leader = rig.leader().unwrap();
    rig.write(leader, "new");
    rig.cut_off.clear();
    rig.run(1_000);
    let all: Vec<_> = ['a', 'b', 'c'].iter().map(|name| rig.commands(*name)).collect();
    assert!(all.iter().all(|commands| *commands == ["kept", "new"]), "{all:?}");
    assert!(rig.nodes[&'a'].outputs.iter().any(|output| matches!(output, Output::Cut { .. })));
}

#[test]
fn w84_w112_a_member_that_lags_behind_memory_is_fed_from_the_disk() {
    let mut rig = Rig::led();
    rig.cut_off.insert('c');
    for n in 0..100 {
        rig.write('a', &format!("value {n} {}", "x".repeat(100)));
    }
    assert!(rig.state('a').memory_bytes() <= 1_000, "the tail in memory is bounded");
    rig.cut_off.clear();
    rig.run(1_000);
    assert_eq!(rig.commands('c'), rig.commands('a'));
}

#[test]
fn what_was_read_of_a_log_that_was_cut_meanwhile_is_not_sent() {
    let mut rig = Rig::led();
    rig.cut_off.insert('c');
    for n in 0..100 {
        rig.write('a', &format!("value {n} {}", "x".repeat(100)));
    }
    rig.holds_fetches = true;
    rig.cut_off.clear();
    rig.run(200);
    let outputs = rig.nodes[&'a'].outputs.iter();
    let asked = outputs.filter_map(|o| match o {
        Output::Fetch { to, from, .. } => Some((*to, *from)),
        _ => None,
    });
    let (to, from) = asked.last().unwrap();
    // A read that was asked for in an earlier coordination: its end was replaced.
    let held = rig.entries('a');
    let mut read: Vec<_> = held.iter().filter(|e| e.index() >= from).cloned().collect();
    read.truncate(read.len() - 2);
    for _ in 0..5 {
        let last = *read.last().unwrap().point();
        let other = (EntryKind::Command, &b"cut"[..]);
        read.push(LogEntry::new(&last, last.epoch, Time::ZERO, other));
    }
    rig.holds_fetches = false;
    rig.input('a', Input::Entries { to, entries: read });
    rig.run(1_000);
    assert_eq!(rig.state('c').stop(), None);
    assert_eq!(rig.commands('c'), rig.commands('a'));
}

#[test]
fn a_member_whose_place_is_no_longer_in_the_log_gets_a_snapshot() {
    let mut rig = Rig::led();
    rig.cut_off.insert('c');
    for n in 0..50 {
        rig.write('a', &format!("value {n} {}", "x".repeat(100)));
    }
    let upto = rig.state('a').watermark();
    rig.write('a', "after");
    rig.compact('a', upto);
    rig.cut_off.clear();
    rig.run(1_500);
    assert_eq!(rig.commands('c'), ["after"]);
    assert_eq!(rig.state('c').watermark(), rig.state('a').watermark());
    assert!(rig.nodes[&'c'].outputs.iter().any(|o| matches!(o, Output::Install { .. })));
    rig.restart('c', Health::Whole);
    rig.write('a', "later");
    rig.run(300);
    assert_eq!(rig.commands('c'), ["after", "later"]);
}

/// What a node has asked its snapshots to cover.
fn installs(rig: &Rig, name: char) -> Vec<LogIndex> {
    let outputs = rig.nodes[&name].outputs.iter();
    let asked = outputs.filter_map(|output| match output {
        Output::Install { at_least, .. } => Some(*at_least),
        _ => None,
    });
    asked.collect()
}

#[test]
fn r17_a_damaged_log_is_replaced_by_nothing_that_ends_before_its_known_end() {
    let mut rig = Rig::led();
    for n in 0..50 {
        rig.write('a', &format!("value {n} {}", "x".repeat(100)));
    }
    let known_end = rig.end('c');
    rig.compact('a', LogIndex(30));
    rig.damage('c', LogIndex(10));
    rig.restart('c', Health::Damaged { known_end });
    assert_eq!(rig.state('c').snapshot_least(), known_end.index);
    rig.run(1_000);
    let asked = installs(&rig, 'c');
    assert!(!asked.is_empty() && asked.iter().all(|least| *least >= known_end.index), "{asked:?}");
    assert_eq!(rig.state('c').health(), Health::Whole);
    let last = rig.state('a').last();
    let other = rig.state('a').snapshot_meta(last, Time::ZERO, Digest::default());
    assert_eq!(other, None, "it has said of another effect there");
    let early = rig.state('a').snapshot_meta(last, Time::ZERO, effect_of(last.index));
    rig.damage('c', LogIndex(10));
    let known_end = LogEnd { index: LogIndex(1_000), ..known_end };
    rig.restart('c', Health::Damaged { known_end });
    let before = rig.state('c').last();
    rig.cut_off.insert('c');
    rig.input('c', Input::Installed(early.unwrap()));
    assert_eq!(rig.state('c').last(), before, "the log would forget that there was more");
}

#[test]
fn a_member_hands_on_the_snapshot_that_it_has_installed() {
    let mut rig = Rig::new("abcde", "");
    rig.elect('a');
    rig.cut_off.extend(['c', 'd']);
    for n in 0..50 {
        rig.write('a', &format!("value {n} {}", "x".repeat(100)));
    }
    let upto = rig.state('a').watermark();
    for name in ['a', 'b', 'e'] {
        rig.compact(name, upto);
    }
    rig.cut_off.remove(&'c');
    rig.run(500);
    assert_eq!(installs(&rig, 'c'), [upto]);
    rig.transfer('a', 'c').unwrap();
    rig.run(300);
    assert_eq!(rig.leader(), Some('c'));
    rig.cut_off.clear();
    rig.run(1_500);
    assert_eq!(installs(&rig, 'd'), [upto]);
    assert_eq!(rig.state('d').watermark(), rig.state('c').watermark());
}

#[test]
fn r19_a_read_is_answered_by_a_round_that_began_after_it() {
    let mut rig = Rig::led();
    let index = rig.write('a', "x");
    rig.read('a', 1);
    rig.settle();
    assert_eq!(rig.reads_ready('a'), [(1, index.0)]);
    rig.cut_off.insert('a');
    rig.read('a', 2);
    rig.settle();
    assert_eq!(rig.reads_ready('a').len(), 1, "nobody confirms it");
    rig.run(1_500);
    let failed = rig.nodes[&'a']
        .outputs
        .iter()
        .any(|o| matches!(o, Output::ReadFailed { ids } if ids.contains(&ReadId(2))));
    assert!(failed, "it fails when the coordination ends");
}

#[test]
fn r19_an_answer_to_an_earlier_run_is_no_answer() {
    let mut rig = Rig::led();
    rig.write('a', "x");
    let earlier = rig.state('b').run;
    rig.restart('b', Health::Whole);
    rig.run(100);
    let run = rig.state('b').run;
    assert_ne!(run, earlier);
    for (asked_by, answered) in [(earlier, vec![]), (run, vec![(1, 1)])] {
        let ids = vec![ReadId(1)];
        let reply = Message::ReadIndexReply { run: asked_by, ids, index: Some(LogIndex(1)) };
        let reply = rig.envelope(member('a'), 'b', reply);
        rig.input('b', Input::Message(reply));
        assert_eq!(rig.reads_ready('b'), answered);
    }
}

#[test]
fn any_member_serves_reads_by_asking_the_coordinator() {
    let mut rig = Rig::led();
    let index = rig.write('a', "x");
    rig.read('b', 7);
    rig.settle();
    assert_eq!(rig.reads_ready('b'), [(7, index.0)]);
}

#[test]
fn w126_reads_wait_for_an_entry_of_the_own_epoch() {
    let mut rig = Rig::new("abc", "");
    rig.drops =
        Box::new(|_, e| matches!(&e.message, Message::ReplicateWrite(w) if !w.entries.is_empty()));
    rig.elect('a');
    rig.read('a', 1);
    rig.run(200);
    assert_eq!(rig.reads_ready('a'), []);
    rig.drops = Box::new(|_, _| false);
    rig.run(300);
    assert_eq!(rig.reads_ready('a').len(), 1);
}

#[test]
fn r25_an_entry_far_ahead_in_time_is_not_taken_and_its_coordinator_hands_over() {
    let mut rig = Rig::led();
    rig.ahead.insert('a', 3_600_000);
    let index = rig.write('a', "from the future");
    assert!(rig.state('a').watermark() < index);
    rig.run(3_000);
    let leader = rig.leader().unwrap();
    assert_ne!(leader, 'a');
    rig.write(leader, "now");
    rig.run(300);
    let bound = Time::from_millis(rig.millis + 10_000);
    assert!(rig.state('b').log_time() <= bound);
    assert!(rig.commands('c').contains(&"now".to_owned()));
}

#[test]
fn w165_c15_proposals_are_bounded_and_typed() {
    let mut rig = Rig::led();
    rig.cut_off.extend(['b', 'c']);
    let large = "x".repeat(4 * 1024 * 1024);
    let mut taken = 0;
    let refused = loop {
        match rig.propose('a', &large) {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(taken == 4 && matches!(refused, ProposeError::Busy { .. }) && refused.is_retryable());
    let huge = "x".repeat(8 * 1024 * 1024);
    let mut other = Rig::led();
    assert!(matches!(other.propose('a', &huge), Err(ProposeError::TooLarge { .. })));
    let coordinator = Some(member('a'));
    assert_eq!(other.propose('b', "x"), Err(ProposeError::NotCoordinator { coordinator }));
}

#[test]
fn w81_the_early_buffer_is_bounded_and_its_sender_is_told() {
    let mut rig = Rig::led();
    let ahead =
        (1..=5_000u64).scan(Point { index: LogIndex(1_000), ..Point::default() }, |last, n| {
            let content = (EntryKind::Command, &n.to_le_bytes()[..]);
            let entry = LogEntry::new(last, rig.state('a').epoch(), Time::from_millis(1), content);
            *last = *entry.point();
            Some(entry)
        });
    let write = ReplicateWrite {
        epoch: rig.state('a').epoch(),
        before: Point { index: LogIndex(1_000), ..Point::default() },
        entries: ahead.collect(),
        watermark: LogIndex(0),
        round: 0,
    };
    let mut envelope = rig.envelope(member('a'), 'b', Message::ReplicateWrite(write));
    envelope.run =
        Run { incarnation: 1, ..rig.nodes[&'a'].outputs.iter().find_map(run_of).unwrap() };
    rig.input('b', Input::Message(envelope));
    assert_eq!(rig.state('b').buffered_count(), 4096);
    rig.run(2_200);
    assert_eq!(rig.state('b').buffered_count(), 0, "they have waited too long");
}

fn run_of(output: &Output) -> Option<Run> {
    match output {
        Output::Send(envelope) => Some(envelope.run),
        _ => None,
    }
}

#[test]
fn w19_a_coordinator_that_was_paused_is_refused_by_its_epoch() {
    let mut rig = Rig::led();
    rig.cut_off.insert('a');
    rig.run(1_500);
    let leader = rig.leader().unwrap();
    rig.write(leader, "new");
    let old = Message::ConfirmTransaction { epoch: epoch(1, 'a'), watermark: LogIndex(9) };
    let mut envelope = rig.envelope(member('a'), leader, old);
    envelope.run = rig.nodes[&'a'].outputs.iter().find_map(run_of).unwrap();
    let before = rig.refused(leader, RefusedReason::LowerEpoch);
    rig.input(leader, Input::Message(envelope));
    assert_eq!(rig.refused(leader, RefusedReason::LowerEpoch), before + 1);
}
