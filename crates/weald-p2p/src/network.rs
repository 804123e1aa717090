//! The network as the node sees it.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use libp2p::Multiaddr;
use tokio::sync::{mpsc, oneshot};
use weald_core::{
    CallError, Calling, Digest, Handlers, Mailbox, MailboxError, NodeHints, PeerId, PeerInfo,
    Priority, Request, Service, Transport,
};

use crate::config::Config;
use crate::driver::{Command, Driver, Goals, peer_of};
use crate::error::{CommandError, StartError};
use crate::hub::Hub;
use crate::identity;
use crate::limits::{COMMANDS_MAX, LISTEN_TIMEOUT, RELAYS_MAX, SEEDS_MAX};
use crate::lookup::Nearest;
use crate::metrics::{Metrics, add};
use crate::protocol::Protocols;
use crate::reachable::Reachable;
use crate::swarm;

/// A node's network. Clones share it; when the last is dropped it stops.
#[derive(Clone, Debug)]
pub struct Network {
    hub: Arc<Hub>,
    commands: mpsc::Sender<Command>,
}

impl Network {
    /// Starts the network on the tokio runtime that this is called in. Returns when it listens, and
    /// knows its addresses; nothing is read from a peer before `handlers` are in place.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(config: Config, handlers: Handlers) -> Result<Self, StartError> {
        tokio::runtime::Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        let keypair = identity::keypair(&*config.keys)?;
        let listen = parse_all(&config.listen)?;
        let external = parse_all(&config.external)?;
        let goals = Goals { seeds: parse_all(&config.seeds)?, relays: relays(&config.relays)? };
        if goals.seeds.len() + goals.relays.len() > SEEDS_MAX {
            return Err(StartError::TooManySeeds(SEEDS_MAX));
        }
        refuse_quic_with_key(&config, &listen)?;
        let hub = Arc::new(Hub::new(
            config.keys.public().peer_id(),
            Protocols::new(config.network.clone()),
            handlers,
            config.hints,
        ));
        let mut swarm = swarm::build(&config, &keypair, &listen, &hub)?;
        for address in &listen {
            swarm.listen_on(address.clone()).map_err(|error| StartError::Listen {
                address: address.to_string(),
                reason: error.to_string(),
            })?;
        }
        external.into_iter().for_each(|address| swarm::advertise(&mut swarm, address));
        for peer in goals.peers() {
            swarm::favour(&mut swarm, &peer);
        }
        let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
        let mut driver = Driver::new(swarm, Arc::clone(&hub), receiver, &config, goals);
        driver.await_addresses(listen.len(), LISTEN_TIMEOUT).await;
        tokio::spawn(driver.run());
        Ok(Self { hub, commands })
    }

    /// Asks `peer`; the same as [`Transport::call`] with a request that belongs to nothing larger.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn call(
        &self,
        peer: PeerId,
        service: Service,
        body: Bytes,
        deadline: Duration,
    ) -> impl Future<Output = Result<Bytes, CallError>> + Send + use<> {
        self.ask(peer, Request::new(service, body, deadline))
    }

    /// Where this node listens; text of multiaddresses that end with the peer. With port 0 in the
    /// configuration these have the ports that the system gave.
    pub fn listen_addresses(&self) -> Vec<String> {
        self.hub.addresses.read().clone()
    }

    /// Those of its addresses that lead through a relay: where it has a place.
    pub fn relayed_addresses(&self) -> Vec<String> {
        let is_relayed = |text: &String| text.contains("/p2p-circuit");
        self.hub.addresses.read().iter().filter(|text| is_relayed(text)).cloned().collect()
    }

    /// Whether peers can dial this node, as those say who were asked last.
    pub fn reachable(&self) -> Reachable {
        self.hub.reachable.read().clone()
    }

    /// Connects to whoever is at `address`, and stays connected. Unlike a seed, an address that leads to no peer of the
    /// network is let go, after [`LEAD_FAILURES_MAX`](crate::limits::LEAD_FAILURES_MAX) failures in a row, or sooner where
    /// others have to have room.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub fn dial(&self, address: &str) -> Result<(), CommandError> {
        let parsed = address.parse::<Multiaddr>().map_err(|error| CommandError::Address {
            address: address.to_owned(),
            reason: error.to_string(),
        })?;
        self.command(Command::Dial(parsed))
    }

    /// The `count` peers nearest to `key`, by `deadline` at the latest. When the distributed hash
    /// table is off, empty or slow, these are the nearest of the connected peers, and
    /// [`Nearest::source`] says so. This node itself is not among them.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub async fn nearest(
        &self,
        key: Digest,
        count: usize,
        deadline: Duration,
    ) -> Result<Nearest, CommandError> {
        let (answer, found) = oneshot::channel();
        self.command(Command::Nearest { key, count, deadline, answer })?;
        found.await.map_err(|_| CommandError::Busy)
    }

    /// Tells all connected peers what this node says of itself, and those who connect later.
    pub fn hint(&self, hints: NodeHints) {
        *self.hub.hints.lock() = hints;
        self.hub.lines().iter().for_each(|line| line.hint(hints));
    }

    /// What the network has done.
    pub fn metrics(&self) -> Metrics {
        self.hub.counters.read()
    }

    /// Stops: closes all connections and saves the address book. Calls under way end at once.
    pub async fn shutdown(&self) {
        let (stopped, done) = oneshot::channel();
        if self.commands.send(Command::Stop(stopped)).await.is_ok() {
            // An error means that it had stopped before.
            let _ = done.await;
        }
    }

    fn command(&self, command: Command) -> Result<(), CommandError> {
        self.commands.try_send(command).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => CommandError::Busy,
            mpsc::error::TrySendError::Closed(_) => CommandError::Stopped,
        })
    }

    /// Queues a request at once; the future only waits.
    fn ask(
        &self,
        peer: PeerId,
        request: Request,
    ) -> impl Future<Output = Result<Bytes, CallError>> + Send + use<> {
        let begun = match self.hub.line(peer) {
            Some(line) => line.call(request, Instant::now()),
            None => {
                self.hub.want(peer);
                Err(CallError::Unreachable(peer))
            }
        };
        let counters = &self.hub.counters;
        let counter =
            if begun.is_ok() { &counters.calls_count } else { &counters.calls_refused_count };
        add(counter, 1);
        async move { begun?.await.unwrap_or(Err(CallError::Lost(peer))) }
    }
}

