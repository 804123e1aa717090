//! Messages: signed, named by what they are, fixed before the first attempt to publish them.

mod large;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weald_core::{
    Digest, PeerId, Time,
    codec::{self, CodecError},
    identity::{Claim, KeyError, KeyStore, PublicKey, Signature},
};

pub use large::LargeMessage;
pub(crate) use large::chunk_count;

use crate::{Incarnation, MessageId, PublisherSequence, TopicAddress, kind};

const SIGNED_AS: &str = "weald message";
const SKIP_SIGNED_AS: &str = "weald skip";

/// A message as its publisher signed it. The topic and the network are not in it: whoever holds
/// one knows where it got it, and the id covers both.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Message {
    /// Who published it.
    pub publisher: PublicKey,
    /// The publisher's run.
    pub incarnation: Incarnation,
    /// The publisher's count.
    pub sequence: PublisherSequence,
    /// When it was published, as the publisher believes; shown, never decided by.
    pub published_at: Time,
    /// From when on it is not delivered any more, log time.
    pub expires_at: Time,
    /// The number that proves work, where the policy asks for some; not part of the id.
    pub work: u64,
    /// The publisher's signature over the id and `published_at`.
    pub signature: Signature,
    /// The content, which the application may have encrypted.
    pub body: Bytes,
}

/// What a publisher says; the rest of a message follows from it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Draft {
    /// The publisher's run.
    pub incarnation: Incarnation,
    /// The publisher's count.
    pub sequence: PublisherSequence,
    /// When it is published.
    pub published_at: Time,
    /// From when on it is not delivered any more.
    pub expires_at: Time,
    /// The content.
    pub body: Bytes,
}

impl Message {
    /// Signs `draft` for the topic at `address`.
    ///
    /// # Errors
    /// [`KeyError`] when the store cannot sign.
    pub fn sign(
        address: &TopicAddress,
        draft: Draft,
        keys: &dyn KeyStore,
    ) -> Result<Self, KeyError> {
        let Draft { incarnation, sequence, published_at, expires_at, body } = draft;
        let publisher = keys.public();
        let source = Source { publisher: publisher.peer_id(), incarnation, sequence };
        let id = message_id(address, &source, expires_at, body_digest(&body));
        let signature = keys.sign(SIGNED_AS, &signed_bytes(&id, published_at))?;
        let work = 0;
        Ok(Self {
            publisher,
            incarnation,
            sequence,
            published_at,
            expires_at,
            work,
            signature,
            body,
        })
    }

    /// Finds the work that a policy asks for: a number after which the digest begins with `bits`
    /// zeros. Takes about `2^bits` digests.
    #[must_use]
    pub fn with_work(mut self, address: &TopicAddress, bits: u8) -> Self {
        let id = self.id(address);
        while work_bits(&id, self.work) < u32::from(bits) {
            self.work = self.work.wrapping_add(1);
        }
        self
    }

    /// The id: a digest of network, topic, publisher, incarnation, sequence, body and expiry.
    pub fn id(&self, address: &TopicAddress) -> MessageId {
        message_id(address, &self.source(), self.expires_at, body_digest(&self.body))
    }

    /// Who published it, and as which of its messages.
    pub fn source(&self) -> Source {
        Source {
            publisher: self.publisher.peer_id(),
            incarnation: self.incarnation,
            sequence: self.sequence,
        }
    }

    /// Whether the publisher signed it for the topic at `address`. About 50 us of processor time.
    pub fn verify(&self, address: &TopicAddress) -> bool {
        self.claim(address).holds()
    }

    /// What [`Message::verify`] checks, to be checked together with other messages.
    pub fn claim(&self, address: &TopicAddress) -> Claim {
        let bytes = signed_bytes(&self.id(address), self.published_at);
        Claim::new(self.publisher, SIGNED_AS, &bytes, self.signature)
    }

    /// The bits of work done for it: one digest.
    pub fn work_bits(&self, address: &TopicAddress) -> u32 {
        work_bits(&self.id(address), self.work)
    }

    /// The bytes that are stored and sent.
    pub fn encode(&self) -> Bytes {
        codec::encode(kind::MESSAGE, self)
    }

    /// Reads what [`Message::encode`] made.
    ///
    /// # Errors
    /// When the bytes are something else.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(kind::MESSAGE, bytes)
    }
}

/// Which message of which publisher. Ordered by publisher, incarnation, sequence.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Source {
    /// The publisher.
    pub publisher: PeerId,
    /// Its run.
    pub incarnation: Incarnation,
    /// Its count.
    pub sequence: PublisherSequence,
}

/// Passes over a sequence whose message will never come: it expired unsent, was refused for good, or
/// was committed through another gateway. Takes no position.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Skip {
    /// Whose sequence it is.
    pub publisher: PublicKey,
    /// The publisher's run.
    pub incarnation: Incarnation,
    /// The sequence that is passed over.
    pub sequence: PublisherSequence,
    /// The publisher's signature.
    pub signature: Signature,
}

impl Skip {
    /// Signs a skip of `sequence` for the topic at `address`.
    ///
    /// # Errors
    /// [`KeyError`] when the store cannot sign.
    pub fn sign(
        address: &TopicAddress,
        (incarnation, sequence): (Incarnation, PublisherSequence),
        keys: &dyn KeyStore,
    ) -> Result<Self, KeyError> {
        let publisher = keys.public();
        let source = Source { publisher: publisher.peer_id(), incarnation, sequence };
        let signature = keys.sign(SKIP_SIGNED_AS, &skip_bytes(address, &source))?;
        Ok(Self { publisher, incarnation, sequence, signature })
    }

    /// Which message never comes.
    pub fn source(&self) -> Source {
        Source {
            publisher: self.publisher.peer_id(),
            incarnation: self.incarnation,
            sequence: self.sequence,
        }
    }

    /// Whether the publisher signed it for the topic at `address`.
    pub fn verify(&self, address: &TopicAddress) -> bool {
        let bytes = skip_bytes(address, &self.source());
        self.publisher.verify(SKIP_SIGNED_AS, &bytes, &self.signature)
    }
}

fn body_digest(body: &[u8]) -> Digest {
    Digest::of("weald body", &[body])
}

fn message_id(
    address: &TopicAddress,
    source: &Source,
    expires_at: Time,
    body: Digest,
) -> MessageId {
    let covered = (address, source, expires_at, body);
    MessageId(Digest::of("weald message id", &[&codec::encode(kind::SIGNED, &covered)]))
}

fn signed_bytes(id: &MessageId, published_at: Time) -> Bytes {
    codec::encode(kind::SIGNED, &(id, published_at))
}

fn skip_bytes(address: &TopicAddress, source: &Source) -> Bytes {
    codec::encode(kind::SIGNED, &(address, source))
}

fn work_bits(id: &MessageId, work: u64) -> u32 {
    let digest = Digest::of("weald work", &[id.digest().as_bytes(), &work.to_le_bytes()]);
    u64::from_be_bytes(digest.prefix()).leading_zeros()
}

#[cfg(test)]
mod tests;
