//! Records: what a section of a batch holds for its partition.

use bytes::{BufMut, Bytes};
use weald_core::{Epoch, LogIndex, LogPoint};

use super::{
    cursor::Cursor,
    standing::{put_campaigner, take_campaigner},
};

const EPOCH: u8 = 1;
const ENTRY: u8 = 2;
const PART: u8 = 3;
const CUT: u8 = 4;
const RELEASE: u8 = 5;
const STATE: u8 = 6;
const SUMMARY: u8 = 7;
const RESTART: u8 = 8;
const FILL: u8 = 9;
const FILL_PART: u8 = 10;

const EPOCH_BYTES: usize = 1 + 8 + 1 + 32;

/// One record. Epochs are written once where they change, so an entry costs 13 bytes beside its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// An entry in one piece. `is_fill`: it does not continue the log but stands in for one that is
    /// missing.
    Entry { index: LogIndex, epoch: Epoch, bytes: Bytes, is_fill: bool },
    /// A piece of an entry; the entry counts with the piece that completes `total`.
    Part { index: LogIndex, epoch: Epoch, total: u32, offset: u32, bytes: Bytes, is_fill: bool },
    /// Entries from here on are cut.
    Cut { from: LogIndex },
    /// Entries below are needed no more.
    Release { below: LogIndex },
    /// The member's promises; the latest counts.
    State { bytes: Bytes },
    /// All entries are forgotten; the log goes on behind `base`.
    Restart { base: LogPoint },
    /// The promises again, at the beginning of a segment.
    Summary { state: Option<Bytes> },
}

impl Record {
    /// The most bytes that the record takes when encoded.
    pub(crate) fn size_max(&self) -> usize {
        match self {
            Self::Entry { bytes, .. } => entry_size_max(bytes.len()),
            Self::Part { bytes, .. } => part_size_max(bytes.len()),
            Self::Cut { .. } | Self::Release { .. } => 9,
            Self::State { bytes } => 5 + bytes.len(),
            Self::Restart { .. } => 8 + EPOCH_BYTES,
            Self::Summary { state } => 6 + state.as_ref().map_or(0, Bytes::len),
        }
    }

    /// Whether an entry is complete with this piece.
    pub(crate) fn is_last_part(&self) -> bool {
        let Self::Part { total, offset, bytes, .. } = self else { return false };
        usize::try_from(*total).ok()
            == usize::try_from(*offset).ok().and_then(|offset| offset.checked_add(bytes.len()))
    }
}

pub(crate) const fn entry_size_max(bytes: usize) -> usize {
    EPOCH_BYTES + 13 + bytes
}

pub(crate) const fn part_size_max(bytes: usize) -> usize {
    EPOCH_BYTES + 21 + bytes
}

/// Appends the encoding of `records` to `out`.
pub(crate) fn encode(records: &[Record], out: &mut Vec<u8>) {
    let mut current = None;
    for record in records {
        if let Record::Entry { epoch, .. } | Record::Part { epoch, .. } = record
            && current != Some(*epoch)
        {
            out.put_u8(EPOCH);
            put_epoch(out, epoch);
            current = Some(*epoch);
        }
        encode_one(record, out);
    }
}

fn encode_one(record: &Record, out: &mut Vec<u8>) {
    match record {
        Record::Entry { index, bytes, is_fill, .. } => {
            out.put_u8(if *is_fill { FILL } else { ENTRY });
            out.put_u64_le(index.0);
            put_string(out, bytes);
        }
        Record::Part { index, total, offset, bytes, is_fill, .. } => {
            out.put_u8(if *is_fill { FILL_PART } else { PART });
            out.put_u64_le(index.0);
            out.put_u32_le(*total);
            out.put_u32_le(*offset);
            put_string(out, bytes);
        }
        Record::Cut { from } => {
            out.put_u8(CUT);
            out.put_u64_le(from.0);
        }
        Record::Release { below } => {
            out.put_u8(RELEASE);
            out.put_u64_le(below.0);
        }
        Record::State { bytes } => {
            out.put_u8(STATE);
            put_string(out, bytes);
        }
        Record::Restart { base } => {
            out.put_u8(RESTART);
            out.put_u64_le(base.index.0);
            put_epoch(out, &base.epoch);
        }
        Record::Summary { state } => {
            out.put_u8(SUMMARY);
            out.put_u8(u8::from(state.is_some()));
            put_string(out, state.as_deref().unwrap_or_default());
        }
    }
}

