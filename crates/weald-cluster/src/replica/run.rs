//! How a run of entries is sent: one string of bytes, of which the receiver keeps slices.
//!
//! Of each entry: a tag, the epoch if the tag says so, the index (8 bytes), the length (4 bytes), the
//! bytes. Numbers are little-endian. Entries of one message are nearly always of one epoch, so an
//! epoch is sent where it differs from that of the entry before.

use std::fmt;

use bytes::{Buf, BufMut, Bytes};
use serde::{
    Deserializer, Serializer,
    de::{Error, Visitor},
};
use weald_core::{Digest, Epoch, LogIndex, PeerId};

use super::{EntryError, LogEntry};

/// The epoch of the entry before.
const SAME: u8 = 0;
/// A number follows.
const NUMBER: u8 = 1;
/// A number and the campaigner follow.
const CAMPAIGNER: u8 = 2;

/// Bytes that an entry takes beside its own, at most.
pub(super) const OVERHEAD_MAX: usize = 1 + 8 + 32 + 8 + 4;
/// Entries are slices of what came with them up to this size; of more they are copies, so that an
/// entry that is kept does not keep many times its size: 128 KiB.
pub(super) const SHARED_BYTES_MAX: usize = 128 * 1024;

/// Why bytes are no run of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum RunError {
    /// They end too early.
    #[error("a run of entries is cut short")]
    Short,
    /// A tag that this code does not know, or one that says what needs no saying.
    #[error("an entry's epoch is not given as it should be: tag={0}")]
    Tag(u8),
    /// One is no entry.
    #[error(transparent)]
    Entry(#[from] EntryError),
}

pub(super) fn serialize<S: Serializer>(entries: &[LogEntry], to: S) -> Result<S::Ok, S::Error> {
    let mut run = Vec::with_capacity(entries.iter().map(|entry| entry.len() + OVERHEAD_MAX).sum());
    let mut before = None;
    for entry in entries {
        put(&mut run, entry, before);
        before = Some(entry.epoch());
    }
    to.serialize_bytes(&run)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<LogEntry>, D::Error> {
    from.deserialize_bytes(RunVisitor)
}

/// Takes a run from the bytes in which it came: they are copied once.
struct RunVisitor;

impl Visitor<'_> for RunVisitor {
    type Value = Vec<LogEntry>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a run of entries")
    }

    fn visit_bytes<E: Error>(self, run: &[u8]) -> Result<Vec<LogEntry>, E> {
        let entries = match run.len() <= SHARED_BYTES_MAX {
            true => entries_of(Bytes::copy_from_slice(run)),
            false => entries_of(run),
        };
        entries.map_err(E::custom)
    }
}

/// The entries of a run: slices of it if it can be shared, copies if not.
fn entries_of(mut run: impl Buf) -> Result<Vec<LogEntry>, RunError> {
    let mut entries: Vec<LogEntry> = Vec::new();
    while run.has_remaining() {
        let before = entries.last().map(LogEntry::epoch);
        entries.push(take(&mut run, before)?);
    }
    Ok(entries)
}

fn put(run: &mut Vec<u8>, entry: &LogEntry, before: Option<Epoch>) {
    let epoch = entry.epoch();
    match epoch.campaigner {
        _ if before == Some(epoch) => run.put_u8(SAME),
        None => {
            run.put_u8(NUMBER);
            run.put_u64_le(epoch.number);
        }
        Some(campaigner) => {
            run.put_u8(CAMPAIGNER);
            run.put_u64_le(epoch.number);
            run.put_slice(campaigner.digest().as_bytes());
        }
    }
    run.put_u64_le(entry.index().0);
    run.put_u32_le(u32::try_from(entry.len()).expect("entries are below 4 GiB"));
    run.put_slice(entry.bytes());
}

fn take(run: &mut impl Buf, before: Option<Epoch>) -> Result<LogEntry, RunError> {
    let epoch = take_epoch(run, before)?;
    let index = LogIndex(run.try_get_u64_le().map_err(|_| RunError::Short)?);
    let length = run.try_get_u32_le().map_err(|_| RunError::Short)?;
    let length = usize::try_from(length).map_err(|_| RunError::Short)?;
    if length > run.remaining() {
        return Err(RunError::Short);
    }
    Ok(LogEntry::parse(index, epoch, run.copy_to_bytes(length))?)
}

