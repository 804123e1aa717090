//! Publishing to one topic: drives the [`Publisher`] of this node.
//!
//! Messages are signed in the caller's task and wait in the machine; one task brings them to the
//! topic, as many as wait in one action. What is not answered is sent again, byte for byte.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, oneshot};
use weald_core::{Action, Clock, Time, identity::KeyStore};
use weald_pubsub::{
    self as pubsub, Availability, BatchMode, Incarnation, MessageId, PublishAnswer, Published,
    Publisher, PublisherInput, PublisherOutput, PublisherSequence, Skip, TopicPolicy, TopicRefusal,
    WorkRule,
    limits::{OUTBOX_BYTES_MAX, OUTBOX_MESSAGES_MAX},
};

use super::{
    PublishReceipt, Topic,
    error::{refusal_of, refused},
    handle::key_error,
    limits::{ATTEMPT_MAX, SLEEP_MAX},
};
use crate::{
    Error, ErrorKind, Result, Weald,
    node::{Running, blocking, closed},
    write::{WriteOptions, undecodable},
};

/// How long a run may be without a message: the topic remembers it longer.
const IDLE_MAX: Duration = Duration::from_secs(30 * 60);
/// What a lifetime of "as long as allowed" falls short of that, since clocks differ.
const MARGIN: Duration = Duration::from_secs(60);

/// Where the fate of a message is told.
type Waiter = oneshot::Sender<Result<PublishReceipt>>;

/// The node's publisher of one topic.
pub(super) struct Publishing {
    code: pubsub::Topic,
    policy: Arc<TopicPolicy>,
    keys: Arc<dyn KeyStore>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    wake: Notify,
}

struct State {
    machine: Publisher,
    waiters: BTreeMap<PublisherSequence, (MessageId, Waiter)>,
    used_at: Time,
    is_over: bool,
}

/// A node that may have ended.
pub(super) struct Distant(Weak<RwLock<Option<Arc<Running>>>>);

impl Distant {
    pub(super) fn of(node: &Weald) -> Self {
        Self(node.downgrade())
    }

    /// Whether somebody holds the node, closed or not.
    pub(super) fn is_held(&self) -> bool {
        self.0.strong_count() > 0
    }

    /// The node, if it lives and is not closed.
    pub(super) fn near(&self) -> Option<Weald> {
        let node = Weald::upgraded(&self.0)?;
        node.running().is_ok().then_some(node)
    }
}

impl Publishing {
    /// Starts publishing on the runtime that this is called in.
    pub(super) fn start(
        topic: &Topic,
        keys: Arc<dyn KeyStore>,
        incarnation: Incarnation,
    ) -> Arc<Self> {
        let clock = topic.node.running().map(|running| Arc::clone(&running.clock));
        let clock = clock.unwrap_or_else(|_| Arc::new(crate::node::SystemClock));
        // What is queued is promised to outlive the process, and nothing here does.
        let machine = Publisher::new(*topic.address(), Availability::Consistent, incarnation);
        let machine = machine.working(topic.policy.work);
        let state =
            State { machine, waiters: BTreeMap::new(), used_at: clock.now(), is_over: false };
        let publishing = Arc::new(Self {
            code: topic.code,
            policy: Arc::clone(&topic.policy),
            keys,
            clock,
            state: Mutex::new(state),
            wake: Notify::new(),
        });
        let ending = Ending(Arc::clone(&publishing));
        tokio::spawn(run(ending, Distant::of(&topic.node)));
        publishing
    }

    pub(super) fn now(&self) -> Time {
        self.clock.now()
    }

    /// Whether it takes more: its task runs, and the topic still knows its run.
    pub(super) fn is_usable(&self, now: Time) -> bool {
        let state = self.state.lock();
        let is_fresh = now.since(state.used_at) < IDLE_MAX || !state.machine.outbox().is_empty();
        !state.is_over && is_fresh
    }

    /// Whether nothing waits.
    pub(super) fn is_idle(&self) -> bool {
        self.state.lock().machine.outbox().is_empty()
    }

