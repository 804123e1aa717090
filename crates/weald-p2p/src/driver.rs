//! The network's task: one loop over what the swarm, the callers and the clock say.

mod address;
mod book;
mod dialer;
mod identified;
mod keeping;
mod lookups;
mod outcome;
mod places;
mod probing;

use std::future::poll_fn;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::StreamExt;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, SwarmEvent};
use libp2p::{Multiaddr, PeerId as Libp2pId, Swarm, identify, kad, mdns, ping};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Sleep;
use weald_core::{Clock, Digest, PeerId, PeerInfo};

use crate::config::{Config, Multicast};
use crate::hub::Hub;
use crate::identity;
use crate::limits::{BOOK_WRITE_INTERVAL, PEER_ADDRESSES_MAX, TICK};
use crate::lines::{LinesEvent, Way};
use crate::lookup::Nearest;
use crate::metrics::add;
use crate::swarm::{Node, NodeEvent, is_local};
pub(crate) use address::peer_of;
use address::{with_peer, without_peer};
use book::Book;
use dialer::{Dial, Dialer};
use identified::Identified;
use lookups::Lookups;
use places::Places;

/// What callers ask of the network's task.
#[derive(Debug)]
pub(crate) enum Command {
    /// Connect to this address and stay connected.
    Dial(Multiaddr),
    /// Find the peers nearest to a key.
    Nearest { key: Digest, count: usize, deadline: Duration, answer: oneshot::Sender<Nearest> },
    /// Stop; answered when all is closed.
    Stop(oneshot::Sender<()>),
}

/// To whom a node goes when it starts.
#[derive(Debug)]
pub(crate) struct Goals {
    /// To stay connected to.
    pub(crate) seeds: Vec<Multiaddr>,
    /// To stay connected to, and to have a place at one of them.
    pub(crate) relays: Vec<(Libp2pId, Multiaddr)>,
}

impl Goals {
    /// Those of whom it is known who they are.
    pub(crate) fn peers(&self) -> impl Iterator<Item = Libp2pId> {
        let relays = self.relays.iter().map(|(peer, _)| *peer);
        self.seeds.iter().filter_map(peer_of).chain(relays)
    }
}

/// What the loop waits for.
enum Event {
    Swarm(Box<SwarmEvent<NodeEvent>>),
    Command(Command),
    /// Nobody can give commands any more.
    Abandoned,
    Tick,
}

/// The network's task.
pub(crate) struct Driver {
    swarm: Swarm<Node>,
    hub: Arc<Hub>,
    clock: Arc<dyn Clock>,
    commands: mpsc::Receiver<Command>,
    ticks: Pin<Box<Sleep>>,
    dialer: Dialer,
    lookups: Lookups,
    book: Book,
    book_path: Option<PathBuf>,
    book_written: Instant,
    identified: Identified,
    reuses_port: bool,
    multicast: Multicast,
    places: Places,
}

impl Driver {
    /// A task for `swarm`, which knows the peers of the address book and will dial its goals.
    pub(crate) fn new(
        swarm: Swarm<Node>,
        hub: Arc<Hub>,
        commands: mpsc::Receiver<Command>,
        config: &Config,
        goals: Goals,
    ) -> Self {
        let now = Instant::now();
        let seed = u64::from_le_bytes(hub.local_peer.digest().prefix());
        let mut driver = Self {
            swarm,
            hub,
            clock: Arc::clone(&config.clock),
            commands,
            ticks: Box::pin(tokio::time::sleep(Duration::ZERO)),
            dialer: Dialer::new(config.redial, seed),
            lookups: Lookups::default(),
            book: Book::default(),
            book_path: config.address_book.clone(),
            book_written: now,
            identified: Identified::default(),
            reuses_port: config.reachability.relay_client,
            multicast: config.discovery.multicast,
            places: Places::new(config.reachability.relay_client, &goals.relays, now),
        };
        let relays = goals.relays.into_iter().map(|(_, address)| address);
        for address in goals.seeds.into_iter().chain(relays) {
            driver.dialer.add_seed(address, now);
        }
        driver.read_book(now);
        driver
    }

