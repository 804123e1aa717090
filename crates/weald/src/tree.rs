//! Trees: ordered maps from keys to values.

mod handle;
mod range;
mod raw;
mod select;
mod snapshot;
mod watch;

pub use handle::{Entry, Tree};
pub use range::{Range, RawPages, RawRange};
pub use raw::{RawEntry, RawTree};
pub use select::{RawTreeSelector, TreeOptions, TreeSelector};
pub use snapshot::{RawSnapshot, Snapshot};
pub use watch::{RawTreeChange, RawTreeWatch, TreeChange, TreeWatch, WatchEvent};
