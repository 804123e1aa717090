//! Names of collections and of collection types, checked once, when they are made.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize, Serializer};

use crate::limits::{COLLECTION_NAME_BYTES_MAX, TYPE_NAME_BYTES_MAX};

/// Why a name was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// A name has at least one character.
    #[error("a name may not be empty")]
    Empty,
    /// The name is longer than allowed.
    #[error("the name is too long: bytes={bytes} max={max}")]
    TooLong {
        /// Bytes of the refused name.
        bytes: usize,
        /// The most that is allowed.
        max: usize,
    },
    /// A control character, or a `/` where a group or a part would be empty.
    #[error("the name has a character or an empty part that is not allowed: name={0:?}")]
    Malformed(String),
}

/// The name of a collection: 1 to 512 bytes of UTF-8 without control characters. The part before
/// the first `/` is its *group*; collections of one group live in one partition.
///
/// ```
/// use weald_core::CollectionName;
/// let name: CollectionName = "shop/orders".parse()?;
/// assert_eq!(name.group(), "shop");
/// # Ok::<(), weald_core::NameError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct CollectionName(Arc<str>);

impl CollectionName {
    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the first `/`, or the whole name.
    pub fn group(&self) -> &str {
        self.0.split('/').next().expect("a split has a first part")
    }
}

impl FromStr for CollectionName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > COLLECTION_NAME_BYTES_MAX {
            return Err(NameError::TooLong { bytes: text.len(), max: COLLECTION_NAME_BYTES_MAX });
        }
        if text.chars().any(char::is_control) || text.split('/').any(str::is_empty) {
            return Err(NameError::Malformed(text.to_owned()));
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for CollectionName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl Serialize for CollectionName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl From<CollectionName> for String {
    fn from(name: CollectionName) -> Self {
        name.as_str().to_owned()
    }
}

impl fmt::Display for CollectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for CollectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// The name of a collection type, such as `tree`: 1 to 32 bytes of `a-z`, `0-9`, `-`, `.`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct TypeName(Arc<str>);

impl TypeName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TypeName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > TYPE_NAME_BYTES_MAX {
            return Err(NameError::TooLong { bytes: text.len(), max: TYPE_NAME_BYTES_MAX });
        }
        if !text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.')) {
            return Err(NameError::Malformed(text.to_owned()));
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for TypeName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl Serialize for TypeName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl From<TypeName> for String {
    fn from(name: TypeName) -> Self {
        name.as_str().to_owned()
    }
}

impl fmt::Display for TypeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TypeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// The version of a collection type's structure and rules. It is stored in the header of each
/// collection; code of another version never touches it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct TypeVersion(pub u16);

impl fmt::Display for TypeVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collection_names_are_checked() {
        let check = |text: &str, ok: bool| {
            assert_eq!(text.parse::<CollectionName>().is_ok(), ok, "{text:?}");
        };
        check("a", true);
        check("größe/tag", true);
        check("a/b/c", true);
        check("", false);
        check("/a", false);
        check("a/", false);
        check("a//b", false);
        check("a\nb", false);
        check(&"x".repeat(COLLECTION_NAME_BYTES_MAX), true);
        check(&"x".repeat(COLLECTION_NAME_BYTES_MAX + 1), false);
    }

    #[test]
    fn type_names_are_checked() {
        let check =
            |text: &str, ok: bool| assert_eq!(text.parse::<TypeName>().is_ok(), ok, "{text:?}");
        check("tree", true);
        check("acme.counter-2", true);
        check("", false);
        check("Tree", false);
        check("a/b", false);
        check(&"t".repeat(TYPE_NAME_BYTES_MAX + 1), false);
    }
}
