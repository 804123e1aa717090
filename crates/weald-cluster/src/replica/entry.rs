//! One entry of a replicated log, and the bytes by which it is stored and sent.

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use weald_core::{Digest, DigestBuilder, Epoch, LogIndex, LogRecord, Time, codec, limits};

use super::Certificate;
use crate::{configuration::Configuration, kinds};

/// Bytes before the payload: the hash of the entry before, the log time, the kind.
pub const ENTRY_HEAD_LEN: usize = 32 + 8 + 1;

/// What an entry carries.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum EntryKind {
    /// Nothing: a new coordinator's first entry (rule C4).
    Noop,
    /// What the partition's state machine is to apply; opaque here.
    Command,
    /// A configuration of this log (rule C8).
    Configuration,
}

/// A point of a log: an entry's place, epoch and hash. Two logs that have one point in common are
/// the same up to it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Point {
    /// The place.
    pub index: LogIndex,
    /// The epoch in which the entry was made.
    pub epoch: Epoch,
    /// The hash of the chain up to the entry, zeros before the first.
    pub hash: Digest,
}

/// One entry. Its hash covers the one before, its place, its epoch and its bytes, so it names the
/// whole log up to it: `hash = H(hash before, index, epoch, bytes)` (rule C3).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct LogEntry {
    point: Point,
    kind: EntryKind,
    time: Time,
    bytes: Bytes,
}

/// Why stored or sent bytes are no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Shorter than the head.
    #[error("an entry is too short: bytes={0}")]
    Short(usize),
    /// Larger than an entry may be.
    #[error("an entry is too large: bytes={0} max={max}", max = limits::ENTRY_BYTES_MAX)]
    Large(usize),
    /// A kind that this code does not know.
    #[error("an entry of an unknown kind: kind={0}")]
    Kind(u8),
    /// A configuration that does not parse or may not be used.
    #[error("an entry carries a configuration that cannot be used")]
    Configuration,
}

impl LogEntry {
    /// The entry after `before`. The payload is copied once, into the bytes that are stored and
    /// sent as they are.
    pub fn new(before: &Point, epoch: Epoch, time: Time, content: (EntryKind, &[u8])) -> Self {
        let mut buffer = BytesMut::with_capacity(ENTRY_HEAD_LEN + content.1.len());
        Self::packed(&mut buffer, before, (epoch, time), content)
    }

    /// The same in the free space of a buffer, which entries that are made together share.
    pub(super) fn packed(
        buffer: &mut BytesMut,
        before: &Point,
        (epoch, time): (Epoch, Time),
        (kind, payload): (EntryKind, &[u8]),
    ) -> Self {
        buffer.put_slice(before.hash.as_bytes());
        buffer.put_u64_le(time.as_millis());
        buffer.put_u8(kind.code());
        buffer.put_slice(payload);
        let (bytes, index) = (buffer.split().freeze(), before.index.next());
        let hash = chain_hash(index, &epoch, &bytes);
        Self { point: Point { index, epoch, hash }, kind, time, bytes }
    }

    /// The entry that carries `configuration`.
    pub fn configuration(
        before: &Point,
        epoch: Epoch,
        time: Time,
        carried: &Configuration,
    ) -> Self {
        let payload = codec::encode(kinds::CONFIGURATION, carried);
        Self::new(before, epoch, time, (EntryKind::Configuration, &payload))
    }

    /// The entry that carries `carried`, and with it the certificate of the configuration before, so
    /// that whoever holds the one can prove the other (rule C8).
    pub(super) fn succession(
        before: &Point,
        (epoch, time): (Epoch, Time),
        carried: &Configuration,
        certificate: &Certificate,
    ) -> Self {
        let succession = (carried, certificate);
        let payload = codec::encode(kinds::SUCCESSION, &succession);
        Self::new(before, epoch, time, (EntryKind::Configuration, &payload))
    }

