//! Room for messages whose ends have not come.
//!
//! Whoever begins a message takes memory until it ends it, so there is a bound for each peer and one for all of them.
//! Where all together reach theirs, the message that was begun first goes: one that is going on is whole long before as
//! many bytes as there is room for have come behind it, and who holds messages back to keep others out loses them first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use futures::task::AtomicWaker;
use parking_lot::Mutex;
use weald_core::PeerId;

use crate::limits::{PARTIAL_BYTES_MAX, PARTIAL_BYTES_PER_PEER_MAX};

/// The room of a node, for all of its connections.
#[derive(Debug, Default)]
pub(crate) struct Room(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The next number; those of messages that were begun earlier are lower.
    next: u64,
    messages: BTreeMap<u64, Held>,
    bytes: usize,
    peers: BTreeMap<PeerId, usize>,
}

/// What is held of one message.
#[derive(Debug)]
struct Held {
    peer: PeerId,
    bytes: usize,
    eviction: Arc<Eviction>,
}

/// Tells a reader that the message that it holds has to go.
#[derive(Debug, Default)]
struct Eviction {
    is_due: AtomicBool,
    waker: AtomicWaker,
}

/// There is no room for the message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoRoom;

/// What one reader holds in the room: of one message at a time.
#[derive(Debug)]
pub(super) struct Claim {
    room: Arc<Room>,
    peer: PeerId,
    message: Option<u64>,
    eviction: Arc<Eviction>,
}

impl Claim {
    pub(super) fn new(room: Arc<Room>, peer: PeerId) -> Self {
        Self { room, peer, message: None, eviction: Arc::default() }
    }

    /// Whether the message has made room for others; `waker` is woken when it has.
    pub(super) fn is_evicted(&self, waker: &Waker) -> bool {
        if self.message.is_none() {
            return false;
        }
        self.eviction.waker.register(waker);
        self.eviction.is_due.load(Ordering::Acquire)
    }

    /// So many bytes of the message are held. It is begun with the first of these calls.
    pub(super) fn hold(&mut self, bytes: usize) -> Result<(), NoRoom> {
        let mut state = self.room.0.lock();
        let message = match self.message {
            Some(message) => message,
            None => *self.message.insert(state.begin(self.peer, &self.eviction)),
        };
        state.hold(message, bytes)
    }

    /// The message is whole, or gone.
    pub(super) fn release(&mut self) {
        if let Some(message) = self.message.take() {
            self.room.0.lock().end(message);
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.release();
    }
}

impl State {
    fn begin(&mut self, peer: PeerId, eviction: &Arc<Eviction>) -> u64 {
        let message = self.next;
        self.next += 1;
        // Set by the eviction of a message that was whole before its reader has heard of it.
        eviction.is_due.store(false, Ordering::Release);
        self.messages.insert(message, Held { peer, bytes: 0, eviction: Arc::clone(eviction) });
        message
    }

    fn hold(&mut self, message: u64, bytes: usize) -> Result<(), NoRoom> {
        // It may have made room for another.
        let held = self.messages.get_mut(&message).ok_or(NoRoom)?;
        let of_peer = self.peers.entry(held.peer).or_default();
        *of_peer = *of_peer - held.bytes + bytes;
        self.bytes = self.bytes - held.bytes + bytes;
        held.bytes = bytes;
        if *of_peer > PARTIAL_BYTES_PER_PEER_MAX {
            self.end(message);
            return Err(NoRoom);
        }
        while self.bytes > PARTIAL_BYTES_MAX {
            let first = *self.messages.keys().next().expect("somebody holds the bytes");
            self.evict(first);
        }
        self.messages.contains_key(&message).then_some(()).ok_or(NoRoom)
    }

    fn evict(&mut self, message: u64) {
        let Some(held) = self.end(message) else { return };
        held.eviction.is_due.store(true, Ordering::Release);
        held.eviction.waker.wake();
    }

    fn end(&mut self, message: u64) -> Option<Held> {
        let held = self.messages.remove(&message)?;
        self.bytes -= held.bytes;
        if let Some(of_peer) = self.peers.get_mut(&held.peer) {
            *of_peer -= held.bytes;
            if *of_peer == 0 {
                self.peers.remove(&held.peer);
            }
        }
        Some(held)
    }
}

#[cfg(test)]
mod tests {
    use futures::task::noop_waker;
    use weald_core::Digest;

    use super::*;
    use crate::limits::BODY_BYTES_MAX;

    const LARGEST: usize = BODY_BYTES_MAX;

    fn peer(number: u8) -> PeerId {
        PeerId::from_digest(Digest::from_bytes([number; 32]))
    }

    /// A claim of a peer that holds `bytes`.
    fn claim(room: &Arc<Room>, number: u8, bytes: usize) -> Claim {
        let mut claim = Claim::new(Arc::clone(room), peer(number));
        assert_eq!(claim.hold(bytes), Ok(()));
        claim
    }

    fn is_evicted(claim: &Claim) -> bool {
        claim.is_evicted(&noop_waker())
    }

    #[test]
    fn a_peer_has_room_for_the_largest_message_of_each_lane_and_no_more() {
        let room = Arc::<Room>::default();
        let mut lanes: Vec<_> = (0..4).map(|_| claim(&room, 1, LARGEST)).collect();
        let mut fifth = Claim::new(Arc::clone(&room), peer(1));
        assert_eq!(fifth.hold(LARGEST), Err(NoRoom));
        assert!(!lanes.iter().any(is_evicted), "it harms only itself");
        let _other = claim(&room, 2, LARGEST);
        lanes[0].release();
        fifth.release();
        assert_eq!(fifth.hold(LARGEST), Ok(()));
    }

    #[test]
    fn peers_that_hold_back_what_they_have_begun_make_room_for_one_that_sends() {
        let room = Arc::<Room>::default();
        let peer_count = u8::try_from(PARTIAL_BYTES_MAX / LARGEST).unwrap();
        let strangers: Vec<_> =
            (0..peer_count).map(|number| claim(&room, number, LARGEST)).collect();
        let mut honest = claim(&room, 100, LARGEST / 2);
        assert_eq!(honest.hold(LARGEST), Ok(()));
        let evicted: Vec<_> = strangers.iter().map(is_evicted).collect();
        assert!(evicted[0], "the first goes first");
        assert!(!evicted.last().unwrap(), "no more go than have to");
        drop((strangers, honest));
        let state = room.0.lock();
        assert_eq!((state.bytes, state.messages.len(), state.peers.len()), (0, 0, 0));
    }

    #[test]
    fn a_message_that_made_room_is_not_read_on_and_the_next_has_room() {
        let room = Arc::<Room>::default();
        let mut first = claim(&room, 200, LARGEST);
        let peer_count = u8::try_from(PARTIAL_BYTES_MAX / LARGEST).unwrap();
        let _others: Vec<_> = (0..peer_count).map(|number| claim(&room, number, LARGEST)).collect();
        assert!(is_evicted(&first));
        assert_eq!(first.hold(LARGEST), Err(NoRoom));
        first.release();
        assert_eq!(first.hold(LARGEST / 2), Ok(()));
        assert!(!is_evicted(&first));
    }
}
