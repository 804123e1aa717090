//! Records: what one checkpoint stores of one block. The bytes are described in `docs/format.md`
//! under "Stored blocks".
//!
//! A record tells what became of a block up to and including one log index. It may hold the block
//! as it was then, as a whole (`latest`), and the steps that led there: splices, whole images, a
//! deletion. Steps that begin with splices need the record before. A step whose index is not above
//! the version that it is applied to says nothing new and is skipped, so that a record written
//! again after a failure may overlap the one before.

use bytes::Bytes;
use weald_core::{
    BlockId, BlockKind, Fault, LogIndex, PartitionId, Revision, limits::BLOCK_BYTES_MAX,
};

use super::{
    compression::{Compression, Form, decompress},
    splices::are_splices,
    wire::{Fields, put_bytes, put_number},
};
use crate::engine::KeyRange;

/// The version of the format, the first byte of every record.
const FORMAT: u8 = 1;
/// Format, flags, checksum, length of the content.
const HEADER_BYTES: usize = 10;
/// A record is closed when its steps have come to this many bytes and more follow.
pub(crate) const STEPS_BYTES_MAX: usize = 64 * 1024;
/// Most bytes of content: the latest image, full steps and one more that is an image too.
pub(crate) const CONTENT_BYTES_MAX: usize = 2 * BLOCK_BYTES_MAX + 2 * STEPS_BYTES_MAX;

const TAG_NONE: u8 = 0;
const TAG_IMAGE: u8 = 1;
const TAG_TOMBSTONE: u8 = 2;
const TAG_SPLICES: u8 = 3;

/// The key of a record: records of one block follow one another, the newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordKey {
    pub(crate) partition: PartitionId,
    pub(crate) block: BlockId,
    /// The index of the last step.
    pub(crate) last: LogIndex,
}

impl RecordKey {
    pub(crate) const LEN: usize = 4 + BlockId::LEN + 8;

    pub(crate) fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..4].copy_from_slice(&self.partition.0.to_be_bytes());
        bytes[4..4 + BlockId::LEN].copy_from_slice(&self.block.to_bytes());
        bytes[4 + BlockId::LEN..].copy_from_slice(&(!self.last.0).to_be_bytes());
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields::new(bytes);
        let partition = PartitionId(u32::from_be_bytes(fields.array()?));
        let block = BlockId::from_bytes(fields.array()?);
        let last = LogIndex(!u64::from_be_bytes(fields.array()?));
        fields.is_empty().then_some(Self { partition, block, last })
    }

    /// All records of a partition.
    pub(crate) fn partition_range(partition: PartitionId) -> KeyRange {
        KeyRange::prefix(partition.0.to_be_bytes().to_vec())
    }

    /// The records of a partition's blocks from `block` on.
    pub(crate) fn range_from(partition: PartitionId, block: BlockId) -> KeyRange {
        let start = Self { partition, block, last: LogIndex(u64::MAX) }.to_bytes().to_vec();
        match Self::partition_range(partition).end() {
            Some(end) => KeyRange::new(start, end.clone()),
            None => KeyRange::from(start),
        }
    }

    /// Records of one block from the newest that ends at `last` or before.
    pub(crate) fn block_range(self) -> KeyRange {
        let prefix = self.to_bytes()[..4 + BlockId::LEN].to_vec();
        let start = self.to_bytes().to_vec();
        match KeyRange::prefix(prefix).end() {
            Some(end) => KeyRange::new(start, end.clone()),
            None => KeyRange::from(start),
        }
    }

    /// Records of one block that end above `last`.
    pub(crate) fn newer_range(self) -> KeyRange {
        let start = Self { last: LogIndex(u64::MAX), ..self }.to_bytes().to_vec();
        KeyRange::new(start, self.to_bytes().to_vec())
    }

    /// A fault that names the block.
    pub(crate) fn damaged(self, detail: impl std::fmt::Display) -> Fault {
        let detail = format!("{detail} partition={} index={}", self.partition, self.last);
        Fault::Damaged { id: self.block, detail }
    }
}

/// What must be read besides a record to know the block as it is at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Debt {
    /// Bytes of steps since the last whole image.
    pub(crate) bytes: u64,
    /// Records since the last one that holds a whole image, this one included if it does not.
    pub(crate) records: u64,
}

/// A block at the end of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Latest<'b> {
    /// The block as a whole.
    Image { revision: Revision, kind: BlockKind, payload: &'b [u8] },
    /// There is no block any more.
    Tombstone { revision: Revision },
}

/// What happened at one index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step<'b> {
    pub(crate) index: LogIndex,
    pub(crate) revision: Revision,
    pub(crate) op: Op<'b>,
}

