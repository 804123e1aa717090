//! A consumer of a group as a stream: fetches what its application asks for, and as much ahead of it as
//! that works off at its pace. What is given counts as an attempt, so a message that nobody sees is not to
//! be fetched.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::Notify;
use weald_core::{Clock, Time};
use weald_pubsub::{GroupState, TopicPosition};

use super::{GroupConsumer, pace::Pace};
use crate::{
    Error, ErrorKind, Result,
    stream::Signal,
    topic::{
        StartAt, SubscribeOptions, Topic, TopicEvent, TopicMessage,
        handle::{DistantTopic, time},
        limits::GROUP_CREDIT_MAX,
        publishing::Distant,
    },
};

/// How often it is looked whether others have let messages pass.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// A consumer whose messages are fetched for it. Dropped, it gives nothing back: what it holds goes
/// to others at its deadline.
pub(in crate::topic) struct Sharing {
    shared: Arc<Shared>,
    consumer: GroupConsumer,
}

struct Shared {
    state: Mutex<State>,
    wake: Notify,
    clock: Arc<dyn Clock>,
    within: Duration,
    credit: usize,
    start: StartAt,
}

struct State {
    /// What the application has not taken yet.
    waiting: VecDeque<TopicMessage>,
    /// What was fetched and is neither acknowledged nor let pass, with its deadlines.
    held: BTreeMap<TopicPosition, Time>,
    taken: TopicPosition,
    pace: Pace,
    /// The application waits for a message.
    waker: Option<Waker>,
    /// Why nothing more comes; taken by the one who is told.
    ended: Option<Option<Error>>,
}

impl Sharing {
    pub(in crate::topic) async fn start(
        topic: &Topic,
        group: &str,
        options: &SubscribeOptions,
    ) -> Result<Self> {
        let credit = usize::try_from(options.credit).unwrap_or(usize::MAX).min(GROUP_CREDIT_MAX);
        // A group of this name, or its refusal, is met here.
        let consumer = GroupConsumer::new(topic, group);
        consumer.join(options.acknowledge_within, options.from).await?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State::new(options.acknowledge_within)),
            wake: Notify::new(),
            clock: Arc::clone(&topic.node.running()?.clock),
            within: options.acknowledge_within,
            credit,
            start: options.from,
        });
        let fetching = Fetching {
            ending: Ending(Arc::clone(&shared)),
            topic: topic.distant(),
            node: Distant::of(&topic.node),
            group: group.to_owned(),
        };
        tokio::spawn(fetching.run());
        Ok(Self { shared, consumer })
    }

    pub(in crate::topic) fn last_seen(&self) -> TopicPosition {
        self.shared.state.lock().taken
    }

    pub(in crate::topic) async fn acknowledge(&self, position: TopicPosition) -> Result<()> {
        let done = self.consumer.acknowledge(vec![position]).await?;
        self.shared.state.lock().held.remove(&position);
        self.shared.wake.notify_one();
        if done == [true] {
            return Ok(());
        }
        let what = format!("the message is not this consumer's any more: position={position}");
        Err(Error::new(ErrorKind::Gone, what))
    }

    /// Gives back what was not acknowledged.
    pub(in crate::topic) async fn end(self) -> Result<()> {
        let held = std::mem::take(&mut self.shared.state.lock().held);
        self.shared.state.lock().ended.get_or_insert(None);
        self.shared.wake.notify_one();
        if !held.is_empty() {
            self.consumer.give_back(held.into_keys().collect()).await?;
        }
        Ok(())
    }

    pub(in crate::topic) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<TopicEvent>>> {
        let mut state = self.shared.state.lock();
        while let Some(message) = state.waiting.pop_front() {
            if state.held.contains_key(&message.position) {
                if state.take(message.position, self.shared.clock.now()) {
                    self.shared.wake.notify_one();
                }
                return Poll::Ready(Some(Ok(TopicEvent::Message(message))));
            }
            // It is another's by now, and there is room again once the last of these is gone.
            self.shared.wake.notify_one();
        }
        if let Some(ended) = &mut state.ended {
            return Poll::Ready(ended.take().map(Err));
        }
        if state.waker.replace(cx.waker().clone()).is_none() {
            self.shared.wake.notify_one();
        }
        Poll::Pending
    }
}

impl Drop for Sharing {
    fn drop(&mut self) {
        self.shared.state.lock().ended.get_or_insert(None);
        self.shared.wake.notify_one();
    }
}

impl std::fmt::Debug for Sharing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sharing").field("consumer", &self.consumer).finish_non_exhaustive()
    }
}