    /// Runs until it is stopped or nobody can command it any more.
    pub(crate) async fn run(mut self) {
        loop {
            match self.next().await {
                Event::Swarm(event) => self.handle_swarm(*event),
                Event::Command(Command::Stop(stopped)) => {
                    self.stop();
                    let _ = stopped.send(());
                    return;
                }
                Event::Command(command) => self.handle_command(command),
                Event::Abandoned => return self.stop(),
                Event::Tick => self.handle_tick(),
            }
        }
    }

    /// Drives the swarm until it has told `count` listeners' addresses, at most until `deadline`.
    pub(crate) async fn await_addresses(&mut self, count: usize, deadline: Duration) {
        let until = tokio::time::Instant::now() + deadline;
        while self.hub.addresses.read().len() < count {
            let Ok(event) = tokio::time::timeout_at(until, self.swarm.select_next_some()).await
            else {
                return;
            };
            self.handle_swarm(event);
        }
    }

    async fn next(&mut self) -> Event {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if let Poll::Ready(command) = self.commands.poll_recv(cx) {
            return Poll::Ready(command.map_or(Event::Abandoned, Event::Command));
        }
        if self.ticks.as_mut().poll(cx).is_ready() {
            self.ticks.as_mut().reset(tokio::time::Instant::now() + TICK);
            return Poll::Ready(Event::Tick);
        }
        match self.swarm.poll_next_unpin(cx) {
            Poll::Ready(event) => {
                let event = event.expect("a swarm never ends");
                Poll::Ready(Event::Swarm(Box::new(event)))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn handle_command(&mut self, command: Command) {
        let now = Instant::now();
        match command {
            Command::Dial(address) => {
                if !self.dialer.add_lead(address.clone(), now) {
                    tracing::warn!(target: "weald::dial", %address, "too many addresses to dial");
                }
                self.dial_due(now);
            }
            Command::Nearest { key, count, deadline, answer } => {
                self.look_up(lookups::Wish { key, count, deadline, answer }, now);
            }
            Command::Stop(_) => unreachable!("the loop has ended with it"),
        }
    }

    fn handle_tick(&mut self) {
        let now = Instant::now();
        for peer in self.hub.take_wanted() {
            self.dialer.wanted(peer, now);
        }
        self.dial_due(now);
        self.swarm.behaviour_mut().lines.close_foreign(now);
        self.expire_lookups(now);
        self.take_place(now);
        if now.duration_since(self.book_written) >= BOOK_WRITE_INTERVAL {
            self.book_written = now;
            self.write_book();
        }
    }

    fn dial_due(&mut self, now: Instant) {
        for dial in self.dialer.due(now) {
            let target = dial.target.clone();
            let options = self.options(dial);
            let connection = options.connection_id();
            tracing::debug!(target: "weald::dial", ?target, "dial begins");
            add(&self.hub.counters.dials_count, 1);
            match self.swarm.dial(options) {
                Ok(()) => self.dialer.began(target, connection),
                Err(error) => {
                    tracing::debug!(target: "weald::dial", ?target, %error, "dial refused");
                    self.dialer.began(target, connection);
                    self.dial_failed(connection, &error, now);
                }
            }
        }
    }

    /// A new port for each dial, unless holes are punched through routers: two nodes that dial one
    /// another from the ports they listen on make one TCP connection without a listening side.
    fn options(&self, dial: Dial) -> DialOpts {
        let condition = PeerCondition::DisconnectedAndNotDialing;
        match (dial.peer, self.reuses_port) {
            (Some(peer), true) => {
                DialOpts::peer_id(peer).condition(condition).addresses(dial.addresses).build()
            }
            (Some(peer), false) => DialOpts::peer_id(peer)
                .condition(condition)
                .addresses(dial.addresses)
                .allocate_new_port()
                .build(),
            (None, reuses_port) => {
                let address = dial.addresses.into_iter().next();
                let address = address.expect("a target without a peer is an address");
                let options = DialOpts::unknown_peer_id().address(address);
                if reuses_port { options.build() } else { options.allocate_new_port().build() }
            }
        }
    }

    fn handle_swarm(&mut self, event: SwarmEvent<NodeEvent>) {
        let now = Instant::now();
        match event {
            SwarmEvent::Behaviour(event) => self.handle_node(event, now),
            SwarmEvent::NewListenAddr { .. } | SwarmEvent::ExpiredListenAddr { .. } => {
                self.list_addresses();
            }
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, .. } => {
                add(&self.hub.counters.connections_count, 1);
                self.dialer.met(connection_id, peer_id);
                if identity::peer_id(&peer_id).is_some_and(|peer| self.hub.line(peer).is_some()) {
                    self.dialer.connected(peer_id);
                }
            }
            SwarmEvent::ConnectionClosed {
                connection_id, cause, peer_id, num_established, ..
            } => {
                tracing::debug!(target: "weald::net", peer = %peer_id, ?cause, "connection closed");
                self.dialer.failed(connection_id, now);
                if num_established == 0 {
                    self.gone(&peer_id);
                }
            }
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                self.dial_failed(connection_id, &error, now);
            }
            SwarmEvent::IncomingConnectionError { send_back_addr, error, peer_id, .. } => {
                self.turned_away(outcome::of_incoming(peer_id, &send_back_addr, &error));
            }
            SwarmEvent::ListenerError { error, .. } => {
                tracing::warn!(target: "weald::net", %error, "a listener has trouble");
            }
            SwarmEvent::ListenerClosed { addresses, reason, listener_id } => {
                tracing::warn!(target: "weald::net", ?addresses, ?reason, "a listener has closed");
                self.places.closed(listener_id, now);
                self.list_addresses();
            }
            _ => {}
        }
    }

    fn dial_failed(
        &mut self,
        connection: ConnectionId,
        error: &libp2p::swarm::DialError,
        now: Instant,
    ) {
        add(&self.hub.counters.dials_failed_count, 1);
        tracing::debug!(target: "weald::dial", %connection, %error, "dial failed");
        if matches!(error, libp2p::swarm::DialError::LocalPeerId { .. }) {
            self.dialer.own(connection);
        } else {
            self.dialer.failed(connection, now);
            self.turned_away(outcome::of_outgoing(error));
        }
    }

    fn turned_away(&self, stranger: Option<weald_core::Stranger>) {
        let Some(stranger) = stranger else { return };
        tracing::debug!(target: "weald::net", ?stranger, "turned away");
        add(&self.hub.counters.strangers_count, 1);
        self.hub.handlers.events.refused(stranger);
    }

    fn handle_node(&mut self, event: NodeEvent, now: Instant) {
        match event {
            NodeEvent::Lines(event) => self.handle_lines(event, now),
            NodeEvent::Ping(event) => self.handle_ping(&event),
            NodeEvent::Identify(identify::Event::Received { peer_id, info, .. }) => {
                self.identified(peer_id, info);
            }
            NodeEvent::Table(event) => self.handle_table(event, now),
            NodeEvent::Probe(event) => self.handle_probe(&event),
            NodeEvent::Multicast(mdns::Event::Discovered(found)) => {
                let is_any = self.multicast == Multicast::On;
                for (peer, address) in found.into_iter().filter(|(_, at)| is_any || is_local(at)) {
                    tracing::debug!(target: "weald::net", %peer, %address, "found by multicast");
                    self.dialer.add_peer(peer, &[address], now);
                }
            }
            event => tracing::trace!(target: "weald::net", ?event, "network event"),
        }
    }

    fn handle_lines(&mut self, event: LinesEvent, now: Instant) {
        match event {
            LinesEvent::Connected { peer, id, dialled, way } => {
                self.connected(peer, id, way, dialled);
            }
            LinesEvent::Disconnected { peer, id } => {
                self.places.lost(&id);
                self.dialer.disconnected(id, now);
                if self.hub.disconnect(peer) {
                    tracing::info!(target: "weald::net", %peer, "peer disconnected");
                    self.hub.handlers.events.disconnected(peer);
                }
            }
            LinesEvent::Refused { id, stranger } => {
                self.dialer.foreign(id, now);
                self.turned_away(Some(stranger));
            }
            LinesEvent::Hints { peer, hints } => {
                self.hub.update(peer, |info| info.hints = Some(hints));
            }
        }
    }

    fn connected(&mut self, peer: PeerId, id: Libp2pId, way: Way, dialled: Option<Multiaddr>) {
        let Some(line) = self.swarm.behaviour().lines.line(peer).cloned() else { return };
        // What was dialled is an address for certain; identify may come late, or never.
        let mut addresses: Vec<_> = dialled.into_iter().collect();
        if let Some(said) = self.identified.take(&id) {
            self.places.found(id, &said.addresses, &said.protocols);
            addresses.extend(said.addresses);
        }
        let info = PeerInfo {
            peer,
            addresses: Vec::new(),
            rtt: None,
            relayed: way.relayed,
            near: way.near,
            since: self.clock.now(),
            hints: None,
        };
        tracing::info!(target: "weald::net", %peer, ?way, "peer connected");
        self.hub.connect(id, line, info);
        self.dialer.connected(id);
        self.learn(peer, id, addresses, true);
        if let Some(info) = self.hub.peer(peer) {
            self.hub.handlers.events.connected(info);
        }
    }

    /// Notes where a connected peer listens: for others who ask, for the book, for the next dial.
    fn learn(
        &mut self,
        peer: PeerId,
        id: Libp2pId,
        mut addresses: Vec<Multiaddr>,
        serves_table: bool,
    ) {
        if addresses.is_empty() {
            return;
        }
        addresses.iter_mut().for_each(|address| *address = without_peer(address));
        addresses.truncate(PEER_ADDRESSES_MAX);
        if let Some(table) = self.swarm.behaviour_mut().table.as_mut()
            && serves_table
        {
            for address in &addresses {
                table.add_address(&id, address.clone());
            }
        }
        self.dialer.add_peer(id, &addresses, Instant::now());
        self.dialer.connected(id);
        let texts: Vec<_> = addresses.iter().map(|address| with_peer(address, id)).collect();
        self.hub.update(peer, |info| {
            let old = std::mem::replace(&mut info.addresses, texts);
            let more: Vec<_> =
                old.into_iter().filter(|text| !info.addresses.contains(text)).collect();
            info.addresses.extend(more);
            info.addresses.truncate(PEER_ADDRESSES_MAX);
        });
        self.book.met(id, &addresses, self.clock.now());
    }

    fn handle_ping(&mut self, event: &ping::Event) {
        match &event.result {
            Ok(rtt) => {
                if let Some(peer) = identity::peer_id(&event.peer) {
                    self.hub.update(peer, |info| info.rtt = Some(*rtt));
                }
            }
            Err(ping::Failure::Unsupported) => {}
            Err(error) => {
                tracing::debug!(target: "weald::net", peer = %event.peer, %error, "peer does not answer");
                self.swarm.close_connection(event.connection);
            }
        }
    }

    fn handle_table(&mut self, event: kad::Event, now: Instant) {
        if let kad::Event::OutboundQueryProgressed {
            id,
            result: kad::QueryResult::GetClosestPeers(result),
            stats,
            step,
        } = event
            && step.last
        {
            let (Ok(kad::GetClosestPeersOk { peers, .. })
            | Err(kad::GetClosestPeersError::Timeout { peers, .. })) = result;
            let found = lookups::Found { peers, request_count: stats.num_requests() };
            self.lookups.finish(id, found, &self.hub, now);
        }
    }

    fn look_up(&mut self, wish: lookups::Wish, now: Instant) {
        add(&self.hub.counters.lookups_count, 1);
        let table = self.swarm.behaviour_mut().table.as_mut();
        self.lookups.begin(wish, table, &self.hub, now);
    }

    fn expire_lookups(&mut self, now: Instant) {
        if let Some(table) = self.swarm.behaviour_mut().table.as_mut() {
            self.lookups.expire(table, &self.hub, now);
        }
    }

    fn list_addresses(&self) {
        let id = *self.swarm.local_peer_id();
        let addresses = self.swarm.listeners().map(|address| with_peer(address, id)).collect();
        *self.hub.addresses.write() = addresses;
    }

    fn stop(&mut self) {
        self.close_book();
        for line in self.hub.lines() {
            line.close();
            self.hub.disconnect(line.peer());
        }
    }
}
