//! Frames against what was put into them, with losses.

use std::collections::BTreeSet;

use proptest::prelude::*;
use weald_core::{Epoch, LogIndex, PeerId, StoreId};

use super::*;
use crate::{
    configuration::{ConfigurationId, Member},
    replica::{Heard, Heartbeat, ReplicateAck, Run},
};

fn member(n: u8) -> Member {
    let peer = PeerId::from_digest(Digest::from_bytes([n; 32]));
    Member { peer, store: StoreId([n; 16]), life: 1 }
}

fn envelope(partition: u32, message: Message) -> Envelope {
    Envelope {
        partition: PartitionId(partition),
        generation: 0,
        from: member(1),
        run: Run::default(),
        to: member(2),
        configuration: ConfigurationId(0),
        message,
    }
}

fn heartbeat(partition: u32, last: u64, round: u64) -> Envelope {
    let heartbeat = Heartbeat {
        epoch: Epoch { number: 1, campaigner: Some(member(1).peer) },
        last: LogIndex(last),
        watermark: LogIndex(last),
        round,
        heard: round.checked_sub(2).map(|round| Heard { run: Run::default(), round }),
        effect: None,
        settled: None,
    };
    envelope(partition, Message::Heartbeat(heartbeat))
}

fn answer(partition: u32, matched: u64, round: u64) -> Envelope {
    let ack = ReplicateAck {
        epoch: Epoch { number: 1, campaigner: Some(member(2).peer) },
        matched: LogIndex(matched),
        wants: LogIndex(matched + 1),
        round,
        refusal: None,
        effect: None,
    };
    envelope(partition, Message::ReplicateAck(ack))
}

/// In an order that does not matter.
fn unordered(messages: Vec<Envelope>) -> BTreeSet<Vec<u8>> {
    messages.into_iter().map(|message| message.encode().to_vec()).collect()
}

fn send(outbox: &mut Outbox, messages: &[Envelope]) -> Frame {
    let frame = outbox.frame((Time::ZERO, true), messages.to_vec());
    Frame::decode(&frame.encode()).unwrap()
}

#[test]
fn idle_partitions_stand_under_one_digest() {
    let (mut outbox, mut inbox) = (Outbox::default(), Inbox::default());
    let beat = |round: u64| -> Vec<Envelope> {
        (0..500)
            .map(|p| if p % 2 == 0 { heartbeat(p, 9, round) } else { answer(p, 9, round) })
            .collect()
    };
    let first = send(&mut outbox, &beat(2));
    assert_eq!(first.full_count(), 500);
    assert_eq!(unordered(inbox.open(first).unwrap()), unordered(beat(2)));
    let second = send(&mut outbox, &beat(3));
    assert!(second.full_count() == 0 && second.encode().len() < 64, "{}", second.encode().len());
    assert_eq!(unordered(inbox.open(second).unwrap()), unordered(beat(3)));
}

#[test]
fn an_active_partition_is_listed_and_the_others_are_not() {
    let (mut outbox, mut inbox) = (Outbox::default(), Inbox::default());
    let beat = |last: u64, round: u64| vec![heartbeat(1, 9, round), heartbeat(2, last, round)];
    inbox.open(send(&mut outbox, &beat(9, 2))).unwrap();
    let frame = send(&mut outbox, &beat(10, 3));
    assert_eq!(frame.full_count(), 1);
    assert_eq!(unordered(inbox.open(frame).unwrap()), unordered(beat(10, 3)));
}

#[test]
fn a_lost_frame_is_noticed_and_everything_comes_again() {
    let (mut outbox, mut inbox) = (Outbox::default(), Inbox::default());
    inbox.open(send(&mut outbox, &[heartbeat(1, 9, 1)])).unwrap();
    let lost = send(&mut outbox, &[heartbeat(1, 10, 2)]);
    let after = send(&mut outbox, &[heartbeat(1, 10, 3)]);
    assert_eq!(inbox.open(after), Err(FrameError::Unknown));
    assert_eq!(inbox.open(lost), Err(FrameError::Late { beat: 2 }));
    outbox.forget();
    let again = send(&mut outbox, &[heartbeat(1, 10, 4)]);
    assert_eq!(inbox.open(again).unwrap(), [heartbeat(1, 10, 4)]);
}

