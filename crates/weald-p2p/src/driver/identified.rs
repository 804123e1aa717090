//! What peers say of themselves.
//!
//! Before a peer is known to be of this network that is only kept, and no longer than the peer is connected: anybody may
//! come and say anything.

use std::collections::BTreeMap;

use libp2p::{Multiaddr, PeerId, StreamProtocol, identify};

use super::Driver;
use super::address::is_usable;
use crate::identity;
use crate::limits::IDENTIFIED_MAX;

/// What those have said who are connected and may soon be known to be of this network.
#[derive(Debug, Default)]
pub(super) struct Identified(BTreeMap<PeerId, Said>);

/// What a peer has said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// Where it listens.
    pub(super) addresses: Vec<Multiaddr>,
    /// What it speaks.
    pub(super) protocols: Vec<StreamProtocol>,
}

impl Identified {
    fn keep(&mut self, peer: PeerId, said: Said) {
        if self.0.len() < IDENTIFIED_MAX || self.0.contains_key(&peer) {
            self.0.insert(peer, said);
        }
    }

    /// What the peer has said, to be used.
    pub(super) fn take(&mut self, peer: &PeerId) -> Option<Said> {
        self.0.remove(peer)
    }
}

impl Driver {
    /// A peer says where it listens and what it speaks.
    pub(super) fn identified(&mut self, id: PeerId, info: identify::Info) {
        let Some(peer) = identity::peer_id(&id) else { return };
        let addresses: Vec<_> = info.listen_addrs.into_iter().filter(is_usable).collect();
        if addresses.is_empty() {
            return;
        }
        let said = Said { addresses, protocols: info.protocols };
        if self.hub.line(peer).is_none() {
            return self.identified.keep(id, said);
        }
        self.places.found(id, &said.addresses, &said.protocols);
        let serves_table = said.protocols.contains(&self.hub.protocols.lookup());
        self.learn(peer, id, said.addresses, serves_table);
    }

    /// No connection to the peer is left, of whatever network it was.
    pub(super) fn gone(&mut self, id: &PeerId) {
        self.identified.take(id);
        self.places.lost(id);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use libp2p::core::{ConnectedPoint, Endpoint, transport::PortUse};
    use libp2p::swarm::{ConnectionId, SwarmEvent};
    use weald_core::identity::Identity;
    use weald_core::{
        Clock, FrameSink, Handlers, NetworkEvents, NodeHints, PeerInfo, Priority, SeededEntropy,
        Time,
    };

    use super::*;
    use crate::config::Config;
    use crate::driver::Goals;
    use crate::hub::Hub;
    use crate::protocol::Protocols;

    /// Takes everything and does nothing.
    struct Idle;

    impl FrameSink for Idle {
        fn frame(&self, _: weald_core::PeerId, _: Priority, _: Bytes) -> bool {
            false
        }
    }

    impl NetworkEvents for Idle {
        fn connected(&self, _: PeerInfo) {}
        fn disconnected(&self, _: weald_core::PeerId) {}
    }

    impl Clock for Idle {
        fn now(&self) -> Time {
            Time::ZERO
        }
    }

    fn driver() -> Driver {
        let keys = Arc::new(Identity::generate(&mut SeededEntropy::new(1)));
        let keypair = identity::keypair(&*keys).unwrap();
        let local = identity::peer_id(&keypair.public().to_peer_id()).unwrap();
        let mut config = Config::new("test".parse().unwrap(), keys, Arc::new(Idle));
        config.reachability.relay_client = true;
        let handlers = Handlers {
            frames: Arc::new(Idle),
            services: Default::default(),
            events: Arc::new(Idle),
        };
        let protocols = Protocols::new(config.network.clone());
        let hub = Arc::new(Hub::new(local, protocols, handlers, NodeHints::default()));
        let swarm = crate::swarm::build(&config, &keypair, &[], &hub).unwrap();
        let (_, commands) = tokio::sync::mpsc::channel(1);
        let goals = Goals { seeds: Vec::new(), relays: Vec::new() };
        Driver::new(swarm, hub, commands, &config, goals)
    }

    #[tokio::test]
    async fn what_strangers_have_said_is_forgotten_with_their_last_connections() {
        let (mut driver, keys) = (driver(), libp2p::identity::Keypair::generate_ed25519());
        let (id, address) = (keys.public().to_peer_id(), said(1).addresses.remove(0));
        let info = identify::Info {
            public_key: keys.public(),
            protocol_version: String::new(),
            agent_version: String::new(),
            listen_addrs: vec![address.clone()],
            protocols: vec![libp2p::relay::HOP_PROTOCOL_NAME],
            observed_addr: address.clone(),
            signed_peer_record: None,
        };
        driver.identified(id, info);
        let closed = |num_established| SwarmEvent::ConnectionClosed {
            peer_id: id,
            connection_id: ConnectionId::new_unchecked(1),
            endpoint: ConnectedPoint::Dialer {
                address: address.clone(),
                role_override: Endpoint::Dialer,
                port_use: PortUse::New,
            },
            num_established,
            cause: None,
        };
        driver.handle_swarm(closed(1));
        assert_eq!(driver.identified.0.len(), 1);
        driver.handle_swarm(closed(0));
        assert!(driver.identified.0.is_empty());
    }

    fn said(port: u16) -> Said {
        let address = format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap();
        Said { addresses: vec![address], protocols: Vec::new() }
    }

    #[test]
    fn what_peers_say_is_kept_of_so_many_and_the_last_of_each() {
        let mut identified = Identified::default();
        let peers: Vec<_> = (0..=IDENTIFIED_MAX).map(|_| PeerId::random()).collect();
        peers.iter().for_each(|peer| identified.keep(*peer, said(1)));
        identified.keep(peers[0], said(2));
        assert_eq!(identified.take(&peers[IDENTIFIED_MAX]), None);
        assert_eq!(identified.take(&peers[0]), Some(said(2)));
        assert_eq!(identified.take(&peers[0]), None);
        identified.keep(peers[IDENTIFIED_MAX], said(3));
        assert_eq!(identified.take(&peers[IDENTIFIED_MAX]), Some(said(3)));
    }
}
