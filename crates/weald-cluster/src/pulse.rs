//! One heartbeat for each pair of peers, whatever the number of partitions between them.
//!
//! The replicas of a node beat together, so what they say to one peer at one moment is gathered in a
//! [`Frame`]: coordinators' heartbeats one way, members' answers the other. Of an idle partition only
//! the rounds differ from beat to beat, and by as much as the beats do; such partitions are not
//! listed but stand under one digest, and the receiver puts their messages together again from what
//! it remembers. A receiver that remembers something else says so and gets everything in full.
//!
//! An [`Outbox`] and an [`Inbox`] belong to one connection to one peer, and begin anew with it.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weald_core::{
    Digest, DigestBuilder, PartitionId, Time,
    codec::{self, CodecError},
};

use crate::{
    kinds,
    replica::{Envelope, Message},
};

#[cfg(test)]
mod tests;

/// Partitions whose messages an inbox remembers, at most; a frame that would make it more is refused.
pub const PARTITIONS_MAX: usize = 4096;

/// What a node says to a peer at one beat.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Frame {
    /// When the sender's run began, by its own clock; an order of preference among campaigners
    /// (rule C2).
    pub started: Time,
    /// Whether the sender can coordinate (rule C9).
    pub is_healthy: bool,
    /// Counts the frames of a connection.
    beat: u64,
    /// Messages that differ from the ones before in more than the round.
    full: Vec<Envelope>,
    /// Partitions of which nothing is said any more.
    gone: Vec<PartitionId>,
    /// All others that were listed before, if there are any.
    /// They stand under one digest.
    idle: Option<Digest>,
}

/// Why a frame was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A frame is missing, so the idle partitions are not known: ask for everything in full. The
    /// messages that were listed are lost with it, as messages may be.
    #[error("the idle partitions are not those that are remembered")]
    Unknown,
    /// It came after a later one.
    #[error("a frame came after a later one: beat={beat}")]
    Late {
        /// Its place.
        beat: u64,
    },
    /// More partitions than a node has.
    #[error("too many partitions: max={PARTITIONS_MAX}")]
    TooMany,
}

/// A message as it was last sent in full.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Remembered {
    envelope: Envelope,
    /// The digest of the message without its rounds.
    digest: Digest,
    rounds: [Option<u64>; 2],
    beat: u64,
}

/// The sender's side of a connection.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Outbox {
    beat: u64,
    sent: BTreeMap<PartitionId, Remembered>,
}

/// The receiver's side of a connection.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Inbox {
    beat: u64,
    received: BTreeMap<PartitionId, Remembered>,
}

impl Frame {
    /// The bytes that are sent.
    pub fn encode(&self) -> Bytes {
        codec::encode(kinds::FRAME, self)
    }

    /// Reads what was sent.
    ///
    /// # Errors
    /// When the bytes are no frame.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(kinds::FRAME, bytes)
    }

    /// How many messages are listed.
    pub fn full_count(&self) -> usize {
        self.full.len()
    }
}

impl Outbox {
    /// The frame of one beat: one message for each partition that has something to say to the peer.
    pub fn frame(&mut self, standing: (Time, bool), messages: Vec<Envelope>) -> Frame {
        let (started, is_healthy) = standing;
        self.beat += 1;
        let mut before = std::mem::take(&mut self.sent);
        let (mut full, mut has_idle) = (Vec::new(), false);
        for message in messages {
            let now = Remembered::new(&message, self.beat);
            let known = before.remove(&message.partition).filter(|known| known.goes_on_as(&now));
            match known {
                Some(known) => {
                    has_idle = true;
                    self.sent.insert(message.partition, known);
                }
                None => {
                    self.sent.insert(message.partition, now);
                    full.push(message);
                }
            }
        }
        let is_listed = |partition: &PartitionId| full.iter().any(|m| m.partition == *partition);
        let digest = digest_of(self.sent.iter().filter(|(partition, _)| !is_listed(partition)));
        let idle = has_idle.then_some(digest);
        let gone = before.into_keys().filter(|gone| !self.sent.contains_key(gone)).collect();
        Frame { started, is_healthy, beat: self.beat, full, gone, idle }
    }

    /// The peer does not remember what this side does: the next frame lists everything.
    pub fn forget(&mut self) {
        self.sent.clear();
    }
}

impl Inbox {
    /// The messages of a frame, listed ones first.
    ///
    /// # Errors
    /// [`FrameError`]; after [`FrameError::Unknown`] the sender is to be told.
    pub fn open(&mut self, frame: Frame) -> Result<Vec<Envelope>, FrameError> {
        if frame.beat <= self.beat {
            return Err(FrameError::Late { beat: frame.beat });
        }
        self.beat = frame.beat;
        for gone in &frame.gone {
            self.received.remove(gone);
        }
        let mut idle = std::mem::take(&mut self.received);
        for message in &frame.full {
            idle.remove(&message.partition);
            self.received.insert(message.partition, Remembered::new(message, frame.beat));
        }
        if self.received.len() + idle.len() > PARTITIONS_MAX {
            self.received.clear();
            return Err(FrameError::TooMany);
        }
        let found = (!idle.is_empty()).then(|| digest_of(idle.iter()));
        if found != frame.idle {
            return Err(FrameError::Unknown);
        }
        let mut messages = frame.full;
        messages.extend(idle.values().map(|known| known.at(frame.beat)));
        self.received.append(&mut idle);
        Ok(messages)
    }
}

impl Remembered {
    fn new(message: &Envelope, beat: u64) -> Self {
        let mut envelope = message.clone();
        let rounds = rounds_of(&mut envelope.message).map(|round| round.map(std::mem::take));
        let digest = Digest::of("weald beat", &[&envelope.encode()]);
        Self { envelope, digest, rounds, beat }
    }

    /// Whether `now` is this message some beats later, with nothing new in it.
    fn goes_on_as(&self, now: &Self) -> bool {
        self.digest == now.digest && now.rounds == self.rounds_at(now.beat)
    }

    /// This message some beats later.
    fn at(&self, beat: u64) -> Envelope {
        let mut envelope = self.envelope.clone();
        for (round, then) in rounds_of(&mut envelope.message).into_iter().zip(self.rounds_at(beat))
        {
            if let (Some(round), Some(then)) = (round, then) {
                *round = then;
            }
        }
        envelope
    }

    /// The rounds rise with the beats. A peer may name any.
    fn rounds_at(&self, beat: u64) -> [Option<u64>; 2] {
        let beats = beat.wrapping_sub(self.beat);
        self.rounds.map(|round| round.map(|round| round.wrapping_add(beats)))
    }
}

fn digest_of<'a>(idle: impl Iterator<Item = (&'a PartitionId, &'a Remembered)>) -> Digest {
    let mut builder = DigestBuilder::new("weald idle beats");
    for (partition, known) in idle {
        builder.number(u64::from(partition.0)).part(known.digest.as_bytes());
        for round in known.rounds {
            builder.number(round.unwrap_or_default().wrapping_sub(known.beat));
        }
    }
    builder.finish()
}

/// What rises by one with each beat: the round, and the round that the receiver has answered.
fn rounds_of(message: &mut Message) -> [Option<&mut u64>; 2] {
    match message {
        Message::Heartbeat(heartbeat) => {
            [Some(&mut heartbeat.round), heartbeat.heard.as_mut().map(|heard| &mut heard.round)]
        }
        Message::ReplicateAck(ack) => [Some(&mut ack.round), None],
        _ => [None, None],
    }
}