    /// Ends it once nothing waits any more; at once where the node is gone.
    pub(super) fn end(&self) {
        self.state.lock().is_over = true;
        self.wake.notify_one();
    }

    /// Publishes messages in order and waits for their fates.
    pub(super) async fn publish(
        self: &Arc<Self>,
        bodies: Vec<Bytes>,
        expires_in: Option<Duration>,
        timeout: Duration,
    ) -> Result<Vec<Result<PublishReceipt>>> {
        let ttl_max = self.policy.ttl_max;
        let ttl = expires_in.unwrap_or_else(|| ttl_max - MARGIN.min(ttl_max / 8));
        let asks_for_work = |rule: &WorkRule| bodies.iter().any(|b| b.len() > rule.above_bytes);
        let receivers = match self.policy.work.as_ref().is_some_and(asks_for_work) {
            true => {
                let publishing = Arc::clone(self);
                blocking(move || publishing.take(bodies, ttl)).await??
            }
            false => self.take(bodies, ttl)?,
        };
        self.wake.notify_one();
        let until = tokio::time::Instant::now() + timeout;
        let mut results = Vec::with_capacity(receivers.len());
        for receiver in receivers {
            results.push(match receiver {
                Err(refusal) => Err(refused(refusal)),
                Ok(receiver) => match tokio::time::timeout_at(until, receiver).await {
                    Ok(Ok(result)) => result,
                    Ok(Err(_)) => Err(closed()),
                    Err(_) => Err(uncertain()),
                },
            });
        }
        Ok(results)
    }

    /// Signs messages and gives them their sequences; what the policy refuses has none.
    fn take(
        &self,
        bodies: Vec<Bytes>,
        ttl: Duration,
    ) -> Result<Vec<std::result::Result<oneshot::Receiver<Result<PublishReceipt>>, TopicRefusal>>>
    {
        let now = self.clock.now();
        let mut state = self.state.lock();
        if state.is_over {
            return Err(closed());
        }
        state.check_room(&bodies)?;
        state.used_at = now;
        let mut receivers = Vec::with_capacity(bodies.len());
        for body in bodies {
            if let Err(refusal) = self.check(&body) {
                receivers.push(Err(refusal));
                continue;
            }
            let taken = state.machine.publish(now, (body, ttl), &*self.keys);
            let (sequence, id) = taken.map_err(|error| match error {
                pubsub::OutboxError::Full { messages, bytes } => full(messages, bytes),
                pubsub::OutboxError::Key(error) => key_error(error),
            })?;
            let (sender, receiver) = oneshot::channel();
            state.waiters.insert(sequence, (id, sender));
            receivers.push(Ok(receiver));
        }
        Ok(receivers)
    }

    /// Refuses early what the topic would refuse.
    fn check(&self, body: &Bytes) -> std::result::Result<(), TopicRefusal> {
        let wide = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
        let (bytes, max) = (body.len(), self.policy.body_bytes_max);
        if bytes > max {
            return Err(TopicRefusal::TooLarge { bytes: wide(bytes), max: wide(max) });
        }
        if !self.policy.publishers.allows(&self.keys.public().peer_id()) {
            return Err(TopicRefusal::Denied);
        }
        Ok(())
    }

    /// Takes what has come of an attempt.
    fn handle(&self, input: PublisherInput) {
        let now = self.clock.now();
        self.state.lock().machine.handle(now, input);
    }

    /// The next thing to bring to the topic; fates that are certain are told on the way.
    fn poll(&self) -> Polled {
        let now = self.clock.now();
        let mut state = self.state.lock();
        state.machine.handle_timeout(now);
        while let Some(output) = state.machine.poll_output() {
            match output {
                PublisherOutput::Publish(messages) => {
                    return Polled::Bring(self.code.publish(messages, BatchMode::Each));
                }
                PublisherOutput::Skip(incarnation, sequence) => {
                    let skip =
                        Skip::sign(self.code.address(), (incarnation, sequence), &*self.keys);
                    match skip {
                        Ok(skip) => return Polled::Bring(self.code.skip(vec![skip])),
                        // The key may sign later.
                        Err(_) => state.machine.handle(now, PublisherInput::Unreachable),
                    }
                }
                PublisherOutput::Settled(sequence, result) => state.settle(sequence, result),
                PublisherOutput::Queued(sequence) => state.queue(sequence),
                PublisherOutput::Persist(_) => {}
            }
        }
        if state.is_over && state.machine.outbox().is_empty() {
            return Polled::Over;
        }
        let left = state.machine.poll_timeout().map(|at| at.since(now));
        Polled::Wait(left.unwrap_or(SLEEP_MAX).min(SLEEP_MAX))
    }
}

