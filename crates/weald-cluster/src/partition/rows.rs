//! The partition's tables as rows beside the blocks: one byte of table, then the key. Where a row
//! is about something that has a placement key, that key comes first, so that a range of keys is a
//! range of rows.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weald_core::{
    BlockId, Digest, Lock, PartitionId, PeerId, PlacementKey, Settings, Time, TransactionId,
    codec::{self, CodecError, Kind},
};

use super::{
    Decision, Dissolution,
    locks::{IntentRow, PartRow, Tombstone, TransformRow},
    results::Kept,
    sessions::SessionRow,
    system::SystemRow,
};

const fn kind(offset: u8) -> Kind {
    Kind(Kind::CLUSTER_FIRST.0 + offset)
}

const MACHINE: Kind = kind(0);
const RESULT: Kind = kind(1);
const SESSION: Kind = kind(2);
const INTENT: Kind = kind(3);
const PART: Kind = kind(4);
const TOMBSTONE: Kind = kind(5);
const DECISION: Kind = kind(6);
const SETTINGS: Kind = kind(7);
const SYSTEM: Kind = kind(8);
const NODE: Kind = kind(9);
const RANGE: Kind = kind(10);
const TRANSFORM: Kind = kind(11);
const DISSOLUTION: Kind = kind(12);

const MACHINE_TABLE: u8 = b'm';
const RESULT_TABLE: u8 = b'r';
const SESSION_TABLE: u8 = b's';
const COLLECTION_TABLE: u8 = b'c';
const INTENT_TABLE: u8 = b'i';
const TRANSFORM_TABLE: u8 = b't';
const PART_TABLE: u8 = b'p';
const TOMBSTONE_TABLE: u8 = b'x';
const DECISION_TABLE: u8 = b'd';
const SETTINGS_TABLE: u8 = b'g';
const SYSTEM_TABLE: u8 = b'y';
const NODE_TABLE: u8 = b'n';
const RANGE_TABLE: u8 = b'k';
const DISSOLUTION_TABLE: u8 = b'e';

/// Why a row of a partition could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// The key is of no table that this code knows, or too short or long for its table.
    #[error("a row of the partition has an unknown key: key={0:?}")]
    Key(Bytes),
    /// The value does not parse.
    #[error("a row of the partition is damaged: key={key:?}")]
    Value {
        /// The key.
        key: Bytes,
        /// What does not parse.
        source: CodecError,
    },
}

/// Log time and effect hash after an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MachineRow {
    pub(super) time: Time,
    pub(super) effect_hash: Digest,
}

impl MachineRow {
    pub(super) fn encode(&self) -> Bytes {
        codec::encode(MACHINE, self)
    }
}

/// A row, read back.
#[derive(Debug)]
pub(super) enum Row {
    Machine(MachineRow),
    Result(TransactionId, Box<Kept>),
    Session([u8; 16], SessionRow),
    Intent(BlockId, Box<IntentRow>),
    Transform(Box<TransformRow>),
    Part(TransactionId, Box<PartRow>),
    Tombstone(PlacementKey, TransactionId, Tombstone),
    Decision(TransactionId, Decision),
    Settings(Box<Settings>),
    Dissolution(Dissolution),
    System(SystemRow),
    Node(PeerId, Box<weald_core::NodeRecord>),
    Range(PartitionId, weald_core::KeyBounds),
    Collection,
}