#[test]
fn a_round_that_was_begun_for_a_read_is_not_idle() {
    let (mut outbox, mut inbox) = (Outbox::default(), Inbox::default());
    inbox.open(send(&mut outbox, &[heartbeat(1, 9, 1)])).unwrap();
    let frame = send(&mut outbox, &[heartbeat(1, 9, 5)]);
    assert_eq!(inbox.open(frame).unwrap(), [heartbeat(1, 9, 5)]);
}

#[test]
fn an_answer_that_the_coordinator_has_not_heard_is_not_idle() {
    let (mut outbox, mut inbox) = (Outbox::default(), Inbox::default());
    inbox.open(send(&mut outbox, &[heartbeat(1, 9, 4)])).unwrap();
    let mut late = heartbeat(1, 9, 5);
    if let Message::Heartbeat(heartbeat) = &mut late.message {
        heartbeat.heard = Some(Heard { run: Run::default(), round: 2 });
    }
    let frame = send(&mut outbox, std::slice::from_ref(&late));
    assert_eq!(frame.full_count(), 1);
    assert_eq!(inbox.open(frame).unwrap(), [late]);
}

#[test]
fn rounds_at_the_end_of_their_range_are_survived() {
    let (mut outbox, mut inbox) = (Outbox::default(), Inbox::default());
    inbox.open(send(&mut outbox, &[heartbeat(1, 9, u64::MAX)])).unwrap();
    let frame = send(&mut outbox, &[heartbeat(1, 9, 0)]);
    assert!(inbox.open(frame).is_ok());
}

#[test]
fn more_partitions_than_a_node_has_are_refused() {
    let (mut outbox, mut inbox) = (Outbox::default(), Inbox::default());
    let many: Vec<_> = (0..=4096).map(|partition| heartbeat(partition, 1, 1)).collect();
    let frame = outbox.frame((Time::ZERO, true), many);
    assert_eq!(inbox.open(frame), Err(FrameError::TooMany));
}

#[test]
fn w54_a_beat_tells_since_when_its_node_runs_and_whether_it_is_well() {
    let mut outbox = Outbox::default();
    for (started, is_healthy) in [(0, true), (1_700_000_000_000, false), (u64::MAX / 1_000, true)] {
        let started = weald_core::Time::from_millis(started);
        let frame = outbox.frame((started, is_healthy), Vec::new());
        let told = Frame::decode(&frame.encode()).unwrap();
        assert_eq!((told.started, told.is_healthy), (started, is_healthy));
    }
}

proptest! {
    /// Whatever is lost, what is opened is what was sent.
    #[test]
    fn a_frame_that_opens_says_what_was_sent(
        beats in prop::collection::vec(
            (prop::collection::btree_map(0..6u32, 0..3u64, 0..6), any::<bool>()), 1..40,
        ),
    ) {
        let (mut outbox, mut inbox) = (Outbox::default(), Inbox::default());
        for (round, (partitions, is_lost)) in beats.into_iter().enumerate() {
            let round = round as u64;
            let sent: Vec<_> =
                partitions.iter().map(|(partition, last)| heartbeat(*partition, *last, round)).collect();
            let frame = send(&mut outbox, &sent);
            if is_lost {
                continue;
            }
            match inbox.open(frame) {
                Ok(opened) => prop_assert_eq!(unordered(opened), unordered(sent)),
                Err(FrameError::Unknown) => outbox.forget(),
                Err(other) => prop_assert!(false, "{other}"),
            }
        }
    }
}
