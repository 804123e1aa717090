//! The partition's tables as rows beside the blocks: one byte of table, then the key.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weald_core::{
    BlockId, Digest, Time, TransactionId,
    codec::{self, CodecError, Kind},
};

use super::{results::Kept, sessions::SessionRow};

const MACHINE: Kind = Kind(Kind::CLUSTER_FIRST.0);
const RESULT: Kind = Kind(Kind::CLUSTER_FIRST.0 + 1);
const SESSION: Kind = Kind(Kind::CLUSTER_FIRST.0 + 2);

const MACHINE_TABLE: u8 = b'm';
const RESULT_TABLE: u8 = b'r';
const SESSION_TABLE: u8 = b's';
const COLLECTION_TABLE: u8 = b'c';

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
    Collection,
}

impl Row {
    pub(super) fn parse(key: &Bytes, value: &[u8]) -> Result<Self, RowError> {
        let unknown = || RowError::Key(key.clone());
        let damaged = |source| RowError::Value { key: key.clone(), source };
        let (table, rest) = key.split_first().ok_or_else(unknown)?;
        match *table {
            MACHINE_TABLE => Ok(Self::Machine(codec::decode(MACHINE, value).map_err(damaged)?)),
            RESULT_TABLE => {
                let id = rest.try_into().map_err(|_| unknown())?;
                let kept = codec::decode(RESULT, value).map_err(damaged)?;
                Ok(Self::Result(TransactionId::from_bytes(id), Box::new(kept)))
            }
            SESSION_TABLE => {
                let session = rest.try_into().map_err(|_| unknown())?;
                Ok(Self::Session(session, codec::decode(SESSION, value).map_err(damaged)?))
            }
            COLLECTION_TABLE => collection_of(key).map(|_| Self::Collection).ok_or_else(unknown),
            _ => Err(unknown()),
        }
    }
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

pub(super) fn machine_key() -> Bytes {
    Bytes::from_static(&[MACHINE_TABLE])
}

pub(super) fn result_key(id: &TransactionId) -> Bytes {
    key(RESULT_TABLE, &id.to_bytes())
}

pub(super) fn result_value(kept: &Kept) -> Bytes {
    codec::encode(RESULT, kept)
}

pub(super) fn session_key(session: &[u8; 16]) -> Bytes {
    key(SESSION_TABLE, session)
}

pub(super) fn session_value(row: &SessionRow) -> Bytes {
    codec::encode(SESSION, row)
}

pub(super) fn collection_key(collection: BlockId) -> Bytes {
    key(COLLECTION_TABLE, &collection.to_bytes())
}

fn key(table: u8, rest: &[u8]) -> Bytes {
    let mut key = Vec::with_capacity(1 + rest.len());
    key.push(table);
    key.extend_from_slice(rest);
    key.into()
}
