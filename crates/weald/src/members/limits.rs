//! The bounds of what waits here.

use std::time::Duration;

/// Bytes of peers' frames that wait for the loop; what comes then is dropped and counted.
pub(crate) const FRAME_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Proposals that wait for the loop or for their entry.
pub(crate) const PROPOSALS_MAX: usize = 65_536;
/// Bytes of proposals that wait for the loop.
pub(crate) const PROPOSAL_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Reads of one partition that wait for a confirmation or for apply.
pub(crate) const READS_MAX: usize = 65_536;
/// Bytes of messages in one frame to a peer; a larger message goes alone.
pub(crate) const FRAME_BYTES: usize = 1024 * 1024;
/// Writes of one partition that are timed at once.
pub(crate) const TIMED_MAX: usize = 256;
/// Entries applied for one partition before it is another's turn.
pub(crate) const APPLY_STEP: u64 = 32;
/// How long partitions apply before the loop looks at what else there is.
pub(crate) const APPLY_MAX: Duration = Duration::from_millis(5);
/// After a start, how long until what had to be applied anew is checkpointed.
pub(crate) const FIRST_CHECKPOINT_AFTER: Duration = Duration::from_secs(2);
/// States that are handed out to peers at a time.
pub(crate) const EXPORTS_MAX: usize = 4;
/// Bytes of a state that is taken from a peer.
pub(crate) const STATE_BYTES_MAX: usize = 64 * 1024 * 1024 * 1024;
