//! Receiving a topic: drives the [`Subscriber`] of one subscription.
//!
//! One task carries out what the machine wants: streams from members, lease requests, the durable
//! cursor. The application takes events from the machine itself; what it has not taken bounds what
//! members send.

use std::{
    future::{Future, pending},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot, watch};
use weald_core::{Clock, PeerId};
use weald_pubsub::{
    BodyAnswer, LeaseRequest, Subscriber, SubscriberConfig, SubscriberId, SubscriberInput,
    SubscriberOutput, TopicAddress, TopicPosition,
};

use super::{
    Topic, TopicEvent,
    bookmark::Bookmark,
    limits::{FAREWELL_MAX, SLEEP_MAX},
    link::Link,
    publishing::Distant,
    serving::News,
};
use crate::{Error, ErrorKind, Result, node::closed};

mod acknowledging;
mod dialling;
#[cfg(feature = "http")]
mod farewell;
mod fetching;
mod keeping;
mod leasing;

pub(crate) use acknowledging::Acknowledging;
#[cfg(feature = "http")]
pub(crate) use farewell::Farewell;
pub(super) use fetching::BodyFigures;

/// Where a subscription begins.
pub(super) struct Start {
    /// Whose it is.
    pub(super) id: SubscriberId,
    /// The last position that was seen.
    pub(super) cursor: TopicPosition,
    /// The position that the topic's next message gets.
    pub(super) next: TopicPosition,
    /// The generation that the cursor is of; `None` for that of the first stream.
    pub(super) generation: Option<u64>,
}

/// A subscription that receives. Dropped, it unsubscribes.
pub(super) struct Receiving {
    shared: Arc<Shared>,
    topic: Topic,
    is_durable: bool,
    is_left: bool,
}

struct Shared {
    address: TopicAddress,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Wakes the task.
    wake: Notify,
    /// What is kept durably.
    kept: watch::Sender<Bookmark>,
}

struct State {
    machine: Subscriber,
    /// Who waits for an event.
    waker: Option<Waker>,
    /// Who waits for the topic's answer to a lease request of this nonce or a later one.
    renewing: Vec<(u64, oneshot::Sender<Result<()>>)>,
    /// Why nothing more comes; taken by the one who is told.
    ended: Option<Option<Error>>,
}

impl Receiving {
    /// Starts on the runtime that this is called in.
    pub(super) fn start(
        topic: &Topic,
        config: SubscriberConfig,
        start: Start,
        durable: Option<String>,
    ) -> Result<Self> {
        let running = topic.node.running()?;
        let clock = Arc::clone(&running.clock);
        let me = running.topics.keys()?.public().peer_id();
        let config = SubscriberConfig { near: Some(me), ..config };
        let (now, names) = (clock.now(), (start.id, topic.id()));
        let mut machine = Subscriber::new(config, names, start.cursor, now);
        machine.expect(start.next);
        let generation = start.generation.unwrap_or_default();
        machine.begin_in(generation);
        let state = State { machine, waker: None, renewing: Vec::new(), ended: None };
        let shared = Arc::new(Shared {
            address: *topic.address(),
            clock,
            state: Mutex::new(state),
            wake: Notify::new(),
            kept: watch::Sender::new(Bookmark { generation, position: start.cursor }),
        });
        let is_durable = durable.is_some();
        let task = Task {
            ending: Ending(Arc::clone(&shared)),
            topic: topic.distant(),
            node: Distant::of(&topic.node),
            id: start.id,
            me,
            members: Vec::new(),
            look_at: tokio::time::Instant::now(),
            link: None,
            dialling: None,
            is_doubted: false,
            leasing: None,
            next_lease: None,
            keeping: None,
            fetching: None,
            generation: start.generation,
            durable,
        };
        tokio::spawn(task.run());
        Ok(Self { shared, topic: topic.clone(), is_durable, is_left: false })
    }

    pub(super) fn last_seen(&self) -> TopicPosition {
        self.shared.state.lock().machine.last_seen()
    }

    pub(super) fn cursor(&self) -> TopicPosition {
        self.shared.state.lock().machine.cursor()
    }

    /// A hold on what is told, for whoever acknowledges it.
    pub(super) fn acknowledging(&self) -> Acknowledging {
        let (shared, topic) = (Arc::clone(&self.shared), self.topic.clone());
        Acknowledging { shared, topic, is_durable: self.is_durable }
    }

