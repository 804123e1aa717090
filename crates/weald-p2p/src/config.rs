//! What a node is told about its network.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use weald_core::identity::KeyStore;
use weald_core::{Clock, NodeHints, PeerId};
use zeroize::Zeroizing;

use crate::protocol::NetworkName;

/// Everything that [`Network::start`](crate::Network::start) needs to know.
#[derive(Clone)]
pub struct Config {
    /// The network; nodes of others are turned away.
    pub network: NetworkName,
    /// Who this node is. The key must be exportable: libp2p signs with it.
    pub keys: Arc<dyn KeyStore>,
    /// The clock of what is shown to people. Timers do not use it.
    pub clock: Arc<dyn Clock>,
    /// Where to listen, as text of multiaddresses. None: this node is only a client.
    pub listen: Vec<String>,
    /// Addresses under which the node is reached from elsewhere, when it cannot see them itself.
    pub external: Vec<String>,
    /// Addresses of nodes to connect to and to stay connected to.
    pub seeds: Vec<String>,
    /// Addresses of nodes of this network at one of which this node is reached, whether others get
    /// through to it or not; each ends with the relay's peer. It stays connected to them, as to seeds.
    /// Used with [`Reachability::relay_client`].
    pub relays: Vec<String>,
    /// The file of known peers; none is kept without one.
    pub address_book: Option<PathBuf>,
    /// Who may connect.
    pub admission: Admission,
    /// How peers are found.
    pub discovery: Discovery,
    /// How nodes behind routers are reached.
    pub reachability: Reachability,
    /// How many connections there may be.
    pub connections: ConnectionLimits,
    /// Pauses between dials.
    pub redial: Redial,
    /// What this node says of itself when a peer connects; see [`Network::hint`](crate::Network::hint).
    pub hints: NodeHints,
}

impl Config {
    /// A node of `network` that listens nowhere and knows nobody.
    pub fn new(network: NetworkName, keys: Arc<dyn KeyStore>, clock: Arc<dyn Clock>) -> Self {
        Self {
            network,
            keys,
            clock,
            listen: Vec::new(),
            external: Vec::new(),
            seeds: Vec::new(),
            relays: Vec::new(),
            address_book: None,
            admission: Admission::default(),
            discovery: Discovery::default(),
            reachability: Reachability::default(),
            connections: ConnectionLimits::default(),
            redial: Redial::default(),
            hints: NodeHints::default(),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("network", &self.network)
            .field("listen", &self.listen)
            .field("seeds", &self.seeds)
            .field("admission", &self.admission)
            .finish_non_exhaustive()
    }
}

/// Who may connect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admission {
    /// The peers that may; everybody if there is no list.
    pub allowed: Option<BTreeSet<PeerId>>,
    /// A secret that all nodes of the network share. Who does not know it sees noise. QUIC cannot
    /// carry it: with a key a node speaks TCP only.
    pub pre_shared_key: Option<PreSharedKey>,
}

/// The secret of a private network: 32 bytes, wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct PreSharedKey(Zeroizing<[u8; 32]>);

impl PreSharedKey {
    /// Wraps the bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for PreSharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PreSharedKey(..)")
    }
}

/// How peers are found besides seeds and the address book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// Whether peers on the local network are found by multicast, by default those at private
    /// addresses.
    pub multicast: Multicast,
    /// Whether the distributed hash table is used, default yes.
    pub lookups: bool,
    /// Peers in a bucket of the hash table, which is also how many a lookup finds; default 20.
    pub bucket_size: usize,
    /// Pause between refreshes of the hash table, default 60 s; one is done at the start, too.
    pub refresh_interval: Duration,
}

impl Default for Discovery {
    fn default() -> Self {
        Self {
            multicast: Multicast::default(),
            lookups: true,
            bucket_size: 20,
            refresh_interval: Duration::from_secs(60),
        }
    }
}

/// Whether peers are found by multicast.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Multicast {
    /// By a node that listens to loopback or private addresses, or to all of its machine. Peers that
    /// are found at other addresses are passed over. What listens to loopback alone is not told.
    #[default]
    Local,
    /// Always, and at any address.
    On,
    /// Never.
    Off,
}

/// How nodes behind routers are reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reachability {
    /// Whether this node carries connections for others; default no. Others have to be told where it
    /// is reached: by [`Config::external`], or by what `probe` finds.
    pub relay_server: bool,
    /// Whether this node may be reached through relays; default no. It takes a place at one of
    /// [`Config::relays`], and listens at a relay when told so: `/…/p2p/RELAY/p2p-circuit`. With `probe`
    /// and no relays it takes one by itself, at a connected relay, once it is told that nobody gets
    /// through to it. Who is reached through a relay is dialled there in any case, and two that have met
    /// at one try to connect directly.
    pub relay_client: bool,
    /// Whether peers are asked if they can dial this node, and answered when they ask; default no.
    /// They dial the host that they see this node at, with the ports that it listens on or that
    /// [`Config::external`] names. What comes of it is
    /// [`Network::reachable`](crate::Network::reachable).
    pub probe: bool,
    /// Whether that is done between loopback and private addresses, too, as in a network without
    /// public ones; default no.
    pub probe_local: bool,
    /// The pause before peers are asked first, default 15 s. It is six times as long between two
    /// questions to one peer, and sixty times once three peers have agreed.
    pub probe_pause: Duration,
}

impl Default for Reachability {
    fn default() -> Self {
        Self {
            relay_server: false,
            relay_client: false,
            probe: false,
            probe_local: false,
            probe_pause: Duration::from_secs(15),
        }
    }
}

/// How many connections there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Connections at once, default 2048. A quarter is for those that this node dials; its seeds and relays always
    /// find a place if they are named with their peers.
    pub established_max: u32,
    /// Connections at once that have come from one source, an IPv4 address or a network (/64) of IPv6; default 64.
    /// Four times as many come from a private address, and through all relays together; from loopback addresses any
    /// number. Raise it where more nodes than that are behind one public address.
    pub per_source_max: u32,
    /// Connections to one peer, default 4: one is used, others come about when both dial at once.
    pub per_peer_max: u32,
    /// Connections that are being set up, in each direction; default 256.
    pub pending_max: u32,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self { established_max: 2048, per_source_max: 64, per_peer_max: 4, pending_max: 256 }
    }
}

/// Pauses between dials of an address: they double, with jitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redial {
    /// The first, default 200 ms.
    pub first: Duration,
    /// The longest to a seed, default 5 s.
    pub seed_max: Duration,
    /// The longest to a peer of the address book, default 60 s.
    pub known_max: Duration,
}

impl Default for Redial {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(200),
            seed_max: Duration::from_secs(5),
            known_max: Duration::from_secs(60),
        }
    }
}
