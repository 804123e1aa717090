//! Publishing to one topic: drives the [`Publisher`] of this node.
//!
//! Messages are signed in the caller's task and wait in the machine; one task brings them to the
//! topic, as many as wait in one action. What is not answered is sent again, byte for byte. With the
//! policy `Available` it is kept on the disk meanwhile and answered as queued.

mod queueing;

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, oneshot};
use weald_core::{Action, Clock, PeerId, Time, identity::KeyStore};
use weald_pubsub::{
    self as pubsub, BatchMode, MessageId, OutboxError, PublishAnswer, Published, Publisher,
    PublisherInput, PublisherOutput, PublisherRecord, PublisherSequence, Skip, TopicPolicy,
    TopicRefusal, WorkRule,
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
use queueing::Queueing;
pub(super) use queueing::Run;

/// How long a run may be without a message: the topic remembers it longer.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(30 * 60);
/// What a lifetime of "as long as allowed" falls short of that, since clocks differ.
const MARGIN: Duration = Duration::from_secs(60);

/// Where the fate of a message is told.
type Waiter = oneshot::Sender<Result<PublishReceipt>>;

/// A message that was taken, or why the policy refuses it.
type Taken = std::result::Result<oneshot::Receiver<Result<PublishReceipt>>, TopicRefusal>;

/// An attempt under way.
type Bringing = Pin<Box<dyn Future<Output = PublisherInput> + Send>>;

/// The node's publisher of one topic.
pub(super) struct Publishing {
    code: pubsub::Topic,
    policy: Arc<TopicPolicy>,
    keys: Arc<dyn KeyStore>,
    clock: Arc<dyn Clock>,
    /// `None` where nothing is queued.
    queueing: Option<Queueing>,
    state: Mutex<State>,
    wake: Notify,
}

struct State {
    machine: Publisher,
    waiters: BTreeMap<PublisherSequence, (MessageId, Waiter)>,
    /// What is to be kept, and then brought to the topic.
    records: Vec<PublisherRecord>,
    action: Option<Action>,
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
    pub(super) fn start(topic: &Topic, keys: Arc<dyn KeyStore>, run: Run) -> Arc<Self> {
        let clock = topic.node.running().map(|running| Arc::clone(&running.clock));
        let clock = clock.unwrap_or_else(|_| Arc::new(crate::node::SystemClock));
        let (machine, queueing, is_over) = run.begin(topic.address());
        let state = State {
            machine: machine.working(topic.policy.work),
            waiters: BTreeMap::new(),
            records: Vec::new(),
            action: None,
            used_at: clock.now(),
            is_over,
        };
        let publishing = Arc::new(Self {
            code: topic.code,
            policy: Arc::clone(&topic.policy),
            keys,
            clock,
            queueing,
            state: Mutex::new(state),
            wake: Notify::new(),
        });
        let ending = Ending(Arc::clone(&publishing));
        tokio::spawn(run_on(ending, Distant::of(&topic.node)));
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

    /// Publishes messages in order and waits for their fates; `None` when it has ended and took none.
    pub(super) async fn publish(
        self: &Arc<Self>,
        bodies: Vec<Bytes>,
        expires_in: Option<Duration>,
        timeout: Duration,
    ) -> Result<Option<Vec<Result<PublishReceipt>>>> {
        let ttl = lifetime(&self.policy, expires_in);
        let asks_for_work = |rule: &WorkRule| bodies.iter().any(|b| b.len() > rule.above_bytes);
        let receivers = match self.policy.work.as_ref().is_some_and(asks_for_work) {
            true => {
                let publishing = Arc::clone(self);
                blocking(move || publishing.take(bodies, ttl)).await??
            }
            false => self.take(bodies, ttl)?,
        };
        let Some(receivers) = receivers else { return Ok(None) };
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
        Ok(Some(results))
    }

    /// Signs messages and gives them their sequences; what the policy refuses has none. `None` after
    /// the end.
    fn take(&self, bodies: Vec<Bytes>, ttl: Duration) -> Result<Option<Vec<Taken>>> {
        let now = self.clock.now();
        let mut state = self.state.lock();
        if state.is_over {
            return Ok(None);
        }
        state.check_room(&bodies)?;
        if let Some(queueing) = &self.queueing {
            queueing.hold(&bodies)?;
        }
        state.used_at = now;
        let taken = self.take_all(&mut state, bodies, (now, ttl));
        self.settle_room(&state);
        taken.map(Some)
    }

    fn take_all(
        &self,
        state: &mut State,
        bodies: Vec<Bytes>,
        (now, ttl): (Time, Duration),
    ) -> Result<Vec<Taken>> {
        let publisher = self.keys.public().peer_id();
        let mut receivers = Vec::with_capacity(bodies.len());
        for body in bodies {
            if let Err(refusal) = checked(&self.policy, &publisher, &body) {
                receivers.push(Err(refusal));
                continue;
            }
            let taken = state.machine.publish(now, (body, ttl), &*self.keys);
            let (sequence, id) = taken.map_err(|error| match error {
                OutboxError::Full { .. } => full(&error),
                OutboxError::Key(error) => key_error(error),
            })?;
            let (sender, receiver) = oneshot::channel();
            state.waiters.insert(sequence, (id, sender));
            receivers.push(Ok(receiver));
        }
        Ok(receivers)
    }

    /// Takes what has come of an attempt.
    fn handle(&self, input: PublisherInput) {
        let now = self.clock.now();
        let mut state = self.state.lock();
        state.is_over |= is_end_of_run(&input);
        state.machine.handle(now, input);
    }

    /// Gives back the room of what does not wait any more.
    fn settle_room(&self, state: &State) {
        if let Some(queueing) = &self.queueing {
            queueing.settle(state.machine.outbox());
        }
    }

    /// The next thing to keep, or to bring to the topic; fates that are certain are told on the way.
    fn poll(&self) -> Polled {
        let now = self.clock.now();
        let mut state = self.state.lock();
        state.machine.handle_timeout(now);
        while let Some(output) = state.machine.poll_output() {
            match output {
                PublisherOutput::Publish(messages) => {
                    state.action = Some(self.code.publish(messages, BatchMode::Each));
                }
                PublisherOutput::Skip(incarnation, sequence) => {
                    let skip =
                        Skip::sign(self.code.address(), (incarnation, sequence), &*self.keys);
                    match skip {
                        Ok(skip) => state.action = Some(self.code.skip(vec![skip])),
                        // The key may sign later.
                        Err(_) => state.machine.handle(now, PublisherInput::Unreachable),
                    }
                }
                PublisherOutput::Settled(sequence, result) => {
                    self.settle(&mut state, sequence, result)
                }
                PublisherOutput::Queued(sequence) => self.queue(&mut state, sequence),
                PublisherOutput::Persist(record) => state.records.push(record),
            }
        }
        self.settle_room(&state);
        if !state.records.is_empty() {
            return Polled::Keep(std::mem::take(&mut state.records));
        }
        if let Some(action) = state.action.take() {
            return Polled::Bring(action);
        }
        if state.is_over && state.machine.outbox().is_empty() {
            return Polled::Over;
        }
        let left = state.machine.poll_timeout().map(|at| at.since(now));
        Polled::Wait(left.unwrap_or(SLEEP_MAX).min(SLEEP_MAX))
    }

    /// Tells the fate of a message.
    fn settle(
        &self,
        state: &mut State,
        sequence: PublisherSequence,
        result: std::result::Result<Published, TopicRefusal>,
    ) {
        let Some((_, waiter)) = state.waiters.remove(&sequence) else {
            return self.settled_unheard(sequence, &result);
        };
        let incarnation = state.machine.outbox().incarnation();
        let receipt = |Published { id, position, .. }| PublishReceipt {
            id,
            incarnation,
            sequence,
            position: Some(position),
        };
        // Who has stopped waiting is not told.
        waiter.send(result.map(receipt).map_err(not_known_there)).ok();
    }

    /// The fate of a message that was queued is certain.
    fn settled_unheard(
        &self,
        sequence: PublisherSequence,
        result: &std::result::Result<Published, TopicRefusal>,
    ) {
        let Some(queueing) = &self.queueing else { return };
        queueing.count(result.is_ok());
        if let Err(refusal) = result {
            let topic = self.code.address().topic;
            tracing::warn!(target: "weald::topic", %topic, %sequence, %refusal, "a queued message is given up");
        }
    }

    fn queue(&self, state: &mut State, sequence: PublisherSequence) {
        let Some((id, waiter)) = state.waiters.remove(&sequence) else { return };
        if let Some(queueing) = &self.queueing {
            queueing.count_queued();
        }
        let incarnation = state.machine.outbox().incarnation();
        waiter.send(Ok(PublishReceipt { id, incarnation, sequence, position: None })).ok();
    }
}

/// What is to be done.
enum Polled {
    Keep(Vec<PublisherRecord>),
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
            true => {
                let (messages, bytes) = (outbox.len(), outbox.bytes());
                Err(full(&OutboxError::Full { messages, bytes }))
            }
            false => Ok(()),
        }
    }
}

