//! Where the network hands in what it has for the founding task.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use weald_cluster::founding::Request;
use weald_core::{Caller, NetworkEvents, PeerId, PeerInfo, Refusal, Reply, ServiceHandler};

use super::{event::Event, limits::PEER_EVENTS_MAX};

/// The task's queue. Made before the network, so that nothing is missed. What peers cause is
/// bounded by [`PEER_EVENTS_MAX`]; the rest by what the task itself has under way.
#[derive(Debug)]
pub(crate) struct Inbox {
    sender: UnboundedSender<Event>,
    receiver: Mutex<Option<UnboundedReceiver<Event>>>,
    peer_events: AtomicUsize,
}

impl Inbox {
    /// An empty queue.
    pub(crate) fn new() -> Self {
        let (sender, receiver) = unbounded_channel();
        Self { sender, receiver: Mutex::new(Some(receiver)), peer_events: AtomicUsize::new(0) }
    }

    /// Hands in the outcome of something that the task has begun, or an operator's wish.
    pub(super) fn push(&self, event: Event) {
        // An error means that the task has ended.
        let _ = self.sender.send(event);
    }

    /// The other end, once.
    pub(super) fn take(&self) -> Option<UnboundedReceiver<Event>> {
        self.receiver.lock().take()
    }

    /// Notes that an event was taken out.
    pub(super) fn note_taken(&self, event: &Event) {
        if event.is_peers() {
            self.peer_events.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Hands in what a peer has caused; gives it back when too much of that waits.
    fn offer(&self, event: Event) -> Result<(), Event> {
        if self.peer_events.fetch_add(1, Ordering::Relaxed) >= PEER_EVENTS_MAX {
            self.peer_events.fetch_sub(1, Ordering::Relaxed);
            return Err(event);
        }
        self.sender.send(event).map_err(|error| error.0)
    }
}

impl ServiceHandler for Inbox {
    fn call(&self, caller: Caller, body: Bytes, reply: Reply) {
        let Ok(request) = Request::decode(&body) else {
            return reply.send(Err(Refusal::Malformed));
        };
        let asked = Event::Asked(caller.peer, Box::new(request), reply);
        if let Err(Event::Asked(_, _, reply)) = self.offer(asked) {
            reply.send(Err(Refusal::Busy));
        }
    }
}

impl NetworkEvents for Inbox {
    fn connected(&self, peer: PeerInfo) {
        // What has no room is not lost: the task looks at the list of peers by itself, too.
        let _ = self.offer(Event::Connected(Box::new(peer)));
    }

    fn disconnected(&self, peer: PeerId) {
        let _ = self.offer(Event::Disconnected(peer));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};

    use weald_core::Digest;

    use super::*;

    #[test]
    fn what_peers_cause_is_bounded_and_told() {
        let inbox = Inbox::new();
        let peer = PeerId::from_digest(Digest::ZERO);
        for _ in 0..PEER_EVENTS_MAX {
            inbox.disconnected(peer);
        }
        assert!(inbox.offer(Event::Disconnected(peer)).is_err());
        inbox.push(Event::Founded);
        let mut receiver = inbox.take().unwrap();
        let first = receiver.try_recv().unwrap();
        inbox.note_taken(&first);
        assert!(inbox.offer(Event::Disconnected(peer)).is_ok(), "there is room again");
    }

    #[test]
    fn w21_bytes_that_are_no_question_are_refused() {
        let inbox = Inbox::new();
        let (sender, answers) = mpsc::channel();
        let sink = move |_, answer| sender.send(answer).unwrap();
        let caller = Caller {
            peer: PeerId::from_digest(Digest::ZERO),
            correlation: weald_core::CorrelationId(0),
            deadline: std::time::Duration::from_secs(1),
        };
        let reply = Reply::new(Arc::new(sink), 1);
        inbox.call(caller, Bytes::from_static(b"noise"), reply);
        assert_eq!(answers.recv(), Ok(Err(Refusal::Malformed)));
    }
}
