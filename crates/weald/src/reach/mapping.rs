//! How a node that keeps nothing of its network's state learns where partitions are: it asks the
//! nodes that it is connected to, first until one has told, then now and then.
//!
//! What a peer tells is a hint. A wrong one costs hops; the members of a partition decide by its log
//! who may execute what.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::watch;
use weald_cluster::routing::{Map, Version};
use weald_core::{PeerId, Request as Call, Transport};

use super::{
    asker::Asker,
    limits::{ATTEMPT_MAX, MAP_AGE_MAX},
    message::{STATUS, Status, Wire},
};

/// The pause between rounds while nobody has told.
const PAUSE: Duration = Duration::from_millis(50);

/// Asks for maps for as long as the asker lives. The receiver says whether there is one.
pub(super) fn keep_map(asker: &Arc<Asker>) -> watch::Receiver<bool> {
    let (told, is_told) = watch::channel(false);
    let weak = Arc::downgrade(asker);
    let transport = Arc::clone(asker.transport());
    asker.runtime().spawn(run(weak, transport, told));
    is_told
}

async fn run(asker: Weak<Asker>, transport: Arc<dyn Transport>, told: watch::Sender<bool>) {
    let mut turn = 0_usize;
    while asker.strong_count() > 0 {
        let peers = transport.peers();
        let peer = turn.checked_rem(peers.len()).map(|place| peers[place].peer);
        turn = turn.wrapping_add(1);
        let map = match peer {
            Some(peer) => ask(&*transport, peer).await,
            None => None,
        };
        let pause = match (map, asker.upgrade()) {
            (Some(map), Some(asker)) => {
                asker.adopt(map);
                told.send_replace(true);
                MAP_AGE_MAX
            }
            _ => PAUSE,
        };
        tokio::time::sleep(pause).await;
    }
}

/// The map of one peer, if it has one.
async fn ask(transport: &dyn Transport, peer: PeerId) -> Option<Map> {
    let call = Call::new(STATUS, Bytes::new(), ATTEMPT_MAX);
    let bytes = transport.call(peer, call).await.ok()?;
    let Status { map } = Status::from_wire(&bytes).ok()?;
    (map.version() > Version::default()).then_some(map)
}