fn put_epoch(out: &mut Vec<u8>, epoch: &Epoch) {
    out.put_u64_le(epoch.number);
    out.put_u8(u8::from(epoch.campaigner.is_some()));
    put_campaigner(out, epoch);
}

fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.put_u32_le(u32::try_from(bytes.len()).expect("submit refuses what exceeds a batch"));
    out.put_slice(bytes);
}

/// Decodes a section's body into records that share its memory. `None` when it is not one.
pub(crate) fn decode(body: &Bytes) -> Option<Vec<Record>> {
    let mut cursor = Cursor::new(body);
    let mut records = Vec::new();
    let mut epoch = None;
    while !cursor.is_empty() {
        match cursor.u8()? {
            EPOCH => epoch = Some(take_epoch(&mut cursor)?),
            kind => records.push(decode_one(kind, &mut cursor, epoch, body)?),
        }
    }
    Some(records)
}

fn decode_one(
    kind: u8,
    cursor: &mut Cursor<'_>,
    epoch: Option<Epoch>,
    body: &Bytes,
) -> Option<Record> {
    Some(match kind {
        ENTRY | FILL => Record::Entry {
            index: LogIndex(cursor.u64()?),
            epoch: epoch?,
            bytes: body.slice_ref(cursor.string()?),
            is_fill: kind == FILL,
        },
        PART | FILL_PART => Record::Part {
            index: LogIndex(cursor.u64()?),
            epoch: epoch?,
            total: cursor.u32()?,
            offset: cursor.u32()?,
            bytes: body.slice_ref(cursor.string()?),
            is_fill: kind == FILL_PART,
        },
        CUT => Record::Cut { from: LogIndex(cursor.u64()?) },
        RELEASE => Record::Release { below: LogIndex(cursor.u64()?) },
        STATE => Record::State { bytes: Bytes::copy_from_slice(cursor.string()?) },
        RESTART => {
            let index = LogIndex(cursor.u64()?);
            Record::Restart { base: LogPoint { index, epoch: take_epoch(cursor)? } }
        }
        SUMMARY => {
            let has_state = cursor.u8()? == 1;
            let state = Bytes::copy_from_slice(cursor.string()?);
            Record::Summary { state: has_state.then_some(state) }
        }
        _ => return None,
    })
}

fn take_epoch(cursor: &mut Cursor<'_>) -> Option<Epoch> {
    let number = cursor.u64()?;
    let has_campaigner = cursor.u8()? == 1;
    take_campaigner(cursor, number, has_campaigner)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use weald_core::{Digest, PeerId};

    use super::*;

    fn epoch(number: u64) -> Epoch {
        let peer = PeerId::from_digest(Digest::from_bytes([number.to_le_bytes()[0]; 32]));
        Epoch { number, campaigner: Some(peer) }
    }

    fn all() -> Vec<Record> {
        let bytes = Bytes::from_static(b"some bytes");
        let index = LogIndex(9);
        let entry = |epoch, bytes, is_fill| Record::Entry { index, epoch, bytes, is_fill };
        let part = |is_fill| Record::Part {
            index,
            epoch: epoch(2),
            total: 30,
            offset: 10,
            bytes: bytes.clone(),
            is_fill,
        };
        vec![
            Record::Cut { from: index },
            Record::State { bytes: bytes.clone() },
            entry(Epoch::default(), bytes.clone(), false),
            entry(epoch(2), Bytes::new(), false),
            entry(epoch(2), Bytes::new(), true),
            part(false),
            part(true),
            Record::Release { below: index },
            Record::Restart { base: LogPoint { index, epoch: epoch(3) } },
            Record::Summary { state: None },
            Record::Summary { state: Some(bytes.clone()) },
        ]
    }

    #[test]
    fn records_round_trip_within_their_stated_size() {
        let mut out = Vec::new();
        encode(&all(), &mut out);
        assert!(out.len() <= all().iter().map(Record::size_max).sum());
        assert_eq!(decode(&Bytes::from(out)), Some(all()));
    }

    #[test]
    fn an_epoch_is_written_where_it_changes() {
        let entry = |index| Record::Entry {
            index: LogIndex(index),
            epoch: epoch(1),
            bytes: Bytes::from_static(b"1234567"),
            is_fill: false,
        };
        let mut out = Vec::new();
        encode(&[entry(1), entry(2), entry(3)], &mut out);
        assert_eq!(out.len(), EPOCH_BYTES + 3 * (13 + 7));
    }

    proptest! {
        #[test]
        fn decoding_any_bytes_ends_without_panic(bytes in prop::collection::vec(0u8..12, 0..200)) {
            decode(&Bytes::from(bytes));
        }
    }
}