    pub(super) async fn renew(&self) -> Result<()> {
        let (sender, receiver) = oneshot::channel();
        {
            let mut state = self.shared.state.lock();
            state.machine.renew(self.shared.clock.now());
            let nonce = state.machine.lease_nonce();
            state.renewing.push((nonce, sender));
        }
        self.shared.wake.notify_one();
        self.answered(receiver).await
    }

    pub(super) async fn unsubscribe(mut self) -> Result<()> {
        self.is_left = true;
        let (sender, receiver) = oneshot::channel();
        self.shared.leave(Some(sender));
        self.answered(receiver).await
    }

    async fn answered(&self, receiver: oneshot::Receiver<Result<()>>) -> Result<()> {
        let timeout = self.topic.node.running()?.config.write_timeout;
        match tokio::time::timeout(timeout, receiver).await {
            Ok(answer) => answer.unwrap_or_else(|_| Err(closed())),
            Err(_) => Err(Error::new(ErrorKind::Unknown, "the topic has not answered in time")),
        }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<TopicEvent>>> {
        let mut state = self.shared.state.lock();
        let event = state.machine.poll_event();
        // There may be more room, or a body is to be fetched.
        if state.machine.has_outputs() {
            self.shared.wake.notify_one();
        }
        if let Some(event) = event {
            return Poll::Ready(Some(Ok(TopicEvent::of(&self.shared.address, event))));
        }
        if let Some(ended) = &mut state.ended {
            return Poll::Ready(ended.take().map(Err));
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        if !self.is_left {
            self.shared.leave(None);
        }
    }
}

impl std::fmt::Debug for Receiving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receiving").field("topic", &self.topic.id()).finish_non_exhaustive()
    }
}

impl Shared {
    fn handle(&self, input: SubscriberInput) {
        let now = self.clock.now();
        let mut state = self.state.lock();
        state.machine.handle(now, input);
        state.wake_up();
    }

    /// Nothing more comes.
    fn end(&self, error: Option<Error>) {
        let mut state = self.state.lock();
        state.ended.get_or_insert(error);
        state.wake_up();
    }

    /// Ends the subscription; `told` hears of the topic's answer.
    fn leave(&self, told: Option<oneshot::Sender<Result<()>>>) {
        let now = self.clock.now();
        let mut state = self.state.lock();
        if state.ended.is_some() {
            if let Some(told) = told {
                // There is nothing left to end; who has stopped waiting is not told.
                told.send(Ok(())).ok();
            }
            return;
        }
        // Those before do not wait for the answer to this.
        state.renewing.clear();
        state.machine.handle(now, SubscriberInput::Unsubscribe);
        let nonce = state.machine.lease_nonce();
        state.renewing.extend(told.map(|told| (nonce, told)));
        drop(state);
        self.wake.notify_one();
    }
}

impl State {
    /// Where a restart goes on.
    fn bookmark(&self) -> Bookmark {
        Bookmark { generation: self.machine.generation(), position: self.machine.cursor() }
    }

    fn wake_up(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Tells those whose request the one of `nonce` stands for; others have asked after it was made.
    fn tell_renewing(&mut self, nonce: u64, result: impl Fn() -> Result<()>) {
        for (_, waiting) in self.renewing.extract_if(.., |(wanted, _)| *wanted <= nonce) {
            // Who has stopped waiting is not told.
            waiting.send(result()).ok();
        }
    }
}

/// Ends the stream with its task, as with the runtime.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end(None);
        self.0.state.lock().renewing.clear();
    }
}

type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What the task has under way.
struct Task {
    ending: Ending,
    topic: super::handle::DistantTopic,
    node: Distant,
    id: SubscriberId,
    me: PeerId,
    /// The members that the machine was told of.
    members: Vec<PeerId>,
    /// When it is looked again who they are.
    look_at: tokio::time::Instant,
    link: Option<(PeerId, Link)>,
    dialling: Option<Pending<(PeerId, Result<Link>)>>,
    /// Whether a member has said that there is no such topic. It may lag.
    is_doubted: bool,
    leasing: Option<Pending<(u64, leasing::Answered)>>,
    /// The request that follows.
    next_lease: Option<LeaseRequest>,
    keeping: Option<Pending<Option<Bookmark>>>,
    /// A part of a body that was asked for, by its number.
    fetching: Option<Pending<(u64, BodyAnswer)>>,
    /// The generation of the topic's partition, as the last stream began with it, or as it was when
    /// the subscription was made that goes on here.
    generation: Option<u64>,
    /// The name under which the cursor is kept.
    durable: Option<String>,
}

