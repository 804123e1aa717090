//! What the apply of entries looks at besides blocks and tables: settings, which a partition's own
//! log carries, so that every member decides alike however it is configured itself.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    LogIndex, TypeName, TypeVersion,
    limits::{
        DECISIONS_MAX, INTENT_BYTES_MAX, PENDS_MAX, RESULTS_MAX, SESSIONS_MAX,
        TRANSACTION_BLOCKS_MAX, TRANSACTION_BYTES_MAX, TransactionLimits,
    },
};

/// How long a lock may be held before others may have its transaction resolved, log time.
pub const LOCK_HELD: Duration = Duration::from_secs(2);

/// The types that every partition knows without being told, in the order of their names.
const BUILT_IN: [(&str, TypeVersion); 3] =
    [("diary", TypeVersion(1)), ("topic", TypeVersion(1)), ("tree", TypeVersion(1))];

/// Which kinds of entries and which rules are in use. It is raised through the log once every
/// member has the code, and never falls.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct FeatureLevel(pub u16);

impl FeatureLevel {
    /// Where every partition begins.
    pub const FIRST: Self = Self(1);
    /// From here on transactions may span partitions.
    pub const SPANNING: Self = Self(2);
    /// The highest that this code knows. A network founded by it begins here.
    pub const NEWEST: Self = Self::SPANNING;
}

impl std::fmt::Display for FeatureLevel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Collection types by name and version.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(from = "Vec<(TypeName, TypeVersion)>", into = "Vec<(TypeName, TypeVersion)>")]
pub struct TypeSet(Arc<[(TypeName, TypeVersion)]>);

impl TypeSet {
    /// The types that come with Weald, in the versions that the first release had.
    pub fn built_in() -> Self {
        let named = |(name, version): (&str, _)| {
            (name.parse::<TypeName>().expect("a built-in name is a name"), version)
        };
        BUILT_IN.into_iter().map(named).collect()
    }

    /// Whether the set has the type in this version.
    pub fn contains(&self, type_name: &TypeName, version: TypeVersion) -> bool {
        let wanted = (type_name, version);
        self.0.binary_search_by(|(name, version)| (name, *version).cmp(&wanted)).is_ok()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &(TypeName, TypeVersion)> {
        self.0.iter()
    }

    /// This set and one type more.
    #[must_use]
    pub fn with(&self, type_name: TypeName, version: TypeVersion) -> Self {
        self.iter().cloned().chain([(type_name, version)]).collect()
    }
}

impl FromIterator<(TypeName, TypeVersion)> for TypeSet {
    fn from_iter<I: IntoIterator<Item = (TypeName, TypeVersion)>>(types: I) -> Self {
        let mut types: Vec<_> = types.into_iter().collect();
        types.sort();
        types.dedup();
        Self(types.into())
    }
}

impl From<Vec<(TypeName, TypeVersion)>> for TypeSet {
    fn from(types: Vec<(TypeName, TypeVersion)>) -> Self {
        types.into_iter().collect()
    }
}

impl From<TypeSet> for Vec<(TypeName, TypeVersion)> {
    fn from(types: TypeSet) -> Self {
        types.0.to_vec()
    }
}

/// Bounds of a partition's tables and of one transaction, as its log fixes them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct ApplyLimits {
    /// Results kept for retries, default [`RESULTS_MAX`].
    pub results_max: u64,
    /// Sessions kept, default [`SESSIONS_MAX`].
    pub sessions_max: u64,
    /// Transactions that hold locks here, and ids kept after they held some, default
    /// [`PENDS_MAX`].
    pub pends_max: u64,
    /// Bytes of changes that wait for their decision, default [`INTENT_BYTES_MAX`].
    pub intent_bytes_max: u64,
    /// Decisions that not all participants have carried out, default [`DECISIONS_MAX`].
    pub decisions_max: u64,
    /// Blocks that one transaction may write, default [`TRANSACTION_BLOCKS_MAX`].
    pub blocks_max: u64,
    /// Bytes that one transaction may write into blocks, default [`TRANSACTION_BYTES_MAX`].
    pub bytes_max: u64,
}

impl Default for ApplyLimits {
    fn default() -> Self {
        Self {
            results_max: RESULTS_MAX as u64,
            sessions_max: SESSIONS_MAX as u64,
            pends_max: PENDS_MAX as u64,
            intent_bytes_max: INTENT_BYTES_MAX as u64,
            decisions_max: DECISIONS_MAX as u64,
            blocks_max: TRANSACTION_BLOCKS_MAX as u64,
            bytes_max: TRANSACTION_BYTES_MAX as u64,
        }
    }
}

impl ApplyLimits {
    /// What one transaction may touch.
    pub fn transaction(&self) -> TransactionLimits {
        let narrow = |number| usize::try_from(number).unwrap_or(usize::MAX);
        TransactionLimits { blocks_max: narrow(self.blocks_max), bytes_max: narrow(self.bytes_max) }
    }
}

/// The settings of one partition.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Settings {
    /// The system partition's entry that they follow; zero while none was heard of.
    pub decided: LogIndex,
    /// Which entries are allowed.
    pub level: FeatureLevel,
    /// Bounds.
    pub limits: ApplyLimits,
    /// Types whose actions are executed.
    pub types: TypeSet,
    /// Policies by name, in the encoding of whoever reads them.
    pub policies: BTreeMap<String, Bytes>,
}

impl Default for Settings {
    /// What holds in a partition until its log says otherwise: the same for all time.
    fn default() -> Self {
        Self {
            decided: LogIndex::ZERO,
            level: FeatureLevel::FIRST,
            limits: ApplyLimits::default(),
            types: TypeSet::built_in(),
            policies: BTreeMap::new(),
        }
    }
}

/// An entry that changes settings, all of it or nothing.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct SettingsEntry {
    /// The system partition's entry that decided it; one below what was heard last is refused.
    /// Zero for what a node alone decides.
    pub decided: LogIndex,
    /// What changes.
    pub changes: Vec<SettingsChange>,
}

/// One change of settings.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum SettingsChange {
    /// Raises the feature level; a lower one than there is changes nothing.
    Level(FeatureLevel),
    /// Replaces the bounds.
    Limits(ApplyLimits),
    /// Adds a type that every member has code for. None is ever taken away.
    Register {
        /// Its name.
        type_name: TypeName,
        /// The version of its structure.
        version: TypeVersion,
    },
    /// Sets a policy, or takes it away.
    Policy {
        /// Its name.
        name: String,
        /// Its content.
        value: Option<Bytes>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_set_is_ordered_and_has_each_type_once() {
        let name = |text: &str| text.parse::<TypeName>().unwrap();
        let set = TypeSet::built_in().with(name("acme"), TypeVersion(2));
        let again = set.with(name("acme"), TypeVersion(2));
        assert_eq!(set, again);
        assert_eq!(set.len(), 4);
        assert!(set.contains(&name("acme"), TypeVersion(2)));
        assert!(!set.contains(&name("acme"), TypeVersion(1)));
        assert!(set.contains(&name("tree"), TypeVersion(1)));
        let sorted: Vec<_> = set.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(sorted, ["acme", "diary", "topic", "tree"]);
    }
}
