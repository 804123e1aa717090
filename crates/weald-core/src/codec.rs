//! The byte format of everything persisted or sent, in one module: a two-byte envelope
//! {format version, kind}, then bincode 2 in its standard configuration (little-endian, variable
//! length integers).
//!
//! **Invariant:** no other module names bincode, so that another format is a change of this one.
//!
//! Decoding reads at most [`DECODE_BYTES_MAX`] bytes, refuses another version or kind, and refuses
//! trailing bytes. Payloads laid out by hand for small splices (tree nodes, chain blocks, log
//! segments) do not pass through here; `docs/format.md` describes them.

pub mod by_hand;
pub mod raw;

use bincode::{enc::write::Writer, error::EncodeError};
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use crate::limits::DECODE_BYTES_MAX;

/// The version of the format that this code writes.
pub const FORMAT_VERSION: u8 = 1;

/// Bytes of the envelope.
pub const ENVELOPE_LEN: usize = 2;

/// What an envelope holds. Each crate has its own range, so that a kind is never given twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Kind(pub u8);

impl Kind {
    /// A log [`Entry`](crate::Entry).
    pub const ENTRY: Self = Self(1);
    /// A [`TransactionBody`](crate::TransactionBody).
    pub const BODY: Self = Self(2);
    /// A sealed [`Identity`](crate::identity::Identity).
    pub const IDENTITY: Self = Self(3);
    /// An [`Outcome`](crate::Outcome).
    pub const OUTCOME: Self = Self(4);
    /// A [`PendAnswer`](crate::PendAnswer).
    pub const PEND_ANSWER: Self = Self(5);
    /// The first of `weald-collections`.
    pub const COLLECTIONS_FIRST: Self = Self(32);
    /// The first of `weald-storage`.
    pub const STORAGE_FIRST: Self = Self(64);
    /// The first of `weald-cluster`.
    pub const CLUSTER_FIRST: Self = Self(96);
    /// The first of `weald-pubsub`.
    pub const PUBSUB_FIRST: Self = Self(128);
    /// The first of `weald-p2p` and the facade.
    pub const NODE_FIRST: Self = Self(160);
    /// The first that collection types outside the workspace may use.
    pub const FOREIGN_FIRST: Self = Self(224);
}

/// Why bytes could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Fewer bytes than an envelope.
    #[error("not an envelope: bytes={0}")]
    Short(usize),
    /// More bytes than will be read.
    #[error("too large: bytes={bytes} max={max}")]
    TooLarge {
        /// The bytes given.
        bytes: usize,
        /// The most that is read.
        max: usize,
    },
    /// Written by code of another format.
    #[error("another format version: found={found} understood={FORMAT_VERSION}")]
    Version {
        /// The version found.
        found: u8,
    },
    /// Something else than expected.
    #[error("another kind: found={found} expected={expected}")]
    Kind {
        /// The kind found.
        found: u8,
        /// The kind expected.
        expected: u8,
    },
    /// The content does not parse.
    #[error("malformed: {0}")]
    Malformed(String),
    /// Bytes are left over.
    #[error("trailing bytes: count={0}")]
    Trailing(usize),
}

/// Encodes `value` in an envelope of `kind`.
///
/// # Panics
/// When the type cannot be encoded at all (a sequence of unknown length), which a type's first test
/// shows.
pub fn encode<T: Serialize + ?Sized>(kind: Kind, value: &T) -> Bytes {
    match encode_small(kind, value) {
        Some(small) => Bytes::copy_from_slice(small.bytes()),
        // Counting first costs less than a buffer that grows.
        None => encode_sized(kind, value, encoded_len(value)),
    }
}

/// What [`encode`] makes of `value`, where that is little; `None` where it is more.
pub(crate) fn encode_small<T: Serialize + ?Sized>(kind: Kind, value: &T) -> Option<Small> {
    let mut small = Small { bytes: [0; SMALL_BYTES], len: 0 };
    try_encode_to(&mut small, kind, value).ok()?;
    Some(small)
}

