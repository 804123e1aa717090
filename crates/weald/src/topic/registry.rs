//! What a node has under way for its topics.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use weald_core::{PeerId, Time, identity::KeyStore};
use weald_pubsub::{Availability, Incarnation, TopicId, TopicOptions};

use super::{
    Serving, Shelf, Topic,
    error::is_unreached,
    limits::{ATTEMPT_MAX, GROUP_TURNS_MAX, PUBLISHERS_MAX, SERVED_MAX},
    once::Lane,
    outbox::{Left, LeftRuns, Outboxes},
    publishing::{Publishing, Run},
    receiving::BodyFigures,
};
use crate::{Consistency, Error, ErrorKind, Metric, Result, Weald, node::blocking};

/// Held by one request of this node to a group at a time.
pub(super) type Turn = tokio::sync::Mutex<()>;

/// The topics of a node: who publishes, and who is served.
pub(crate) struct Topics {
    /// The node's key; `None` when it cannot be read.
    keys: Option<Arc<dyn KeyStore>>,
    publishing: Mutex<BTreeMap<TopicId, Arc<Publishing>>>,
    /// Where what is queued is kept; `None` in a node that stores nothing, and in one that is alone.
    outboxes: Option<Arc<Outboxes>>,
    /// What earlier processes have left.
    left: Mutex<Vec<Left>>,
    serving: Mutex<BTreeMap<TopicId, Weak<Serving>>>,
    /// Who publishes under ids of callers.
    lanes: Mutex<BTreeMap<TopicId, Arc<Lane>>>,
    /// Which request of this node to a group is under way.
    turns: Mutex<BTreeMap<(TopicId, String), Arc<Turn>>>,
    /// The last nonce of this node's requests to groups.
    nonce: AtomicU64,
    /// The last run of any of this node's publishers.
    incarnation: AtomicU64,
    bodies: BodyFigures,
}

impl Topics {
    /// No topics yet, for a node with this key.
    pub(crate) fn new(keys: Option<Arc<dyn KeyStore>>) -> Self {
        let (publishing, serving) = (Mutex::default(), Mutex::default());
        let (outboxes, left) = (None, Mutex::default());
        let (lanes, turns) = (Mutex::default(), Mutex::default());
        let (nonce, incarnation) = (AtomicU64::new(0), AtomicU64::new(0));
        let bodies = BodyFigures::default();
        Self { keys, publishing, outboxes, left, serving, lanes, turns, nonce, incarnation, bodies }
    }

    /// The same with an outbox, and what is left in it.
    pub(crate) fn queueing(mut self, (outboxes, left): (Arc<Outboxes>, LeftRuns)) -> Self {
        self.outboxes = Some(outboxes);
        *self.left.get_mut() = left.0;
        self
    }

    /// Brings what earlier processes have left to its topics, on the runtime that this is called in.
    pub(crate) fn resume(&self, node: &Weald) {
        let Some((outboxes, keys)) = self.outboxes.as_ref().zip(self.keys.clone()) else { return };
        for left in std::mem::take(&mut *self.left.lock()) {
            let topic = Topic::new(node, left.options.clone());
            let run = Run::Left(Arc::clone(outboxes), Box::new(left));
            // Its task holds it until nothing waits.
            drop(Publishing::start(&topic, Arc::clone(&keys), run));
        }
    }

    /// The settings of a topic whose home need not be reached for a publish.
    pub(super) fn known(&self, topic: &TopicId) -> Option<TopicOptions> {
        let (options, _) = self.outboxes.as_ref()?.newest(topic)?;
        (options.policy.availability == Availability::Available).then_some(options)
    }

    /// What the outbox and the subscriptions count.
    pub(crate) fn metrics(&self) -> Vec<Metric> {
        let mut metrics = self.bodies.metrics();
        metrics.extend(self.outboxes.iter().flat_map(|outboxes| outboxes.metrics()));
        metrics
    }

    /// What the subscriptions count.
    pub(super) fn bodies(&self) -> &BodyFigures {
        &self.bodies
    }

    /// A number above all before and above `highest`: the time, or one more.
    pub(super) fn nonce(&self, now: Time, highest: u64) -> u64 {
        next_of(&self.nonce, now.as_millis().max(highest.saturating_add(1)))
    }

    /// Whose turn it is to bring a request to a group.
    ///
    /// # Errors
    /// `Busy` when requests to too many groups are under way.
    pub(super) fn turn(&self, topic: TopicId, group: &str) -> Result<Arc<Turn>> {
        let (mut turns, group) = (self.turns.lock(), (topic, group.to_owned()));
        if turns.len() >= GROUP_TURNS_MAX && !turns.contains_key(&group) {
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        }
        if turns.len() >= GROUP_TURNS_MAX && !turns.contains_key(&group) {
            let what = format!("requests to too many groups are under way: max={GROUP_TURNS_MAX}");
            return Err(Error::new(ErrorKind::Busy, what));
        }
        Ok(Arc::clone(turns.entry(group).or_default()))
    }

    /// A run of a publisher of this node: above all of this process, and above `last`, the last that
    /// the topic remembers. A clock that was set back does not make a run that was there before.
    pub(super) fn incarnation(&self, now: Time, last: Option<Incarnation>) -> Incarnation {
        let above = last.map_or(1, |run| run.0.saturating_add(1));
        Incarnation(next_of(&self.incarnation, now.as_millis().max(above)))
    }

