//! Weald, a database without a server: transactional trees, append-only diaries and persistent
//! topics, embedded in your program.
//!
//! [`Weald::open`] opens a directory, [`Weald::in_memory`] a database that ends with the process.
//! Collections are chosen by name: [`Weald::tree`], [`Weald::diary`], [`Weald::topic`]. A write returns when it is
//! durable and visible; an [`Error`] says what was and was not committed and what to do next.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> weald::Result<()> {
//! let node = weald::Weald::in_memory().await?;
//! let stock = node.raw_tree("stock").open_or_create().await?;
//! stock.put("apple", "3").await?;
//! assert_eq!(stock.get("apple").await?.as_deref(), Some("3".as_bytes()));
//! node.close().await?;
//! # Ok(()) }
//! ```

// What the program shares with the gateway names this crate as the program does.
#[cfg(feature = "http")]
extern crate self as weald;

mod backend;
mod config;
mod consistency;
mod custom;
mod diary;
mod driver;
mod error;
mod founding;
mod history;
#[cfg(feature = "http")]
mod http;
mod kinds;
mod members;
mod metric;
mod node;
mod node_config;
mod reach;
mod stream;
mod telling;
mod topic;
mod transaction;
mod tree;
mod upkeep;
mod write;

pub use bytes::Bytes;
pub use config::Config;
pub use consistency::Consistency;
pub use custom::Acted;
pub use diary::{
    Diary, DiaryEntry, DiaryOptions, DiarySelector, DiaryTail, RawDiary, RawDiaryEntry,
    RawDiarySelector, RawDiaryTail, TailEvent,
};
pub use error::{Effect, Error, ErrorKind, Result};
pub use founding::leave;
#[cfg(feature = "http")]
pub use http::{GatewayConfig, HttpGateway};
pub use metric::{BUCKETS_US, Histogram, Metric, MetricValue};
pub use node::{
    Builder, CollectionInfo, Damage, MemberInfo, NodeBuilder, NodeStatus, PartitionInfo,
    PartitionRole, Reachability, RecoveryInfo, RecoveryOutcome, RecoveryRequest, TransactionStatus,
    VerifyProgress, VerifyReport, Voters, Weald,
};
pub use node_config::{NodeConfig, Probe};
pub use topic::{
    GroupConsumer, ImportReport, PublishOptions, PublishReceipt, StartAt, SubscribeOptions,
    Subscription, Topic, TopicEvent, TopicHistory, TopicMerge, TopicMessage, TopicPages,
    TopicSelector,
};
pub use transaction::{
    Transacted, Transaction, TransactionDiary, TransactionRawDiary, TransactionRawTree,
    TransactionTree,
};
pub use tree::{
    Entry, Range, RangePages, RawIndexEntry, RawIndexRange, RawPages, RawRange, RawSnapshot,
    RawTree, RawTreeChange, RawTreeSelector, RawTreeWatch, Snapshot, Tree, TreeChange, TreeOptions,
    TreeSelector, TreeWatch, WatchEvent, index_key,
};
pub use weald_collections::{
    CollectionType, EncodeKey, ExpectedVersion, Key, ReadError, SourceReader,
    btree::Entry as RawEntry,
    transaction::DraftSavepoint as Savepoint,
    tree::{Expectation, IndexDefinition, IndexKey, KeyChange},
};
pub use weald_core::identity::PublicKey;
pub use weald_core::{
    Action, ActionBody, Clock, CollectionName, CollectionPolicy, Commit, CreateMode, Digest,
    Entropy, LogIndex, PartitionId, PeerId, PeerInfo, Position, Rejection, Retention, Revision,
    Sequence, Time, TransactionId, TypeName, TypeVersion, limits::VALUE_BYTES_MAX,
};
pub use weald_pubsub::{
    Access, Availability, ChannelState, Cid, CoordinatorObject, CoordinatorSnapshot, CreationToken,
    DeadLetter, GroupState, HistoryEntry, Incarnation, Lease, LineageEntry, Message, MessageEntry,
    MessageId, PageMap, PruneAnswer, PublisherSequence, Rate, Side, Signed, Standing, SubscriberId,
    TopicAddress, TopicId, TopicPolicy, TopicPosition, TopicRefusal, TopicVersion, WorkRule,
    merge::Missing,
};
pub use weald_storage::{engine::EngineKind, state::Compression};
pub use write::{Accepted, Ack, Appended, Write, Written};

/// The README's Rust is compiled and run like the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
