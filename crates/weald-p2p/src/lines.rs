//! The connections of a node, as libp2p's swarm sees them: which peers may come, and which of
//! several connections to one peer is used.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use libp2p::core::{Endpoint, transport::PortUse};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{
    CloseConnection, ConnectionClosed, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour,
    NotifyHandler, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId as Libp2pId};
use weald_core::{NodeHints, PeerId, Stranger, StrangerReason};

use crate::hub::Hub;
use crate::identity;
use crate::limits::FOREIGN_GRACE;
use crate::line::{Budget, Line};
use crate::link::{FromLink, Link, ToLink};
use crate::swarm::is_local;

/// How a connection leads to its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    /// Over a relay.
    pub(crate) relayed: bool,
    /// Directly, to a loopback or private address.
    pub(crate) near: bool,
}

/// What the node hears of its connections.
#[derive(Debug)]
pub(crate) enum LinesEvent {
    /// A peer of this network has its first usable connection.
    Connected { peer: PeerId, id: Libp2pId, dialled: Option<Multiaddr>, way: Way },
    /// A peer has no usable connection any more.
    Disconnected { peer: PeerId, id: Libp2pId },
    /// Somebody was turned away.
    Refused { id: Libp2pId, stranger: Stranger },
    /// A peer says of itself.
    Hints { peer: PeerId, hints: NodeHints },
}

/// Why a connection was not allowed; the stranger is told of already.
#[derive(Debug)]
pub(crate) struct NotAllowed;

impl fmt::Display for NotAllowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the peer may not connect")
    }
}

impl std::error::Error for NotAllowed {}

/// All connections.
pub(crate) struct Lines {
    hub: Arc<Hub>,
    allowed: Option<std::collections::BTreeSet<PeerId>>,
    connections: BTreeMap<ConnectionId, Connection>,
    used: BTreeMap<PeerId, ConnectionId>,
    events: VecDeque<ToSwarm<LinesEvent, ToLink>>,
}

struct Connection {
    id: Libp2pId,
    line: Arc<Line>,
    budget: Arc<Budget>,
    address: Multiaddr,
    is_dialled_here: bool,
    is_ready: bool,
    /// Since when it is known to speak for another network.
    foreign_since: Option<Instant>,
    rank: Rank,
}

/// How good a connection is; the lowest is used. Both sides rank alike, so that when both have
/// dialled at once, both use the same of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    relayed: bool,
    /// Whether the peer with the higher id dialled.
    dialled_by_higher: bool,
}

impl Lines {
    pub(crate) fn new(hub: Arc<Hub>, allowed: Option<std::collections::BTreeSet<PeerId>>) -> Self {
        Self {
            hub,
            allowed,
            connections: BTreeMap::new(),
            used: BTreeMap::new(),
            events: VecDeque::new(),
        }
    }

    /// Admits a connection whose handshake is done.
    fn admit(
        &mut self,
        connection: ConnectionId,
        id: Libp2pId,
        address: &Multiaddr,
        is_dialled_here: bool,
    ) -> Result<Link, ConnectionDenied> {
        let peer = identity::peer_id(&id);
        let admitted =
            peer.filter(|peer| self.allowed.as_ref().is_none_or(|allowed| allowed.contains(peer)));
        let Some(admitted) = admitted else {
            let reason = StrangerReason::NotAllowed;
            self.refuse(id, Stranger { peer, address: address.to_string(), reason });
            return Err(ConnectionDenied::new(NotAllowed));
        };
        let line = Arc::new(Line::new(admitted));
        let budget = self.budget(admitted);
        let is_higher_here = self.hub.local_peer > admitted;
        let rank = Rank {
            relayed: is_relayed(address),
            dialled_by_higher: is_dialled_here == is_higher_here,
        };
        let link = Link::new(Arc::clone(&line), Arc::clone(&budget), Arc::clone(&self.hub));
        let address = address.clone();
        let known = Connection {
            id,
            line,
            budget,
            address,
            is_dialled_here,
            is_ready: false,
            foreign_since: None,
            rank,
        };
        self.connections.insert(connection, known);
        Ok(link)
    }

    /// What the node works on for `peer` at once, over all of its connections.
    fn budget(&self, peer: PeerId) -> Arc<Budget> {
        let known = self.connections.values().find(|known| known.line.peer() == peer);
        known.map(|known| Arc::clone(&known.budget)).unwrap_or_default()
    }

    fn refuse(&mut self, id: Libp2pId, stranger: Stranger) {
        self.tell(LinesEvent::Refused { id, stranger });
    }

    fn tell(&mut self, event: LinesEvent) {
        self.events.push_back(ToSwarm::GenerateEvent(event));
    }