/// Ends the publishing when its task does, as with the runtime.
struct Ending(Arc<Publishing>);

impl Drop for Ending {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.is_over = true;
        state.waiters.clear();
        if let Some(queueing) = &self.0.queueing {
            queueing.let_go();
        }
    }
}

async fn run_on(publishing: Ending, node: Distant) {
    let publishing = &publishing.0;
    let mut bringing: Option<Bringing> = None;
    loop {
        match publishing.poll() {
            Polled::Keep(records) => publishing.keep(records).await,
            Polled::Bring(action) => {
                let Some(node) = node.near() else { return };
                match publishing.queueing {
                    // What comes meanwhile waits for the answer, and shares the next action.
                    None => publishing.handle(bring(node, action).await),
                    Some(_) => bringing = Some(Box::pin(bring(node, action))),
                }
            }
            Polled::Wait(left) => {
                if bringing.is_none() && node.near().is_none() {
                    return;
                }
                tokio::select! {
                    input = brought(&mut bringing) => {
                        bringing = None;
                        publishing.handle(input);
                    }
                    // Woken or not: the machine is asked.
                    () = publishing.wake.notified() => {}
                    () = tokio::time::sleep(left) => {}
                }
            }
            Polled::Over => return publishing.put_away().await,
        }
    }
}

