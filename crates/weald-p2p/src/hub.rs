//! What all connections of a node share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use libp2p::PeerId as Libp2pId;
use parking_lot::{Mutex, RwLock};
use weald_core::{Handlers, NodeHints, PeerId, PeerInfo};

use crate::channel::Room;
use crate::limits::WANTED_MAX;
use crate::line::Line;
use crate::lines::Way;
use crate::metrics::Counters;
use crate::protocol::Protocols;
use crate::reachable::Reachable;

/// The hub: callers find lines here, connections find handlers.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) local_peer: PeerId,
    pub(crate) protocols: Protocols,
    pub(crate) handlers: Handlers,
    pub(crate) counters: Counters,
    /// Room for unfinished messages, over all connections.
    pub(crate) room: Arc<Room>,
    /// What this node says of itself to those who connect.
    pub(crate) hints: Mutex<NodeHints>,
    /// Where this node listens.
    pub(crate) addresses: RwLock<Vec<String>>,
    /// What peers say of dialling this node.
    pub(crate) reachable: RwLock<Reachable>,
    /// Peers that somebody wanted to talk to while they were not connected.
    wanted: Mutex<BTreeSet<PeerId>>,
    peers: RwLock<BTreeMap<PeerId, Entry>>,
}

/// A connected peer.
#[derive(Debug)]
struct Entry {
    id: Libp2pId,
    line: Arc<Line>,
    info: PeerInfo,
}

impl Hub {
    pub(crate) fn new(
        local_peer: PeerId,
        protocols: Protocols,
        handlers: Handlers,
        hints: NodeHints,
    ) -> Self {
        Self {
            local_peer,
            protocols,
            handlers,
            counters: Counters::default(),
            room: Arc::default(),
            hints: Mutex::new(hints),
            addresses: RwLock::default(),
            reachable: RwLock::default(),
            wanted: Mutex::default(),
            peers: RwLock::default(),
        }
    }

    /// The line to `peer`, if it is connected.
    pub(crate) fn line(&self, peer: PeerId) -> Option<Arc<Line>> {
        self.peers.read().get(&peer).map(|entry| Arc::clone(&entry.line))
    }

    /// Notes that somebody wants to talk to a peer that is not connected.
    pub(crate) fn want(&self, peer: PeerId) {
        let mut wanted = self.wanted.lock();
        if wanted.len() < WANTED_MAX {
            wanted.insert(peer);
        }
    }

    /// Those who were wanted since last asked.
    pub(crate) fn take_wanted(&self) -> BTreeSet<PeerId> {
        std::mem::take(&mut self.wanted.lock())
    }

    /// The lines to all peers.
    pub(crate) fn lines(&self) -> Vec<Arc<Line>> {
        self.peers.read().values().map(|entry| Arc::clone(&entry.line)).collect()
    }

    pub(crate) fn peers(&self) -> Vec<PeerInfo> {
        self.peers.read().values().map(|entry| entry.info.clone()).collect()
    }

    /// The connected peers, with libp2p's names for them.
    pub(crate) fn peers_with_ids(&self) -> Vec<(Libp2pId, PeerInfo)> {
        self.peers.read().values().map(|entry| (entry.id, entry.info.clone())).collect()
    }

    pub(crate) fn peer(&self, peer: PeerId) -> Option<PeerInfo> {
        self.peers.read().get(&peer).map(|entry| entry.info.clone())
    }

    /// From here on `line` leads to the peer.
    pub(crate) fn connect(&self, id: Libp2pId, line: Arc<Line>, info: PeerInfo) {
        self.peers.write().insert(info.peer, Entry { id, line, info });
    }

    /// The peer's line is another of its connections.
    pub(crate) fn switch(&self, line: &Arc<Line>, way: Way) {
        if let Some(entry) = self.peers.write().get_mut(&line.peer()) {
            entry.line = Arc::clone(line);
            (entry.info.relayed, entry.info.near) = (way.relayed, way.near);
        }
    }

    /// No line leads to the peer any more; `false` when none did.
    pub(crate) fn disconnect(&self, peer: PeerId) -> bool {
        self.peers.write().remove(&peer).is_some()
    }

    /// Changes what is known of a connected peer.
    pub(crate) fn update(&self, peer: PeerId, change: impl FnOnce(&mut PeerInfo)) {
        if let Some(entry) = self.peers.write().get_mut(&peer) {
            change(&mut entry.info);
        }
    }
}
