//! Which collection types there is code for.

use std::{collections::BTreeMap, fmt, sync::Arc};

use weald_core::{TypeName, TypeSet, TypeVersion};

use crate::CollectionType;

/// Collection types by name and version.
#[derive(Clone, Default)]
pub struct Registry {
    types: BTreeMap<(TypeName, TypeVersion), Arc<dyn CollectionType>>,
}

/// Why a type was not registered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the collection type is registered already: type={type_name} version={version}")]
pub struct AlreadyRegistered {
    /// The type.
    pub type_name: TypeName,
    /// Its version.
    pub version: TypeVersion,
}

impl Registry {
    /// No types.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a type.
    ///
    /// # Errors
    /// When one of the same name and version is there: two codes for one structure would differ.
    pub fn register(&mut self, added: Arc<dyn CollectionType>) -> Result<(), AlreadyRegistered> {
        let (type_name, version) = (added.name(), added.version());
        let key = (type_name.clone(), version);
        if self.types.contains_key(&key) {
            return Err(AlreadyRegistered { type_name, version });
        }
        self.types.insert(key, added);
        Ok(())
    }

    /// The code for a type and version.
    pub fn find(
        &self,
        type_name: &TypeName,
        version: TypeVersion,
    ) -> Option<&Arc<dyn CollectionType>> {
        self.types.get(&(type_name.clone(), version))
    }

    /// The code of the newest version of a type.
    pub fn newest(&self, type_name: &TypeName) -> Option<&Arc<dyn CollectionType>> {
        let first = (type_name.clone(), TypeVersion(0));
        let last = (type_name.clone(), TypeVersion(u16::MAX));
        self.types.range(first..=last).next_back().map(|(_, found)| found)
    }

    /// All types, as a partition's log registers them.
    pub fn types(&self) -> TypeSet {
        self.names().cloned().collect()
    }

    /// All names and versions, in order.
    pub fn names(&self) -> impl Iterator<Item = &(TypeName, TypeVersion)> {
        self.types.keys()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.types.keys()).finish()
    }
}