    /// Who publishes to a topic under ids of callers.
    ///
    /// # Errors
    /// `Busy` when too many topics are published to in this way.
    pub(super) fn lane(&self, topic: TopicId) -> Result<Arc<Lane>> {
        let mut lanes = self.lanes.lock();
        if lanes.len() >= PUBLISHERS_MAX && !lanes.contains_key(&topic) {
            lanes.retain(|_, lane| Arc::strong_count(lane) > 1);
        }
        if lanes.len() >= PUBLISHERS_MAX {
            return Err(too_many());
        }
        Ok(Arc::clone(lanes.entry(topic).or_default()))
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
        let is_available = topic.policy.availability == Availability::Available;
        let outboxes = self.outboxes.clone().filter(|_| is_available);
        let last = last_run(topic, keys.public().peer_id(), outboxes.as_deref()).await?;
        let now = super::handle::time(&topic.node)?;
        let incarnation = self.incarnation(now, last);
        let run = begin(outboxes, topic, incarnation).await?;
        let mut held = self.publishing.lock();
        if let Some(there) = held.get(&topic.id()).filter(|there| there.is_usable(now)) {
            return Ok(Arc::clone(there));
        }
        if held.len() >= PUBLISHERS_MAX {
            end_idle(&mut held);
        }
        if held.len() >= PUBLISHERS_MAX {
            return Err(too_many());
        }
        let publishing = Publishing::start(topic, keys, run);
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

/// A number above all before: `least`, or one more than the last.
fn next_of(last: &AtomicU64, least: u64) -> u64 {
    let above = |last: u64| Some(least.max(last.saturating_add(1)));
    let last = last.fetch_update(Ordering::SeqCst, Ordering::SeqCst, above);
    least.max(last.expect("there is always one more").saturating_add(1))
}

/// Ends those that have nothing to bring to their topics. Who is about to publish by one of them finds
/// that it has ended and begins another.
fn end_idle(publishing: &mut BTreeMap<TopicId, Arc<Publishing>>) {
    publishing.retain(|_, there| {
        let is_idle = there.is_idle();
        if is_idle {
            there.end();
        }
        !is_idle
    });
}

fn too_many() -> Error {
    let what = format!("too many topics are published to: max={PUBLISHERS_MAX}");
    Error::new(ErrorKind::Busy, what)
}

/// The last run of a publisher that the topic remembers; of a topic with an outbox that is not
/// reached, the last that is known here.
pub(super) async fn last_run(
    topic: &Topic,
    peer: PeerId,
    outboxes: Option<&Outboxes>,
) -> Result<Option<Incarnation>> {
    let (code, newest) = (topic.code, topic.consistency(Consistency::Linearizable));
    let read = newest.look(move |reader| code.last_run(reader, &peer));
    let Some(outboxes) = outboxes else { return read.await };
    let known = outboxes.newest(&topic.id()).map(|(_, incarnation)| incarnation);
    match tokio::time::timeout(ATTEMPT_MAX, read).await {
        Ok(Ok(last)) => Ok(last.max(known)),
        Ok(Err(error)) if !is_unreached(&error) => Err(error),
        Ok(Err(_)) | Err(_) => Ok(known),
    }
}

/// Begins a run, with a file where what is queued is kept.
async fn begin(
    outboxes: Option<Arc<Outboxes>>,
    topic: &Topic,
    incarnation: Incarnation,
) -> Result<Run> {
    let Some(outboxes) = outboxes else { return Ok(Run::Plain(incarnation)) };
    let (address, policy) = (*topic.address(), (*topic.policy).clone());
    let options = TopicOptions { address, policy, token: None };
    let begun = Arc::clone(&outboxes);
    match blocking(move || begun.begin(options, incarnation)).await? {
        Ok(file) => Ok(Run::Queueing(outboxes, Box::new(file))),
        Err(error) => {
            let topic = address.topic;
            tracing::error!(target: "weald::topic", %error, %topic, "nothing is queued for a topic");
            Ok(Run::Plain(incarnation))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn d66_a_publisher_that_makes_room_for_others_ends_and_whoever_has_it_takes_another() {
        let node = Weald::in_memory().await.unwrap();
        let chat = node.topic("chat").create().await.unwrap();
        chat.publish("one").await.unwrap();
        let running = node.running().unwrap();
        let before = running.topics.found(&chat.id()).unwrap();
        end_idle(&mut running.topics.publishing.lock());
        assert!(running.topics.found(&chat.id()).is_none());
        let ended = tokio::time::timeout(Duration::from_secs(20), async {
            while Arc::strong_count(&before) > 1 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        ended.await.expect("nothing but this test holds it: its task has ended");
        let timeout = Duration::from_secs(20);
        assert!(before.publish(vec!["two".into()], None, timeout).await.unwrap().is_none());
        assert_eq!(chat.publish("two").await.unwrap().position.unwrap().0, 2);
    }

    #[test]
    fn d66_turns_of_groups_are_bounded_and_one_that_nobody_holds_makes_room() {
        let topics = Topics::new(None);
        let turn = |nth: usize| topics.turn(TopicId::of("jobs"), &nth.to_string());
        let mut held: Vec<_> = (0..GROUP_TURNS_MAX).map(|nth| turn(nth).unwrap()).collect();
        assert_eq!(turn(GROUP_TURNS_MAX).unwrap_err().kind(), ErrorKind::Busy);
        assert!(Arc::ptr_eq(&turn(0).unwrap(), &held[0]));
        held.pop();
        assert!(turn(GROUP_TURNS_MAX).is_ok());
    }
}