/// As [`encode`], by somebody who knows about how many bytes it takes, `expected`: fewer cost time,
/// more cost memory while the bytes are kept.
///
/// # Panics
/// As [`encode`].
pub fn encode_sized<T: Serialize + ?Sized>(kind: Kind, value: &T, expected: usize) -> Bytes {
    let mut bytes = Vec::with_capacity(expected);
    encode_to(&mut bytes, kind, value);
    bytes.into()
}

/// Bytes that [`encode`] makes of `value`, the envelope among them.
pub(crate) fn encoded_len<T: Serialize + ?Sized>(value: &T) -> usize {
    let mut counted = Counted(0);
    encode_to(&mut counted, Kind(0), value);
    counted.0
}

/// Writes what [`encode`] makes of `value`, in pieces.
pub(crate) fn encode_to<T: Serialize + ?Sized>(out: &mut impl Sink, kind: Kind, value: &T) {
    try_encode_to(out, kind, value)
        .expect("our own types encode, and whoever gets the bytes takes all of them");
}

/// As [`encode_to`], for one who may not take all of the bytes.
fn try_encode_to<T: Serialize + ?Sized>(
    out: &mut impl Sink,
    kind: Kind,
    value: &T,
) -> Result<(), EncodeError> {
    let mut out = Out(out);
    out.write(&[FORMAT_VERSION, kind.0])?;
    bincode::serde::encode_into_writer(value, out, bincode::config::standard())
}

/// Who gets encoded bytes, piece by piece. Ids and digests come byte by byte.
pub(crate) trait Sink {
    /// Takes all of `bytes`, or none.
    fn take(&mut self, bytes: &[u8]) -> Result<(), Full>;
}

/// There is no room for the bytes.
#[derive(Debug)]
pub(crate) struct Full;

struct Out<'a, S>(&'a mut S);

impl<S: Sink> Writer for Out<'_, S> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.take(bytes).map_err(|Full| EncodeError::UnexpectedEnd)
    }
}

impl Sink for Vec<u8> {
    #[inline]
    fn take(&mut self, bytes: &[u8]) -> Result<(), Full> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}

/// Bytes that are gathered without asking for memory: most of what is encoded takes no more, and is
/// encoded in one go instead of counted first.
const SMALL_BYTES: usize = 512;

/// Encoded bytes in place.
pub(crate) struct Small {
    bytes: [u8; SMALL_BYTES],
    len: usize,
}

impl Small {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Sink for Small {
    #[inline]
    fn take(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let end = self.len + bytes.len();
        self.bytes.get_mut(self.len..end).ok_or(Full)?.copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }
}

/// Counts bytes.
struct Counted(usize);

impl Sink for Counted {
    #[inline]
    fn take(&mut self, bytes: &[u8]) -> Result<(), Full> {
        self.0 += bytes.len();
        Ok(())
    }
}

/// Decodes what [`encode`] made.
///
/// # Errors
/// When the bytes are not exactly one envelope of this version and kind.
pub fn decode<T: DeserializeOwned>(kind: Kind, bytes: &[u8]) -> Result<T, CodecError> {
    let content = content(kind, bytes)?;
    let config = bincode::config::standard().with_limit::<DECODE_BYTES_MAX>();
    let (value, read) = bincode::serde::decode_from_slice(content, config)
        .map_err(|error| CodecError::Malformed(error.to_string()))?;
    match content.len() - read {
        0 => Ok(value),
        left => Err(CodecError::Trailing(left)),
    }
}

/// What is in an envelope.
fn content(kind: Kind, bytes: &[u8]) -> Result<&[u8], CodecError> {
    if bytes.len() > DECODE_BYTES_MAX {
        return Err(CodecError::TooLarge { bytes: bytes.len(), max: DECODE_BYTES_MAX });
    }
    let Some((&[version, found], content)) = bytes.split_first_chunk::<ENVELOPE_LEN>() else {
        return Err(CodecError::Short(bytes.len()));
    };
    if version != FORMAT_VERSION {
        return Err(CodecError::Version { found: version });
    }
    if found != kind.0 {
        return Err(CodecError::Kind { found, expected: kind.0 });
    }
    Ok(content)
}

#[cfg(test)]
mod tests;
