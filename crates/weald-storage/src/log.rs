//! The log of a node: all partitions share one sequence of preallocated segment files and one sync.
//!
//! A submitted batch waits in a `queue` until the log thread takes what has gathered, writes it as one
//! `batch` and syncs it; then the `catalog` shows it to readers and the ticket is published. Segments
//! come prepared from the `depot`. `recovery` tells torn from damaged from lost. The bytes are
//! described in `docs/format.md`.
//!
//! **Invariant:** at most one batch is unsynced at any time, so whatever precedes an intact batch was
//! synced. **Invariant:** a segment in use was filled with its pattern and synced before its first
//! batch. **Invariant:** after a failed sync nothing more is acknowledged.

mod ailment;
mod batch;
mod catalog;
mod cursor;
mod depot;
mod disk;
mod disk_log;
mod fill;
mod image;
mod log_core;
mod memory;
mod opening;
mod options;
mod partition;
mod plan;
mod queue;
mod record;
mod recovery;
mod scrub;
mod segment;
mod standing;
mod stretches;
mod tail;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod writer;

pub use disk::{Disk, DiskFile, FolderDisk};
pub use disk_log::{DiskLog, LogHome, Pinned};
pub use memory::MemoryLog;
pub use options::{LogOpenError, LogOptions};
pub use partition::LogEnd;
pub use scrub::{LogDamage, LogReport, ScrubCursor, ScrubStep};
pub use writer::{LogFigures, Notifier};
