//! Who may use what a node serves: nodes of the network, and whoever might join it.

use parking_lot::RwLock;
use weald_core::{AdmissionPolicy, PeerId};

use super::Asker;

/// What is known of who is let in, beside the list of nodes.
#[derive(Debug)]
pub(super) struct Door {
    /// Whether the network's own secret, or a list of peers, lets nobody connect who is not meant.
    is_guarded: bool,
    /// The network's policy, once it is known.
    policy: RwLock<Option<AdmissionPolicy>>,
}

/// Whether a peer is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Open,
    Denied,
    /// Nothing is known of the network yet.
    Unknown,
}

impl Door {
    /// `is_guarded`: whoever can connect is meant to.
    pub(super) fn new(is_guarded: bool) -> Self {
        Self { is_guarded, policy: RwLock::default() }
    }

    /// Learns the network's policy.
    pub(super) fn admit(&self, policy: AdmissionPolicy) {
        *self.policy.write() = Some(policy);
    }

    /// Whether `peer` may use this node. Where the policy lets in who is near, that is how it is
    /// connected now.
    pub(super) fn entry(&self, asker: &Asker, peer: PeerId) -> Entry {
        if self.is_guarded || asker.with_map(|map| map.has_node(&peer)) {
            return Entry::Open;
        }
        let is_near = || asker.transport().peer(peer).is_some_and(|info| info.near);
        match *self.policy.read() {
            Some(AdmissionPolicy::Nearby) if is_near() => Entry::Open,
            Some(_) => Entry::Denied,
            None => Entry::Unknown,
        }
    }
}