impl Mailbox for Network {
    fn send(&self, peer: PeerId, priority: Priority, frame: Bytes) -> Result<(), MailboxError> {
        let sent = match self.hub.line(peer) {
            Some(line) => line.send(priority, frame),
            None => {
                self.hub.want(peer);
                Err(MailboxError::Unreachable(peer))
            }
        };
        let counters = &self.hub.counters;
        let counter =
            if sent.is_ok() { &counters.frames_sent_count } else { &counters.frames_refused_count };
        add(counter, 1);
        sent
    }
}

impl Transport for Network {
    fn call(&self, peer: PeerId, request: Request) -> Calling {
        Box::pin(self.ask(peer, request))
    }

    fn local_peer(&self) -> PeerId {
        self.hub.local_peer
    }

    fn peers(&self) -> Vec<PeerInfo> {
        self.hub.peers()
    }

    fn peer(&self, peer: PeerId) -> Option<PeerInfo> {
        self.hub.peer(peer)
    }
}

/// Whether a text is an address that peers have, such as `/ip4/127.0.0.1/tcp/4001`.
pub fn is_address(text: &str) -> bool {
    text.parse::<Multiaddr>().is_ok_and(|address| !address.is_empty())
}

/// Whether a text is an address that a relay has: it leads to it directly and ends with its peer.
pub fn is_relay_address(text: &str) -> bool {
    text.parse::<Multiaddr>().is_ok_and(|address| relay_of(&address).is_some())
}

fn relay_of(address: &Multiaddr) -> Option<libp2p::PeerId> {
    let is_direct = address.iter().all(|part| part != libp2p::multiaddr::Protocol::P2pCircuit);
    peer_of(address).filter(|_| is_direct && address.iter().count() > 1)
}

/// The relays that texts name.
fn relays(texts: &[String]) -> Result<Vec<(libp2p::PeerId, Multiaddr)>, StartError> {
    if texts.len() > RELAYS_MAX {
        return Err(StartError::TooManyRelays(RELAYS_MAX));
    }
    let name = |address: Multiaddr| match relay_of(&address) {
        Some(peer) => Ok((peer, address)),
        None => Err(StartError::NoRelay(address.to_string())),
    };
    parse_all(texts)?.into_iter().map(name).collect()
}

fn parse_all(texts: &[String]) -> Result<Vec<Multiaddr>, StartError> {
    let parse = |text: &String| {
        text.parse().map_err(|error: libp2p::multiaddr::Error| StartError::Address {
            address: text.clone(),
            reason: error.to_string(),
        })
    };
    texts.iter().map(parse).collect()
}

fn refuse_quic_with_key(config: &Config, listen: &[Multiaddr]) -> Result<(), StartError> {
    use libp2p::multiaddr::Protocol;
    let is_quic = |address: &&Multiaddr| {
        address.iter().any(|part| matches!(part, Protocol::QuicV1 | Protocol::Quic))
    };
    match (&config.admission.pre_shared_key, listen.iter().find(is_quic)) {
        (Some(_), Some(address)) => Err(StartError::QuicWithKey(address.to_string())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_a_relay_is_direct_and_says_who_it_is() {
        let peer = libp2p::PeerId::random();
        let direct = format!("/ip4/203.0.113.7/tcp/4001/p2p/{peer}");
        let through = format!("{direct}/p2p-circuit/p2p/{peer}");
        assert!(is_relay_address(&direct));
        assert_eq!(relays(std::slice::from_ref(&direct)).unwrap()[0].0, peer);
        let bare = "/ip4/203.0.113.7/tcp/4001".to_owned();
        for wrong in [bare, format!("/p2p/{peer}"), through] {
            assert!(!is_relay_address(&wrong), "{wrong}");
            let error = relays(std::slice::from_ref(&wrong)).unwrap_err();
            assert!(matches!(&error, StartError::NoRelay(told) if *told == wrong), "{error}");
        }
        assert!(!is_relay_address("relay.example"));
        let many = vec![direct; RELAYS_MAX + 1];
        assert!(matches!(relays(&many), Err(StartError::TooManyRelays(RELAYS_MAX))));
    }
}
