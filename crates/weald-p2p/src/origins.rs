//! Where the connections that come are from: so many of one source, then no more, so that no host takes the places of
//! all others. Who has an address of its own is bounded by that; identities cost nothing.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::task::{Context, Poll};

use libp2p::core::{Endpoint, transport::PortUse};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{
    ConnectionClosed, ConnectionDenied, ConnectionId, FromSwarm, ListenFailure, NetworkBehaviour,
    THandler, THandlerInEvent, THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};

use crate::limits::SHARED_SOURCE_FACTOR;
use crate::lines::is_relayed;
use crate::sources::source_of;

/// A source has as many connections as it may.
#[derive(Debug)]
pub(crate) struct Crowded;

impl fmt::Display for Crowded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too many connections of one source")
    }
}

impl std::error::Error for Crowded {}

/// The connections that have come, negotiated or not, by where they are from.
pub(crate) struct Origins {
    per_source_max: usize,
    connections: BTreeMap<ConnectionId, Origin>,
    counts: BTreeMap<Origin, usize>,
}

/// Where a connection is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Origin {
    Source(IpAddr),
    /// The relays at which this node has a place: these do not tell addresses.
    Relays,
}

impl Origins {
    pub(crate) fn new(per_source_max: u32) -> Self {
        let per_source_max = usize::try_from(per_source_max).unwrap_or(usize::MAX);
        Self { per_source_max, connections: BTreeMap::new(), counts: BTreeMap::new() }
    }

    /// Takes a connection in, if its source has room for it.
    fn admit(
        &mut self,
        connection: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), Crowded> {
        let shared_max = self.per_source_max.saturating_mul(SHARED_SOURCE_FACTOR);
        let (origin, count_max) = match ip_of(remote) {
            _ if is_relayed(local) => (Origin::Relays, shared_max),
            Some(ip) if ip.to_canonical().is_loopback() => return Ok(()),
            Some(ip) if is_shared(ip) => (Origin::Source(source_of(ip)), shared_max),
            Some(ip) => (Origin::Source(source_of(ip)), self.per_source_max),
            None => return Ok(()),
        };
        let count = self.counts.entry(origin).or_default();
        if *count >= count_max {
            return Err(Crowded);
        }
        *count += 1;
        self.connections.insert(connection, origin);
        Ok(())
    }

    fn ended(&mut self, connection: ConnectionId) {
        let Some(origin) = self.connections.remove(&connection) else { return };
        let count = self.counts.get_mut(&origin).expect("it was counted when it came");
        *count -= 1;
        if *count == 0 {
            self.counts.remove(&origin);
        }
    }
}

/// The address of a host that a connection leads to.
pub(crate) fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(ip.into()),
        _ => None,
    }
}

/// Whether many hosts of people who know each other may have this address: those of private networks, behind whose
/// gateways others are.
fn is_shared(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local() || is_carrier(ip),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// Whether an address is one that carriers, and some private networks over public ones, give (100.64.0.0/10).
const fn is_carrier(ip: Ipv4Addr) -> bool {
    let [first, second, ..] = ip.octets();
    first == 100 && second & 0b1100_0000 == 64
}

impl NetworkBehaviour for Origins {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.admit(connection, local, remote).map_err(ConnectionDenied::new)
    }

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionClosed(ConnectionClosed { connection_id, .. })
            | FromSwarm::ListenFailure(ListenFailure { connection_id, .. }) => {
                self.ended(connection_id);
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use libp2p::swarm::ListenError;

    use super::*;

    const MAX: u32 = 3;

    /// How many of ten more connections from `host` are let in.
    fn admitted(origins: &mut Origins, host: &str) -> usize {
        let first = origins.connections.len() * 100;
        let local = "/ip4/192.0.2.1/tcp/1".parse().unwrap();
        let remote: Multiaddr = format!("{host}/tcp/9").parse().unwrap();
        let comes = |number: &usize| {
            let connection = ConnectionId::new_unchecked(first + number);
            origins.handle_pending_inbound_connection(connection, &local, &remote).is_ok()
        };
        (0..20).filter(comes).count()
    }

    #[test]
    fn one_host_takes_no_more_than_its_share() {
        let mut origins = Origins::new(MAX);
        let (own, shared) = (3, 3 * SHARED_SOURCE_FACTOR);
        for (host, expected) in [
            ("/ip4/203.0.113.7", own),
            ("/ip4/203.0.113.8", own),
            ("/ip6/2001:db8::1", own),
            ("/ip6/2001:db8::2", 0),
            ("/ip6/2001:db8:0:1::1", own),
            ("/ip6/::ffff:203.0.113.7", 0),
            ("/ip4/10.0.0.7", shared),
            ("/ip4/100.64.3.3", shared),
            ("/ip4/100.128.3.3", own),
            ("/ip6/fd00::7", shared),
            ("/ip4/127.0.0.1", 20),
            ("/ip6/::1", 20),
        ] {
            assert_eq!(admitted(&mut origins, host), expected, "{host}");
        }
    }

    #[test]
    fn those_that_come_through_relays_are_counted_together() {
        let mut origins = Origins::new(MAX);
        let relay = format!("/ip4/127.0.0.1/tcp/1/p2p/{}/p2p-circuit", PeerId::random());
        let local: Multiaddr = relay.parse().unwrap();
        let comes = |number: &usize| {
            let remote = format!("/p2p/{}", PeerId::random()).parse().unwrap();
            origins.admit(ConnectionId::new_unchecked(*number), &local, &remote).is_ok()
        };
        assert_eq!((0..20).filter(comes).count(), 3 * SHARED_SOURCE_FACTOR);
    }

    #[test]
    fn what_has_ended_makes_room() {
        let mut origins = Origins::new(MAX);
        assert_eq!(admitted(&mut origins, "/ip4/203.0.113.7"), 3);
        let address: Multiaddr = "/ip4/203.0.113.7/tcp/9".parse().unwrap();
        let connection = *origins.connections.keys().next().unwrap();
        origins.on_swarm_event(FromSwarm::ListenFailure(ListenFailure {
            local_addr: &address,
            send_back_addr: &address,
            error: &ListenError::Aborted,
            connection_id: connection,
            peer_id: None,
        }));
        assert_eq!(admitted(&mut origins, "/ip4/203.0.113.7"), 1);
        let all: Vec<_> = origins.connections.keys().copied().collect();
        all.into_iter().for_each(|connection| origins.ended(connection));
        assert!(origins.counts.is_empty());
    }
}
