//! SHA-256 digests with a domain tag, so that a digest made for one purpose never equals one made
//! for another.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    codec::{self, Full, Kind, Sink},
    hex,
};

/// A SHA-256 digest: 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Digest(#[serde(with = "crate::codec::raw")] [u8; 32]);

impl Digest {
    /// The digest of nothing; it begins every hash chain.
    pub const ZERO: Self = Self([0; 32]);

    /// Digests `parts` under `domain`. Each part is preceded by its length, so that the same bytes
    /// cut differently give another digest.
    pub fn of(domain: &str, parts: &[&[u8]]) -> Self {
        let mut builder = DigestBuilder::new(domain);
        for part in parts {
            builder.part(part);
        }
        builder.finish()
    }

    /// Wraps 32 bytes that are a digest already.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first `N` bytes, for ids shorter than a digest.
    pub fn prefix<const N: usize>(&self) -> [u8; N] {
        const { assert!(N <= 32, "a digest has 32 bytes") };
        std::array::from_fn(|i| self.0[i])
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The text is not the hexadecimal digits of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("not {digits} hexadecimal digits")]
pub struct HexError {
    /// How many digits there should be.
    pub digits: usize,
}

impl FromStr for Digest {
    type Err = HexError;

    fn from_str(text: &str) -> Result<Self, HexError> {
        from_hex(text).map(Self)
    }
}

/// The bytes that `2 * N` hexadecimal digits stand for.
pub(crate) fn from_hex<const N: usize>(text: &str) -> Result<[u8; N], HexError> {
    let wrong = HexError { digits: 2 * N };
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return Err(wrong);
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        *byte = hex::byte(pair).ok_or(wrong)?;
    }
    Ok(bytes)
}

/// Builds a [`Digest`] part by part without gathering the parts first.
#[derive(Clone)]
pub struct DigestBuilder(Sha256);

impl DigestBuilder {
    /// Starts a digest under `domain`.
    pub fn new(domain: &str) -> Self {
        let mut builder = Self(Sha256::new());
        builder.part(domain.as_bytes());
        builder
    }

    /// Adds one part: its length as 8 little-endian bytes, then its bytes.
    pub fn part(&mut self, part: &[u8]) -> &mut Self {
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
        self
    }

    /// Adds as one part what [`codec::encode`] makes of `value`, without making it.
    pub(crate) fn encoded<T: Serialize + ?Sized>(&mut self, kind: Kind, value: &T) -> &mut Self {
        if let Some(small) = codec::encode_small(kind, value) {
            return self.part(small.bytes());
        }
        self.0.update((codec::encoded_len(value) as u64).to_le_bytes());
        codec::encode_to(&mut Pieces(&mut self.0), kind, value);
        self
    }

    /// Adds a number as 8 little-endian bytes.
    pub fn number(&mut self, number: u64) -> &mut Self {
        self.0.update(number.to_le_bytes());
        self
    }

    /// The digest of all parts so far.
    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

/// Digests what is written.
struct Pieces<'a>(&'a mut Sha256);

impl Sink for Pieces<'_> {
    fn take(&mut self, bytes: &[u8]) -> Result<(), Full> {
        self.0.update(bytes);
        Ok(())
    }
}

impl fmt::Debug for DigestBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DigestBuilder")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_comes_back_from_its_text() {
        let digest = Digest::of("test", &[b"a"]);
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!(digest.to_string().to_uppercase().parse(), Ok(digest));
        for wrong in
            ["", "00", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64), &"\u{f6}".repeat(32)]
        {
            assert_eq!(wrong.parse::<Digest>(), Err(HexError { digits: 64 }), "{wrong}");
        }
    }

    #[test]
    fn parts_are_delimited() {
        assert_ne!(Digest::of("t", &[b"ab", b"c"]), Digest::of("t", &[b"a", b"bc"]));
        assert_ne!(Digest::of("t", &[b"a"]), Digest::of("u", &[b"a"]));
    }

    #[test]
    fn what_is_encoded_in_pieces_is_the_part_that_it_would_be_whole() {
        for len in [0, 100, 480, 512, 5000] {
            let value = ("text", vec![7u8; len], Some(3u64));
            let mut pieces = DigestBuilder::new("t");
            pieces.encoded(Kind(9), &value);
            assert_eq!(pieces.finish(), Digest::of("t", &[&codec::encode(Kind(9), &value)]));
        }
    }

    #[test]
    fn a_digest_prints_as_hex() {
        let digest = Digest::from_bytes([0xab; 32]);
        assert_eq!(digest.to_string(), "ab".repeat(32));
        assert_eq!(digest.prefix::<2>(), [0xab, 0xab]);
    }
}
