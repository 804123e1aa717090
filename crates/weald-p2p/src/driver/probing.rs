//! What peers say when they are asked whether they can dial this node.

use libp2p::autonat;

use super::Driver;
use super::address::with_peer;
use crate::reachable::Reachable;

impl Driver {
    /// A peer was asked, has answered, or has asked this node.
    pub(super) fn handle_probe(&self, event: &autonat::Event) {
        tracing::debug!(target: "weald::net", ?event, "who can be dialled");
        let Some(probe) = self.swarm.behaviour().probe.as_ref() else { return };
        let reachable = match probe.nat_status() {
            autonat::NatStatus::Unknown => Reachable::Unknown,
            autonat::NatStatus::Private => Reachable::Nowhere,
            autonat::NatStatus::Public(address) => {
                Reachable::At(with_peer(&address, *self.swarm.local_peer_id()))
            }
        };
        let mut known = self.hub.reachable.write();
        if *known == reachable {
            return;
        }
        match &reachable {
            Reachable::Unknown => {}
            Reachable::At(address) => {
                tracing::info!(target: "weald::net", %address, "peers get through to this node");
            }
            Reachable::Nowhere => tracing::warn!(
                target: "weald::net",
                "no peer gets through to this node: forward a port to it and name that as external, \
                 or listen at a relay"
            ),
        }
        *known = reachable;
    }
}