/// What has come of the attempt that is under way.
async fn brought(bringing: &mut Option<Bringing>) -> PublisherInput {
    match bringing {
        Some(bringing) => bringing.await,
        None => std::future::pending().await,
    }
}

/// Whether the topic does not know the run any more: it may have begun anew under its name, or has
/// forgotten it for newer ones.
fn is_end_of_run(input: &PublisherInput) -> bool {
    match input {
        PublisherInput::Refused(refusal) => *refusal == TopicRefusal::Deleted,
        PublisherInput::Answered(results) => results.contains(&Err(TopicRefusal::Forgotten)),
        _ => false,
    }
}

/// Brings an action to the topic and says what has come of it.
async fn bring(node: Weald, action: Action) -> PublisherInput {
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

/// Refuses early what a topic would refuse.
pub(super) fn checked(
    policy: &TopicPolicy,
    publisher: &PeerId,
    body: &Bytes,
) -> std::result::Result<(), TopicRefusal> {
    let wide = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
    let (bytes, max) = (body.len(), policy.body_bytes_max);
    if bytes > max {
        return Err(TopicRefusal::TooLarge { bytes: wide(bytes), max: wide(max) });
    }
    match policy.publishers.allows(publisher) {
        true => Ok(()),
        false => Err(TopicRefusal::Denied),
    }
}

/// How long a message is delivered.
pub(super) fn lifetime(policy: &TopicPolicy, expires_in: Option<Duration>) -> Duration {
    let max = policy.ttl_max;
    expires_in.unwrap_or_else(|| max - MARGIN.min(max / 8))
}

/// The error of an outbox without room.
pub(super) fn full(error: &OutboxError) -> Error {
    let what = format!("too many messages wait for the topic: {error}");
    Error::caused(ErrorKind::Busy, what, error.clone())
}

/// The error of a message that is not in the topic, as far as that is known.
fn not_known_there(refusal: TopicRefusal) -> Error {
    match refusal {
        TopicRefusal::Forgotten => {
            let what = "the topic may have had the message, and does not retain it";
            Error::caused(ErrorKind::Unknown, what, refusal)
        }
        refusal => refused(refusal),
    }
}

fn uncertain() -> Error {
    let what = "the deadline passed; the message is brought to the topic until its fate is certain";
    Error::new(ErrorKind::Unknown, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Effect;

    #[test]
    fn only_a_message_that_the_topic_surely_does_not_have_is_told_as_refused() {
        let cases = [
            (TopicRefusal::Forgotten, ErrorKind::Unknown, Effect::Unknown),
            (TopicRefusal::IdReused, ErrorKind::Invalid, Effect::None),
            (TopicRefusal::Deleted, ErrorKind::NotFound, Effect::None),
        ];
        for (refusal, kind, effect) in cases {
            let error = not_known_there(refusal);
            assert_eq!((error.kind(), error.effect()), (kind, effect), "{error}");
        }
    }
}
