//! Frames against what was put into them, with losses.

use std::collections::BTreeSet;

use proptest::prelude::*;
use weald_core::{Epoch, LogIndex, PeerId, StoreId};

use super::*;
use crate::{
    configuration::{ConfigurationId, Member},
    replica::{Heartbeat, ReplicateAck, Run},
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
        contact_millis: round % 7,
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

/// Without the age of the contact, which frames of idle partitions round up.
fn timeless(mut messages: Vec<Envelope>) -> BTreeSet<Vec<u8>> {
    for message in &mut messages {
        if let Message::Heartbeat(heartbeat) = &mut message.message {
            heartbeat.contact_millis = 0;
        }
    }
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
    let first = send(&mut outbox, &beat(1));
    assert_eq!(first.full_count(), 500);
    assert_eq!(timeless(inbox.open(first).unwrap()), timeless(beat(1)));
    let second = send(&mut outbox, &beat(2));
    assert!(second.full_count() == 0 && second.encode().len() < 64, "{}", second.encode().len());
    assert_eq!(timeless(inbox.open(second).unwrap()), timeless(beat(2)));
}

#[test]
fn an_active_partition_is_listed_and_the_others_are_not() {
    let (mut outbox, mut inbox) = (Outbox::default(), Inbox::default());
    let beat = |last: u64, round: u64| vec![heartbeat(1, 9, round), heartbeat(2, last, round)];
    inbox.open(send(&mut outbox, &beat(9, 1))).unwrap();
    let frame = send(&mut outbox, &beat(10, 2));
    assert_eq!(frame.full_count(), 1);
    assert_eq!(timeless(inbox.open(frame).unwrap()), timeless(beat(10, 2)));
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
fn more_partitions_than_a_node_has_are_refused() {
    let (mut outbox, mut inbox) = (Outbox::default(), Inbox::default());
    let many: Vec<_> = (0..=4096).map(|partition| heartbeat(partition, 1, 1)).collect();
    let frame = outbox.frame((Time::ZERO, true), many);
    assert_eq!(inbox.open(frame), Err(FrameError::TooMany));
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
                Ok(opened) => prop_assert_eq!(timeless(opened), timeless(sent)),
                Err(FrameError::Unknown) => outbox.forget(),
                Err(other) => prop_assert!(false, "{other}"),
            }
        }
    }
}