impl Row {
    pub(super) fn parse(key: &Bytes, value: &[u8]) -> Result<Self, RowError> {
        let unknown = || RowError::Key(key.clone());
        let (table, rest) = key.split_first().ok_or_else(unknown)?;
        let value = Value { key, value };
        let transaction = || id_of(rest).ok_or_else(unknown);
        Ok(match *table {
            MACHINE_TABLE => Self::Machine(value.decode(MACHINE)?),
            SETTINGS_TABLE => Self::Settings(value.decode(SETTINGS)?),
            SYSTEM_TABLE => Self::System(value.decode(SYSTEM)?),
            DISSOLUTION_TABLE => Self::Dissolution(value.decode(DISSOLUTION)?),
            RESULT_TABLE => Self::Result(transaction()?, value.decode(RESULT)?),
            DECISION_TABLE => Self::Decision(transaction()?, value.decode(DECISION)?),
            SESSION_TABLE => {
                let session = rest.try_into().map_err(|_| unknown())?;
                Self::Session(session, value.decode(SESSION)?)
            }
            INTENT_TABLE => {
                let collection = BlockId::from_bytes(rest.try_into().map_err(|_| unknown())?);
                Self::Intent(collection, value.decode(INTENT)?)
            }
            TRANSFORM_TABLE => {
                <[u8; BlockId::LEN]>::try_from(rest).map_err(|_| unknown())?;
                Self::Transform(value.decode(TRANSFORM)?)
            }
            PART_TABLE => {
                let (_, id) = placed_id_of(rest).ok_or_else(unknown)?;
                Self::Part(id, value.decode(PART)?)
            }
            TOMBSTONE_TABLE => {
                let (key, id) = placed_id_of(rest).ok_or_else(unknown)?;
                Self::Tombstone(key, id, value.decode(TOMBSTONE)?)
            }
            NODE_TABLE => {
                let peer = Digest::from_bytes(rest.try_into().map_err(|_| unknown())?);
                Self::Node(PeerId::from_digest(peer), value.decode(NODE)?)
            }
            RANGE_TABLE => {
                let partition = u32::from_be_bytes(rest.try_into().map_err(|_| unknown())?);
                Self::Range(PartitionId(partition), value.decode(RANGE)?)
            }
            COLLECTION_TABLE => collection_of(key).map(|_| Self::Collection).ok_or_else(unknown)?,
            _ => return Err(unknown()),
        })
    }
}

struct Value<'r> {
    key: &'r Bytes,
    value: &'r [u8],
}

impl Value<'_> {
    fn decode<T: serde::de::DeserializeOwned>(&self, kind: Kind) -> Result<T, RowError> {
        let damaged = |source| RowError::Value { key: self.key.clone(), source };
        codec::decode(kind, self.value).map_err(damaged)
    }
}

fn id_of(rest: &[u8]) -> Option<TransactionId> {
    Some(TransactionId::from_bytes(rest.try_into().ok()?))
}

fn placed_id_of(rest: &[u8]) -> Option<(PlacementKey, TransactionId)> {
    let (key, id) = rest.split_first_chunk::<8>()?;
    Some((PlacementKey::from_u64(u64::from_be_bytes(*key)), id_of(id)?))
}

/// What the keys of the rows that list collections begin with.
pub fn collections_prefix() -> &'static [u8] {
    &[COLLECTION_TABLE]
}

/// The collection (the id of its header block) that a row's key lists; `None` for other rows.
pub fn collection_of(key: &[u8]) -> Option<BlockId> {
    let id = key.strip_prefix(collections_prefix())?;
    Some(BlockId::from_bytes(id.try_into().ok()?))
}

/// What the keys of the rows that say which collections are locked begin with. A reader that
/// looks at a view looks at these rows *before* it opens the view: a lock that it does not find
/// then was taken after its read began.
pub fn locks_prefix() -> &'static [u8] {
    &[INTENT_TABLE]
}

/// The key of the row that says who has locked `collection`, if somebody has.
pub fn lock_key(collection: BlockId) -> Bytes {
    intent_key(collection)
}

/// The collection and its lock, from a row under [`locks_prefix`].
///
/// # Errors
/// When the row is of another kind or does not parse.
pub fn lock_of(key: &Bytes, value: &[u8]) -> Result<(BlockId, Lock), RowError> {
    match Row::parse(key, value)? {
        Row::Intent(collection, row) => Ok((collection, row.lock)),
        _ => Err(RowError::Key(key.clone())),
    }
}

/// What the keys of the rows begin with that hold the network's state, in the system partition.
pub const SYSTEM_PREFIXES: [&[u8]; 3] = [&[SYSTEM_TABLE], &[NODE_TABLE], &[RANGE_TABLE]];

/// The network's state, from the rows under [`SYSTEM_PREFIXES`].
///
/// # Errors
/// When a row does not parse.
pub fn system_of(
    stored: impl IntoIterator<Item = (Bytes, Bytes)>,
) -> Result<weald_core::SystemState, RowError> {
    let mut state = weald_core::SystemState::default();
    for (key, value) in stored {
        match Row::parse(&key, &value)? {
            Row::System(row) => row.restore(&mut state),
            Row::Node(peer, record) => drop(state.nodes.insert(peer, *record)),
            Row::Range(partition, bounds) => drop(state.ranges.insert(partition, bounds)),
            _ => return Err(RowError::Key(key)),
        }
    }
    Ok(state)
}

