//! Trees: ordered maps from keys to values.

mod handle;
mod index;
mod range;
mod raw;
mod select;
mod snapshot;
mod span;
mod typed;
mod watch;

pub use handle::{Entry, Tree};
pub use index::{RawIndexEntry, RawIndexRange, index_key};
pub use range::{Range, RangePages, RawPages, RawRange};
pub use raw::RawTree;
pub use select::{RawTreeSelector, TreeOptions, TreeSelector};
pub use snapshot::{RawSnapshot, Snapshot};
pub(crate) use typed::decode_entry;
pub use watch::{RawTreeChange, RawTreeWatch, TreeChange, TreeWatch, WatchEvent};
