//! Driving transactions over several partitions: what the coordinators of partitions say to each
//! other, and pure state machines for the two sides.
//!
//! A node that coordinates a partition keeps one [`Coordinator`] for it. In it are a [`Primary`]
//! (it drives the transactions whose home key is there), a [`Participant`] (it resolves parts for
//! others, and has overdue ones resolved) and a [`Gate`] (whoever meets a lock waits there, before
//! the log). A client that reads several partitions at once runs a [`Reading`].
//!
//! The driver's loop: hand in what comes ([`Coordinator::begin`], [`Coordinator::receive`],
//! [`Coordinator::arrive`], [`Coordinator::applied`] for *every* entry that is applied), call
//! [`Coordinator::tick`] at [`Coordinator::poll_timeout`], and after each call carry out every
//! [`Coordinator::poll_output`]. Messages may come twice, late or never: what matters is decided by
//! entries of logs, and these machines only see to it that the entries are made. What is proposed
//! is logged in the order of the outputs, or the coordination ends. A coordinator begins once an
//! entry of its own epoch is applied, and ends with the coordination; all it has to know is in its
//! partition's state.

mod coordinator;
pub mod gate;
pub mod participant;
pub mod primary;
pub mod reading;
mod share;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use weald_core::{
    Lock, PartId, PartitionId, Payload, Pend, PendAnswer, PlacementKey, Time, TransactionId,
    Verdict,
};

use super::EXPIRY_AHEAD_MAX;

pub use coordinator::{Coordinator, Output, Request};
pub use gate::Gate;
pub use participant::Participant;
pub use primary::Primary;
pub use reading::Reading;
pub use share::{Share, shares};

/// Transactions that one primary drives at a time.
pub const DRIVEN_MAX: usize = 10_000;
/// Parts that one participant answers for or has resolved at a time.
pub const PARTS_MAX: usize = 20_000;
/// Requests that wait before one partition's log.
pub const GATE_MAX: usize = 10_000;

/// Waiting times of a coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    /// How long parts may take to be pended, default 1.5 s: less than a lock is held.
    pub pend_timeout: Duration,
    /// The first wait before a message is sent again, default 100 ms. It doubles.
    pub resend_first: Duration,
    /// The longest such wait, default 2 s.
    pub resend_max: Duration,
    /// How long a request waits before the log for a lock, default 1 s: less than parts may take.
    pub gate_timeout: Duration,
    /// Transactions driven at a time, default [`DRIVEN_MAX`].
    pub driven_max: usize,
    /// Parts at a time, default [`PARTS_MAX`].
    pub parts_max: usize,
    /// Requests that wait for locks, default [`GATE_MAX`].
    pub gate_max: usize,
    /// A rule that is left out, to show that the checks would notice.
    #[cfg(feature = "mutations")]
    pub mutation: Option<crate::mutation::Mutation>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            pend_timeout: Duration::from_millis(1500),
            resend_first: Duration::from_millis(100),
            resend_max: Duration::from_secs(2),
            gate_timeout: Duration::from_secs(1),
            driven_max: DRIVEN_MAX,
            parts_max: PARTS_MAX,
            gate_max: GATE_MAX,
            #[cfg(feature = "mutations")]
            mutation: None,
        }
    }
}

impl Config {
    /// The wait after the `count`-th sending.
    fn resend_after(&self, count: u32) -> Duration {
        let doubled = self.resend_first.saturating_mul(1 << count.min(16));
        doubled.min(self.resend_max)
    }
}

/// What goes between the coordinators of partitions. It is sent to whoever coordinates the
/// partition of a placement key, so that it arrives over a split, too.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Message {
    /// To a participant: pend this part.
    Pend(Pend),
    /// To the primary: what became of it.
    Pended {
        /// The transaction.
        id: TransactionId,
        /// The participant.
        partition: PartitionId,
        /// What its log says.
        answer: PendAnswer,
    },
    /// To a participant: the primary has decided.
    Resolve {
        /// The part.
        part: PartId,
        /// What of it lies with the receiver.
        keys: Vec<PlacementKey>,
        /// The decision.
        is_committed: bool,
    },
    /// To the primary: the decision is carried out.
    Resolved {
        /// The part.
        part: PartId,
        /// What of it is done.
        keys: Vec<PlacementKey>,
    },
    /// To the primary: what became of this?
    Ask {
        /// The part.
        lock: Lock,
        /// Where to answer.
        from: PlacementKey,
        /// Whether the deadline is past, so that the id is resolved if it is undecided.
        may_resolve: bool,
    },
    /// To who asked.
    Verdict {
        /// The part.
        part: PartId,
        /// The primary's word.
        verdict: Verdict,
    },
}

/// The entry by which a primary settles the id of a lock. A fence of a caller's own id lasts as long
/// as copies of it may come.
fn resolution(now: Time, lock: &Lock) -> Payload {
    let longest = now.after(EXPIRY_AHEAD_MAX.saturating_sub(Duration::from_secs(1)));
    let expiry = match lock.session {
        Some(_) => lock.expiry,
        None => lock.expiry.max(longest),
    };
    Payload::Resolve { id: lock.holder.id, expiry, session: lock.session }
}

/// When something is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Resend {
    at: Time,
    count: u32,
}

impl Resend {
    fn first(now: Time, config: &Config) -> Self {
        Self { at: now.after(config.resend_after(0)), count: 1 }
    }

    fn is_due(&self, now: Time) -> bool {
        self.at <= now
    }

    fn again(&mut self, now: Time, config: &Config) {
        self.at = now.after(config.resend_after(self.count));
        self.count = self.count.saturating_add(1);
    }
}

#[cfg(test)]
mod tests;
