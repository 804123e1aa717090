//! The bounds of what waits here.

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
/// Entries applied for one partition before the loop looks at what else there is.
pub(crate) const APPLY_STEP: u64 = 512;
/// States that are handed out to peers at a time.
pub(crate) const EXPORTS_MAX: usize = 4;
/// Bytes of a state that is taken from a peer.
pub(crate) const STATE_BYTES_MAX: usize = 64 * 1024 * 1024 * 1024;
