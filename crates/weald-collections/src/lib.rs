//! Collections of Weald: hash-linked chains, B+trees, typed [`Tree`](tree)s and [`Diary`](diary)s
//! over them, the trait by which anyone adds a [`CollectionType`], the executor that turns actions
//! into transforms and an outcome, and client transactions.
//!
//! Everything is synchronous and pure over a [`weald_core::BlockSource`]: the same actions on the
//! same blocks give the same blocks. What is not in memory halts the execution; the driver loads
//! it and executes again.

mod blocks;
mod collection_type;
mod scope;

pub use blocks::{BlockReader, BlockWriter, NotedReads, SourceReader};
pub use collection_type::{ChainUse, CollectionType, Resolution, Stop};
pub use scope::Scope;
