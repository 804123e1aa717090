//! Sources whose connections fail before it is known who they are: each costs a negotiation, and whoever makes many
//! of them is turned away before it. Nobody can fail under another's address, because a connection must be made first;
//! who shares one with a flood has to wait with it, and what is connected already is not touched.

use std::collections::HashMap;
use std::net::IpAddr;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::behaviour::ListenFailure;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, ListenError, NetworkBehaviour, THandler,
    THandlerInEvent, THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};

use crate::limits::{FAILURE_PAUSE, FAILURES_MAX, SOURCES_MAX};

/// The source has failed too often of late.
#[derive(Debug, thiserror::Error)]
#[error("too many connections from this address have failed")]
pub(crate) struct Noisy;

/// For each source, when all its failures are forgiven: each adds [`FAILURE_PAUSE`].
#[derive(Debug, Default)]
pub(crate) struct Sources(HashMap<IpAddr, Instant>);

impl Sources {
    fn failed(&mut self, now: Instant, source: IpAddr) {
        if self.0.len() >= SOURCES_MAX && !self.0.contains_key(&source) {
            self.0.retain(|_, forgiven| *forgiven > now);
            if self.0.len() >= SOURCES_MAX {
                return;
            }
        }
        let forgiven = self.0.entry(source).or_insert(now);
        *forgiven = (*forgiven).max(now) + FAILURE_PAUSE;
    }

    fn is_noisy(&self, now: Instant, source: IpAddr) -> bool {
        let debt = self.0.get(&source).map(|forgiven| forgiven.saturating_duration_since(now));
        debt.unwrap_or(Duration::ZERO) > FAILURE_PAUSE * FAILURES_MAX
    }
}

/// Who an address belongs to, as far as it tells: of the sixth version a whole network, of which a customer has one.
fn source_of(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            Some(IpAddr::from([a, b, c, d, 0, 0, 0, 0]))
        }
        _ => None,
    }
}

impl NetworkBehaviour for Sources {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = std::convert::Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        match source_of(remote) {
            Some(source) if self.is_noisy(Instant::now(), source) => {
                Err(ConnectionDenied::new(Noisy))
            }
            _ => Ok(()),
        }
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
        let FromSwarm::ListenFailure(ListenFailure { send_back_addr, error, .. }) = event else {
            return;
        };
        let source =
            source_of(send_back_addr).filter(|_| matches!(error, ListenError::Transport(_)));
        if let Some(source) = source {
            self.failed(Instant::now(), source);
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

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn who_fails_too_often_is_turned_away_until_it_is_forgiven() {
        let (mut sources, begin) = (Sources::default(), Instant::now());
        for _ in 0..FAILURES_MAX {
            sources.failed(begin, source(1));
        }
        assert!(!sources.is_noisy(begin, source(1)), "so many may fail at once");
        sources.failed(begin, source(1));
        assert!(sources.is_noisy(begin, source(1)));
        assert!(!sources.is_noisy(begin, source(2)), "another source has nothing to do with it");
        assert!(!sources.is_noisy(begin + FAILURE_PAUSE, source(1)));
    }

    #[test]
    fn only_so_many_sources_are_remembered() {
        let (mut sources, begin) = (Sources::default(), Instant::now());
        let addresses = (0u32..).map(|number| IpAddr::from(number.to_be_bytes()));
        for address in addresses.take(SOURCES_MAX + 10) {
            sources.failed(begin, address);
        }
        assert_eq!(sources.0.len(), SOURCES_MAX);
        sources.failed(begin + FAILURE_PAUSE * 2, source(9));
        assert_eq!(sources.0.len(), 1, "those that are forgiven make room");
    }

    #[test]
    fn a_network_of_the_sixth_version_is_one_source() {
        let of = |text: &str| source_of(&text.parse().unwrap());
        assert_eq!(of("/ip6/2001:db8::1/tcp/1"), of("/ip6/2001:db8::ffff:2/tcp/9"));
        assert_ne!(of("/ip6/2001:db8::1/tcp/1"), of("/ip6/2001:db8:0:1::1/tcp/1"));
        assert_eq!(of("/ip4/10.0.0.1/tcp/1"), Some(source(1)));
        assert_eq!(of("/dns4/example.org/tcp/1"), None);
    }
}