impl Shared {
    fn add(&self, messages: Vec<TopicMessage>, now: Time) {
        let mut state = self.state.lock();
        for message in messages {
            state.held.insert(message.position, now.after(self.within));
            state.waiting.push_back(message);
        }
        state.wake_up();
    }

    fn end(&self, error: Option<Error>) {
        let mut state = self.state.lock();
        state.ended.get_or_insert(error);
        state.wake_up();
    }

    /// How many messages may be fetched; `None` after the end. An application that has let some pass
    /// before it took them is given none until it takes again.
    fn room(&self, now: Time) -> Option<usize> {
        let mut state = self.state.lock();
        state.held.retain(|_, deadline| now < *deadline);
        if state.ended.is_some() {
            return None;
        }
        let is_stuck =
            state.waiting.front().is_some_and(|first| !state.held.contains_key(&first.position));
        let room = self.credit.saturating_sub(state.held.len());
        Some(if is_stuck { 0 } else { state.wanted(now).min(room) })
    }

    /// Of what was fetched, only this is the consumer's still: the rest was acknowledged or given back by
    /// another hold on it, as by a call to the gateway.
    fn keep(&self, is_given: impl Fn(TopicPosition) -> bool) {
        self.state.lock().held.retain(|position, _| is_given(*position));
    }
}

impl State {
    fn new(within: Duration) -> Self {
        Self {
            waiting: VecDeque::new(),
            held: BTreeMap::new(),
            taken: TopicPosition::ZERO,
            pace: Pace::new(within),
            waker: None,
            ended: None,
        }
    }

    /// Notes that the application takes a message; whether more is wanted then.
    fn take(&mut self, position: TopicPosition, now: Time) -> bool {
        self.taken = self.taken.max(position);
        self.pace.note(now);
        self.wanted(now) > 0
    }

    /// How many messages the application works off: the one that it waits for, and what it is given
    /// ahead, once half of that is done.
    fn wanted(&self, now: Time) -> usize {
        let asked = usize::from(self.waker.is_some());
        let (ahead, waiting) = (self.pace.ahead(now).max(asked), self.waiting.len());
        if waiting <= ahead / 2 { ahead - waiting } else { 0 }
    }

    fn wake_up(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// Ends the stream with its task.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end(None);
    }
}

/// The task that fetches.
struct Fetching {
    ending: Ending,
    topic: DistantTopic,
    node: Distant,
    group: String,
}

impl Fetching {
    async fn run(self) {
        let shared = Arc::clone(&self.ending.0);
        let mut signal: Option<Signal> = None;
        while let Some(node) = self.node.near() {
            let topic = self.topic.near(node);
            let signal = signal.get_or_insert_with(|| Signal::of(&topic.code.collection()));
            let fetched = self.fetch(&topic, signal).await;
            drop(topic);
            match fetched {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) if error.is_retryable() || error.kind() == ErrorKind::Unknown => {
                    tokio::time::sleep(LOOK_PAUSE / 10).await;
                    continue;
                }
                Err(error) => return shared.end(Some(error)),
            }
            tokio::select! {
                () = signal.heard() => {}
                () = shared.wake.notified() => {}
                () = tokio::time::sleep(LOOK_PAUSE) => {}
            }
        }
    }

    /// Fetches what there is room for, until there is nothing; `false` after the end.
    async fn fetch(&self, topic: &Topic, signal: &mut Signal) -> Result<bool> {
        let shared = &self.ending.0;
        let consumer = GroupConsumer::new(topic, &self.group);
        loop {
            signal.listen(&topic.node)?;
            let now = time(&topic.node)?;
            if shared.room(now).is_none() {
                return Ok(false);
            }
            let has_more = self.look(&consumer, now).await?;
            let Some(room) = shared.room(now) else { return Ok(false) };
            if room == 0 || !has_more {
                return Ok(true);
            }
            let messages = consumer.fetch(room, shared.within, shared.start).await?;
            if messages.is_empty() {
                return Ok(true);
            }
            shared.add(messages, now);
        }
    }

    /// Looks what the group has: what of this consumer's is done, and whether a fetch would be given
    /// something, since each takes a place in the log. Where nothing is logged log time stands still, so
    /// the clock may ask, too.
    async fn look(&self, consumer: &GroupConsumer, now: Time) -> Result<bool> {
        let next = consumer.topic.head().await?.next;
        let (state, log_time) = consumer.state_at().await?;
        let Some(GroupState { next: given_next, given, .. }) = state else { return Ok(true) };
        let me = consumer.topic.node.running()?.topics.keys()?.public().peer_id();
        let is_mine = |position| given.get(&position).is_some_and(|held| held.consumer == me);
        self.ending.0.keep(is_mine);
        Ok(given_next < next || given.values().any(|held| held.deadline <= now.max(log_time)))
    }
}
