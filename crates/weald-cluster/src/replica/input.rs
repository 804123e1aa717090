//! What a driver tells a replica.

use weald_core::{
    Digest, LogIndex, Time,
    identity::{PublicKey, Signature},
};

use super::{Envelope, LogEntry, Point};
use crate::configuration::Member;

/// The two clocks of a driver.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Now {
    /// Never goes back within a run; timers follow it.
    pub steady: Time,
    /// The time of day, which may jump; log time follows it (rule C14).
    pub wall: Time,
}

/// Names something handed to the log. Tickets of one replica are ordered as they were made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct PersistTicket(pub u64);

/// Names a read; chosen by the driver, unique within a run.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize,
)]
pub struct ReadId(pub u64);

/// What a member is known for: an order of preference among campaigners (rule C2). A hint.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Standing {
    /// When its run began, by its own clock.
    pub started: Time,
    /// Whether it can coordinate: disk, apply and clock are well (rule C9).
    pub is_healthy: bool,
}

/// What a driver tells a replica.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Input {
    /// A peer said this, over a channel that vouches for its key.
    Message(Envelope),
    /// Time has passed. Spurious calls are harmless.
    Timeout,
    /// Everything up to this ticket is synced.
    Persisted(PersistTicket),
    /// A sync failed: nothing after the last ticket is known to be durable (rule C12).
    PersistFailed,
    /// Entries up to here were applied, with this effect hash. A run may begin with what is applied
    /// already, so that it is compared, too.
    Applied {
        /// The last applied entry.
        index: LogIndex,
        /// The effect hash after it.
        effect: Digest,
    },
    /// Entries that were asked for by [`Output::Fetch`](super::Output::Fetch), from the log.
    Entries {
        /// For whom.
        to: Member,
        /// The entries, in order, beginning at the index asked for; empty when the log no longer
        /// holds it, or cannot be read.
        entries: Vec<LogEntry>,
    },
    /// The point up to which a snapshot of the state machine can be sent to members whose place in
    /// the log is no longer held; the log holds everything after it. It
    /// lies at or below [`State::confirmed`](super::State::confirmed).
    SnapshotReady(Point),
    /// A snapshot asked for by [`Output::Install`](super::Output::Install) is installed, durable.
    Installed(super::SnapshotMeta),
    /// It could not be fetched; another offer will come.
    InstallFailed,
    /// Entries that were damaged are there again, up to the known end (rule C11).
    Repaired,
    /// What is known of a member, from its node's heartbeats.
    Standing(Member, Standing),
    /// A signature asked for by [`Output::Sign`](super::Output::Sign).
    Signed {
        /// The entry.
        index: LogIndex,
        /// The signer's key.
        key: PublicKey,
        /// The signature.
        signature: Signature,
    },
    /// Whether this member can coordinate. An unhealthy coordinator hands over (rule C9).
    Health {
        /// Whether it can.
        is_healthy: bool,
    },
}