/// How the block changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op<'b> {
    /// Encoded splices.
    Splices(&'b [u8]),
    /// The block became this.
    Image { kind: BlockKind, payload: &'b [u8] },
    /// The block went.
    Tombstone,
}

impl Step<'_> {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put_number(out, self.index.0);
        put_number(out, self.revision.0);
        match self.op {
            Op::Splices(encoded) => {
                out.push(TAG_SPLICES);
                put_bytes(out, encoded);
            }
            Op::Image { kind, payload } => {
                out.push(TAG_IMAGE);
                put_image(out, kind, payload);
            }
            Op::Tombstone => out.push(TAG_TOMBSTONE),
        }
    }
}

/// The parts of a record that is to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draft<'b> {
    pub(crate) collection: BlockId,
    pub(crate) debt: Debt,
    pub(crate) latest: Option<Latest<'b>>,
    /// Encoded steps.
    pub(crate) steps: &'b [u8],
}

impl Draft<'_> {
    /// The value to store under `key`.
    pub(crate) fn encode(&self, key: RecordKey, compression: Compression) -> Vec<u8> {
        let content = self.content();
        let compressed = compression.compress(&content);
        let (form, stored) = match &compressed {
            Some((form, bytes)) => (*form, bytes),
            None => (Form::Raw, &content),
        };
        let length = u32::try_from(content.len()).expect("a record's content fits 32 bits");
        let mut value = Vec::with_capacity(HEADER_BYTES + stored.len());
        value.extend_from_slice(&[FORMAT, form.bits(), 0, 0, 0, 0]);
        value.extend_from_slice(&length.to_le_bytes());
        value.extend_from_slice(stored);
        let checksum = checksum(&key.to_bytes(), &value).to_le_bytes();
        value[2..6].copy_from_slice(&checksum);
        value
    }

    fn content(&self) -> Vec<u8> {
        let image_bytes = match self.latest {
            Some(Latest::Image { payload, .. }) => payload.len(),
            _ => 0,
        };
        let mut out = Vec::with_capacity(self.steps.len() + image_bytes + 64);
        out.extend_from_slice(&self.collection.to_bytes());
        put_number(&mut out, self.debt.bytes);
        put_number(&mut out, self.debt.records);
        match self.latest {
            None => out.push(TAG_NONE),
            Some(Latest::Image { revision, kind, payload }) => {
                out.push(TAG_IMAGE);
                put_number(&mut out, revision.0);
                put_image(&mut out, kind, payload);
            }
            Some(Latest::Tombstone { revision }) => {
                out.push(TAG_TOMBSTONE);
                put_number(&mut out, revision.0);
            }
        }
        out.extend_from_slice(self.steps);
        out
    }
}

/// The checksum covers the key, so that a record that strayed to another key is damage, and every
/// byte of the value but its own four.
fn checksum(key: &[u8], value: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(&value[..2]);
    hasher.update(&value[6..]);
    hasher.finalize()
}

fn put_image(out: &mut Vec<u8>, kind: BlockKind, payload: &[u8]) {
    put_number(out, kind.0.into());
    put_bytes(out, payload);
}

fn read_image<'b>(fields: &mut Fields<'b>) -> Option<(BlockKind, &'b [u8])> {
    let kind = BlockKind(u16::try_from(fields.number()?).ok()?);
    let payload = fields.bytes()?;
    (payload.len() <= BLOCK_BYTES_MAX).then_some((kind, payload))
}

/// A record that was read: its checksum held and all of it parses.
#[derive(Debug)]
pub(crate) struct Record {
    key: RecordKey,
    content: Vec<u8>,
    collection: BlockId,
    debt: Debt,
    /// Where `latest` begins, and where the steps do.
    latest_at: usize,
    steps_at: usize,
    step_count: usize,
    is_self_contained: bool,
}

impl Record {
    /// Reads what [`Draft::encode`] made.
    pub(crate) fn decode(key: RecordKey, value: &[u8]) -> Result<Self, Fault> {
        let content = open_envelope(key, value).map_err(|detail| key.damaged(detail))?;
        Self::parse(key, content).ok_or_else(|| key.damaged("the content does not parse"))
    }

    fn parse(key: RecordKey, content: Vec<u8>) -> Option<Self> {
        let mut fields = Fields::new(&content);
        let collection = BlockId::from_bytes(fields.array()?);
        let debt = Debt { bytes: fields.number()?, records: fields.number()? };
        let latest_at = content.len() - fields.rest().len();
        let latest = read_latest(&mut fields)?;
        let steps_at = content.len() - fields.rest().len();
        let (mut step_count, mut last, mut is_self_contained) = (0, None, latest.is_some());
        while !fields.is_empty() {
            let step = read_step(&mut fields).filter(|step| last < Some(step.index))?;
            is_self_contained |= !matches!(step.op, Op::Splices(_));
            last = Some(step.index);
            step_count += 1;
        }
        if last.is_some_and(|last| last != key.last) || (last.is_none() && latest.is_none()) {
            return None;
        }
        let record = Self {
            key,
            content,
            collection,
            debt,
            latest_at,
            steps_at,
            step_count,
            is_self_contained,
        };
        Some(record)
    }

