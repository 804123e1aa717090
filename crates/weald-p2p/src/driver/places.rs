//! A place at a relay, for a node that nobody gets through to.
//!
//! Once peers have said so, one of the connected relays is asked for a place, and another when that is lost. Others
//! learn of it as of any address that the node listens on.

use std::collections::BTreeMap;
use std::time::Instant;

use libp2p::core::transport::ListenerId;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId, StreamProtocol, relay};

use super::Driver;
use super::address::without_peer;
use crate::identity;
use crate::limits::{PLACE_PAUSE, RELAYS_MAX};
use crate::reachable::Reachable;

/// The relays that are known, and the place that is taken.
#[derive(Debug)]
pub(super) struct Places {
    is_on: bool,
    /// Connected peers that carry for others, and where they are.
    relays: BTreeMap<PeerId, Multiaddr>,
    taken: Option<(ListenerId, PeerId)>,
    /// No place is asked for before.
    next: Instant,
}

impl Places {
    pub(super) const fn new(is_on: bool, now: Instant) -> Self {
        Self { is_on, relays: BTreeMap::new(), taken: None, next: now }
    }

    /// A connected peer is reached at these addresses; it carries for others if its `protocols` say so.
    pub(super) fn found(
        &mut self,
        peer: PeerId,
        addresses: &[Multiaddr],
        protocols: &[StreamProtocol],
    ) {
        let has_room = self.relays.len() < RELAYS_MAX || self.relays.contains_key(&peer);
        if has_room
            && protocols.contains(&relay::HOP_PROTOCOL_NAME)
            && let Some(address) = addresses.iter().find(|address| is_direct(address))
        {
            self.relays.insert(peer, without_peer(address));
        }
    }

    /// A peer is connected no more.
    pub(super) fn lost(&mut self, peer: &PeerId) {
        self.relays.remove(peer);
    }

    /// The relay to ask now, and the address to listen on.
    fn due(&self, now: Instant, is_ours: impl Fn(&PeerId) -> bool) -> Option<(PeerId, Multiaddr)> {
        if !self.is_on || self.taken.is_some() || now < self.next {
            return None;
        }
        let (relay, address) = self.relays.iter().find(|(relay, _)| is_ours(relay))?;
        let address = address.clone().with(Protocol::P2p(*relay)).with(Protocol::P2pCircuit);
        Some((*relay, address))
    }

    /// A listener has closed. A relay that has ended a place, or given none, is asked again once it says anew that
    /// it carries for others.
    pub(super) fn closed(&mut self, listener: ListenerId, now: Instant) {
        if let Some((taken, relay)) = self.taken
            && taken == listener
        {
            self.taken = None;
            self.refused(&relay, now);
        }
    }

    fn refused(&mut self, relay: &PeerId, now: Instant) {
        self.relays.remove(relay);
        self.next = now + PLACE_PAUSE;
    }
}

fn is_direct(address: &Multiaddr) -> bool {
    !address.iter().any(|part| part == Protocol::P2pCircuit)
}

impl Driver {
    /// Asks a relay of this network for a place, if nobody gets through to this node and it has none.
    pub(super) fn take_place(&mut self, now: Instant) {
        if *self.hub.reachable.read() != Reachable::Nowhere {
            return;
        }
        let is_ours = |relay: &PeerId| {
            identity::peer_id(relay).is_some_and(|peer| self.hub.line(peer).is_some())
        };
        let Some((relay, address)) = self.places.due(now, is_ours) else { return };
        match self.swarm.listen_on(address) {
            Ok(listener) => {
                tracing::info!(target: "weald::net", %relay, "a place at a relay is asked for");
                self.places.taken = Some((listener, relay));
            }
            Err(error) => {
                tracing::warn!(target: "weald::net", %relay, %error, "a relay cannot be listened at");
                self.places.refused(&relay, now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address() -> Multiaddr {
        "/ip4/127.0.0.1/tcp/1".parse().unwrap()
    }

    /// What a relay speaks.
    const HOP: [StreamProtocol; 1] = [relay::HOP_PROTOCOL_NAME];

    #[test]
    fn one_relay_is_asked_and_another_once_it_has_ended() {
        let now = Instant::now();
        let mut places = Places::new(true, now);
        let relays = [PeerId::random(), PeerId::random()];
        places.found(PeerId::random(), &[address()], &[]);
        assert_eq!(places.due(now, |_| true), None, "nobody carries for others");
        relays.iter().for_each(|relay| places.found(*relay, &[address()], &HOP));
        assert_eq!(places.due(now, |_| false), None, "none is of this network");
        let (first, asked) = places.due(now, |_| true).unwrap();
        assert_eq!(asked.to_string(), format!("/ip4/127.0.0.1/tcp/1/p2p/{first}/p2p-circuit"));
        let listener = ListenerId::next();
        places.taken = Some((listener, first));
        assert_eq!(places.due(now, |_| true), None, "it has a place");
        places.closed(ListenerId::next(), now);
        assert_eq!(places.due(now + PLACE_PAUSE, |_| true), None, "another listener has closed");
        places.closed(listener, now);
        assert_eq!(places.due(now, |_| true), None, "not at once");
        let (second, _) = places.due(now + PLACE_PAUSE, |_| true).unwrap();
        assert!(second != first && relays.contains(&second));
        places.lost(&second);
        assert_eq!(places.due(now + PLACE_PAUSE, |_| true), None);
    }

    #[test]
    fn a_node_that_uses_no_relays_asks_none_and_known_relays_are_bounded() {
        let now = Instant::now();
        let mut places = Places::new(false, now);
        (0..2 * RELAYS_MAX).for_each(|_| places.found(PeerId::random(), &[address()], &HOP));
        assert_eq!(places.due(now, |_| true), None);
        assert_eq!(places.relays.len(), RELAYS_MAX);
    }

    #[test]
    fn a_relay_that_is_itself_reached_through_another_is_none() {
        let now = Instant::now();
        let mut places = Places::new(true, now);
        let through = address().with(Protocol::P2p(PeerId::random())).with(Protocol::P2pCircuit);
        places.found(PeerId::random(), &[through], &HOP);
        assert_eq!(places.due(now, |_| true), None);
    }
}
