//! How fresh a read must be.

use std::time::Duration;

/// How fresh a read must be (rule C7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Consistency {
    /// It sees every write that was acknowledged before it began, wherever that was.
    #[default]
    Linearizable,
    /// What it sees was the latest no longer ago than this.
    Stale(Duration),
    /// It sees what this member has, however old; never less than the member has shown before.
    Local,
}
