//! Long questions of those who follow a collection from afar.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use tokio::time::timeout_at;
use weald_core::{At, BlockId, BlockRead, CollectionName, Halt, Refusal, Reply, Revision};

use super::Server;
use crate::{
    members::Hosted,
    node::{read, state_error},
    reach::{
        limits::{FOLLOW_WAIT, FOLLOWERS_MAX},
        message::{Follow, Followed, Wire},
    },
};

impl Server {
    pub(super) fn follow(self: &Arc<Self>, body: &[u8], deadline: Instant, reply: Reply) {
        let Ok(Follow { collection, seen }) = Follow::from_wire(body) else {
            return reply.send(Err(Refusal::Malformed));
        };
        if !self.asker.has_map() {
            return reply.send(Err(Refusal::Busy));
        }
        let partition = self.asker.partition(BlockId::header(&collection).placement());
        let Some(hosted) = self.members.hosted(partition) else {
            return reply.send(Ok(Followed::NotMine.to_wire()));
        };
        let Some(place) = Place::take(self) else { return reply.send(Err(Refusal::Busy)) };
        let until = deadline.min(Instant::now() + FOLLOW_WAIT);
        self.asker.runtime().spawn(async move {
            let _place = place;
            let answer = match wait(&hosted, &collection, seen, until).await {
                Ok(revision) => Ok(Followed::Revision(revision).to_wire()),
                Err(error) => Err(Refusal::Failed(error.to_string())),
            };
            reply.send(answer);
        });
    }
}

/// One of the followers that may wait.
struct Place(Arc<Server>);

impl Place {
    fn take(server: &Arc<Server>) -> Option<Self> {
        let place = Self(Arc::clone(server));
        (server.followers.fetch_add(1, Ordering::Relaxed) < FOLLOWERS_MAX).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.followers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Waits until the collection is newer than `seen`; the revision that it has then, or in the end.
async fn wait(
    hosted: &Hosted,
    collection: &CollectionName,
    seen: Revision,
    until: Instant,
) -> crate::Result<Revision> {
    let mut signal = hosted.follow(BlockId::header(collection));
    loop {
        signal.borrow_and_update();
        let revision = revision(hosted, collection).await?;
        if revision > seen {
            return Ok(revision);
        }
        match timeout_at(until.into(), signal.changed()).await {
            Ok(Ok(())) => {}
            // The member is gone, or the time is over: the follower asks again.
            Ok(Err(_)) | Err(_) => return Ok(revision),
        }
    }
}

/// The collection's revision here; zero while it does not exist.
async fn revision(hosted: &Hosted, collection: &CollectionName) -> crate::Result<Revision> {
    let view = hosted.view(At::Latest).map_err(state_error)?;
    let version = hosted.version(view);
    let id = BlockId::state(collection);
    let state = read(&version, |reader| match reader.0.block(id).map_err(Halt::Fault)? {
        BlockRead::Present(stored) => Ok(stored.revision),
        BlockRead::Absent => Ok(Revision::ZERO),
        BlockRead::NotHere => Err(Halt::Need(vec![id]).into()),
    });
    state.await
}
