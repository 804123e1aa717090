//! The node's way into a network and its part in keeping it: carries out what
//! [`weald_cluster::founding`] decides.
//!
//! ```text
//! network --connected, asked--> inbox --> loop --Ask, Reply, Dial--> network
//! members --how they stand----> look  --/      \--Found, Host, Propose, Reconfigure--> members
//!                                               \--Pin--> folder     \--Map, Readiness--> watchers
//! ```
//!
//! One task drives the machine; what takes time runs beside it and comes back as an event.

mod call;
mod event;
mod inbox;
mod limits;
mod look;
mod pins;
mod run;

use std::{path::Path, sync::Arc};

use tokio::sync::watch;
use weald_cluster::{
    founding::{Config, Genesis, Introduction, Map, Pin, Readiness},
    recovery::Authority,
};
use weald_core::{Clock, Entropy, PeerId, Service, Transport};

use crate::{Error, ErrorKind, Result, members::Members};

use event::Event;
use run::Loop;

pub(crate) use inbox::Inbox;
pub(crate) use pins::{Pins, read_pin};

/// The service by which nodes ask each other about their networks.
pub(crate) const JOIN: Service = Service(1);

/// What the machine is driven with.
pub(crate) struct FoundingParts {
    /// Settings.
    pub(crate) config: Config,
    /// What this node says of itself.
    pub(crate) me: Introduction,
    /// What it has pinned; [`read_pin`].
    pub(crate) pin: Pin,
    /// Where a pin is kept.
    pub(crate) pins: Pins,
    /// What the network hands in. Made before the network, which is given it as a handler.
    pub(crate) inbox: Arc<Inbox>,
    /// The network.
    pub(crate) network: Arc<dyn Transport>,
    /// Connects to an address.
    pub(crate) dialer: Arc<dyn Dialer>,
    /// The members that live here.
    pub(crate) members: Members,
    /// The time of day.
    pub(crate) clock: Arc<dyn Clock>,
    /// Whose forced recoveries are believed, beside the founder's.
    pub(crate) administrators: Vec<PeerId>,
}

/// Whose forced recoveries are believed in a network: its founder's, and those of `administrators`.
pub(crate) fn authority(genesis: &Genesis, administrators: &[PeerId]) -> Authority {
    let founder = genesis.founder.peer();
    let administrators = administrators.iter().copied().chain([founder]).collect();
    Authority { network: genesis.network().0, administrators }
}

/// Connects to addresses.
pub(crate) trait Dialer: Send + Sync {
    /// Tries to connect to whoever is at `address`, the text of a multiaddress. Returns at once.
    fn dial(&self, address: &str);
}

/// A node's membership in its network. Dropping it ends the task; nothing durable depends on it.
pub(crate) struct Founding {
    inbox: Arc<Inbox>,
    map: watch::Receiver<Option<Arc<Map>>>,
    readiness: watch::Receiver<Readiness>,
    reset: watch::Receiver<Option<Pin>>,
}

impl Founding {
    /// Starts the task on the tokio runtime that this is called in.
    pub(crate) fn start(parts: FoundingParts, entropy: &mut (dyn Entropy + Send)) -> Self {
        let mut seed = [0; 8];
        entropy.fill(&mut seed);
        let inbox = Arc::clone(&parts.inbox);
        let (told, heard) = Told::channels();
        let running = Loop::new(parts, told, u64::from_le_bytes(seed));
        tokio::spawn(running.run());
        let (map, readiness, reset) = heard;
        Self { inbox, map, readiness, reset }
    }

    /// The network as far as it is known: nodes, ranges, how many voters. `None` until then.
    pub(crate) fn map(&self) -> watch::Receiver<Option<Arc<Map>>> {
        self.map.clone()
    }

    /// Whether the node can serve, and what it waits for.
    pub(crate) fn readiness(&self) -> watch::Receiver<Readiness> {
        self.readiness.clone()
    }

    /// Something once the node's network has joined another before it was used: everything is to
    /// be stopped, the folder emptied with [`Pins::reset`] and this pin, and the node started anew.
    pub(crate) fn reset(&self) -> watch::Receiver<Option<Pin>> {
        self.reset.clone()
    }

    /// Moves everything away from this node, which leaves the network then.
    pub(crate) fn drain(&self) {
        self.inbox.push(Event::Drain(true));
    }
}

impl Drop for Founding {
    fn drop(&mut self) {
        self.inbox.push(Event::Close);
    }
}

/// Where the task tells others what has changed.
struct Told {
    map: watch::Sender<Option<Arc<Map>>>,
    readiness: watch::Sender<Readiness>,
    reset: watch::Sender<Option<Pin>>,
}

type Heard =
    (watch::Receiver<Option<Arc<Map>>>, watch::Receiver<Readiness>, watch::Receiver<Option<Pin>>);

impl Told {
    fn channels() -> (Self, Heard) {
        let (map, map_heard) = watch::channel(None);
        let (readiness, readiness_heard) = watch::channel(Readiness::Opening);
        let (reset, reset_heard) = watch::channel(None);
        (Self { map, readiness, reset }, (map_heard, readiness_heard, reset_heard))
    }
}

/// Empties the node's folder but for its identity, so that it belongs to no network any more: for
/// a node whose network is not the one it should have joined. Its data is lost.
///
/// # Errors
/// `Unavailable` while a process uses the folder, or when it cannot be written.
pub fn leave(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    if !path.join(weald_storage::header::HEADER_FILE).exists() {
        let what = format!("there is no store path={}", path.display());
        return Err(Error::new(ErrorKind::NotFound, what));
    }
    pins::reset(path, None)
}
