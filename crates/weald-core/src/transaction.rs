//! Transactions: ids, requests and their digests.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    Action, Base, BlockId, Digest, DigestBuilder, Entropy, PlacementKey, Time, Transform, codec,
    hash::from_hex,
};

/// Bytes of a caller's own id, at most.
pub const CALLER_ID_MAX: usize = 128;

/// Names one immutable attempt: the placement key of the request's first collection and 128 bits,
/// random or the digest of the caller's own id. This pair is what is compared.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TransactionId {
    home: PlacementKey,
    #[serde(with = "crate::codec::raw")]
    unique: [u8; 16],
}

/// Why a caller's id was refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("a transaction id has 1 to {CALLER_ID_MAX} bytes: bytes={0}")]
pub struct CallerIdError(pub usize);

impl TransactionId {
    /// Bytes of an encoded id.
    pub const LEN: usize = 24;

    /// An id from its parts.
    pub const fn new(home: PlacementKey, unique: [u8; 16]) -> Self {
        Self { home, unique }
    }

    /// A fresh random id.
    pub fn random(home: PlacementKey, entropy: &mut impl Entropy) -> Self {
        Self { home, unique: entropy.draw() }
    }

    /// The id that stands for the caller's own: the same string gives the same id on every node.
    ///
    /// # Errors
    /// When the caller's id is empty or longer than [`CALLER_ID_MAX`] bytes.
    pub fn from_caller(home: PlacementKey, id: &str) -> Result<Self, CallerIdError> {
        if id.is_empty() || id.len() > CALLER_ID_MAX {
            return Err(CallerIdError(id.len()));
        }
        let unique = Digest::of("weald caller id", &[id.as_bytes()]).prefix();
        Ok(Self { home, unique })
    }

    /// The placement key of the request's first collection; its partition keeps the result.
    pub const fn home(&self) -> PlacementKey {
        self.home
    }

    /// 24 bytes: the home key big-endian, then the 16 unique bytes.
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..8].copy_from_slice(&self.home.as_u64().to_be_bytes());
        bytes[8..].copy_from_slice(&self.unique);
        bytes
    }

    /// Reads what [`TransactionId::to_bytes`] wrote.
    pub fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        let (home, unique) = bytes.split_first_chunk::<8>().expect("24 bytes hold 8");
        let unique = unique.try_into().expect("24 bytes less 8 are 16");
        Self { home: PlacementKey::from_u64(u64::from_be_bytes(*home)), unique }
    }
}

impl fmt::Debug for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-", self.home)?;
        self.unique.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The text is no transaction id.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("a transaction id is 16 and 32 hexadecimal digits with a `-` between them, found {0:?}")]
pub struct TransactionIdError(pub String);

impl FromStr for TransactionId {
    type Err = TransactionIdError;

    fn from_str(text: &str) -> Result<Self, TransactionIdError> {
        let parsed = text.split_once('-').and_then(|(home, unique)| {
            let home = u64::from_be_bytes(from_hex(home).ok()?);
            Some(Self { home: PlacementKey::from_u64(home), unique: from_hex(unique).ok()? })
        });
        parsed.ok_or_else(|| TransactionIdError(text.to_owned()))
    }
}

/// Says that a block was read, and what it was then. At apply it must still be that.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ReadDependency {
    /// The block.
    pub block: BlockId,
    /// What it was when it was read.
    pub base: Base,
}

/// What the caller asks: all of it or nothing.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct TransactionBody {
    /// Blocks that must still be what they were when the caller read them.
    pub reads: Vec<ReadDependency>,
    /// Executed in order.
    pub actions: Vec<Action>,
    /// Changes that the caller computed itself, for types the members do not have.
    pub transforms: Vec<Transform>,
}

/// A client's place in its own sequence of requests (rule C10). A result is kept until its number
/// is below the mark.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct SessionStamp {
    /// The session: 16 random bytes that one client draws at its start.
    #[serde(with = "crate::codec::raw")]
    pub session: [u8; 16],
    /// The request's number in the session, from 1.
    pub number: u64,
    /// Every number below this is settled for the client.
    pub low_water: u64,
}

/// A transaction as it travels and is logged.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct TransactionRequest {
    /// The attempt's name.
    pub id: TransactionId,
    /// After this log time the request is refused and its result forgotten.
    pub expiry: Time,
    /// Set by clients that number their requests.
    pub session: Option<SessionStamp>,
    /// What is asked.
    pub body: TransactionBody,
}

impl TransactionRequest {
    /// The digest of what the caller asked, without what a gateway adds (expiry, session). The same
    /// id with another digest is `IdReused`.
    pub fn digest(&self) -> Digest {
        let mut digest = DigestBuilder::new("weald request");
        digest.encoded(codec::Kind::BODY, &self.body);
        digest.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SeededEntropy;

    #[test]
    fn an_id_comes_back_from_its_text() {
        let id = TransactionId::random(home(), &mut SeededEntropy::new(7));
        assert_eq!(id.to_string().parse(), Ok(id));
        let text = id.to_string();
        for wrong in
            ["", "-", &text[1..], &text[..48], &text.replace('-', "_"), &format!("{text}0")]
        {
            assert_eq!(wrong.parse::<TransactionId>(), Err(TransactionIdError(wrong.to_owned())));
        }
    }

    fn home() -> PlacementKey {
        PlacementKey::from_u64(7)
    }

    #[test]
    fn a_callers_id_is_the_same_everywhere() {
        let id = |text: &str| TransactionId::from_caller(home(), text);
        assert_eq!(id("order-1"), id("order-1"));
        assert_ne!(id("order-1"), id("order-2"));
        assert_eq!(id(""), Err(CallerIdError(0)));
        assert_eq!(id(&"x".repeat(129)), Err(CallerIdError(129)));
    }

    #[test]
    fn ids_round_trip() {
        let id = TransactionId::random(home(), &mut SeededEntropy::new(1));
        assert_eq!(TransactionId::from_bytes(id.to_bytes()), id);
        assert_eq!(id.home(), home());
    }

    #[test]
    fn the_digest_covers_what_was_asked_and_nothing_else() {
        let mut request = TransactionRequest {
            id: TransactionId::new(home(), [0; 16]),
            expiry: Time::ZERO,
            session: None,
            body: TransactionBody::default(),
        };
        let digest = request.digest();
        request.expiry = Time::MAX;
        request.session = Some(SessionStamp { session: [1; 16], number: 1, low_water: 1 });
        assert_eq!(request.digest(), digest);
        let block = BlockId::header(&"c".parse().unwrap());
        request.body.reads.push(ReadDependency { block, base: Base::Absent });
        assert_ne!(request.digest(), digest);
    }
}
