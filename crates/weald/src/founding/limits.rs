//! Bounds of the founding task, by name.

use std::time::Duration;

/// Events caused by peers that wait for the task; beyond that questions are refused as busy, and
/// who is connected is found out by looking.
pub(super) const PEER_EVENTS_MAX: usize = 1024;
/// How long a peer is given for its answer; a join is answered once it is in a log.
pub(super) const ASK_DEADLINE: Duration = Duration::from_secs(5);
/// How long an entry is given.
pub(super) const PROPOSE_DEADLINE: Duration = Duration::from_secs(5);
/// Pause before the making of replicas is tried again.
pub(super) const FOUND_RETRY: Duration = Duration::from_secs(1);
