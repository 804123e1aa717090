//! How large a node may be.

use serde::{Deserialize, Serialize};

/// Bytes that a node's payload may have before it is split. It is fixed when the tree is made and
/// stored with it.
///
/// A larger node means fewer levels and larger copies for each put. An entry larger than a node
/// has a leaf of its own, and an inner node keeps two children however long their keys are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct NodeCapacity(u32);

/// Why a capacity was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a node has {min} to {max} bytes: bytes={bytes}", min = NodeCapacity::MIN.0, max = NodeCapacity::MAX.0)]
pub struct CapacityError {
    /// The capacity asked for.
    pub bytes: u32,
}

impl NodeCapacity {
    /// The least.
    pub const MIN: Self = Self(64);
    /// The most: offsets within an inner node fit 16 bits.
    pub const MAX: Self = Self(32 * 1024);

    /// A capacity of `bytes`.
    ///
    /// # Errors
    /// When it is below [`NodeCapacity::MIN`] or above [`NodeCapacity::MAX`].
    pub fn new(bytes: u32) -> Result<Self, CapacityError> {
        let capacity = Self(bytes);
        let allowed = (Self::MIN..=Self::MAX).contains(&capacity);
        allowed.then_some(capacity).ok_or(CapacityError { bytes })
    }

    /// The capacity in bytes.
    pub const fn bytes(self) -> usize {
        self.0 as usize
    }

    /// A node below this looks for a sibling to join or to borrow from.
    pub(crate) const fn low(self) -> usize {
        self.bytes() / 4
    }

    /// Siblings are joined up to this, so that the next put does not split them again.
    pub(crate) const fn joined_max(self) -> usize {
        self.bytes() - self.bytes() / 4
    }
}

impl Default for NodeCapacity {
    /// 4096 bytes.
    fn default() -> Self {
        Self(4096)
    }
}

impl TryFrom<u32> for NodeCapacity {
    type Error = CapacityError;

    fn try_from(bytes: u32) -> Result<Self, CapacityError> {
        Self::new(bytes)
    }
}

impl From<NodeCapacity> for u32 {
    fn from(capacity: NodeCapacity) -> Self {
        capacity.0
    }
}
