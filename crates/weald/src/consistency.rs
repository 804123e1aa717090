//! How fresh a read must be.

use std::time::Duration;

/// How fresh the state must be that a read sees (rule C7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Consistency {
    /// All that was acknowledged anywhere before the read began. In a network the partition's
    /// coordinator confirms it with a majority.
    #[default]
    Linearizable,
    /// At most this long ago it was the newest state. Any member answers without asking others.
    Stale(Duration),
    /// What the nearest member has, however old; it never goes back.
    Local,
}
