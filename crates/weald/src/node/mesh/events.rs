//! News of the network, for everybody in the node who wants them.

use std::sync::{Arc, OnceLock, Weak};

use weald_core::{NetworkEvents, PeerId, PeerInfo};

use crate::{founding::Inbox, members::Letterbox, reach::Reach};

/// Hands news of peers on.
pub(super) struct Events {
    pub(super) letterbox: Option<Arc<Letterbox>>,
    pub(super) inbox: Option<Arc<Inbox>>,
    /// Comes after the network, which it stands on.
    pub(super) reach: OnceLock<Weak<Reach>>,
}

impl NetworkEvents for Events {
    fn connected(&self, peer: PeerInfo) {
        if let Some(letterbox) = &self.letterbox {
            letterbox.connected(peer.clone());
        }
        if let Some(inbox) = &self.inbox {
            inbox.connected(peer);
        }
    }

    fn disconnected(&self, peer: PeerId) {
        if let Some(letterbox) = &self.letterbox {
            letterbox.disconnected(peer);
        }
        if let Some(inbox) = &self.inbox {
            inbox.disconnected(peer);
        }
        if let Some(reach) = self.reach.get().and_then(Weak::upgrade) {
            reach.lose(peer);
        }
    }
}
