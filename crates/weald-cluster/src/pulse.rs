//! One heartbeat for each pair of peers, whatever the number of partitions between them.
//!
//! The replicas of a node beat together, so what they say to one peer at one moment is gathered in a
//! [`Frame`]: coordinators' heartbeats one way, members' answers the other. Of an idle partition only
//! the round and the age of the quorum contact differ from beat to beat; such partitions are not
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
    idle: Option<Idle>,
}

/// Stands for the messages of all idle partitions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
struct Idle {
    digest: Digest,
    /// The oldest quorum contact of any of them, ms.
    contact_millis: u64,
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
    digest: Digest,
    round: u64,
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
        let (mut full, mut idle, mut contact_millis) = (Vec::new(), false, 0);
        for message in messages {
            let now = Remembered::new(&message, self.beat);
            let known = before.remove(&message.partition).filter(|known| known.goes_on_as(&now));
            match known {
                Some(known) => {
                    contact_millis = contact_millis.max(contact_of(&message));
                    idle = true;
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
        let idle = idle.then_some(Idle { digest, contact_millis });
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
        let expected = frame.idle.map(|idle| idle.digest);
        let found = (!idle.is_empty()).then(|| digest_of(idle.iter()));
        if found != expected {
            return Err(FrameError::Unknown);
        }
        let contact = frame.idle.map_or(0, |idle| idle.contact_millis);
        let mut messages = frame.full;
        messages.extend(idle.values().map(|known| known.at(frame.beat, contact)));
        self.received.append(&mut idle);
        Ok(messages)
    }
}

impl Remembered {
    fn new(message: &Envelope, beat: u64) -> Self {
        let mut envelope = message.clone();
        let round = round_of(&mut envelope.message).map_or(0, std::mem::take);
        if let Message::Heartbeat(heartbeat) = &mut envelope.message {
            heartbeat.contact_millis = 0;
        }
        let digest = Digest::of("weald beat", &[&envelope.encode()]);
        Self { envelope, digest, round, beat }
    }

    /// Whether `now` is this message some beats later, with nothing new in it.
    fn goes_on_as(&self, now: &Self) -> bool {
        self.digest == now.digest && now.round == self.round + (now.beat - self.beat)
    }

    /// This message some beats later.
    fn at(&self, beat: u64, contact_millis: u64) -> Envelope {
        let mut envelope = self.envelope.clone();
        if let Some(round) = round_of(&mut envelope.message) {
            *round = self.round + (beat - self.beat);
        }
        if let Message::Heartbeat(heartbeat) = &mut envelope.message {
            heartbeat.contact_millis = contact_millis;
        }
        envelope
    }
}

fn digest_of<'a>(idle: impl Iterator<Item = (&'a PartitionId, &'a Remembered)>) -> Digest {
    let mut builder = DigestBuilder::new("weald idle beats");
    for (partition, known) in idle {
        builder.number(u64::from(partition.0)).part(known.digest.as_bytes());
        builder.number(known.round.wrapping_sub(known.beat));
    }
    builder.finish()
}

fn round_of(message: &mut Message) -> Option<&mut u64> {
    match message {
        Message::Heartbeat(heartbeat) => Some(&mut heartbeat.round),
        Message::ReplicateAck(ack) => Some(&mut ack.round),
        _ => None,
    }
}

fn contact_of(message: &Envelope) -> u64 {
    match &message.message {
        Message::Heartbeat(heartbeat) => heartbeat.contact_millis,
        _ => 0,
    }
}
