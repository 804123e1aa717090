//! Messages with large bodies: everything of them but the body, which is kept and fetched in chunks.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use weald_core::{
    Digest, Time,
    codec::{self, CodecError},
    identity::{PublicKey, Signature},
};

use super::{Message, Source, body_digest, message_id};
use crate::{
    Incarnation, MessageId, PublisherSequence, TopicAddress, kind,
    limits::{BODY_BYTES_MAX, BODY_CHUNK_BYTES},
};

/// A message without its body, of which it says length and digest: the id follows from these, and
/// whoever has the body checks it by them. Made of messages whose bodies have more than
/// [`BODY_CHUNK_BYTES`].
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct LargeMessage {
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
    /// Bytes of the body.
    pub body_bytes: u32,
    /// The digest of the body, which the id covers.
    pub body_digest: Digest,
}

impl LargeMessage {
    /// What is kept of `message` beside its chunks; `None` when its body is kept with it.
    pub fn of(message: &Message) -> Option<Self> {
        let body_bytes = u32::try_from(message.body.len()).unwrap_or(u32::MAX);
        (chunk_count(body_bytes) > 0).then(|| Self {
            publisher: message.publisher,
            incarnation: message.incarnation,
            sequence: message.sequence,
            published_at: message.published_at,
            expires_at: message.expires_at,
            work: message.work,
            signature: message.signature,
            body_bytes,
            body_digest: body_digest(&message.body),
        })
    }

    /// The id, as [`Message::id`] has it.
    pub fn id(&self, address: &TopicAddress) -> MessageId {
        message_id(address, &self.source(), self.expires_at, self.body_digest)
    }

    /// Who published it, and as which of its messages.
    pub fn source(&self) -> Source {
        Source {
            publisher: self.publisher.peer_id(),
            incarnation: self.incarnation,
            sequence: self.sequence,
        }
    }

    /// Whether there may be such a message: what a peer says is believed no further.
    pub fn is_sound(&self) -> bool {
        let bytes = usize::try_from(self.body_bytes).unwrap_or(usize::MAX);
        (BODY_CHUNK_BYTES + 1..=BODY_BYTES_MAX).contains(&bytes)
    }

    /// Chunks of the body.
    pub const fn chunk_count(&self) -> u32 {
        chunk_count(self.body_bytes)
    }

    /// Bytes of the `nth` chunk; none behind the last.
    pub fn chunk_bytes(&self, nth: u32) -> usize {
        let from = (nth as usize).saturating_mul(BODY_CHUNK_BYTES);
        (self.body_bytes as usize).saturating_sub(from).min(BODY_CHUNK_BYTES)
    }

    /// Whether `chunks` have the lengths of those in `range`, which is of this body.
    pub(crate) fn fits(&self, chunks: &[Bytes], range: Range<u32>) -> bool {
        let is_of_it = range.end <= self.chunk_count() && chunks.len() == range.len();
        is_of_it && range.zip(chunks).all(|(nth, chunk)| chunk.len() == self.chunk_bytes(nth))
    }

    /// The message whole, where `chunks` are its body.
    pub fn with_body(&self, chunks: &[Bytes]) -> Option<Message> {
        let message = self.joined(chunks);
        (body_digest(&message.body) == self.body_digest).then_some(message)
    }

    /// The message with a body of `chunks`, which are believed.
    pub(crate) fn joined(&self, chunks: &[Bytes]) -> Message {
        let mut body = BytesMut::with_capacity(chunks.iter().map(Bytes::len).sum());
        chunks.iter().for_each(|chunk| body.extend_from_slice(chunk));
        Message {
            publisher: self.publisher,
            incarnation: self.incarnation,
            sequence: self.sequence,
            published_at: self.published_at,
            expires_at: self.expires_at,
            work: self.work,
            signature: self.signature,
            body: body.freeze(),
        }
    }

    /// The bytes that are stored.
    pub fn encode(&self) -> Bytes {
        codec::encode(kind::LARGE_MESSAGE, self)
    }

