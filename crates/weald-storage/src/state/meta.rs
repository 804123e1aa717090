//! What is stored of a partition besides its blocks: the covered index, the floors and the state
//! machine's rows, in the engine's `Meta` keyspace. Every value begins with a checksum over its key
//! and the rest. The bytes are described in `docs/format.md` under "Stored blocks".

use bytes::Bytes;
use weald_core::{BlockId, LogIndex, PartitionId, StateError};

use super::{
    horizon::{Floor, Floors},
    storage_error,
    wire::{Fields, put_number},
};
use crate::engine::{Direction, Engine, KEY_LEN_MAX, KeyRange, Keyspace, Snapshot};

/// First byte of every key here: what belongs to a partition's state.
const STATE: u8 = b's';
const CHECKPOINT: u8 = 0;
const ROW: u8 = 1;
const FLOOR: u8 = 2;
const PREFIX_BYTES: usize = 6;
const CHECKSUM_BYTES: usize = 4;
/// The version of the checkpoint's format.
const FORMAT: u64 = 1;
/// Longest key of a row, in bytes.
pub(crate) const ROW_KEY_BYTES_MAX: usize = KEY_LEN_MAX - PREFIX_BYTES;

/// What the last checkpoint said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// The index that it covers.
    pub(crate) covered: LogIndex,
    pub(crate) default_floor: LogIndex,
    pub(crate) forgotten: LogIndex,
    /// Whether any block was ever stored.
    pub(crate) has_blocks: bool,
}

impl Checkpoint {
    pub(crate) fn entry(&self, partition: PartitionId) -> (Vec<u8>, Vec<u8>) {
        let mut content = Vec::new();
        let numbers = [FORMAT, self.covered.0, self.default_floor.0, self.forgotten.0];
        numbers.into_iter().for_each(|number| put_number(&mut content, number));
        put_number(&mut content, self.has_blocks.into());
        sealed(key(partition, CHECKPOINT, &[]), &content)
    }

    fn decode(content: &[u8]) -> Option<Self> {
        let mut fields = Fields::new(content);
        if fields.number()? != FORMAT {
            return None;
        }
        let mut index = || fields.number().map(LogIndex);
        let (covered, default_floor, forgotten) = (index()?, index()?, index()?);
        let has_blocks = fields.number()? != 0;
        fields.is_empty().then_some(Self { covered, default_floor, forgotten, has_blocks })
    }
}

/// The key and value of a row; `None` deletes it.
pub(crate) fn row_entry(
    partition: PartitionId,
    row: &[u8],
    value: Option<&Bytes>,
) -> (Vec<u8>, Option<Vec<u8>>) {
    let key = key(partition, ROW, row);
    match value {
        None => (key, None),
        Some(value) => {
            let (key, value) = sealed(key, value);
            (key, Some(value))
        }
    }
}

/// The key and value of a collection's floor.
pub(crate) fn floor_entry(partition: PartitionId, id: BlockId, floor: Floor) -> (Vec<u8>, Vec<u8>) {
    let mut content = Vec::new();
    put_number(&mut content, floor.wanted.0);
    put_number(&mut content, floor.holds.0);
    sealed(key(partition, FLOOR, &id.to_bytes()), &content)
}

/// Reads what the last checkpoint left, but no rows and no blocks.
pub(crate) fn read(
    engine: &dyn Engine,
    partition: PartitionId,
) -> Result<(Checkpoint, Floors), StateError> {
    let damaged = |what: &str| storage_error(format!("{what} partition={partition}"));
    let snapshot = engine.snapshot().map_err(|error| storage_error(error.to_string()))?;
    let at = key(partition, CHECKPOINT, &[]);
    let value = snapshot.get(Keyspace::Meta, &at).map_err(|e| storage_error(e.to_string()))?;
    let checkpoint = match value {
        None => Checkpoint::default(),
        Some(value) => open(&at, &value)
            .and_then(Checkpoint::decode)
            .ok_or_else(|| damaged("the checkpoint is damaged or of an unknown format"))?,
    };
    let mut floors = Floors {
        default: checkpoint.default_floor,
        forgotten: checkpoint.forgotten,
        ..Floors::default()
    };
    for entry in entries(&*snapshot, partition, FLOOR, &[]) {
        let (key, content) = entry?;
        let (id, floor) =
            read_floor(&key, &content).ok_or_else(|| damaged("a floor is damaged"))?;
        floors.collections.insert(id, floor);
    }
    Ok((checkpoint, floors))
}

