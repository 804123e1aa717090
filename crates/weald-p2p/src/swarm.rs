//! The behaviours of a node, composed.

use std::num::NonZeroUsize;
use std::sync::Arc;

use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::identity::Keypair;
use libp2p::kad::{self, store::MemoryStore};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::NetworkBehaviour;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::{Multiaddr, Swarm, autonat, dcutr, identify, mdns, ping, relay};

use crate::config::{Config, Multicast, Reachability};
use crate::error::StartError;
use crate::hub::Hub;
use crate::limits::{
    CIRCUIT_BYTES_MAX, CIRCUIT_TIME_MAX, CIRCUITS_MAX, CIRCUITS_PER_PEER_MAX, IDLE_TIMEOUT,
    PING_INTERVAL, PING_TIMEOUT, PLACES_MAX, PROBE_PAUSE_MIN,
};
use crate::lines::Lines;
use crate::origins::Origins;
use crate::transport;

/// All that a node does on the network. Limits come first, so that what is refused costs nothing;
/// then lines, whose turn on a connection is thus before that of the slower rest.
#[derive(NetworkBehaviour)]
pub(crate) struct Node {
    origins: Origins,
    limits: connection_limits::Behaviour,
    pub(crate) lines: Lines,
    ping: ping::Behaviour,
    identify: identify::Behaviour,
    pub(crate) table: Toggle<kad::Behaviour<MemoryStore>>,
    multicast: Toggle<mdns::tokio::Behaviour>,
    relay_server: Toggle<relay::Behaviour>,
    relay_client: relay::client::Behaviour,
    hole_punching: dcutr::Behaviour,
    pub(crate) probe: Toggle<autonat::Behaviour>,
}

/// Builds the swarm of a node that listens on `listen`.
pub(crate) fn build(
    config: &Config,
    keypair: &Keypair,
    listen: &[Multiaddr],
    hub: &Arc<Hub>,
) -> Result<Swarm<Node>, StartError> {
    let id = keypair.public().to_peer_id();
    // Every node dials those that are reached through relays.
    let (relay_transport, relay_client) = relay::client::new(id);
    let transport = transport::build(transport::Parts {
        keypair: keypair.clone(),
        pre_shared_key: config.admission.pre_shared_key.clone(),
        relay: relay_transport,
        hub: Arc::clone(hub),
    })?;
    let node = Node {
        origins: Origins::new(config.connections.per_source_max),
        limits: connection_limits::Behaviour::new(limits(config)),
        lines: Lines::new(Arc::clone(hub), config.admission.allowed.clone()),
        ping: ping::Behaviour::new(
            ping::Config::new().with_interval(PING_INTERVAL).with_timeout(PING_TIMEOUT),
        ),
        identify: identify::Behaviour::new(identify_config(keypair, hub)),
        table: config.discovery.lookups.then(|| table(config, id, listen, hub)).into(),
        multicast: multicast(config, id, listen)?.into(),
        relay_server: config
            .reachability
            .relay_server
            .then(|| relay::Behaviour::new(id, relay_config()))
            .into(),
        relay_client,
        hole_punching: dcutr::Behaviour::new(id),
        probe: config
            .reachability
            .probe
            .then(|| autonat::Behaviour::new(id, probe_config(&config.reachability)))
            .into(),
    };
    let swarm_config = libp2p::swarm::Config::with_tokio_executor()
        .with_idle_connection_timeout(IDLE_TIMEOUT)
        .with_max_negotiating_inbound_streams(32);
    Ok(Swarm::new(transport, node, id, swarm_config))
}

/// Tells peers of an address that this node cannot see itself, and asks them whether they get through
/// there.
pub(crate) fn advertise(swarm: &mut Swarm<Node>, address: Multiaddr) {
    if let Some(probe) = swarm.behaviour_mut().probe.as_mut() {
        probe.probe_address(address.clone());
    }
    swarm.add_external_address(address);
}

/// Has a place for `peer`, however many others are connected.
pub(crate) fn favour(swarm: &mut Swarm<Node>, peer: &libp2p::PeerId) {
    swarm.behaviour_mut().limits.bypass_peer_id(peer);
}

/// Whoever comes leaves a quarter of all places to those that this node dials.
fn limits(config: &Config) -> ConnectionLimits {
    let limits = config.connections;
    let incoming_max = limits.established_max - limits.established_max / 4;
    ConnectionLimits::default()
        .with_max_established_incoming(Some(incoming_max))
        .with_max_established(Some(limits.established_max))
        .with_max_established_per_peer(Some(limits.per_peer_max))
        .with_max_pending_incoming(Some(limits.pending_max))
        .with_max_pending_outgoing(Some(limits.pending_max))
}

