//! What can go wrong in an engine.

use std::io;
use std::path::PathBuf;

use super::EngineKind;

/// Failure of an engine, by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// No room for this write. Nothing was changed; reads go on; it works again once space is free.
    #[error("disk is full during={during} free_bytes={free_bytes} reserve_bytes={reserve_bytes}")]
    Full {
        /// What was being done.
        during: &'static str,
        /// Free bytes seen on the file system.
        free_bytes: u64,
        /// Bytes that are kept free.
        reserve_bytes: u64,
    },
    /// The files do not hold what was written. Never retried; the data must be repaired.
    #[error("engine data is damaged: {what}")]
    Corrupt {
        /// What did not match.
        what: String,
    },
    /// Another handle, here or in another process, has these files open.
    #[error("engine is in use by another process path={}", path.display())]
    Locked {
        /// The engine's folder or file.
        path: PathBuf,
    },
    /// The operation needs to be alone and snapshots are alive.
    #[error("engine has live snapshots during={during}")]
    Busy {
        /// What was being done.
        during: &'static str,
    },
    /// An earlier failure stopped the engine; it works again when it is reopened.
    #[error("engine stopped after an earlier failure during={during}")]
    Stopped {
        /// What was being done.
        during: &'static str,
    },
    /// A key is empty or too long, or a value is too long.
    #[error("{what} has a length that is refused length={length} limit={limit}")]
    TooLarge {
        /// `key` or `value`.
        what: &'static str,
        /// Its bytes.
        length: usize,
        /// Most bytes allowed.
        limit: usize,
    },
    /// This build does not contain that engine.
    #[error("this build has no such engine engine={kind}")]
    Unsupported {
        /// The engine asked for.
        kind: EngineKind,
    },
    /// Reading or writing failed.
    #[error("engine i/o failed during={during}")]
    Io {
        /// What was being done.
        during: &'static str,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

impl EngineError {
    /// Whether the same call may succeed later without anything being reopened or repaired.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Full { .. } | Self::Locked { .. } | Self::Busy { .. } => true,
            Self::Io { source, .. } => source.kind() == io::ErrorKind::Interrupted,
            Self::Corrupt { .. }
            | Self::Stopped { .. }
            | Self::TooLarge { .. }
            | Self::Unsupported { .. } => false,
        }
    }

    /// An error of the operating system, with a full disk told apart.
    pub(crate) fn from_io(during: &'static str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full { during, free_bytes: 0, reserve_bytes: 0 }
            }
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                Self::Corrupt { what: format!("{source} during={during}") }
            }
            _ => Self::Io { during, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d58_a_full_disk_is_told_apart_and_may_be_retried() {
        let full = EngineError::from_io("write", io::ErrorKind::StorageFull.into());
        assert!(matches!(full, EngineError::Full { .. }), "{full}");
        assert!(full.is_retryable());
        let other = EngineError::from_io("write", io::ErrorKind::PermissionDenied.into());
        assert!(matches!(other, EngineError::Io { .. }), "{other}");
        assert!(!other.is_retryable());
        let damaged = EngineError::from_io("read", io::ErrorKind::InvalidData.into());
        assert!(matches!(damaged, EngineError::Corrupt { .. }), "{damaged}");
        assert!(!damaged.is_retryable());
    }
}