    pub(crate) fn key(&self) -> RecordKey {
        self.key
    }

    pub(crate) fn collection(&self) -> BlockId {
        self.collection
    }

    pub(crate) fn debt(&self) -> Debt {
        self.debt
    }

    pub(crate) fn step_count(&self) -> usize {
        self.step_count
    }

    /// Whether the block at the end of the record is known without an older record.
    pub(crate) fn is_self_contained(&self) -> bool {
        self.is_self_contained
    }

    /// Whether there is no block at the end of the record.
    pub(crate) fn ends_in_tombstone(&self) -> bool {
        match self.latest() {
            Some(latest) => matches!(latest, Latest::Tombstone { .. }),
            None => self.steps().last().is_some_and(|step| step.op == Op::Tombstone),
        }
    }

    pub(crate) fn latest(&self) -> Option<Latest<'_>> {
        let mut fields = Fields::new(&self.content[self.latest_at..]);
        read_latest(&mut fields).expect("a decoded record parses")
    }

    /// The steps, oldest first.
    pub(crate) fn steps(&self) -> impl Iterator<Item = Step<'_>> {
        let mut fields = Fields::new(&self.content[self.steps_at..]);
        std::iter::from_fn(move || read_step(&mut fields))
    }
}

/// Checks the header and the checksum and gives the content.
fn open_envelope(key: RecordKey, value: &[u8]) -> Result<Vec<u8>, &'static str> {
    let (header, stored) =
        value.split_first_chunk::<HEADER_BYTES>().ok_or("the record is too short")?;
    let [format, flags, sum @ .., l0, l1, l2, l3] = *header;
    if sum != checksum(&key.to_bytes(), value).to_le_bytes() {
        return Err("the checksum does not match");
    }
    if format != FORMAT {
        return Err("the format is unknown");
    }
    let form = Form::from_bits(flags & Form::MASK).filter(|_| flags & !Form::MASK == 0);
    let form = form.ok_or("the flags are unknown")?;
    let length = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
    if length > CONTENT_BYTES_MAX {
        return Err("the content is too large");
    }
    decompress(form, stored, length)
}

/// `None`: does not parse. `Some(None)`: the record has none.
fn read_latest<'b>(fields: &mut Fields<'b>) -> Option<Option<Latest<'b>>> {
    match fields.byte()? {
        TAG_NONE => Some(None),
        TAG_IMAGE => {
            let revision = Revision(fields.number()?);
            let (kind, payload) = read_image(fields)?;
            Some(Some(Latest::Image { revision, kind, payload }))
        }
        TAG_TOMBSTONE => Some(Some(Latest::Tombstone { revision: Revision(fields.number()?) })),
        _ => None,
    }
}

fn read_step<'b>(fields: &mut Fields<'b>) -> Option<Step<'b>> {
    let (index, revision) = (LogIndex(fields.number()?), Revision(fields.number()?));
    let op = match fields.byte()? {
        TAG_SPLICES => Op::Splices(fields.bytes().filter(|encoded| are_splices(encoded))?),
        TAG_IMAGE => {
            let (kind, payload) = read_image(fields)?;
            Op::Image { kind, payload }
        }
        TAG_TOMBSTONE => Op::Tombstone,
        _ => return None,
    };
    Some(Step { index, revision, op })
}

/// What a stored record holds, for people and tools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordSummary {
    /// The partition.
    pub partition: PartitionId,
    /// The block.
    pub block: BlockId,
    /// The log index at whose end the record tells how the block is.
    pub last: LogIndex,
    /// Versions of the block that the record can give.
    pub version_count: usize,
    /// Whether it needs no older record for its last version.
    pub is_self_contained: bool,
}

/// Reads any bytes as a stored record, as the store itself does. Never panics.
///
/// # Errors
/// [`Fault::Damaged`] naming the block; [`Fault::Storage`] when the key names none.
pub fn decode_record(key: &[u8], value: &[u8]) -> Result<RecordSummary, Fault> {
    let key = RecordKey::from_bytes(key)
        .ok_or_else(|| Fault::Storage(format!("not the key of a block: bytes={}", key.len())))?;
    let record = Record::decode(key, value)?;
    Ok(RecordSummary {
        partition: key.partition,
        block: key.block,
        last: key.last,
        version_count: record.step_count().max(1),
        is_self_contained: record.is_self_contained(),
    })
}

/// The record under an engine's key and value.
pub(crate) fn read_record(key: &Bytes, value: &Bytes) -> Result<Record, Fault> {
    let key = RecordKey::from_bytes(key)
        .ok_or_else(|| Fault::Storage(format!("not the key of a block: bytes={}", key.len())))?;
    Record::decode(key, value)
}
