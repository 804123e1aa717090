//! Settings of a replica, and the bounds of what it keeps.

use std::time::Duration;

use crate::recovery::Authority;

/// Settings of one member of a partition's log. All members may differ in them; safety depends on
/// none.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Config {
    /// How often a coordinator gives a sign of life, default 100 ms.
    pub heartbeat: Duration,
    /// How long a silent coordinator is believed alive, default 500 ms. At least three heartbeats.
    pub election_timeout: Duration,
    /// The most that is added to it by chance, default 50 ms.
    pub election_jitter: Duration,
    /// How long a coordinator must be silent before a member promises to another campaigner, default
    /// 500 ms (rule C2). A coordination is disturbed less by a longer one; none is lost by a shorter.
    pub silence: Duration,
    /// How much later each further member in the order of preference campaigns, default 100 ms.
    pub rank_step: Duration,
    /// How far ahead of this member's clock a new entry's time may lie, default 10 s (rule C14).
    pub clock_bound: Duration,
    /// Bytes of entries in one message, default 256 KiB; a larger entry goes alone.
    pub append_bytes_max: usize,
    /// Bytes under way to one member, default 4 MiB.
    pub window_bytes_max: usize,
    /// Bytes of uncommitted entries that a coordinator takes before it refuses proposals as busy,
    /// default 16 MiB.
    pub uncommitted_bytes_max: usize,
    /// Bytes of durable, applied entries kept in memory for members that lag, default 4 MiB.
    pub tail_bytes_max: usize,
    /// Bounds of the buffer for entries that came too early.
    pub buffer: BufferLimits,
    /// Reads that wait for a confirmation round, default 10 000.
    pub reads_max: usize,
    /// Signatures given in one second, default 10 (rule C16).
    pub attestations_per_second: u32,
    /// Whose forced recoveries are believed, default nobody's (rule C16).
    pub authority: Authority,
    /// A rule that is left out, to show that the checks would notice.
    #[cfg(feature = "mutations")]
    pub mutation: Option<crate::mutation::Mutation>,
}

/// Bounds of the buffer for entries that came before those that they continue (rule C3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct BufferLimits {
    /// Entries, default 4096.
    pub entries_max: usize,
    /// Their bytes, default 4 MiB.
    pub bytes_max: usize,
    /// How long one waits, default 2 s.
    pub age_max: Duration,
}

impl Config {
    /// Bytes of entries in memory at which a member takes no more from its coordinator. An honest
    /// one stops before: it keeps no more itself than it takes proposals for, and what is kept for
    /// members that lag.
    pub(super) fn held_bytes_max(&self) -> usize {
        let kept = self.uncommitted_bytes_max.saturating_add(self.tail_bytes_max);
        kept.saturating_mul(2).saturating_add(self.window_bytes_max)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(100),
            election_timeout: Duration::from_millis(500),
            election_jitter: Duration::from_millis(50),
            silence: Duration::from_millis(500),
            rank_step: Duration::from_millis(100),
            clock_bound: Duration::from_secs(10),
            append_bytes_max: 256 * 1024,
            window_bytes_max: 4 * 1024 * 1024,
            uncommitted_bytes_max: 16 * 1024 * 1024,
            tail_bytes_max: 4 * 1024 * 1024,
            buffer: BufferLimits::default(),
            reads_max: 10_000,
            attestations_per_second: 10,
            authority: Authority::default(),
            #[cfg(feature = "mutations")]
            mutation: None,
        }
    }
}

impl Default for BufferLimits {
    fn default() -> Self {
        Self { entries_max: 4096, bytes_max: 4 * 1024 * 1024, age_max: Duration::from_secs(2) }
    }
}
