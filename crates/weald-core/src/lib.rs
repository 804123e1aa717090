//! Core types of Weald: ids, blocks, transforms, actions and transactions, the codec, identity and
//! the traits where the layers meet.
//!
//! Nothing here does I/O, reads a clock or draws randomness: time is [`Time`], a value, and random
//! bytes come from an [`Entropy`] that the caller hands in. Every other crate of the workspace may
//! use this one; it uses none of them.
//!
//! **Where to begin.** A [`CollectionName`] has a [`PlacementKey`]. What a client asks for is an
//! [`Action`]; one or more make a [`TransactionRequest`] with a [`TransactionId`]. A log carries
//! requests as [`Entry`]s. Applying one runs its actions on an [`Overlay`] over a [`BlockSource`]
//! and yields [`Effects`] and an [`Executed`] result, the same at every member.

mod action;
mod block;
pub mod codec;
mod effects;
mod entropy;
mod entry;
mod executor;
mod feed;
mod hash;
pub mod hex;
mod id;
pub mod identity;
pub mod limits;
mod log_store;
mod mailbox;
mod name;
mod outcome;
mod overlay;
mod rpc;
mod settings;
mod source;
mod spanning;
mod state_store;
mod system;
mod time;
mod transaction;
mod transform;
pub mod wire;

pub use action::{Action, ActionBody, CollectionPolicy, CreateMode, Retention};
pub use block::{Block, BlockKind, StoredBlock};
pub use effects::{BlockEffect, Effects};
pub use entropy::{Entropy, SeededEntropy};
pub use entry::{Entry, Payload};
pub use executor::{CollectionCommit, Context, Executed, Executor};
pub use feed::{ChangeFeed, CollectionChange, FeedError, FeedPage};
pub use hash::{Digest, DigestBuilder, HexError};
pub use id::{
    BlockId, Epoch, LogIndex, PartitionId, PeerId, PlacementKey, Revision, Sequence, StoreId,
};
pub use log_store::{
    LogBatch, LogError, LogPoint, LogRecord, LogStore, PartitionHealth, PartitionStatus,
    RecoveredPartition, SyncTicket, Synced,
};
pub use mailbox::{Mailbox, MailboxError, Priority};
pub use name::{CollectionName, NameError, TypeName, TypeVersion};
pub use outcome::{Commit, Outcome, Position, Rejection, UnknownCause};
pub use overlay::{Overlay, OverlayError, Savepoint};
pub use rpc::{
    CallError, Caller, Calling, CorrelationId, FrameSink, Handlers, NetworkEvents, NodeHints,
    PeerInfo, Refusal, Reply, ReplySink, Request, Service, ServiceHandler, Stranger,
    StrangerReason, Transport,
};
pub use settings::{
    ApplyLimits, FeatureLevel, LOCK_HELD, Settings, SettingsChange, SettingsEntry, TypeSet,
};
pub use source::{BlockRead, BlockSource, Fault, Halt};
pub use spanning::{
    Lock, OwnPart, PartId, Participant, Pend, PendAnswer, Pended, SpanningAbort, SpanningCommit,
    Verdict,
};
pub use state_store::{At, StateError, StateStore, StateView};
pub use system::{
    AdmissionPolicy, KeyBounds, NodeRecord, NodeStanding, SystemChange, SystemEntry, SystemState,
};
pub use time::{Clock, Time, millis};
pub use transaction::{
    CALLER_ID_MAX, CallerIdError, ReadDependency, SessionStamp, TransactionBody, TransactionId,
    TransactionIdError, TransactionRequest,
};
pub use transform::{Base, Change, Splice, Transform, TransformError};