    /// Reads what [`LargeMessage::encode`] made.
    ///
    /// # Errors
    /// When the bytes are something else.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(kind::LARGE_MESSAGE, bytes)
    }
}

/// Chunks of a body; none where it is kept with its message.
pub(crate) const fn chunk_count(body_bytes: u32) -> u32 {
    if body_bytes > CHUNK_BYTES { body_bytes.div_ceil(CHUNK_BYTES) } else { 0 }
}

/// [`BODY_CHUNK_BYTES`] as lengths are kept.
const CHUNK_BYTES: u32 = 64 * 1024;
const _: () = assert!(CHUNK_BYTES as usize == BODY_CHUNK_BYTES, "one size, in two types");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{address, golden, identity, message, sized};

    fn large(bytes: usize) -> (Message, Option<LargeMessage>) {
        let message = sized(&identity(1), 1, bytes);
        let large = LargeMessage::of(&message);
        (message, large)
    }

    #[test]
    fn a_body_is_in_chunks_from_one_byte_more_than_a_chunk_on() {
        let check = |bytes: usize, expect: &[usize]| {
            let (_, large) = large(bytes);
            let chunks = large.map_or(Vec::new(), |large| {
                assert!(large.is_sound());
                (0..large.chunk_count()).map(|nth| large.chunk_bytes(nth)).collect()
            });
            assert_eq!(chunks, expect, "{bytes}");
        };
        check(0, &[]);
        check(65_535, &[]);
        check(65_536, &[]);
        check(65_537, &[65_536, 1]);
        check(131_072, &[65_536, 65_536]);
        check(131_073, &[65_536, 65_536, 1]);
        check(BODY_BYTES_MAX, &[65_536; 16]);
        let (_, large) = large(65_537);
        assert_eq!(large.unwrap().chunk_bytes(u32::MAX), 0, "there are no more");
    }

    #[test]
    fn ps1523_the_id_follows_without_the_body_and_only_that_body_makes_the_message_again() {
        let (message, large) = large(65_537);
        let large = large.unwrap();
        assert_eq!(large.id(&address()), message.id(&address()));
        assert_eq!(large.source(), message.source());
        let chunks = [message.body.slice(..65_536), message.body.slice(65_536..)];
        assert!(large.fits(&chunks, 0..2));
        assert_eq!(large.with_body(&chunks).as_ref(), Some(&message));
        assert_eq!(large.with_body(&chunks[..1]), None);
        let mut other = message.body.to_vec();
        other[65_536] ^= 1;
        assert_eq!(large.with_body(&[other.into()]), None);
        assert!(!large.fits(&chunks, 1..3) && !large.fits(&chunks[..1], 0..2));
        assert!(!large.fits(&chunks[..1], 1..2), "a chunk of another length");
    }

    #[test]
    fn a_length_that_no_large_body_has_is_not_sound() {
        let (_, large) = large(70_000);
        let max = u32::try_from(BODY_BYTES_MAX).unwrap();
        for body_bytes in [0, 65_536, max + 1, u32::MAX] {
            let large = LargeMessage { body_bytes, ..large.clone().unwrap() };
            assert!(!large.is_sound(), "{body_bytes}");
        }
    }

    #[test]
    fn large_messages_round_trip_and_their_bytes_are_fixed() {
        let (_, large) = large(65_537);
        let (large, bytes) = (large.clone().unwrap(), large.unwrap().encode());
        assert_eq!(LargeMessage::decode(&bytes).unwrap(), large);
        assert_eq!(golden(&bytes), "e880270d5caf300c");
        assert!(bytes.len() <= 32 + 64 + 32 + 48, "{}", bytes.len());
        for end in 0..bytes.len() {
            assert!(LargeMessage::decode(&bytes[..end]).is_err(), "{end}");
        }
        assert!(LargeMessage::decode(&message(&identity(1), 1, "x").encode()).is_err());
    }
}