/// What is to be done.
enum Polled {
    Bring(Action),
    Wait(Duration),
    Over,
}

impl State {
    fn check_room(&self, bodies: &[Bytes]) -> Result<()> {
        let outbox = self.machine.outbox();
        let messages = outbox.len() + bodies.len();
        let bytes = outbox.bytes() + bodies.iter().map(Bytes::len).sum::<usize>();
        match messages > OUTBOX_MESSAGES_MAX || bytes > OUTBOX_BYTES_MAX {
            true => Err(full(outbox.len(), outbox.bytes())),
            false => Ok(()),
        }
    }

    fn settle(
        &mut self,
        sequence: PublisherSequence,
        result: std::result::Result<Published, TopicRefusal>,
    ) {
        let Some((_, waiter)) = self.waiters.remove(&sequence) else { return };
        let incarnation = self.machine.outbox().incarnation();
        let receipt = |Published { id, position, .. }| PublishReceipt {
            id,
            incarnation,
            sequence,
            position: Some(position),
        };
        // Who has stopped waiting is not told.
        waiter.send(result.map(receipt).map_err(refused)).ok();
    }

    fn queue(&mut self, sequence: PublisherSequence) {
        let Some((id, waiter)) = self.waiters.remove(&sequence) else { return };
        let incarnation = self.machine.outbox().incarnation();
        waiter.send(Ok(PublishReceipt { id, incarnation, sequence, position: None })).ok();
    }
}

/// Ends the publishing when its task does, as with the runtime.
struct Ending(Arc<Publishing>);

impl Drop for Ending {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.is_over = true;
        state.waiters.clear();
    }
}

async fn run(publishing: Ending, node: Distant) {
    let publishing = &publishing.0;
    loop {
        match publishing.poll() {
            Polled::Bring(action) => {
                let Some(node) = node.near() else { return };
                let input = bring(&node, action).await;
                let is_gone = input == PublisherInput::Refused(TopicRefusal::Deleted);
                publishing.handle(input);
                if is_gone {
                    // A topic that begins anew under the name knows nothing of this run.
                    publishing.state.lock().is_over = true;
                }
            }
            Polled::Wait(left) => {
                if node.near().is_none() {
                    return;
                }
                // Woken or not: the machine is asked.
                drop(tokio::time::timeout(left, publishing.wake.notified()).await);
            }
            Polled::Over => return,
        }
    }
}

/// Brings an action to the topic and says what has come of it.
async fn bring(node: &Weald, action: Action) -> PublisherInput {
    let options = WriteOptions { timeout: Some(ATTEMPT_MAX), ..WriteOptions::default() };
    let answer = match node.commit_actions(vec![action], options).await {
        Ok(reply) => reply
            .answer()
            .and_then(|bytes| PublishAnswer::decode(bytes).map_err(|error| undecodable(&error))),
        Err(error) => Err(error),
    };
    match answer {
        Ok(answer) => PublisherInput::Answered(answer.results),
        Err(error) => match refusal_of(&error) {
            Some(refusal) => PublisherInput::Refused(refusal),
            None => PublisherInput::Unreachable,
        },
    }
}

fn full(messages: usize, bytes: usize) -> Error {
    let what = format!("too many messages wait for the topic: messages={messages} bytes={bytes}");
    Error::new(ErrorKind::Busy, what)
}

fn uncertain() -> Error {
    let what = "the deadline passed; the message is brought to the topic until it expires";
    Error::new(ErrorKind::Unknown, what)
}
