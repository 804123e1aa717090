//! How entries leave a coordinator: together, within bounds, at once to everybody; and how a member
//! that lacks some of them is noticed and fed.

use bytes::Bytes;
use weald_core::LogIndex;

use super::rig::{Rig, member};
use crate::replica::*;

/// Proposes these together, without delivering anything.
fn propose_all(rig: &mut Rig, name: char, commands: &[Bytes]) -> LogIndex {
    let now = rig.now(name);
    let first = rig.nodes.get_mut(&name).unwrap().state.propose(now, commands).unwrap();
    rig.input(name, Input::Timeout);
    first
}

fn commands(count: u8, bytes: usize) -> Vec<Bytes> {
    (0..count).map(|n| Bytes::from(vec![n; bytes])).collect()
}

/// What `from` has sent to `to` since it had made so many outputs.
fn sent(rig: &Rig, (from, to): (char, char), since: usize) -> Vec<Envelope> {
    let outputs = rig.nodes[&from].outputs.iter().skip(since);
    let envelopes = outputs.filter_map(|output| match output {
        Output::Send(envelope) if rig.name_of(&envelope.to) == Some(to) => Some(*envelope.clone()),
        _ => None,
    });
    envelopes.collect()
}

/// The entries of each append among them.
fn appends(envelopes: &[Envelope]) -> Vec<Vec<LogEntry>> {
    let appends = envelopes.iter().filter_map(|envelope| match &envelope.message {
        Message::ReplicateWrite(write) if !write.entries.is_empty() => Some(write.entries.clone()),
        _ => None,
    });
    appends.collect()
}

fn said(rig: &Rig, name: char) -> usize {
    rig.nodes[&name].outputs.len()
}

#[test]
fn w158_w210_what_is_proposed_together_leaves_in_one_message_for_every_member_at_once() {
    let mut rig = Rig::led();
    let before = said(&rig, 'a');
    let first = propose_all(&mut rig, 'a', &commands(5, 10));
    for to in ['b', 'c'] {
        let appends = appends(&sent(&rig, ('a', to), before));
        let places: Vec<_> = appends.iter().map(|entries| entries.len()).collect();
        assert_eq!(places, [5], "in one message, before anything is delivered or synced");
        assert_eq!(appends[0][0].index(), first);
    }
    rig.settle();
    assert_eq!(rig.state('a').watermark(), LogIndex(first.0 + 4));
}

#[test]
fn w211_a_batch_is_divided_where_its_bytes_end_and_a_larger_entry_goes_alone() {
    let mut rig = Rig::with("abc", "", Config { append_bytes_max: 1_000, ..Rig::config() });
    rig.elect('a');
    let before = said(&rig, 'a');
    let mut all = commands(7, 250);
    all.push(vec![7; 2_000].into());
    all.push(vec![8; 250].into());
    propose_all(&mut rig, 'a', &all);
    rig.settle();
    let appends = appends(&sent(&rig, ('a', 'b'), before));
    let counts: Vec<_> = appends.iter().map(Vec::len).collect();
    assert_eq!(counts, [3, 3, 1, 1, 1], "250 bytes and a head, three times, are below 1,000");
    let payloads: Vec<_> = appends.iter().flatten().map(LogEntry::payload).collect();
    assert!(payloads.iter().map(|payload| &payload[..]).eq(all.iter().map(|all| &all[..])));
}

#[test]
fn r35_small_writes_beside_large_ones_wait_for_no_more_than_the_window_and_are_refused_in_time() {
    let mut rig = Rig::led();
    let large = commands(1, 7 << 20);
    propose_all(&mut rig, 'a', &large);
    let before = said(&rig, 'a');
    let first = propose_all(&mut rig, 'a', &commands(64, 100));
    let early = appends(&sent(&rig, ('a', 'b'), before));
    assert!(early.is_empty(), "the window is full until the large one has arrived");
    rig.settle();
    let sent = appends(&sent(&rig, ('a', 'b'), before));
    assert_eq!(sent.iter().map(Vec::len).collect::<Vec<_>>(), [64], "then they leave together");
    assert_eq!(rig.state('a').watermark(), LogIndex(first.0 + 63));
    assert_eq!(rig.commands('b').len(), 65);
    // Nobody answers: large ones fill what may wait, and a small one is told so at once.
    rig.cut_off.extend(['b', 'c']);
    let refused = (0..4).find_map(|_| {
        let now = rig.now('a');
        rig.nodes.get_mut(&'a').unwrap().state.propose(now, &large).err()
    });
    assert!(matches!(refused, Some(ProposeError::Busy { .. })), "{refused:?}");
    assert!(matches!(rig.propose('a', "small"), Err(ProposeError::Busy { .. })));
}

