//! Collections of Weald: hash-linked chains, B+trees, [`Tree`]s and [`Diary`]s
//! over them, the trait by which anyone adds a [`CollectionType`], the executor that turns actions
//! into transforms and an outcome, and client transactions.
//!
//! Everything is synchronous and pure over a [`weald_core::BlockSource`]: the same actions on the
//! same blocks give the same blocks. What is not in memory halts the execution; the driver loads
//! it and executes again.

mod blocks;
pub mod btree;
pub mod chain;
mod collection_type;
mod diary;
mod executor;
mod feed;
mod header;
pub mod key;
mod kind;
mod layout;
mod open;
mod registry;
mod scope;
mod state;
#[cfg(test)]
mod testing;
pub mod transaction;
pub mod tree;

pub use blocks::{BlockReader, BlockWriter, NotedReads, SourceReader};
pub use chain::ChainEntry;
pub use collection_type::{ChainUse, CollectionType, Resolution, Stop};
pub use diary::{Diary, DiaryAnswer, DiaryEntry, DiaryType, ExpectedVersion, RawDiary};
pub use executor::{
    ANSWERS_BYTES_MAX, Appended, CHANGE_NOTES_BYTES_MAX, ChangeRecord, CollectionExecutor,
    CreateAnswer,
};
pub use feed::changes;
pub use header::{CollectionHeader, HEADER_BYTES_MAX};
pub use key::{EncodeKey, Key, KeyError};
pub use open::{ReadError, inspect, open};
pub use registry::{AlreadyRegistered, Registry};
pub use scope::Scope;
pub use state::{ChainEnds, ChainState, CollectionState};
pub use tree::{RawTree, Tree, TreeType};
