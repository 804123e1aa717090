//! What goes into a router and what comes out.

use bytes::Bytes;
use weald_core::{PartitionId, PeerId, Time, TransactionId};

use super::super::{
    breaker::BreakerState,
    error::RouteError,
    map::Map,
    message::{Purpose, Reply, Request, Ticket},
};

/// A request for the router.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Submit {
    /// Its name between driver and router; never used before.
    pub ticket: Ticket,
    /// What it is for.
    pub purpose: Purpose,
    /// What is asked, encoded once. Every attempt carries these bytes.
    pub payload: Bytes,
    /// When the caller wants an answer at the latest.
    pub deadline: Time,
    /// Times that it was forwarded before it came here; 0 from a client.
    pub hops: u8,
    /// Who was asked before; asked again only when nobody else is left.
    pub tried: Vec<PeerId>,
}

impl Submit {
    /// A request of this node's own.
    pub fn new(ticket: Ticket, purpose: Purpose, payload: Bytes, deadline: Time) -> Self {
        Self { ticket, purpose, payload, deadline, hops: 0, tried: Vec::new() }
    }

    /// Finds out what became of `id` after `error`, through another member than the one that may
    /// have taken it.
    pub fn resolve(
        ticket: Ticket,
        id: TransactionId,
        payload: Bytes,
        deadline: Time,
        error: &RouteError,
    ) -> Self {
        let tried = match error {
            RouteError::Unknown { last, .. } => last.iter().copied().collect(),
            _ => Vec::new(),
        };
        Self { tried, ..Self::new(ticket, Purpose::Resolve(id), payload, deadline) }
    }
}

/// What a driver tells the router.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Input {
    /// Serve this request.
    Submit(Submit),
    /// A peer, known by its channel, answered.
    Reply {
        /// Who.
        peer: PeerId,
        /// What.
        reply: Reply,
    },
    /// This attempt did not leave: there is no connection, or its queue is full.
    NotSent {
        /// The request.
        ticket: Ticket,
        /// The attempt.
        attempt: u32,
    },
    /// The connection to a peer broke; what it was asked will not be answered.
    Disconnected(PeerId),
    /// A map computed from committed state.
    Map(Box<Map>),
    /// Nobody waits for this request any more. There is no output for it.
    Cancel(Ticket),
    /// Time has passed.
    Timeout,
}

/// What the router tells its driver.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Output {
    /// Send this to the peer. The transport delivers it once or not at all.
    Send {
        /// To whom.
        peer: PeerId,
        /// What.
        request: Request,
    },
    /// The request has ended; there is one such output for each.
    Done {
        /// Which.
        ticket: Ticket,
        /// The bytes of [`Answer::Done`](crate::routing::Answer::Done), or why there are none.
        result: Result<Bytes, RouteError>,
    },
    /// A breaker changed: for metrics.
    Breaker {
        /// Of this peer
        peer: PeerId,
        /// and this partition.
        partition: PartitionId,
        /// What it is now.
        state: BreakerState,
    },
}

/// What the router has counted since it was made.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Counters {
    /// Attempts sent.
    pub sent: u64,
    /// Pauses after a failure, each followed by another attempt if there is time.
    pub retries: u64,
    /// Forwards followed.
    pub hops: u64,
    /// Answers that nobody waited for: late, repeated, or from somebody who was not asked.
    pub ignored: u64,
}
