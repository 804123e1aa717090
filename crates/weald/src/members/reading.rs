//! From which index on a read may be answered.

use std::time::{Duration, Instant};

use weald_cluster::configuration::Member;
use weald_core::{LogIndex, Time};

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

impl ReadAsk {
    /// Whether a member may answer without asking the coordinator, given when what it has was the
    /// latest, if it can tell, and whether it ever could in this run.
    pub(super) fn is_met(&self, fresh: Option<Time>, has_been_fresh: bool, now: Time) -> bool {
        match self.consistency {
            Consistency::Linearizable => false,
            Consistency::Local => has_been_fresh,
            Consistency::Stale(age) => fresh.is_some_and(|fresh| now.since(fresh) <= age),
        }
    }
}

/// Why a member cannot answer a read. It says nothing about what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReadRefused {
    /// No member of the partition lives here.
    #[error("this node is no member of the partition")]
    NotMember,
    /// Nobody is known to coordinate, or the coordinator could not confirm; retry.
    #[error("no coordinator has confirmed the read in time; a majority of the voters may be down")]
    NotConfirmed {
        /// Who coordinates, if it is known.
        hint: Option<Member>,
    },
    /// What this member has is older than asked for, or it cannot tell; retry, or ask another.
    #[error("this member is behind; retry")]
    Behind {
        /// How old it is; `None` when it cannot tell.
        age: Option<Duration>,
    },
    /// Too many reads wait.
    #[error("too many reads wait; retry")]
    Busy,
    /// The partition has stopped here until it is repaired, or the node is closing.
    #[error("the member has stopped")]
    Stopped,
}