/// What happens to the task.
enum Happened {
    News(PeerId, Option<News>),
    Leased((u64, leasing::Answered)),
    Kept(Option<Bookmark>),
    Body(u64, BodyAnswer),
    Dialled(PeerId, Result<Link>),
    Woken,
}

impl Task {
    async fn run(mut self) {
        let mut leaves_by = None;
        loop {
            if self.node.near().is_none() {
                return self.shared().end(Some(closed()));
            }
            self.look_at_members();
            let (left, is_over) = self.carry_out();
            if is_over {
                if self.leasing.is_none() && self.keeping.is_none() {
                    return;
                }
                let by =
                    *leaves_by.get_or_insert_with(|| tokio::time::Instant::now() + FAREWELL_MAX);
                if tokio::time::Instant::now() >= by {
                    return self.give_up_leasing();
                }
            }
            let happened = tokio::time::timeout(left, self.happened()).await;
            self.handle(happened.unwrap_or(Happened::Woken));
            if self.shared().state.lock().ended.is_some() {
                return;
            }
        }
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.ending.0
    }

    /// Carries out what the machine wants; how long it wants nothing more, and whether it is over.
    fn carry_out(&mut self) -> (Duration, bool) {
        let shared = Arc::clone(self.shared());
        let now = shared.clock.now();
        shared.state.lock().machine.handle_timeout(now);
        loop {
            let output = shared.state.lock().machine.poll_output();
            match output {
                Some(output) => self.carry(output),
                None => break,
            }
        }
        self.lease_on();
        self.keep_on();
        let state = shared.state.lock();
        let left = state.machine.poll_timeout().map_or(SLEEP_MAX, |at| at.since(now));
        (left.clamp(Duration::from_millis(1), SLEEP_MAX), state.machine.is_over())
    }

    fn carry(&mut self, output: SubscriberOutput) {
        match output {
            SubscriberOutput::Dial(member) => self.dial(member),
            SubscriberOutput::Hangup(_) => {
                self.link = None;
                self.dialling = None;
            }
            SubscriberOutput::Send(member, request) => {
                if let Some((_, link)) = self.link.as_ref().filter(|(peer, _)| *peer == member) {
                    link.send(request);
                }
            }
            SubscriberOutput::Fetch { number, member, request } => {
                self.fetch(number, (member, request));
            }
            SubscriberOutput::Refused { member, position } => self.refuse(member, position),
            SubscriberOutput::Lease(request) => self.next_lease = Some(request),
            // The machine's cursor is looked at.
            SubscriberOutput::Persist(_) => {}
        }
    }

    async fn happened(&mut self) -> Happened {
        let shared = Arc::clone(&self.ending.0);
        tokio::select! {
            (peer, news) = next_news(&mut self.link) => Happened::News(peer, news),
            answered = done(&mut self.leasing) => Happened::Leased(answered),
            kept = done(&mut self.keeping) => Happened::Kept(kept),
            (number, answer) = done(&mut self.fetching) => Happened::Body(number, answer),
            (peer, link) = done(&mut self.dialling) => Happened::Dialled(peer, link),
            () = shared.wake.notified() => Happened::Woken,
        }
    }

    fn handle(&mut self, happened: Happened) {
        match happened {
            Happened::News(peer, Some(News::Part(parcel))) => {
                self.is_doubted = false;
                self.shared().handle(SubscriberInput::Part(peer, parcel.open()));
            }
            Happened::News(peer, Some(News::Generation(generation))) => {
                self.told_generation(peer, generation);
            }
            Happened::News(peer, Some(News::Over(error))) => {
                self.is_doubted = error.kind() == ErrorKind::NotFound;
                self.lost(peer, &error);
            }
            Happened::News(peer, _) => self.lost(peer, &closed()),
            Happened::Leased(answered) => {
                self.leasing = None;
                self.leased(answered);
            }
            Happened::Kept(kept) => {
                self.keeping = None;
                self.kept(kept);
            }
            Happened::Body(number, answer) => {
                self.fetching = None;
                self.shared().handle(SubscriberInput::Body(number, answer));
            }
            Happened::Dialled(peer, dialled) => {
                self.dialling = None;
                self.dialled(peer, dialled);
            }
            Happened::Woken => {}
        }
    }
}

async fn next_news(link: &mut Option<(PeerId, Link)>) -> (PeerId, Option<News>) {
    match link {
        Some((peer, link)) => (*peer, link.news().await),
        None => pending().await,
    }
}

/// What is under way, once it is done.
async fn done<T>(under_way: &mut Option<Pending<T>>) -> T {
    match under_way {
        Some(under_way) => under_way.await,
        None => pending().await,
    }
}
