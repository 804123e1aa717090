//! Sizes of the log, and why it does not open.

use std::io;

use weald_core::{StoreId, limits::ENTRY_BYTES_MAX};

use super::{
    image::{SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN},
    queue::QueueLimits,
    segment::SECTOR,
};

/// The most bytes that one sync writes, summaries aside: 256 KiB.
const BATCH_BYTES_MAX: u64 = 256 * 1024;

/// Settings of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// Bytes of a segment file, a multiple of 4096, default 16 MiB. One segment is prepared ahead.
    /// Smaller ones are switched more often (three syncs each) and bound what is submitted together
    /// to about a third of them. Logs of other sizes are read.
    pub segment_bytes: u64,
    /// Bytes of recent entries kept in memory, default 8 MiB.
    pub cache_bytes: usize,
    /// Unneeded files kept to be used again, default 2; the others are removed.
    pub spare_segments: usize,
    /// The log is known to exist, default no: an empty folder is then a loss, not a new log.
    pub must_exist: bool,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 16 * 1024 * 1024,
            cache_bytes: 8 * 1024 * 1024,
            spare_segments: 2,
            must_exist: false,
        }
    }
}

/// What space in the log is used for, the least important first (rule C12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Entries, and repairs.
    Entries,
    /// Promises, configurations, a new life.
    Promises,
    /// What frees space.
    Release,
}

/// Why a log does not open.
#[derive(Debug, thiserror::Error)]
pub enum LogOpenError {
    /// A setting makes no sense.
    #[error("segment size must be a multiple of 4096: bytes={bytes} min={min} max={max}")]
    SegmentSize {
        /// The size asked for.
        bytes: u64,
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// A later version of Weald wrote the log.
    #[error(
        "the log is of a newer format; use a newer weald: file={file} version={version} supported={supported}"
    )]
    NewerFormat {
        /// The file.
        file: String,
        /// Its version.
        version: u32,
        /// The version that this program reads.
        supported: u32,
    },
    /// An earlier version of Weald wrote the log, and there is no migration.
    #[error(
        "the log is of an older format; export it with the weald that wrote it: file={file} version={version} supported={supported}"
    )]
    OlderFormat {
        /// The file.
        file: String,
        /// Its version.
        version: u32,
        /// The version that this program reads.
        supported: u32,
    },
    /// The log belongs to another store.
    #[error("the log belongs to another store: file={file} found={found} store={store}")]
    ForeignStore {
        /// The file.
        file: String,
        /// The store that it names.
        found: StoreId,
        /// The store that was opened.
        store: StoreId,
    },
    /// There is no space for the first segment.
    #[error("the disk is full; free some space: {0}")]
    DiskFull(String),
    /// The disk failed.
    #[error("the log cannot be read or written")]
    Io(#[from] io::Error),
}

impl LogOptions {
    pub(crate) fn check(&self) -> Result<(), LogOpenError> {
        let (bytes, min, max) = (self.segment_bytes, 4 * SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX);
        let is_valid = (min..=max).contains(&bytes) && bytes.is_multiple_of(SECTOR as u64);
        if is_valid { Ok(()) } else { Err(LogOpenError::SegmentSize { bytes, min, max }) }
    }

    pub(crate) fn sectors(&self) -> u32 {
        u32::try_from(self.segment_bytes / SECTOR as u64).expect("the size was checked")
    }

    pub(crate) fn batch_bytes_max(&self) -> usize {
        size(BATCH_BYTES_MAX.min(self.segment_bytes / 8))
    }

    pub(crate) fn queue_limits(&self) -> QueueLimits {
        let mut limits = QueueLimits {
            submit_bytes_max: ENTRY_BYTES_MAX,
            batch_bytes_max: self.batch_bytes_max(),
            summary_bytes_max: size(self.segment_bytes / 8),
        };
        // What is submitted together must fit one prepared segment beside the reserve.
        let room = self.room_per_segment() - self.reserve_bytes(Purpose::Entries);
        while limits.footprint(limits.submit_bytes_max + SECTOR) > room {
            limits.submit_bytes_max -= limits.submit_bytes_max / 16;
        }
        limits
    }

    /// Kept free by what uses space for `purpose`, so that there is some for what matters more when
    /// the disk is full.
    pub(crate) fn reserve_bytes(&self, purpose: Purpose) -> usize {
        match purpose {
            Purpose::Entries => size(self.segment_bytes / 8),
            Purpose::Promises => size(self.segment_bytes / 32),
            Purpose::Release => 0,
        }
    }

    /// What a segment may hold beside head, foot, seal and summary, less what may be left at its end
    /// because the next record does not fit.
    pub(crate) fn room_per_segment(&self) -> usize {
        size(self.segment_bytes - self.segment_bytes / 8) - 3 * SECTOR - self.batch_bytes_max()
    }
}

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).expect("segments are at most 1 GiB")
}