/// What the key of the row begins with that says whether the network may still join another.
pub const DISSOLUTION_PREFIX: &[u8] = &[DISSOLUTION_TABLE];

/// Whether it may, from the row under [`DISSOLUTION_PREFIX`].
///
/// # Errors
/// When the row does not parse.
pub fn dissolution_of(
    stored: impl IntoIterator<Item = (Bytes, Bytes)>,
) -> Result<Dissolution, RowError> {
    match stored.into_iter().next() {
        None => Ok(Dissolution::default()),
        Some((key, value)) => match Row::parse(&key, &value)? {
            Row::Dissolution(dissolution) => Ok(dissolution),
            _ => Err(RowError::Key(key)),
        },
    }
}

pub(super) fn machine_key() -> Bytes {
    Bytes::from_static(&[MACHINE_TABLE])
}

pub(super) fn result_key(id: &TransactionId) -> Bytes {
    key(RESULT_TABLE, &[&id.to_bytes()])
}

pub(super) fn result_value(kept: &Kept) -> Bytes {
    codec::encode(RESULT, kept)
}

pub(super) fn session_key(session: &[u8; 16]) -> Bytes {
    key(SESSION_TABLE, &[session])
}

pub(super) fn session_value(row: &SessionRow) -> Bytes {
    codec::encode(SESSION, row)
}

pub(super) fn collection_key(collection: BlockId) -> Bytes {
    key(COLLECTION_TABLE, &[&collection.to_bytes()])
}

pub(super) fn intent_key(collection: BlockId) -> Bytes {
    key(INTENT_TABLE, &[&collection.to_bytes()])
}

pub(super) fn intent_value(row: &IntentRow) -> Bytes {
    codec::encode(INTENT, row)
}

pub(super) fn transform_key(block: BlockId) -> Bytes {
    key(TRANSFORM_TABLE, &[&block.to_bytes()])
}

pub(super) fn transform_value(row: &TransformRow) -> Bytes {
    codec::encode(TRANSFORM, row)
}

pub(super) fn part_key(placement: PlacementKey, id: &TransactionId) -> Bytes {
    key(PART_TABLE, &[&placement.as_u64().to_be_bytes(), &id.to_bytes()])
}

pub(super) fn part_value(row: &PartRow) -> Bytes {
    codec::encode(PART, row)
}

pub(super) fn tombstone_key(placement: PlacementKey, id: &TransactionId) -> Bytes {
    key(TOMBSTONE_TABLE, &[&placement.as_u64().to_be_bytes(), &id.to_bytes()])
}

pub(super) fn tombstone_value(tombstone: &Tombstone) -> Bytes {
    codec::encode(TOMBSTONE, tombstone)
}

pub(super) fn decision_key(id: &TransactionId) -> Bytes {
    key(DECISION_TABLE, &[&id.to_bytes()])
}

pub(super) fn decision_value(decision: &Decision) -> Bytes {
    codec::encode(DECISION, decision)
}

pub(super) fn settings_key() -> Bytes {
    Bytes::from_static(&[SETTINGS_TABLE])
}

pub(super) fn settings_value(settings: &Settings) -> Bytes {
    codec::encode(SETTINGS, settings)
}

pub(super) fn dissolution_key() -> Bytes {
    Bytes::from_static(&[DISSOLUTION_TABLE])
}

pub(super) fn dissolution_value(dissolution: &Dissolution) -> Bytes {
    codec::encode(DISSOLUTION, dissolution)
}

pub(super) fn system_key() -> Bytes {
    Bytes::from_static(&[SYSTEM_TABLE])
}

pub(super) fn system_value(row: &SystemRow) -> Bytes {
    codec::encode(SYSTEM, row)
}

pub(super) fn node_key(peer: &PeerId) -> Bytes {
    key(NODE_TABLE, &[peer.digest().as_bytes()])
}

pub(super) fn node_value(record: &weald_core::NodeRecord) -> Bytes {
    codec::encode(NODE, record)
}

pub(super) fn range_key(partition: PartitionId) -> Bytes {
    key(RANGE_TABLE, &[&partition.0.to_be_bytes()])
}

pub(super) fn range_value(bounds: &weald_core::KeyBounds) -> Bytes {
    codec::encode(RANGE, bounds)
}

fn key(table: u8, parts: &[&[u8]]) -> Bytes {
    let mut key = vec![table];
    parts.iter().for_each(|part| key.extend_from_slice(part));
    key.into()
}