#[test]
fn w159_a_slow_follower_holds_up_no_write_and_gets_them_all() {
    let mut rig = Rig::led();
    rig.nodes.get_mut(&'c').unwrap().is_disk_slow = true;
    for n in 0..50 {
        let index = rig.write('a', &format!("value {n}"));
        assert_eq!(rig.state('a').watermark(), index, "committed in the same instant");
    }
    assert!(rig.state('c').synced() < rig.state('a').watermark());
    rig.sync_all('c');
    rig.nodes.get_mut(&'c').unwrap().is_disk_slow = false;
    rig.settle();
    assert_eq!(rig.commands('c'), rig.commands('a'));
}

#[test]
fn w152_a_coordinator_works_ahead_of_a_silent_member_as_far_as_its_window() {
    let config = Config { append_bytes_max: 300, window_bytes_max: 1_000, ..Rig::config() };
    let mut rig = Rig::with("abc", "", config);
    rig.elect('a');
    let before = said(&rig, 'a');
    rig.drops = Box::new(|rig, envelope| rig.name_of(&envelope.from) == Some('c'));
    propose_all(&mut rig, 'a', &commands(40, 100));
    rig.settle();
    let under_way = appends(&sent(&rig, ('a', 'c'), before));
    let bytes: usize = under_way.iter().flatten().map(LogEntry::len).sum();
    assert!(under_way.len() > 1 && bytes >= 1_000, "several messages without an answer");
    assert!(bytes < 1_000 + 300, "the window and the message that fills it");
    assert_eq!(rig.state('a').watermark(), rig.state('a').last().index, "b alone is enough");
    rig.drops = Box::new(|_, _| false);
    rig.run(500);
    assert_eq!(rig.commands('c'), rig.commands('a'), "the rest follows the answers");
}

#[test]
fn w160_what_a_follower_costs_on_the_wire_is_little_more_than_its_entries() {
    let mut rig = Rig::led();
    let (count, bytes) = (64, 1024);
    let before = (said(&rig, 'a'), said(&rig, 'b'));
    propose_all(&mut rig, 'a', &commands(count, bytes));
    rig.settle();
    assert_eq!(rig.state('b').watermark(), rig.state('a').last().index);
    let there = sent(&rig, ('a', 'b'), before.0);
    let back = sent(&rig, ('b', 'a'), before.1);
    let wire: usize = there.iter().chain(&back).map(|envelope| envelope.encode().len()).sum();
    let most = usize::from(count) * (bytes * 12 / 10 + 100);
    assert!(wire <= most, "{wire} bytes both ways, at most {most}");
}

#[test]
fn w113_w115_w117_a_member_that_lags_is_fed_in_order_within_a_heartbeat_without_any_writes() {
    let mut rig = Rig::led();
    rig.cut_off.insert('c');
    for n in 0..60 {
        rig.write('a', &format!("value {n} {}", "x".repeat(100)));
    }
    rig.run(1_000);
    rig.cut_off.clear();
    let (before, healed) = (said(&rig, 'a'), rig.millis);
    let is_fed = |rig: &Rig| !appends(&sent(rig, ('a', 'c'), before)).is_empty();
    while !is_fed(&rig) {
        rig.run(10);
        assert!(rig.millis - healed <= 110, "a heartbeat is 100 ms, a step 10 ms");
    }
    rig.run(200);
    assert_eq!(rig.commands('c'), rig.commands('a'));
    assert_eq!(rig.state('c').watermark(), rig.state('a').watermark());
    let order = rig.nodes[&'c'].outputs.iter().filter_map(|output| match output {
        Output::Committed { watermark } => Some(*watermark),
        _ => None,
    });
    assert!(order.is_sorted(), "what is told to be applied only goes forward");
}

