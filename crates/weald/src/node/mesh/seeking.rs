//! Looking for nodes of the network that this node is not connected to: one that has another address
//! by now, or that nobody has told of, is found through others.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinHandle};
use weald_cluster::founding::Map;
use weald_core::{NodeStanding, PeerId, Transport};
use weald_p2p::Network;

/// The pause between two looks.
const PAUSE: Duration = Duration::from_secs(5);
/// How long a lookup may take.
const LOOKUP_MAX: Duration = Duration::from_secs(3);
/// Peers that a lookup is to find.
const FOUND_MAX: usize = 20;

/// Looks for whoever is missing, for as long as the task lives.
pub(super) fn seek(network: Network, maps: watch::Receiver<Option<Arc<Map>>>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut turn = 0_usize;
        loop {
            tokio::time::sleep(PAUSE).await;
            let missing = match &*maps.borrow() {
                Some(map) => missing(map, &network),
                None => continue,
            };
            let Some(place) = turn.checked_rem(missing.len()) else { continue };
            turn = turn.wrapping_add(1);
            look_for(&network, &missing, place).await;
        }
    })
}

/// The nodes that take part and are not connected.
fn missing(map: &Map, network: &Network) -> BTreeSet<PeerId> {
    let is_part = |standing: NodeStanding| standing != NodeStanding::Gone;
    let nodes = map.system.nodes.iter().filter(|(_, record)| is_part(record.standing));
    let mut missing: BTreeSet<_> = nodes.map(|(peer, _)| *peer).collect();
    missing.remove(&network.local_peer());
    for peer in Transport::peers(network) {
        missing.remove(&peer.peer);
    }
    missing
}

/// Looks around the missing node whose turn it is, and dials every missing one that is found.
async fn look_for(network: &Network, missing: &BTreeSet<PeerId>, place: usize) {
    let Some(peer) = missing.iter().nth(place) else { return };
    let key = *peer.digest();
    let nearest = match network.nearest(key, FOUND_MAX, LOOKUP_MAX).await {
        Ok(nearest) => nearest,
        Err(error) => return tracing::debug!(target: "weald::lookup", %error, "no lookup"),
    };
    tracing::debug!(target: "weald::lookup", %peer, source = ?nearest.source, "looked for a node");
    let found = nearest.peers.iter().filter(|found| missing.contains(&found.peer));
    for address in found.flat_map(|found| &found.addresses) {
        if let Err(error) = network.dial(address) {
            tracing::debug!(target: "weald::lookup", %error, address, "not dialled");
        }
    }
}