    /// Reads an entry back from what was stored or sent.
    ///
    /// # Errors
    /// When the bytes are none; whether they continue a log is asked by [`LogEntry::continues`].
    pub fn parse(index: LogIndex, epoch: Epoch, bytes: Bytes) -> Result<Self, EntryError> {
        if bytes.len() > limits::ENTRY_BYTES_MAX {
            return Err(EntryError::Large(bytes.len()));
        }
        let Some(head) = bytes.first_chunk::<ENTRY_HEAD_LEN>() else {
            return Err(EntryError::Short(bytes.len()));
        };
        let kind = EntryKind::of(head[40])?;
        let time = head[32..40].try_into().expect("eight bytes");
        let time = Time::from_millis(u64::from_le_bytes(time));
        let hash = chain_hash(index, &epoch, &bytes);
        let entry = Self { point: Point { index, epoch, hash }, kind, time, bytes };
        let is_usable = kind != EntryKind::Configuration || entry.carried().is_some();
        if is_usable { Ok(entry) } else { Err(EntryError::Configuration) }
    }

    /// The record by which a log keeps it.
    pub fn record(&self) -> LogRecord {
        LogRecord { index: self.index(), epoch: self.epoch(), bytes: self.bytes.clone() }
    }

    /// Where it stands.
    pub fn point(&self) -> &Point {
        &self.point
    }

    /// Its place.
    pub fn index(&self) -> LogIndex {
        self.point.index
    }

    /// The epoch in which it was made.
    pub fn epoch(&self) -> Epoch {
        self.point.epoch
    }

    /// The hash of the chain up to it.
    pub fn hash(&self) -> Digest {
        self.point.hash
    }

    /// What it carries.
    pub fn kind(&self) -> EntryKind {
        self.kind
    }

    /// Its log time.
    pub fn time(&self) -> Time {
        self.time
    }

    /// What it carries, encoded: a command or a configuration.
    pub fn payload(&self) -> Bytes {
        self.bytes.slice(ENTRY_HEAD_LEN..)
    }

    /// What is stored and sent of it.
    pub(super) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The same with bytes of its own: what came together with it can go.
    pub(super) fn detached(mut self) -> Self {
        self.bytes = Bytes::copy_from_slice(&self.bytes);
        self
    }

    /// Bytes that it takes in a log and on a wire.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it carries no payload.
    pub fn is_empty(&self) -> bool {
        self.bytes.len() == ENTRY_HEAD_LEN
    }

    /// Whether it is the entry right after `before`.
    pub fn continues(&self, before: &Point) -> bool {
        before.index.0.checked_add(1) == Some(self.index().0)
            && self.bytes[..32] == before.hash.as_bytes()[..]
    }

    /// The configuration that it carries, if it is one that may be used.
    pub fn carried(&self) -> Option<Configuration> {
        if self.kind != EntryKind::Configuration {
            return None;
        }
        let payload = &self.bytes[ENTRY_HEAD_LEN..];
        let alone = codec::decode(kinds::CONFIGURATION, payload).ok();
        let carried: Configuration = alone.or_else(|| Some(self.carried_succession()?.0))?;
        carried.check().is_ok().then_some(carried)
    }

    /// The certificate of the configuration before the one that it carries, if it has that, too.
    pub(super) fn certificate_before(&self) -> Option<Certificate> {
        Some(self.carried_succession()?.1)
    }

    fn carried_succession(&self) -> Option<(Configuration, Certificate)> {
        let is_one = self.kind == EntryKind::Configuration;
        let payload = is_one.then(|| &self.bytes[ENTRY_HEAD_LEN..])?;
        codec::decode(kinds::SUCCESSION, payload).ok()
    }
}

impl EntryKind {
    const fn code(self) -> u8 {
        match self {
            Self::Noop => 0,
            Self::Command => 1,
            Self::Configuration => 2,
        }
    }

    const fn of(code: u8) -> Result<Self, EntryError> {
        match code {
            0 => Ok(Self::Noop),
            1 => Ok(Self::Command),
            2 => Ok(Self::Configuration),
            other => Err(EntryError::Kind(other)),
        }
    }
}

