//! What a node has under way for its topics.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use weald_core::{Time, identity::KeyStore};
use weald_pubsub::{Incarnation, TopicId};

use super::{
    Serving, Shelf, Topic,
    limits::{PUBLISHERS_MAX, SERVED_MAX},
    publishing::Publishing,
};
use crate::{Consistency, Error, ErrorKind, Result};

/// The topics of a node: who publishes, and who is served.
pub(crate) struct Topics {
    /// The node's key; `None` when it cannot be read.
    keys: Option<Arc<dyn KeyStore>>,
    publishing: Mutex<BTreeMap<TopicId, Arc<Publishing>>>,
    serving: Mutex<BTreeMap<TopicId, Weak<Serving>>>,
    /// The last nonce of this node's requests to groups.
    nonce: AtomicU64,
}

impl Topics {
    /// No topics yet, for a node with this key.
    pub(crate) fn new(keys: Option<Arc<dyn KeyStore>>) -> Self {
        let (publishing, serving) = (Mutex::default(), Mutex::default());
        Self { keys, publishing, serving, nonce: AtomicU64::new(0) }
    }

    /// A number above all before: the time, or one more.
    pub(super) fn nonce(&self, now: Time) -> u64 {
        let above = |last: u64| Some(now.as_millis().max(last.saturating_add(1)));
        let last = self.nonce.fetch_update(Ordering::SeqCst, Ordering::SeqCst, above);
        let last = last.expect("there is always one more");
        now.as_millis().max(last.saturating_add(1))
    }

    /// The key that signs for the node.
    ///
    /// # Errors
    /// `Damaged` when it cannot be read.
    pub(crate) fn keys(&self) -> Result<Arc<dyn KeyStore>> {
        let what = "the node's key cannot be read; `weald verify` says why";
        self.keys.clone().ok_or_else(|| Error::new(ErrorKind::Damaged, what))
    }

    /// Who publishes to a topic for this node.
    pub(super) async fn publishing(&self, topic: &Topic) -> Result<Arc<Publishing>> {
        if let Some(there) = self.found(&topic.id()) {
            return Ok(there);
        }
        let keys = self.keys()?;
        let (code, peer) = (topic.code, keys.public().peer_id());
        let newest = topic.consistency(Consistency::Linearizable);
        let last = newest.look(move |reader| code.last_run(reader, &peer)).await?;
        let now = super::handle::time(&topic.node)?;
        // A clock that was set back does not make a run that was there before.
        let above = last.map_or(0, |run| run.0.saturating_add(1));
        let incarnation = Incarnation(now.as_millis().max(above).max(1));
        let mut held = self.publishing.lock();
        if let Some(there) = held.get(&topic.id()).filter(|there| there.is_usable(now)) {
            return Ok(Arc::clone(there));
        }
        if held.len() >= PUBLISHERS_MAX {
            held.retain(|_, publishing| !publishing.is_idle());
        }
        if held.len() >= PUBLISHERS_MAX {
            let what = format!("too many topics are published to: max={PUBLISHERS_MAX}");
            return Err(Error::new(ErrorKind::Busy, what));
        }
        let publishing = Publishing::start(topic, keys, incarnation);
        if let Some(before) = held.insert(topic.id(), Arc::clone(&publishing)) {
            before.end();
        }
        Ok(publishing)
    }

    fn found(&self, id: &TopicId) -> Option<Arc<Publishing>> {
        let held = self.publishing.lock();
        held.get(id).filter(|there| there.is_usable(there.now())).cloned()
    }

    /// Who serves a topic of this process to the subscribers in it.
    pub(super) fn serving(&self, topic: &Topic, shelf: Arc<dyn Shelf>) -> Result<Arc<Serving>> {
        let mut held = self.serving.lock();
        if let Some(there) = held.get(&topic.id()).and_then(Weak::upgrade)
            && there.is_usable()
        {
            return Ok(there);
        }
        held.retain(|_, serving| serving.strong_count() > 0);
        if held.len() >= SERVED_MAX {
            let what = format!("too many topics are subscribed to: max={SERVED_MAX}");
            return Err(Error::new(ErrorKind::Busy, what));
        }
        let serving = Serving::start(topic.code, shelf, &tokio::runtime::Handle::current());
        held.insert(topic.id(), Arc::downgrade(&serving));
        Ok(serving)
    }
}

impl Drop for Topics {
    fn drop(&mut self) {
        self.publishing.lock().values().for_each(|publishing| publishing.end());
    }
}
