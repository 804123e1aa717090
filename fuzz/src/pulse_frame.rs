//! Frames of heartbeats from a peer, in any order, and frames of our own that hold what it said.

use weald_cluster::{
    pulse::{Frame, Inbox, Outbox, PARTITIONS_MAX},
    replica::Envelope,
};
use weald_core::Time;

use crate::script::Script;

/// Reads frames and envelopes and opens the frames in one inbox.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let (mut inbox, mut outbox, mut heard) =
        (Inbox::default(), Outbox::default(), Inbox::default());
    let mut said: Vec<Envelope> = Vec::new();
    while !script.is_finished() {
        let choice = script.below(3);
        let bytes = script.bytes(4096);
        match choice {
            0 => said.extend(Envelope::decode(bytes).ok()),
            1 => {
                let frame = outbox.frame((Time::ZERO, true), said.clone());
                let frame = Frame::decode(&frame.encode()).expect("what was encoded decodes");
                assert_opens(&mut heard, frame, &mut said);
            }
            _ => {
                if let Ok(frame) = Frame::decode(bytes) {
                    let opened = inbox.open(frame.clone()).unwrap_or_default();
                    assert!(opened.len() <= PARTITIONS_MAX + frame.full_count());
                }
            }
        }
    }
}

/// A frame of our own opens to what was said, one message for each partition.
fn assert_opens(heard: &mut Inbox, frame: Frame, said: &mut Vec<Envelope>) {
    let opened = heard.open(frame).expect("no frame was lost");
    let mut expected: Vec<_> = said.iter().map(Envelope::encode).collect();
    let mut opened: Vec<_> = opened.iter().map(Envelope::encode).collect();
    expected.sort();
    opened.sort();
    let mut partitions: Vec<_> = said.iter().map(|envelope| envelope.partition).collect();
    partitions.sort();
    let count = partitions.len();
    partitions.dedup();
    if partitions.len() == count {
        assert_eq!(opened, expected);
    } else {
        said.clear();
    }
}