    /// Uses the best of the usable connections to `peer`, and tells if that begins or ends its
    /// being connected.
    fn choose(&mut self, peer: PeerId, id: Libp2pId) {
        let best = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.is_ready && connection.line.peer() == peer)
            .min_by_key(|(key, connection)| (connection.rank, **key))
            .map(|(key, _)| *key);
        let before = self.used.get(&peer).copied();
        if best == before {
            return;
        }
        let Some(best) = best else {
            self.used.remove(&peer);
            return self.tell(LinesEvent::Disconnected { peer, id });
        };
        self.used.insert(peer, best);
        self.notify(best, true);
        let chosen = &self.connections[&best];
        let relayed = chosen.rank.relayed;
        let way = Way { relayed, near: !relayed && is_local(&chosen.address) };
        match before {
            None => {
                let dialled = chosen.is_dialled_here.then(|| chosen.address.clone());
                self.tell(LinesEvent::Connected { peer, id, dialled, way });
            }
            Some(before) => {
                self.hub.switch(&chosen.line, way);
                self.notify(before, false);
            }
        }
    }

    /// The line that is used for `peer`.
    pub(crate) fn line(&self, peer: PeerId) -> Option<&Arc<Line>> {
        self.used.get(&peer).map(|key| &self.connections[key].line)
    }

    fn notify(&mut self, connection: ConnectionId, is_used: bool) {
        let Some(known) = self.connections.get(&connection) else { return };
        self.events.push_back(ToSwarm::NotifyHandler {
            peer_id: known.id,
            handler: NotifyHandler::One(connection),
            event: ToLink::Use(is_used),
        });
    }

    fn close(&mut self, connection: ConnectionId) {
        let Some(known) = self.connections.get(&connection) else { return };
        self.events.push_back(ToSwarm::CloseConnection {
            peer_id: known.id,
            connection: CloseConnection::One(connection),
        });
    }

    fn closed(&mut self, connection: ConnectionId) {
        let Some(known) = self.connections.remove(&connection) else { return };
        known.line.close();
        self.choose(known.line.peer(), known.id);
    }

    /// A peer is usable: a connection that is not the chosen one is left to end.
    fn ready(&mut self, connection: ConnectionId) {
        let Some(known) = self.connections.get_mut(&connection) else { return };
        known.is_ready = true;
        let (peer, id) = (known.line.peer(), known.id);
        self.choose(peer, id);
        if self.used.get(&peer) != Some(&connection) {
            self.notify(connection, false);
        }
    }

    /// The connection is left for a moment, so that the other side notices, too.
    fn foreign(&mut self, connection: ConnectionId) {
        let Some(known) = self.connections.get_mut(&connection) else { return };
        if known.is_ready || known.foreign_since.is_some() {
            return;
        }
        known.foreign_since = Some(Instant::now());
        let (id, peer, address) = (known.id, Some(known.line.peer()), known.address.to_string());
        self.refuse(id, Stranger { peer, address, reason: StrangerReason::OtherNetwork });
        self.notify(connection, false);
    }

    /// Closes connections that were found to be of other networks a while ago.
    pub(crate) fn close_foreign(&mut self, now: Instant) {
        let is_over = |known: &Connection| {
            known.foreign_since.is_some_and(|since| now.duration_since(since) >= FOREIGN_GRACE)
        };
        let over = self.connections.iter().filter(|(_, known)| is_over(known));
        let over: Vec<_> = over.map(|(key, _)| *key).collect();
        over.into_iter().for_each(|connection| self.close(connection));
    }
}

/// Whether an address leads through a relay.
pub(crate) fn is_relayed(address: &Multiaddr) -> bool {
    address.iter().any(|part| part == Protocol::P2pCircuit)
}

impl NetworkBehaviour for Lines {
    type ConnectionHandler = Link;
    type ToSwarm = LinesEvent;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Libp2pId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        // Who comes through a relay has no address; that of the place there tells it.
        let address = if is_relayed(local) { local } else { remote };
        self.admit(connection, peer, address, false)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Libp2pId,
        address: &Multiaddr,
        role: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.admit(connection, peer, address, role == Endpoint::Dialer)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionClosed(ConnectionClosed { connection_id, .. }) => {
                self.closed(connection_id);
            }
            FromSwarm::DialFailure(failure) => self.closed(failure.connection_id),
            FromSwarm::ListenFailure(failure) => self.closed(failure.connection_id),
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _: Libp2pId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {
            FromLink::Ready => self.ready(connection),
            FromLink::Foreign => self.foreign(connection),
            FromLink::Broken => self.close(connection),
            FromLink::Hints(hints) => {
                let Some(known) = self.connections.get(&connection) else { return };
                let peer = known.line.peer();
                self.tell(LinesEvent::Hints { peer, hints });
            }
        }
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<LinesEvent, THandlerInEvent<Self>>> {
        self.events.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}