fn identify_config(keypair: &Keypair, hub: &Hub) -> identify::Config {
    identify::Config::new(hub.protocols.identify(), keypair.public())
        .with_agent_version(concat!("weald/", env!("CARGO_PKG_VERSION")).to_owned())
        .with_push_listen_addr_updates(true)
        .with_cache_size(0)
}

/// What a relay carries. The library's own bounds, 128 KiB and two minutes for each connection, are
/// meant for two peers that agree on how to meet; a database stays.
fn relay_config() -> relay::Config {
    relay::Config {
        max_reservations: PLACES_MAX,
        max_circuits: CIRCUITS_MAX,
        max_circuits_per_peer: CIRCUITS_PER_PEER_MAX,
        max_circuit_bytes: CIRCUIT_BYTES_MAX,
        max_circuit_duration: CIRCUIT_TIME_MAX,
        ..relay::Config::default()
    }
}

fn probe_config(reachability: &Reachability) -> autonat::Config {
    let pause = reachability.probe_pause.max(PROBE_PAUSE_MIN);
    autonat::Config {
        boot_delay: pause,
        retry_interval: pause.saturating_mul(6),
        throttle_server_period: pause.saturating_mul(6),
        refresh_interval: pause.saturating_mul(60),
        only_global_ips: !reachability.probe_local,
        ..autonat::Config::default()
    }
}

/// The distributed hash table. It holds routes and no records.
fn table(
    config: &Config,
    id: libp2p::PeerId,
    listen: &[Multiaddr],
    hub: &Hub,
) -> kad::Behaviour<MemoryStore> {
    let discovery = &config.discovery;
    let bucket_size = NonZeroUsize::new(discovery.bucket_size).unwrap_or(kad::K_VALUE);
    let mut settings = kad::Config::new(hub.protocols.lookup());
    settings
        .set_kbucket_size(bucket_size)
        .set_kbucket_inserts(kad::BucketInserts::Manual)
        .set_record_filtering(kad::StoreInserts::FilterBoth)
        .set_periodic_bootstrap_interval(Some(discovery.refresh_interval));
    let mut table = kad::Behaviour::with_config(id, MemoryStore::new(id), settings);
    // Who cannot be dialled is no part of the table, and asks it all the same.
    let is_reachable = !listen.is_empty() || !config.external.is_empty();
    table.set_mode(Some(if is_reachable { kad::Mode::Server } else { kad::Mode::Client }));
    table
}

fn multicast(
    config: &Config,
    id: libp2p::PeerId,
    listen: &[Multiaddr],
) -> Result<Option<mdns::tokio::Behaviour>, StartError> {
    let is_on = match config.discovery.multicast {
        Multicast::On => true,
        Multicast::Off => false,
        Multicast::Local => {
            let is_meant = |address: &Multiaddr| is_local(address) || is_unspecified(address);
            !listen.is_empty() && listen.iter().all(is_meant)
        }
    };
    if !is_on {
        return Ok(None);
    }
    match mdns::tokio::Behaviour::new(mdns::Config::default(), id) {
        Ok(behaviour) => Ok(Some(behaviour)),
        Err(error) if config.discovery.multicast == Multicast::On => {
            Err(StartError::Transport(error.to_string()))
        }
        Err(error) => {
            tracing::warn!(target: "weald::net", %error, "no multicast here: peers are not found by it");
            Ok(None)
        }
    }
}

/// Whether an address stands for all of a machine.
fn is_unspecified(address: &Multiaddr) -> bool {
    match address.iter().next() {
        Some(Protocol::Ip4(ip)) => ip.is_unspecified(),
        Some(Protocol::Ip6(ip)) => ip.is_unspecified(),
        _ => false,
    }
}

/// Whether an address is a loopback or a private one.
pub(crate) fn is_local(address: &Multiaddr) -> bool {
    match address.iter().next() {
        Some(Protocol::Ip4(ip)) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        Some(Protocol::Ip6(ip)) => {
            ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_addresses_are_told_from_others() {
        let check = |text: &str, expected: (bool, bool)| {
            let address: Multiaddr = text.parse().unwrap();
            assert_eq!((is_local(&address), is_unspecified(&address)), expected, "{text}");
        };
        for local in
            ["/ip4/127.0.0.1/tcp/1", "/ip4/10.1.2.3/tcp/1", "/ip4/192.168.0.9/udp/1/quic-v1"]
        {
            check(local, (true, false));
        }
        for local in ["/ip6/::1/tcp/1", "/ip6/fd00::2/tcp/1", "/ip6/fe80::1/tcp/1"] {
            check(local, (true, false));
        }
        check("/ip4/0.0.0.0/tcp/1", (false, true));
        check("/ip6/::/tcp/1", (false, true));
        check("/ip4/8.8.8.8/tcp/1", (false, false));
        check("/dns4/example.org/tcp/1", (false, false));
    }
}
