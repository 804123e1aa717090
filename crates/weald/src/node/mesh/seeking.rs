//! Looking for nodes of the network that this node is not connected to: one that has another address
//! by now, or that nobody has told of, is found through others.

use std::{
    collections::BTreeSet,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::task::JoinHandle;
use weald_core::{PeerId, Transport};
use weald_p2p::Network;

use crate::reach::Reach;

/// The pause between two looks.
const PAUSE: Duration = Duration::from_secs(5);
/// The pause after a look, though somebody could not be asked since.
const HURRY: Duration = Duration::from_millis(500);
/// How long a lookup may take.
const LOOKUP_MAX: Duration = Duration::from_secs(3);
/// Peers that a lookup is to find.
const FOUND_MAX: usize = 20;

/// Looks for whoever is missing, for as long as the task lives: now and then, and at once when somebody
/// could not be asked.
pub(super) fn seek(network: Network, reach: &Arc<Reach>) -> JoinHandle<()> {
    let (unreached, reach) = (reach.unreached(), Arc::downgrade(reach));
    tokio::spawn(async move {
        let mut turn = 0_usize;
        loop {
            tokio::time::sleep(HURRY).await;
            // A pause that is over is no error.
            let _ = tokio::time::timeout(PAUSE - HURRY, unreached.notified()).await;
            let Some(missing) = missing(&reach, &network) else { return };
            let Some(place) = turn.checked_rem(missing.len()) else { continue };
            turn = turn.wrapping_add(1);
            look_for(&network, &missing, place).await;
        }
    })
}

/// The nodes that take part and are not connected.
fn missing(reach: &Weak<Reach>, network: &Network) -> Option<BTreeSet<PeerId>> {
    let mut missing = reach.upgrade()?.nodes();
    missing.remove(&network.local_peer());
    for peer in Transport::peers(network) {
        missing.remove(&peer.peer);
    }
    Some(missing)
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
