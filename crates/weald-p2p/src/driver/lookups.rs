//! Lookups under way: each ends by its deadline, with what the table found or with the peers that
//! are connected, and says which.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use libp2p::PeerId as Libp2pId;
use libp2p::kad::{self, KBucketKey, QueryId, store::MemoryStore};
use tokio::sync::oneshot;
use weald_core::Digest;

use super::address::with_peer;
use crate::hub::Hub;
use crate::identity;
use crate::limits::{LOOKUP_REQUESTS_MAX, LOOKUPS_MAX};
use crate::lookup::{Fallback, NearPeer, Nearest, NearestSource};
use crate::metrics::add;

type Table = kad::Behaviour<MemoryStore>;

/// A lookup that somebody wants.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) key: Digest,
    pub(super) count: usize,
    pub(super) deadline: Duration,
    pub(super) answer: oneshot::Sender<Nearest>,
}

/// What the table has found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) peers: Vec<kad::PeerInfo>,
    pub(super) request_count: u32,
}

/// The lookups that wait for the table.
#[derive(Debug, Default)]
pub(super) struct Lookups {
    open: Vec<Lookup>,
}

#[derive(Debug)]
struct Lookup {
    query: QueryId,
    wish: Wish,
    began: Instant,
}

impl Lookups {
    /// Asks the table, or answers at once where it is of no help. Beyond [`LOOKUPS_MAX`] the wish is
    /// dropped, which its owner sees.
    pub(super) fn begin(&mut self, wish: Wish, table: Option<&mut Table>, hub: &Hub, now: Instant) {
        let Some(table) = table else { return fall_back(wish, Fallback::Off, 0, (now, now), hub) };
        if table.kbuckets().all(|bucket| bucket.is_empty()) {
            return fall_back(wish, Fallback::Empty, 0, (now, now), hub);
        }
        if self.open.len() >= LOOKUPS_MAX {
            return;
        }
        let count = NonZeroUsize::new(wish.count).unwrap_or(NonZeroUsize::MIN);
        let query = table.get_n_closest_peers(wish.key.as_bytes().to_vec(), count);
        self.open.push(Lookup { query, wish, began: now });
    }

    /// The table has an answer.
    pub(super) fn finish(&mut self, query: QueryId, found: Found, hub: &Hub, now: Instant) {
        let Some(place) = self.open.iter().position(|lookup| lookup.query == query) else { return };
        let Lookup { wish, began, .. } = self.open.swap_remove(place);
        let Found { peers, request_count } = found;
        let peers: Vec<_> = peers.iter().filter_map(near_peer).take(wish.count).collect();
        if peers.is_empty() {
            return fall_back(wish, Fallback::Empty, request_count, (began, now), hub);
        }
        let elapsed = now.duration_since(began);
        let source = NearestSource::Table;
        let _ = wish.answer.send(Nearest { peers, source, request_count, elapsed });
    }

    /// Ends lookups whose time is over, and those that have asked enough: they answer with what
    /// they have.
    pub(super) fn expire(&mut self, table: &mut Table, hub: &Hub, now: Instant) {
        let mut going = Vec::new();
        for lookup in self.open.drain(..) {
            let mut query = table.query_mut(&lookup.query);
            let requests = query.as_ref().map_or(0, |query| query.stats().num_requests());
            let is_over = now.duration_since(lookup.began) >= lookup.wish.deadline;
            if let Some(query) = &mut query
                && (is_over || requests >= LOOKUP_REQUESTS_MAX)
            {
                query.finish();
            }
            if is_over {
                fall_back(lookup.wish, Fallback::TooSlow, requests, (lookup.began, now), hub);
            } else {
                going.push(lookup);
            }
        }
        self.open = going;
    }
}

fn near_peer(found: &kad::PeerInfo) -> Option<NearPeer> {
    let peer = identity::peer_id(&found.peer_id)?;
    let addresses = found.addrs.iter().map(|address| with_peer(address, found.peer_id)).collect();
    Some(NearPeer { peer, addresses })
}

/// Answers with the connected peers, by the distance that the table would go by.
fn fall_back(
    wish: Wish,
    reason: Fallback,
    request_count: u32,
    (began, now): (Instant, Instant),
    hub: &Hub,
) {
    tracing::info!(target: "weald::lookup", ?reason, key = %wish.key, "lookup falls back to connected peers");
    add(&hub.counters.lookups_fallen_back_count, 1);
    let target = KBucketKey::from(wish.key.as_bytes().to_vec());
    let mut peers: Vec<_> = hub
        .peers_with_ids()
        .into_iter()
        .map(|(id, info): (Libp2pId, weald_core::PeerInfo)| {
            let near = NearPeer { peer: info.peer, addresses: info.addresses };
            (KBucketKey::from(id).distance(&target), near)
        })
        .collect();
    peers.sort_by_key(|(distance, near)| (*distance, near.peer));
    let peers = peers.into_iter().map(|(_, near)| near).take(wish.count).collect();
    let source = NearestSource::Connected(reason);
    let elapsed = now.duration_since(began);
    let _ = wish.answer.send(Nearest { peers, source, request_count, elapsed });
}