/// The bytes begin with the hash before, so the chain is in them.
fn chain_hash(index: LogIndex, epoch: &Epoch, bytes: &[u8]) -> Digest {
    let mut builder = DigestBuilder::new("weald log entry");
    builder.number(index.0).number(epoch.number);
    if let Some(campaigner) = &epoch.campaigner {
        builder.part(campaigner.digest().as_bytes());
    }
    builder.part(bytes);
    builder.finish()
}

/// What is sent of an entry; its hash is computed anew by whoever receives it.
#[derive(Serialize, Deserialize)]
struct Sent {
    index: LogIndex,
    epoch: Epoch,
    bytes: Bytes,
}

impl Serialize for LogEntry {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let sent = Sent { index: self.index(), epoch: self.epoch(), bytes: self.bytes.clone() };
        sent.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for LogEntry {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let sent = Sent::deserialize(deserializer)?;
        Self::parse(sent.index, sent.epoch, sent.bytes).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use weald_core::{PartitionId, PeerId, StoreId};

    use super::*;
    use crate::{configuration::Member, replica::Attested};

    fn epoch(number: u64) -> Epoch {
        Epoch { number, campaigner: None }
    }

    fn command(before: &Point, number: u64, payload: &[u8]) -> LogEntry {
        LogEntry::new(before, epoch(number), Time::from_millis(5), (EntryKind::Command, payload))
    }

    #[test]
    fn an_entry_survives_its_record() {
        let entry = command(&Point::default(), 3, b"put");
        let record = entry.record();
        assert_eq!(LogEntry::parse(record.index, record.epoch, record.bytes), Ok(entry.clone()));
        assert_eq!((entry.payload().as_ref(), entry.time()), (&b"put"[..], Time::from_millis(5)));
    }

    #[test]
    fn w92_the_hash_covers_what_came_before_the_epoch_and_the_bytes() {
        let first = command(&Point::default(), 3, b"put");
        let second = command(first.point(), 3, b"put");
        assert!(second.continues(first.point()) && !first.continues(second.point()));
        assert_ne!(first.hash(), second.hash());
        let other = command(&Point::default(), 4, b"put");
        assert_ne!(first.hash(), other.hash());
        let on_other = command(other.point(), 3, b"put");
        assert!(!on_other.continues(first.point()), "the same place on another history");
    }

    #[test]
    fn a_configuration_brings_the_certificate_of_the_one_before() {
        let (before, time) = (Point::default(), Time::ZERO);
        let peer = PeerId::from_digest(Digest::ZERO);
        let member = Member { peer, store: StoreId([1; 16]), life: 0 };
        let carried = Configuration::founding([member], []).expect("one votes");
        let alone = LogEntry::configuration(&before, epoch(1), time, &carried);
        assert_eq!((alone.carried(), alone.certificate_before()), (Some(carried.clone()), None));
        let attested = Attested {
            partition: PartitionId(1),
            generation: 0,
            configuration: carried.id,
            index: alone.index(),
            hash: alone.hash(),
        };
        let certificate = Certificate { attested, signatures: BTreeMap::new() };
        let entry = LogEntry::succession(alone.point(), (epoch(1), time), &carried, &certificate);
        let record = entry.record();
        let parsed = LogEntry::parse(record.index, record.epoch, record.bytes);
        assert_eq!(parsed.as_ref(), Ok(&entry));
        assert_eq!(
            (entry.carried(), entry.certificate_before()),
            (Some(carried), Some(certificate))
        );
        assert_eq!(command(&before, 1, b"x").certificate_before(), None);
    }

    #[test]
    fn w21_bytes_that_are_no_entry_are_refused() {
        let parse = |bytes: Vec<u8>| LogEntry::parse(LogIndex(1), epoch(1), bytes.into());
        assert_eq!(parse(vec![0; 40]), Err(EntryError::Short(40)));
        let mut bytes = vec![0; 50];
        bytes[40] = 9;
        assert_eq!(parse(bytes.clone()), Err(EntryError::Kind(9)));
        bytes[40] = 2;
        assert_eq!(parse(bytes), Err(EntryError::Configuration));
        let large = limits::ENTRY_BYTES_MAX + 1;
        assert_eq!(parse(vec![0; large]), Err(EntryError::Large(large)));
    }
}