#[test]
fn w68_a_restarted_member_wants_what_follows_its_log_its_own_proposals_included() {
    let mut rig = Rig::led();
    for n in 0..3 {
        rig.write('a', &format!("value {n}"));
    }
    let end = rig.state('a').last().index;
    rig.restart('a', Health::Whole);
    assert_eq!(rig.state('a').last().index, end);
    // It hears the next coordinator's beats, and none of its entries.
    rig.drops = Box::new(|rig, envelope| {
        rig.name_of(&envelope.to) == Some('a')
            && matches!(envelope.message, Message::ReplicateWrite(_))
    });
    rig.elect('b');
    let answers = sent(&rig, ('a', 'b'), 0).into_iter().filter_map(|envelope| {
        let Message::ReplicateAck(ack) = envelope.message else { return None };
        Some(ack.wants)
    });
    let wanted: Vec<_> = answers.collect();
    assert_eq!(wanted.first(), Some(&end.next()), "{wanted:?}");
}

#[test]
fn w55_a_restart_takes_the_place_of_the_earlier_run_within_a_heartbeat() {
    let mut rig = Rig::led();
    let earlier = sent(&rig, ('b', 'a'), 0).last().unwrap().clone();
    rig.restart('b', Health::Whole);
    rig.run(100);
    let before = rig.refused('a', RefusedReason::EarlierRun);
    rig.input('a', Input::Message(earlier.clone()));
    assert_eq!(rig.refused('a', RefusedReason::EarlierRun), before + 1);
    let later = sent(&rig, ('b', 'a'), 0).last().unwrap().run;
    assert!(later.incarnation > earlier.run.incarnation, "{later:?} {:?}", earlier.run);
}

#[test]
fn w63_a_silent_coordinator_is_noticed_within_a_heartbeat_of_the_timeout() {
    let config = Config::default();
    let timeout = u64::try_from(config.election_timeout.as_millis()).unwrap();
    let heartbeat = u64::try_from(config.heartbeat.as_millis()).unwrap();
    for offset in 0..10 {
        let mut rig = Rig::led();
        rig.run(10 * offset);
        rig.cut_off.insert('a');
        // The last sign of life was the last beat, at a multiple of the interval.
        let heard = rig.millis - rig.millis % heartbeat;
        let before = (said(&rig, 'b'), said(&rig, 'c'));
        let is_asking = |rig: &Rig, (name, to, before)| {
            let mut sent = sent(rig, (name, to), before).into_iter();
            sent.any(|envelope| matches!(envelope.message, Message::PreVote { .. }))
        };
        let (b, c) = (('b', 'c', before.0), ('c', 'b', before.1));
        while !is_asking(&rig, b) && !is_asking(&rig, c) {
            rig.run(10);
        }
        let silence = rig.millis - heard;
        assert!((timeout..=timeout + heartbeat).contains(&silence), "{silence} ms");
    }
}

#[test]
fn w61_an_unhealthy_member_is_not_chosen_while_a_healthy_one_can_be() {
    for sick in ['b', 'c'] {
        let mut rig = Rig::led();
        for of in ['b', 'c'] {
            // It runs for longest, which would make it the first.
            let started = weald_core::Time::from_millis(if of == sick { 1 } else { 1_000_000 });
            let standing = Standing { started, is_healthy: of != sick };
            for name in ['a', 'b', 'c'].into_iter().filter(|name| *name != of) {
                rig.input(name, Input::Standing(member(of), standing));
            }
        }
        rig.input(sick, Input::Health { is_healthy: false });
        rig.run(200);
        rig.cut_off.insert('a');
        rig.run(2_000);
        assert_eq!(rig.leader(), Some(if sick == 'b' { 'c' } else { 'b' }));
    }
}
