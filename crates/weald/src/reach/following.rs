//! Following collections whose partitions have no member here: a long question to a member, asked
//! again and again, elsewhere if that member is gone. What was missed in between is told with the
//! first answer, since the question names the newest revision that was heard of.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::watch;
use weald_core::{BlockId, CollectionName, PeerId, Request as Call, Revision};

use super::{
    asker::Asker,
    limits::{FOLLOW_SLACK, FOLLOW_WAIT, FOLLOWED_MAX},
    message::{FOLLOW, Follow, Followed, Wire},
};
use crate::{Error, ErrorKind, Result, node::closed};

/// The pause before another member is asked.
const PAUSE: Duration = Duration::from_millis(100);

/// Collections that are followed from afar.
pub(super) struct Followers {
    asker: Arc<Asker>,
    /// `None` after the end.
    followed: Mutex<Option<BTreeMap<CollectionName, Weak<watch::Sender<()>>>>>,
}

impl Followers {
    pub(super) fn new(asker: &Arc<Asker>) -> Self {
        Self { asker: Arc::clone(asker), followed: Mutex::new(Some(BTreeMap::new())) }
    }

    /// Follows a collection. It is asked for as long as somebody has a receiver.
    pub(super) fn follow(&self, collection: &CollectionName) -> Result<watch::Receiver<()>> {
        let mut held = self.followed.lock();
        let followed = held.as_mut().ok_or_else(closed)?;
        let sender = followed.get(collection).and_then(Weak::upgrade);
        if let Some(sender) = sender.filter(|sender| !sender.is_closed()) {
            return Ok(sender.subscribe());
        }
        followed.retain(|_, sender| sender.strong_count() > 0);
        if followed.len() >= FOLLOWED_MAX {
            let what = format!("too many collections are followed: max={FOLLOWED_MAX}");
            return Err(Error::new(ErrorKind::Busy, what));
        }
        let (sender, receiver) = watch::channel(());
        let sender = Arc::new(sender);
        followed.insert(collection.clone(), Arc::downgrade(&sender));
        let follower = Follower {
            asker: Arc::clone(&self.asker),
            collection: collection.clone(),
            sender,
            seen: Revision::ZERO,
        };
        self.asker.runtime().spawn(follower.run());
        Ok(receiver)
    }

    /// Ends all following: receivers see nothing more.
    pub(super) fn end(&self) {
        self.followed.lock().take();
    }
}

/// Follows one collection.
struct Follower {
    asker: Arc<Asker>,
    collection: CollectionName,
    sender: Arc<watch::Sender<()>>,
    /// The newest revision heard of.
    seen: Revision,
}

impl Follower {
    async fn run(mut self) {
        let sender = Arc::clone(&self.sender);
        tokio::select! {
            () = sender.closed() => {}
            () = self.ask_on() => {}
        }
    }

    async fn ask_on(&mut self) {
        let mut turn = 0;
        loop {
            let is_answered = match self.member(turn) {
                Some(peer) => self.ask(peer).await,
                None => false,
            };
            if !is_answered {
                turn += 1;
                // Whoever waits may find out more by itself.
                self.sender.send_replace(());
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Asks one member until something has changed or its time is over. Whether it has answered.
    async fn ask(&mut self, peer: PeerId) -> bool {
        let follow = Follow { collection: self.collection.clone(), seen: self.seen };
        let call = Call::new(FOLLOW, follow.to_wire(), FOLLOW_WAIT + FOLLOW_SLACK);
        let answer = self.asker.transport().call(peer, call).await;
        let followed = answer.ok().and_then(|bytes| Followed::from_wire(&bytes).ok());
        let Some(Followed::Revision(revision)) = followed else { return false };
        if revision > self.seen {
            self.seen = revision;
            self.sender.send_replace(());
        }
        true
    }

    /// The member to be asked at this turn: the coordinator first, then the others.
    fn member(&self, turn: usize) -> Option<PeerId> {
        let key = BlockId::header(&self.collection).placement();
        let part = self.asker.part(key);
        let members = &part.members;
        let mut all: Vec<PeerId> = part.reign.coordinator().into_iter().collect();
        all.extend(members.voters.iter().chain(&members.learners));
        let place = turn.checked_rem(all.len())?;
        Some(all[place])
    }
}
