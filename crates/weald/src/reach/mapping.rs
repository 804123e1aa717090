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
use weald_core::{CallError, PeerId, Refusal, Request as Call, Transport};

use super::{
    asker::Asker,
    limits::{ATTEMPT_MAX, MAP_AGE_MAX},
    message::{STATUS, Status, Wire},
};

/// The pause between rounds while nobody has told.
const PAUSE: Duration = Duration::from_millis(50);

/// What has come of asking so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Search {
    /// Nobody has told.
    Waiting,
    /// This node does not let the asker in, and nobody else has told.
    Denied(PeerId),
    /// It is known where partitions are.
    Told,
}

impl Search {
    /// Whether it is known where partitions are, or why not.
    pub(super) fn readiness(self) -> Result<(), String> {
        match self {
            Self::Told => Ok(()),
            Self::Waiting => Err("waiting for a node of the network".into()),
            Self::Denied(peer) => Err(format!(
                "node {peer} lets in only who may join its network: at a loopback or private \
                 address, or with its pre-shared key"
            )),
        }
    }
}

/// Asks for maps for as long as the asker lives. The receiver says what has come of it.
pub(super) fn keep_map(asker: &Arc<Asker>) -> watch::Receiver<Search> {
    let (told, search) = watch::channel(Search::Waiting);
    let weak = Arc::downgrade(asker);
    let transport = Arc::clone(asker.transport());
    asker.runtime().spawn(run(weak, transport, told));
    search
}

async fn run(asker: Weak<Asker>, transport: Arc<dyn Transport>, told: watch::Sender<Search>) {
    let mut turn = 0_usize;
    while asker.strong_count() > 0 {
        let peers = transport.peers();
        let peer = turn.checked_rem(peers.len()).map(|place| peers[place].peer);
        turn = turn.wrapping_add(1);
        let answer = match peer {
            Some(peer) => ask(&*transport, peer).await,
            None => Ok(None),
        };
        let pause = match (answer, asker.upgrade()) {
            (Ok(Some(map)), Some(asker)) => {
                asker.adopt(map);
                told.send_replace(Search::Told);
                MAP_AGE_MAX
            }
            (Err(denied), _) => {
                told.send_if_modified(|search| {
                    let is_news = !matches!(search, Search::Told | Search::Denied(_));
                    if is_news {
                        *search = Search::Denied(denied);
                    }
                    is_news
                });
                PAUSE
            }
            _ => PAUSE,
        };
        tokio::time::sleep(pause).await;
    }
}

/// The map of one peer, if it has one. The error is the peer, which does not let this node in.
async fn ask(transport: &dyn Transport, peer: PeerId) -> Result<Option<Map>, PeerId> {
    let call = Call::new(STATUS, Bytes::new(), ATTEMPT_MAX);
    let bytes = match transport.call(peer, call).await {
        Ok(bytes) => bytes,
        Err(CallError::Refused(Refusal::Denied)) => return Err(peer),
        Err(_) => return Ok(None),
    };
    let map = Status::from_wire(&bytes).map(|status| status.map).ok();
    Ok(map.filter(|map| map.version() > Version::default()))
}