fn take_epoch(run: &mut impl Buf, before: Option<Epoch>) -> Result<Epoch, RunError> {
    let tag = run.try_get_u8().map_err(|_| RunError::Short)?;
    if tag == SAME {
        return before.ok_or(RunError::Tag(tag));
    }
    let number = run.try_get_u64_le().map_err(|_| RunError::Short)?;
    let campaigner = match tag {
        NUMBER => None,
        CAMPAIGNER => {
            let mut digest = [0; 32];
            run.try_copy_to_slice(&mut digest).map_err(|_| RunError::Short)?;
            Some(PeerId::from_digest(Digest::from_bytes(digest)))
        }
        other => return Err(RunError::Tag(other)),
    };
    let epoch = Epoch { number, campaigner };
    if before == Some(epoch) { Err(RunError::Tag(tag)) } else { Ok(epoch) }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};
    use weald_core::{
        Time,
        codec::{self, Kind},
    };

    use super::*;
    use crate::replica::{EntryKind, Point};

    const KIND: Kind = Kind(200);

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Message(#[serde(with = "super")] Vec<LogEntry>);

    fn chain(epochs: &[Epoch], size: usize) -> Vec<LogEntry> {
        let mut last = Point::default();
        let next = |epoch: &Epoch| {
            let payload = vec![0x5a; size];
            let content = (EntryKind::Command, &payload[..]);
            let entry = LogEntry::new(&last, *epoch, Time::from_millis(7), content);
            last = *entry.point();
            entry
        };
        epochs.iter().map(next).collect()
    }

    fn epoch(number: u64, campaigner: Option<u8>) -> Epoch {
        let of = |byte| PeerId::from_digest(Digest::from_bytes([byte; 32]));
        Epoch { number, campaigner: campaigner.map(of) }
    }

    fn passed(entries: Vec<LogEntry>) -> (usize, Vec<LogEntry>) {
        let bytes = codec::encode(KIND, &Message(entries));
        (bytes.len(), codec::decode::<Message>(KIND, &bytes).unwrap().0)
    }

    #[test]
    fn a_run_arrives_as_it_was_sent() {
        let epochs = [epoch(1, None), epoch(1, None), epoch(2, Some(3)), epoch(2, Some(4))];
        for size in [0, 256, SHARED_BYTES_MAX] {
            let entries = chain(&epochs, size);
            assert_eq!(passed(entries.clone()).1, entries, "size={size}");
        }
        assert_eq!(passed(Vec::new()).1, []);
    }

    #[test]
    fn an_epoch_is_sent_once() {
        let one = passed(chain(&[epoch(1, Some(1)); 1], 100)).0;
        let ten = passed(chain(&[epoch(1, Some(1)); 10], 100)).0;
        assert_eq!((ten - one) / 9, 100 + 41 + 13, "payload, the entry's head, the run's");
    }

    #[test]
    fn w21_bytes_that_are_no_run_are_refused() {
        let entries = chain(&[epoch(1, None); 2], 20);
        let mut run = Vec::new();
        put(&mut run, &entries[0], None);
        let first = run.len();
        put(&mut run, &entries[1], Some(entries[1].epoch()));
        let parsed = |bytes: &[u8]| {
            let message = codec::encode(KIND, &Bytes::copy_from_slice(bytes));
            codec::decode::<Message>(KIND, &message).map(|message| message.0)
        };
        assert_eq!(parsed(&run).unwrap(), entries);
        for length in (1..run.len()).filter(|length| *length != first) {
            assert!(parsed(&run[..length]).is_err(), "length={length}");
        }
        let with_tag = |at: usize, tag: u8| {
            let mut changed = run.clone();
            changed[at] = tag;
            parsed(&changed)
        };
        assert!(with_tag(0, SAME).is_err(), "nothing is before the first");
        assert!(with_tag(0, 3).is_err());
        let mut twice = run[..first].to_vec();
        put(&mut twice, &entries[1], None);
        assert!(parsed(&twice).is_err(), "the epoch is that of the entry before");
    }
}
