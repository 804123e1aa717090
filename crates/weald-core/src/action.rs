//! Actions: what a client asks of one collection.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{CollectionName, TypeName, TypeVersion};

/// One intent on one collection. Deterministic: everything random or timed was chosen before.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Action {
    /// The collection.
    pub collection: CollectionName,
    /// Its type, such as `tree`. An action on a collection of another type is refused.
    pub type_name: TypeName,
    /// What to do.
    pub body: ActionBody,
}

/// What an action does.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum ActionBody {
    /// Makes the collection, or finds it there.
    Create {
        /// Whether an existing collection is an error.
        mode: CreateMode,
        /// The version of the type's structure.
        version: TypeVersion,
        /// The collection's policy; ignored when it exists.
        policy: CollectionPolicy,
        /// The type's own settings (a tree's node capacity, its indexes); ignored when it exists.
        options: Bytes,
    },
    /// An operation in the encoding of the type; refused when the collection is absent.
    Apply(Bytes),
    /// Replaces the policy.
    SetPolicy(CollectionPolicy),
}

/// What `Create` does when the collection exists.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum CreateMode {
    /// Refuses with `AlreadyExists`.
    Create,
    /// Opens it, if its type is the same.
    OpenOrCreate,
}

/// Rules of one collection, stored in its header and applied by log time.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct CollectionPolicy {
    /// How much of the chain is kept: a diary's entries, a tree's history.
    pub retention: Retention,
}

/// How much of a chain is kept. Every bound that is set holds; none set keeps everything. The
/// newest entry is always kept. Applied by each transaction that changes the collection, in bounded
/// steps, so a collection that nobody writes keeps what it has.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Retention {
    /// Entries older than this, by log time, go. Default: kept.
    pub age_max: Option<Duration>,
    /// Entries beyond this count go, oldest first. Default: kept.
    pub entries_max: Option<u64>,
    /// Entries go, oldest first, while all together have more bytes. Default: kept.
    pub bytes_max: Option<u64>,
}

impl Retention {
    /// Keeps everything.
    pub const ALL: Self = Self { age_max: None, entries_max: None, bytes_max: None };
}
