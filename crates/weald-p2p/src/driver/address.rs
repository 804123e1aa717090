//! Addresses, with and without the peer that they lead to.

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

/// The peer that an address ends with.
pub(crate) fn peer_of(address: &Multiaddr) -> Option<PeerId> {
    match address.iter().last() {
        Some(Protocol::P2p(peer)) => Some(peer),
        _ => None,
    }
}

/// Whether anybody could dial this.
pub(super) fn is_usable(address: &Multiaddr) -> bool {
    match address.iter().next() {
        Some(Protocol::Ip4(ip)) => !ip.is_unspecified(),
        Some(Protocol::Ip6(ip)) => !ip.is_unspecified(),
        Some(_) => true,
        None => false,
    }
}

pub(super) fn without_peer(address: &Multiaddr) -> Multiaddr {
    let mut address = address.clone();
    if peer_of(&address).is_some() {
        address.pop();
    }
    address
}

pub(super) fn with_peer(address: &Multiaddr, peer: PeerId) -> String {
    without_peer(address).with(Protocol::P2p(peer)).to_string()
}
