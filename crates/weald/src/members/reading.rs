//! From which index on a read may be answered.

use std::time::{Duration, Instant};

use weald_cluster::configuration::Member;
use weald_core::LogIndex;

use crate::consistency::Consistency;

/// What a reader asks of a member.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadAsk {
    /// How fresh the answer must be.
    pub(crate) consistency: Consistency,
    /// What the answer must see at least; zero for anything.
    pub(crate) at_least: LogIndex,
    /// How long to wait.
    pub(crate) deadline: Instant,
}

/// Why a member cannot answer a read. It says nothing about what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReadRefused {
    /// No member of the partition lives here.
    #[error("this node is no member of the partition")]
    NotMember,
    /// Nobody is known to coordinate, or the coordinator could not confirm; retry.
    #[error("no coordinator has confirmed the read; retry: hint={hint:?}")]
    NotConfirmed {
        /// Who coordinates, if it is known.
        hint: Option<Member>,
    },
    /// What this member has is older than asked for, or it cannot tell; retry, or ask another.
    #[error("this member is behind; retry: age={age:?}")]
    Behind {
        /// How old it is; `None` when it cannot tell.
        age: Option<Duration>,
    },
    /// The deadline passed.
    #[error("the deadline passed")]
    Deadline,
    /// Too many reads wait.
    #[error("too many reads wait; retry")]
    Busy,
    /// The partition has stopped here until it is repaired, or the node is closing.
    #[error("the member has stopped")]
    Stopped,
}
