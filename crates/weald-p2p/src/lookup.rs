//! What a lookup finds.

use std::time::Duration;

use weald_core::PeerId;

/// The peers nearest to a key, nearest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nearest {
    /// The peers.
    pub peers: Vec<NearPeer>,
    /// Where they come from.
    pub source: NearestSource,
    /// Requests that were sent for it.
    pub request_count: u32,
    /// How long it took.
    pub elapsed: Duration,
}

/// One peer that a lookup found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NearPeer {
    /// Who it is.
    pub peer: PeerId,
    /// Where it is said to listen; text of multiaddresses that end with the peer.
    pub addresses: Vec<String>,
}

/// Where the peers of a lookup come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NearestSource {
    /// The distributed hash table.
    Table,
    /// The connected peers, in order of distance: the table was of no help.
    Connected(Fallback),
}

/// Why a lookup fell back to connected peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// Lookups are switched off.
    Off,
    /// The table knows nobody.
    Empty,
    /// The table did not answer by the deadline.
    TooSlow,
}
