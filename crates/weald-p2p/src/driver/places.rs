//! A place at a relay, for a node that nobody gets through to, or that is told to have one.
//!
//! Relays that are named are the only ones that are asked, and at once. Where none is named, one of the connected relays
//! is asked once peers have said that they do not get through. Another is asked when a place is lost. Others learn of it
//! as of any address that the node listens on.

use std::collections::BTreeMap;
use std::time::Instant;

use libp2p::core::transport::ListenerId;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId, StreamProtocol, relay};

use super::Driver;
use super::address::without_peer;
use crate::identity;
use crate::limits::{NAMED_RELAY_PAUSE, PLACE_PAUSE, RELAYS_MAX};
use crate::reachable::Reachable;

/// The relays that are known, and the place that is taken.
#[derive(Debug)]
pub(super) struct Places {
    is_on: bool,
    /// The relays that may be asked, and where they are; any may where none is named.
    named: BTreeMap<PeerId, Multiaddr>,
    /// Connected peers that carry for others.
    relays: BTreeMap<PeerId, Relay>,
    taken: Option<(ListenerId, PeerId)>,
    /// No place is asked for before.
    next: Instant,
}

/// A connected peer that carries for others.
#[derive(Debug)]
struct Relay {
    address: Multiaddr,
    /// It is not asked before, since it has given no place.
    next: Option<Instant>,
}

impl Places {
    pub(super) fn new(is_on: bool, named: &[(PeerId, Multiaddr)], now: Instant) -> Self {
        let named = named.iter().map(|(peer, address)| (*peer, without_peer(address))).collect();
        Self { is_on, named, relays: BTreeMap::new(), taken: None, next: now }
    }

    /// A connected peer of this network is reached at these addresses; it carries for others if its `protocols` say so.
    pub(super) fn found(
        &mut self,
        peer: PeerId,
        addresses: &[Multiaddr],
        protocols: &[StreamProtocol],
    ) {
        let named = self.named.get(&peer);
        if named.is_none() && !self.named.is_empty() {
            return;
        }
        if !protocols.contains(&relay::HOP_PROTOCOL_NAME) {
            if named.is_some() {
                tracing::warn!(
                    target: "weald::net",
                    %peer,
                    "a relay that is named does not carry for others, or not yet: it has to be set to, \
                     and to know an external address of its own"
                );
            }
            return;
        }
        let has_room = self.relays.len() < RELAYS_MAX;
        let found = addresses.iter().find(|address| is_direct(address)).map(without_peer);
        let Some(address) = named.cloned().or(found) else { return };
        match self.relays.get_mut(&peer) {
            Some(known) => known.address = address,
            None if has_room => drop(self.relays.insert(peer, Relay { address, next: None })),
            None => {}
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
        let is_due = |(peer, relay): &(&PeerId, &Relay)| {
            relay.next.is_none_or(|next| next <= now) && is_ours(peer)
        };
        let due = self.relays.iter().filter(is_due).min_by_key(|(_, relay)| relay.next);
        let (peer, Relay { address, .. }) = due?;
        let address = address.clone().with(Protocol::P2p(*peer)).with(Protocol::P2pCircuit);
        Some((*peer, address))
    }

    /// A listener has closed. A relay that has ended a place, or given none, is asked again once it says anew that
    /// it carries for others; one that is named, after a pause.
    pub(super) fn closed(&mut self, listener: ListenerId, now: Instant) {
        if let Some((taken, relay)) = self.taken
            && taken == listener
        {
            self.taken = None;
            self.refused(&relay, now);
        }
    }

    fn refused(&mut self, relay: &PeerId, now: Instant) {
        match self.relays.get_mut(relay) {
            Some(known) if self.named.contains_key(relay) => {
                known.next = Some(now + NAMED_RELAY_PAUSE);
            }
            _ => drop(self.relays.remove(relay)),
        }
        self.next = now + PLACE_PAUSE;
    }
}

fn is_direct(address: &Multiaddr) -> bool {
    !address.iter().any(|part| part == Protocol::P2pCircuit)
}

impl Driver {
    /// Asks a relay of this network for a place, if it has none and one is named or nobody gets through to this node.
    pub(super) fn take_place(&mut self, now: Instant) {
        if self.places.named.is_empty() && *self.hub.reachable.read() != Reachable::Nowhere {
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
        let mut places = Places::new(true, &[], now);
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
        let mut places = Places::new(false, &[], now);
        (0..2 * RELAYS_MAX).for_each(|_| places.found(PeerId::random(), &[address()], &HOP));
        assert_eq!(places.due(now, |_| true), None);
        assert_eq!(places.relays.len(), RELAYS_MAX);
    }

    #[test]
    fn a_relay_that_is_itself_reached_through_another_is_none() {
        let now = Instant::now();
        let mut places = Places::new(true, &[], now);
        let through = address().with(Protocol::P2p(PeerId::random())).with(Protocol::P2pCircuit);
        places.found(PeerId::random(), &[through], &HOP);
        assert_eq!(places.due(now, |_| true), None);
    }

    #[test]
    fn only_relays_that_are_named_are_asked_where_they_were_said_to_be_and_again_after_a_pause() {
        let (now, other) = (Instant::now(), PeerId::random());
        let relays = [PeerId::random(), PeerId::random()];
        let named = relays.map(|peer| (peer, address().with(Protocol::P2p(peer))));
        let mut places = Places::new(true, &named, now);
        let elsewhere: Multiaddr = "/ip4/127.0.0.1/tcp/2".parse().unwrap();
        places.found(other, std::slice::from_ref(&elsewhere), &HOP);
        assert_eq!(places.due(now, |_| true), None, "it is not named");
        places.found(relays[0], std::slice::from_ref(&elsewhere), &[]);
        assert_eq!(places.due(now, |_| true), None, "it does not carry");
        relays
            .iter()
            .for_each(|relay| places.found(*relay, std::slice::from_ref(&elsewhere), &HOP));
        let (first, asked) = places.due(now, |_| true).unwrap();
        assert!(asked.to_string().starts_with("/ip4/127.0.0.1/tcp/1/"), "{asked}");
        places.refused(&first, now);
        let later = now + PLACE_PAUSE;
        let (second, _) = places.due(later, |_| true).unwrap();
        assert_ne!(second, first);
        places.refused(&second, later);
        assert_eq!(places.due(later + PLACE_PAUSE, |_| true), None, "both have refused");
        let again = places.due(now + NAMED_RELAY_PAUSE, |_| true).unwrap();
        assert_eq!(again.0, first, "who refused first is asked first");
    }
}
