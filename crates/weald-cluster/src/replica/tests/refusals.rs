//! Members that do not take what they are sent, and how often it is sent again.

use std::{cell::Cell, rc::Rc};

use weald_core::{LogIndex, Time};

use super::rig::{Rig, effect_of, member};
use crate::replica::*;

/// Counts the messages with entries that go to `to` from now on.
fn count_writes(rig: &mut Rig, to: char) -> Rc<Cell<u32>> {
    let count = Rc::new(Cell::new(0));
    let counted = Rc::clone(&count);
    rig.drops = Box::new(move |rig, envelope| {
        let is_write = matches!(envelope.message, Message::ReplicateWrite(_));
        counted.set(counted.get() + u32::from(is_write && rig.name_of(&envelope.to) == Some(to)));
        false
    });
    count
}

#[test]
fn w43_what_a_member_refuses_for_its_time_is_sent_once_in_a_round() {
    let mut rig = Rig::led();
    rig.ahead.extend([('a', 3_600_000), ('b', 3_600_000)]);
    rig.nodes.get_mut(&'b').unwrap().is_disk_slow = true;
    let count = count_writes(&mut rig, 'c');
    for n in 0..30 {
        rig.propose('a', &format!("of tomorrow {n}")).unwrap();
    }
    rig.settle();
    assert!(count.get() <= 31, "{} messages for thirty entries", count.get());
    assert_eq!(rig.commands('c'), Vec::<String>::new());
    let before = count.get();
    rig.run(1_000);
    let again = count.get() - before;
    assert!((5..=11).contains(&again), "{again} messages in ten rounds");
    assert_eq!(rig.leader(), Some('a'), "those who take its entries are a quorum");
    rig.nodes.get_mut(&'b').unwrap().is_disk_slow = false;
    rig.sync_all('b');
    rig.run(300);
    assert_eq!(rig.commands('c').len(), 30, "what is committed is taken whatever its time");
}

#[test]
fn w125_entries_of_a_wrong_time_go_with_a_later_coordination_of_the_same_run() {
    let mut rig = Rig::led();
    rig.write('a', "kept");
    rig.cut_off.extend(['b', 'c']);
    rig.ahead.insert('a', 3_600_000);
    rig.propose('a', "of tomorrow").unwrap();
    rig.run(1_500);
    assert_eq!((rig.leader(), rig.commands('a').len()), (None, 2), "nobody has refused it yet");
    rig.ahead.clear();
    rig.cut_off = ['c'].into();
    rig.run(6_000);
    let leader = rig.leader().expect("two of three are well");
    rig.write(leader, "now");
    rig.run(300);
    for name in ['a', 'b'] {
        assert_eq!(rig.commands(name), ["kept", "now"]);
    }
}

/// What a member last answered to `a`.
fn last_ack(rig: &Rig, name: char) -> ReplicateAck {
    let acks = rig.nodes[&name].outputs.iter().filter_map(|output| match output {
        Output::Send(envelope) => match &envelope.message {
            Message::ReplicateAck(ack) => Some(ack.clone()),
            _ => None,
        },
        _ => None,
    });
    acks.last().unwrap()
}

/// Entries of `a` after `before`, a thousand bytes each.
fn write_of(rig: &Rig, before: Point, count: usize) -> ReplicateWrite {
    let epoch = rig.state('a').epoch();
    let mut last = before;
    let entries = (0..count).map(|_| {
        let entry = LogEntry::new(&last, epoch, Time::ZERO, (EntryKind::Command, &[7; 1_000]));
        last = *entry.point();
        entry
    });
    let entries = entries.collect();
    ReplicateWrite { epoch, before, entries, watermark: LogIndex(0), round: 0 }
}

#[test]
fn w81_w166_a_member_whose_memory_is_full_says_so_until_there_is_room() {
    let limits = Config {
        uncommitted_bytes_max: 2_000,
        tail_bytes_max: 0,
        window_bytes_max: 1_000,
        ..Config::default()
    };
    let mut rig = Rig::with("abc", "", limits);
    rig.elect('a');
    rig.nodes.get_mut(&'b').unwrap().is_disk_slow = true;
    let run = rig.nodes[&'a'].outputs.iter().find_map(|output| match output {
        Output::Send(envelope) => Some(envelope.run),
        _ => None,
    });
    let tell = |rig: &mut Rig, write: &ReplicateWrite| {
        let message = Message::ReplicateWrite(write.clone());
        let envelope = Envelope { run: run.unwrap(), ..rig.envelope(member('a'), 'b', message) };
        rig.input('b', Input::Message(envelope));
    };
    let first = write_of(&rig, rig.state('b').last(), 20);
    tell(&mut rig, &first);
    let (ack, held) = (last_ack(&rig, 'b'), rig.state('b').memory_bytes());
    assert_eq!(ack.refusal, Some(AckRefusal::Full));
    assert_eq!(ack.wants, rig.state('b').last().index.next());
    assert!((5_000..6_500).contains(&held), "twice 2,000 and 1,000, and one entry: {held}");
    let later = write_of(&rig, *first.entries.last().unwrap().point(), 2);
    tell(&mut rig, &later);
    assert_eq!(last_ack(&rig, 'b').refusal, Some(AckRefusal::Full), "no gap: it was sent");
    rig.sync_all('b');
    let committed = rig.state('b').last().index;
    tell(&mut rig, &ReplicateWrite { watermark: committed, ..first.clone() });
    assert_eq!(last_ack(&rig, 'b').matched, committed);
    tell(&mut rig, &ReplicateWrite { watermark: committed, ..first });
    assert!(rig.state('b').last().index > committed, "what was committed and synced made room");
}

#[test]
fn w81_what_was_committed_before_all_were_killed_leaves_room_for_more() {
    let limits = Config {
        append_bytes_max: 1_000,
        uncommitted_bytes_max: 2_000,
        tail_bytes_max: 0,
        window_bytes_max: 1_000,
        ..Config::default()
    };
    let mut rig = Rig::with("abc", "", limits);
    rig.elect('a');
    for _ in 0..30 {
        rig.write('a', &"x".repeat(1_000));
    }
    for name in ['a', 'b', 'c'] {
        rig.restart(name, Health::Whole);
    }
    rig.run(3_000);
    let leader = rig.leader().expect("nobody refuses the entry that commits those before it");
    let index = rig.write(leader, "y");
    assert_eq!(rig.state(leader).watermark(), index);
}

#[test]
fn what_becomes_durable_while_a_member_has_stopped_counts_once_it_goes_on() {
    let mut rig = Rig::led();
    rig.write('a', "x");
    rig.run(300);
    rig.nodes.get_mut(&'c').unwrap().is_disk_slow = true;
    rig.drops = Box::new(|_, _| true);
    let next = rig.propose('a', "y").unwrap();
    rig.drops = Box::new(|_, _| false);
    rig.input('c', Input::Applied { index: next, effect: weald_core::Digest::of("rot", &[]) });
    rig.run(600);
    assert!(matches!(rig.state('c').stop(), Some(Stop::Diverged(_))));
    rig.nodes.get_mut(&'c').unwrap().is_disk_slow = false;
    rig.sync_all('c');
    let (point, time) = (rig.state('a').last(), rig.state('a').log_time());
    let meta = rig.state('a').snapshot_meta(point, time, effect_of(point.index)).unwrap();
    rig.input('c', Input::Installed(meta));
    rig.run(300);
    assert_eq!(rig.state('c').stop(), None);
    assert_eq!(last_ack(&rig, 'c').matched, next);
}