/// The index that the last checkpoint covered.
pub(crate) fn covered(
    snapshot: &dyn Snapshot,
    partition: PartitionId,
) -> Result<LogIndex, StateError> {
    let at = key(partition, CHECKPOINT, &[]);
    let value = snapshot.get(Keyspace::Meta, &at).map_err(|e| storage_error(e.to_string()))?;
    let Some(value) = value else { return Ok(LogIndex::ZERO) };
    let checkpoint = open(&at, &value).and_then(Checkpoint::decode);
    let damaged = || storage_error(format!("the checkpoint is damaged partition={partition}"));
    checkpoint.map(|checkpoint| checkpoint.covered).ok_or_else(damaged)
}

/// Everything here that belongs to a partition.
pub(crate) fn partition_range(partition: PartitionId) -> KeyRange {
    KeyRange::prefix([&[STATE][..], &partition.0.to_be_bytes()].concat())
}

/// Whether the value fits the key and its own checksum.
pub(crate) fn is_intact(key: &[u8], value: &[u8]) -> bool {
    open(key, value).is_some()
}

fn read_floor(key: &[u8], content: &[u8]) -> Option<(BlockId, Floor)> {
    let id = BlockId::from_bytes(key.try_into().ok()?);
    let mut fields = Fields::new(content);
    let floor = Floor { wanted: LogIndex(fields.number()?), holds: LogIndex(fields.number()?) };
    fields.is_empty().then_some((id, floor))
}

/// The stored rows whose keys begin with `prefix`, in order.
pub(crate) fn rows<'s>(
    snapshot: &'s dyn Snapshot,
    partition: PartitionId,
    prefix: &[u8],
) -> impl Iterator<Item = Result<(Bytes, Bytes), StateError>> + use<'s> {
    entries(snapshot, partition, ROW, prefix)
}

/// Entries of one kind, their keys without what all share, their values without checksums.
fn entries<'s>(
    snapshot: &'s dyn Snapshot,
    partition: PartitionId,
    kind: u8,
    prefix: &[u8],
) -> impl Iterator<Item = Result<(Bytes, Bytes), StateError>> + use<'s> {
    let range = KeyRange::prefix(key(partition, kind, prefix));
    snapshot.scan(Keyspace::Meta, &range, Direction::Forward).map(move |entry| {
        let (key, value) = entry.map_err(|error| storage_error(error.to_string()))?;
        if open(&key, &value).is_none() {
            let text = format!("a row is damaged partition={partition} key={:02x?}", &key[..]);
            return Err(storage_error(text));
        }
        Ok((key.slice(PREFIX_BYTES..), value.slice(CHECKSUM_BYTES..)))
    })
}

fn key(partition: PartitionId, kind: u8, rest: &[u8]) -> Vec<u8> {
    [&[STATE][..], &partition.0.to_be_bytes(), &[kind], rest].concat()
}

fn sealed(key: Vec<u8>, content: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let value = [&checksum(&key, content).to_le_bytes()[..], content].concat();
    (key, value)
}

fn open<'v>(key: &[u8], value: &'v [u8]) -> Option<&'v [u8]> {
    let (sum, content) = value.split_first_chunk::<CHECKSUM_BYTES>()?;
    (*sum == checksum(key, content).to_le_bytes()).then_some(content)
}

fn checksum(key: &[u8], content: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(content);
    hasher.finalize()
}
