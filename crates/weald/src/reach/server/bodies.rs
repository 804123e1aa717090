//! Serving the bodies of large messages to subscribers on other nodes, some chunks at a time.
//!
//! A question for a body stands by itself: a subscriber may ask another member than the one that its
//! stream comes from. So each is checked against the topic's policy.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use weald_core::{PeerId, Refusal, Reply};
use weald_pubsub::{self as pubsub, BodyRequest, TopicAddress};

use super::{Server, topics::is_allowed};
use crate::{
    ErrorKind, Result,
    reach::{
        limits::BODY_READS_MAX,
        message::{TopicTold, Wire},
    },
    topic::{Shelf, look_at},
};

/// Counts the bodies that are read for others at the moment.
#[derive(Clone, Default)]
pub(super) struct BodyReads(Arc<AtomicUsize>);

/// One of these reads. It is over when it is dropped.
struct Turn(Arc<AtomicUsize>);

impl BodyReads {
    /// Begins a read; `None` when there are too many.
    fn begin(&self) -> Option<Turn> {
        let turn = Turn(Arc::clone(&self.0));
        let before = self.0.fetch_add(1, Ordering::SeqCst);
        (before < BODY_READS_MAX).then_some(turn)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Server {
    /// Answers a question for a part of a body.
    pub(super) fn serve_body(
        self: &Arc<Self>,
        peer: PeerId,
        (topic, request): (TopicAddress, BodyRequest),
        reply: Reply,
    ) {
        if !request.is_bounded() {
            return reply.send(Err(Refusal::Malformed));
        }
        let Some(turn) = self.bodies.begin() else { return reply.send(Err(Refusal::Busy)) };
        let server = Arc::clone(self);
        self.asker.runtime().spawn(async move {
            reply.send(server.body(peer, pubsub::Topic::new(topic), request).await);
            drop(turn);
        });
    }

    async fn body(
        self: Arc<Self>,
        peer: PeerId,
        code: pubsub::Topic,
        request: BodyRequest,
    ) -> std::result::Result<Bytes, Refusal> {
        let Some(shelf) = self.shelf(code)? else { return Ok(TopicTold::NotHere.to_wire()) };
        match read(&*shelf, code, (peer, request)).await {
            Ok(told) => Ok(told.to_wire()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(TopicTold::NoTopic.to_wire()),
            Err(error) => Err(Refusal::Failed(error.to_string())),
        }
    }
}

async fn read(
    shelf: &dyn Shelf,
    code: pubsub::Topic,
    (peer, request): (PeerId, BodyRequest),
) -> Result<TopicTold> {
    let version = shelf.view().wait().await?;
    if !is_allowed(&version, code, peer).await? {
        return Ok(TopicTold::Denied);
    }
    let now = version.log_time();
    let answer = look_at(&version, |reader| code.body(reader, &request, now)).await?;
    Ok(TopicTold::Body(answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_bodies_are_read_at_a_time_and_no_more() {
        let reads = BodyReads::default();
        let mut turns: Vec<_> = (0..BODY_READS_MAX).map(|_| reads.begin().unwrap()).collect();
        assert!(reads.begin().is_none());
        assert!(reads.begin().is_none(), "a refusal takes no place");
        turns.pop();
        turns.push(reads.begin().unwrap());
        assert!(reads.begin().is_none());
    }
}
