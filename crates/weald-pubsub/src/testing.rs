//! Values for tests.

use bytes::Bytes;
use weald_core::{Digest, PeerId, SeededEntropy, Time, identity::Identity};

use crate::{
    Bucket, Draft, Incarnation, Lease, Message, MessageEntry, MessageId, PublisherSequence, Source,
    Standing, SubscriberId, TopicAddress, TopicId, TopicPosition, TopicVersion,
};

pub(crate) fn identity(seed: u64) -> Identity {
    Identity::generate(&mut SeededEntropy::new(seed))
}

pub(crate) fn address() -> TopicAddress {
    TopicAddress { network: Digest::of("network", &[]), topic: TopicId::of("chat") }
}

pub(crate) fn at(seconds: u64) -> Time {
    Time::from_millis(seconds * 1000)
}

pub(crate) fn peer(n: u64) -> PeerId {
    PeerId::from_digest(Digest::of("peer", &[&n.to_le_bytes()]))
}

pub(crate) fn draft(sequence: u64, body: impl Into<Bytes>) -> Draft {
    Draft {
        incarnation: Incarnation(1),
        sequence: PublisherSequence(sequence),
        published_at: at(1),
        expires_at: at(100_000),
        body: body.into(),
    }
}

pub(crate) fn message(keys: &Identity, sequence: u64, body: &'static str) -> Message {
    Message::sign(&address(), draft(sequence, body), keys).unwrap()
}

/// The entry of a message that nobody wrote.
pub(crate) fn entry(position: u64, publisher: u64, expires_at: Time) -> MessageEntry {
    MessageEntry {
        position: TopicPosition(position),
        id: MessageId(Digest::of("id", &[&position.to_le_bytes(), &publisher.to_le_bytes()])),
        source: Source {
            publisher: peer(publisher),
            incarnation: Incarnation(1),
            sequence: PublisherSequence(position),
        },
        expires_at,
        bytes: 100,
    }
}

pub(crate) fn subscriber(n: u64) -> SubscriberId {
    SubscriberId { peer: peer(n), stream: 1 }
}

pub(crate) fn lease(n: u64, version: u64, expires_at: Time) -> Lease {
    Lease {
        id: subscriber(n),
        version: TopicVersion(version),
        subscribed_at: at(1),
        expires_at,
        nonce: 1,
        last_seen: TopicPosition::ZERO,
        standing: Standing::Live,
        renewals: Bucket::default(),
    }
}

/// A digest of bytes, as golden vectors of a format state it.
pub(crate) fn golden(bytes: &[u8]) -> String {
    Digest::of("golden", &[bytes]).to_string()[..16].to_owned()
}
