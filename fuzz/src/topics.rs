//! What the targets of topics share: who publishes and subscribes, and messages of theirs.

use std::sync::LazyLock;

use bytes::Bytes;
use weald_core::identity::Identity;
use weald_core::{Digest, PeerId, SeededEntropy, Time, identity::KeyStore};
use weald_pubsub::{Draft, Incarnation, Message, PublisherSequence, TopicAddress, TopicId};

/// Who takes part. The first owns the topic.
pub(crate) static PEOPLE: LazyLock<[Identity; 3]> =
    LazyLock::new(|| [1, 2, 3].map(|seed| Identity::generate(&mut SeededEntropy::new(seed))));

/// Where the topic lives.
pub(crate) fn address() -> TopicAddress {
    TopicAddress { network: Digest::of("network", &[]), topic: TopicId::of("fuzz") }
}

/// The peers' ids.
pub(crate) fn peer(nth: usize) -> PeerId {
    PEOPLE[nth % PEOPLE.len()].public().peer_id()
}

/// A message whose body is of two chunks.
pub(crate) static LARGE: LazyLock<Message> = LazyLock::new(|| {
    let lasts = (Time::from_millis(1), Time::MAX);
    let body = vec![7; weald_pubsub::limits::BODY_CHUNK_BYTES + 1];
    message(&PEOPLE[2], (1, 1), lasts, body.into())
});

/// The message of `keys` at a place in one of its runs.
pub(crate) fn message(
    keys: &Identity,
    (incarnation, sequence): (u64, u64),
    (published_at, expires_at): (Time, Time),
    body: Bytes,
) -> Message {
    let draft = Draft {
        incarnation: Incarnation(incarnation),
        sequence: PublisherSequence(sequence),
        published_at,
        expires_at,
        body,
    };
    Message::sign(&address(), draft, keys).expect("a key in memory signs")
}
