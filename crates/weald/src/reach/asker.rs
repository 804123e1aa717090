//! Asking whoever can serve a question: drives the [`Router`].

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock, Weak},
    time::{Duration, Instant},
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    runtime::Handle,
    sync::{Notify, watch},
};
use weald_cluster::routing::{
    Answer, BreakerState, Counters, Input, Map, Output, Part, Purpose, Reply, Request, RouteError,
    Router, Submit, Ticket, Version,
};
use weald_core::{
    CallError, Digest, PartitionId, PeerId, PlacementKey, Refusal, Request as Call, Service, Time,
    Transport,
};

use super::{limits::ASTRAY_PAUSE, message::Wire, server::Server};
use crate::members::Caller;

/// How a question ended.
pub(super) type Ended = Result<Bytes, RouteError>;

/// Asks questions until there is an answer, or their deadline. What this node can answer itself it
/// asks itself.
pub(super) struct Asker {
    me: PeerId,
    state: Mutex<State>,
    transport: Arc<dyn Transport>,
    /// Answers what is sent to the node itself.
    home: OnceLock<Weak<Server>>,
    runtime: Handle,
    steady: Steady,
    /// Wakes the keeper of time.
    wake: Arc<Notify>,
    /// Tells when a node could not be asked.
    unreached: Arc<Notify>,
    /// The network's genesis, once it is known.
    network: watch::Sender<Option<Digest>>,
}

struct State {
    router: Router,
    asked: BTreeMap<Ticket, Asked>,
    next: Ticket,
    /// How often a breaker has opened.
    breaker_openings: u64,
    /// When the keeper of time looks again; `None` when it sleeps until it is woken.
    alarm: Option<Time>,
    /// The runtime is gone: nobody keeps time, and nobody answers.
    is_over: bool,
}

struct Asked {
    service: Service,
    purpose: Purpose,
    payload: Bytes,
    deadline: Instant,
    caller: Caller<Ended>,
}

/// A question to be asked.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) service: Service,
    pub(super) purpose: Purpose,
    pub(super) payload: Bytes,
    pub(super) deadline: Instant,
    /// Who is asked only if nobody else is left.
    pub(super) tried: Vec<PeerId>,
}

/// What is to be done outside the lock.
enum Todo {
    Send {
        peer: PeerId,
        request: Request,
        service: Service,
        deadline: Instant,
    },
    /// Nobody took it, and members may be on the move.
    Again(Ask, Caller<Ended>),
    Tell(Caller<Ended>, Ended),
}

/// A clock that never goes back.
#[derive(Clone, Copy, Debug)]
struct Steady(Instant);

impl Steady {
    fn now(self) -> Time {
        self.at(Instant::now())
    }

    fn at(self, instant: Instant) -> Time {
        Time::ZERO.after(instant.saturating_duration_since(self.0))
    }

    fn until(self, time: Time) -> Duration {
        let at = self.0 + Duration::from_millis(time.as_millis());
        at.saturating_duration_since(Instant::now())
    }
}

impl Asker {
    /// An asker that knows no map yet.
    pub(super) fn start(
        router: Router,
        transport: Arc<dyn Transport>,
        runtime: Handle,
    ) -> Arc<Self> {
        let state = State {
            router,
            asked: BTreeMap::new(),
            next: Ticket::default(),
            breaker_openings: 0,
            alarm: None,
            is_over: false,
        };
        let wake = Arc::new(Notify::new());
        let asker = Arc::new(Self {
            me: transport.local_peer(),
            state: Mutex::new(state),
            transport,
            home: OnceLock::new(),
            runtime,
            steady: Steady(Instant::now()),
            wake: Arc::clone(&wake),
            unreached: Arc::default(),
            network: watch::Sender::new(None),
        });
        asker.runtime.spawn(keep_time(Ending(Arc::downgrade(&asker)), wake));
        asker
    }

    /// From now on `server` answers what this node asks itself.
    pub(super) fn set_home(&self, server: &Arc<Server>) {
        let is_first = self.home.set(Arc::downgrade(server)).is_ok();
        assert!(is_first, "a node has one server");
    }

    /// Asks. The caller is told once, by the deadline, or dropped when the runtime ends.
    pub(super) fn ask(self: &Arc<Self>, ask: Ask, caller: Caller<Ended>) {
        let Ask { service, purpose, payload, deadline, tried } = ask;
        let mut late = None;
        self.step(|state, now| {
            if state.is_over {
                late = Some(caller);
                return;
            }
            let ticket = state.next;
            state.next = Ticket(ticket.0 + 1);
            let asked = Asked { service, purpose, payload: payload.clone(), deadline, caller };
            state.asked.insert(ticket, asked);
            let deadline = self.steady.at(deadline);
            let submit = Submit { tried, ..Submit::new(ticket, purpose, payload, deadline) };
            state.router.handle(now, Input::Submit(submit));
        });
        // Outside the lock: whoever is let go may ask something else.
        drop(late);
    }

    /// Takes a map that was computed from committed state.
    pub(super) fn adopt(self: &Arc<Self>, map: Map) {
        self.step(|state, now| state.router.handle(now, Input::Map(Box::new(map))));
    }

    /// Lets all callers go. Threads that wait for an answer outside the runtime would wait for ever.
    fn end(&self) {
        let mut state = self.state.lock();
        state.is_over = true;
        let asked = std::mem::take(&mut state.asked);
        drop(state);
        drop(asked);
    }

    /// A peer is gone: what it was asked will not be answered.
    pub(super) fn lose(self: &Arc<Self>, peer: PeerId) {
        self.step(|state, now| state.router.handle(now, Input::Disconnected(peer)));
    }

    /// This node.
    pub(super) fn me(&self) -> PeerId {
        self.me
    }

    /// The network.
    pub(super) fn transport(&self) -> &Arc<dyn Transport> {
        &self.transport
    }

    /// The network's genesis, once it is known.
    pub(super) fn network(&self) -> &watch::Sender<Option<Digest>> {
        &self.network
    }

    /// What runs tasks.
    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// The partition that is believed to have `key`.
    pub(super) fn partition(&self, key: PlacementKey) -> PartitionId {
        self.state.lock().router.map().partition(key)
    }

    /// What is known of the partition that has `key`.
    pub(super) fn part(&self, key: PlacementKey) -> Part {
        self.state.lock().router.map().part(key)
    }

    /// Whether it is known where partitions are. Before that a node may have members, after a restart,
    /// and cannot tell which of them has a key.
    pub(super) fn has_map(&self) -> bool {
        self.with_map(|map| map.version() > Version::default())
    }

    /// Looks at all that is known.
    pub(super) fn with_map<T>(&self, look: impl FnOnce(&Map) -> T) -> T {
        look(self.state.lock().router.map())
    }

    /// Nodes of the network and who coordinates partitions, as far as is known.
    pub(super) fn nodes(&self) -> BTreeSet<PeerId> {
        self.with_map(|map| {
            let coordinators = map.partitions().into_keys().filter_map(|id| map.coordinator(id));
            map.nodes().copied().chain(coordinators).collect()
        })
    }

    /// Tells when a node could not be asked.
    pub(super) fn unreached(&self) -> &Arc<Notify> {
        &self.unreached
    }

    /// What the router has counted.
    pub(super) fn counters(&self) -> Counters {
        self.state.lock().router.counters()
    }

    /// The breakers that are not closed.
    pub(super) fn breakers(&self) -> Vec<(PeerId, PartitionId, BreakerState)> {
        self.state.lock().router.breakers().collect()
    }

    /// How often a breaker has opened.
    pub(super) fn breaker_openings(&self) -> u64 {
        self.state.lock().breaker_openings
    }

    fn alarm(&self) -> Option<Duration> {
        let mut state = self.state.lock();
        state.alarm = state.router.poll_timeout();
        state.alarm.map(|due| self.steady.until(due))
    }

    /// Hands an input to the router and does what it wants done.
    fn step(self: &Arc<Self>, input: impl FnOnce(&mut State, Time)) {
        let mut todo = Vec::new();
        let mut state = self.state.lock();
        input(&mut state, self.steady.now());
        while let Some(output) = state.router.poll_output() {
            todo.extend(state.take(output));
        }
        let due = state.router.poll_timeout();
        let is_earlier = due.is_some_and(|due| state.alarm.is_none_or(|alarm| due < alarm));
        if is_earlier {
            state.alarm = due;
        }
        drop(state);
        if is_earlier {
            self.wake.notify_one();
        }
        for one in todo {
            self.carry_out(one);
        }
    }

    fn carry_out(self: &Arc<Self>, todo: Todo) {
        match todo {
            Todo::Tell(caller, ended) => caller.tell(ended),
            Todo::Again(ask, caller) => {
                let asker = Arc::clone(self);
                self.runtime.spawn(async move {
                    tokio::time::sleep(ASTRAY_PAUSE).await;
                    asker.ask(ask, caller);
                });
            }
            Todo::Send { peer, request, service, deadline } if peer == self.me => {
                self.ask_at_home(service, request, deadline);
            }
            Todo::Send { peer, request, service, deadline } => {
                let (ticket, attempt) = (request.ticket, request.attempt);
                let left = deadline.saturating_duration_since(Instant::now());
                let call = Call::new(service, request.to_wire(), left);
                let calling = self.transport.call(peer, call);
                let asker = Arc::clone(self);
                self.runtime.spawn(async move {
                    let answered = calling.await;
                    asker.answered(peer, (ticket, attempt), answered);
                });
            }
        }
    }

    fn ask_at_home(self: &Arc<Self>, service: Service, request: Request, deadline: Instant) {
        let (me, ticket, attempt) = (self.me, request.ticket, request.attempt);
        let Some(server) = self.home.get().and_then(Weak::upgrade) else {
            self.step(|state, now| state.router.handle(now, Input::NotSent { ticket, attempt }));
            return;
        };
        let asker = Arc::clone(self);
        let caller = Caller::function(move |answer: Result<Reply, Refusal>| match answer {
            Ok(reply) => asker.replied(me, reply),
            Err(refusal) => asker.answered(me, (ticket, attempt), Err(CallError::Refused(refusal))),
        });
        server.serve(service, request, deadline, caller);
    }

    fn answered(
        self: &Arc<Self>,
        peer: PeerId,
        (ticket, attempt): (Ticket, u32),
        answered: Result<Bytes, CallError>,
    ) {
        match answered.map(|bytes| Reply::from_wire(&bytes)) {
            Ok(Ok(reply)) => self.replied(peer, reply),
            Ok(Err(error)) => {
                // It may have done what it was asked, whatever it says.
                tracing::warn!(target: "weald::reach", %peer, %error, "an answer does not decode");
                self.replied(peer, Reply { ticket, attempt, answer: Answer::Unknown });
            }
            Err(error) if error.may_have_run() => {
                self.replied(peer, Reply { ticket, attempt, answer: Answer::Unknown });
            }
            Err(_) => {
                self.unreached.notify_one();
                self.step(|state, now| {
                    state.router.handle(now, Input::NotSent { ticket, attempt });
                });
            }
        }
    }

    fn replied(self: &Arc<Self>, peer: PeerId, reply: Reply) {
        self.step(|state, now| state.router.handle(now, Input::Reply { peer, reply }));
    }
}

impl State {
    fn take(&mut self, output: Output) -> Option<Todo> {
        match output {
            Output::Send { peer, request } => {
                let asked = self.asked.get(&request.ticket)?;
                self.tell_sent(peer, &request);
                let (service, deadline) = (asked.service, asked.deadline);
                Some(Todo::Send { peer, request, service, deadline })
            }
            Output::Done { ticket, result } => {
                if let Err(error) = &result {
                    tracing::debug!(target: "weald::reach", request = ticket.0, %error, "no answer");
                }
                Some(self.asked.remove(&ticket)?.ended(result))
            }
            Output::Breaker { peer, partition, state } => {
                if matches!(state, BreakerState::Open { .. }) {
                    self.breaker_openings += 1;
                }
                tracing::debug!(target: "weald::reach", %peer, %partition, ?state, "breaker");
                None
            }
        }
    }

    /// Who was chosen, and whether that was known beforehand; what is asked is not told.
    fn tell_sent(&self, peer: PeerId, request: &Request) {
        let Request { ticket, attempt, partition, hops, .. } = request;
        if *hops > 0 {
            tracing::debug!(
                target: "weald::reach", request = ticket.0, attempt, hops, %partition, %peer,
                "a redirected request is sent"
            );
            return;
        }
        tracing::trace!(
            target: "weald::reach", request = ticket.0, attempt, %partition, %peer,
            is_coordinator_known = self.router.map().coordinator(*partition).is_some(),
            "a request is sent"
        );
    }
}

impl Asked {
    /// What becomes of a question that has ended. One that went astray, so that nobody has taken it,
    /// is asked anew: the nodes that sent it in circles learn who is a member, as this one does. So
    /// is one for which nobody was known: a node that has just started computes its map soon.
    fn ended(self, result: Ended) -> Todo {
        let Self { service, purpose, payload, deadline, caller } = self;
        let is_astray =
            matches!(result, Err(RouteError::TooManyHops { .. } | RouteError::NoRoute { .. }));
        if is_astray && Instant::now() + ASTRAY_PAUSE < deadline {
            let ask = Ask { service, purpose, payload, deadline, tried: Vec::new() };
            return Todo::Again(ask, caller);
        }
        Todo::Tell(caller, result)
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        self.wake.notify_one();
    }
}

/// Tells the router that time has passed, for as long as there is one.
///
/// The guard is made before this is first polled, which a runtime that ends at once never does.
async fn keep_time(ending: Ending, wake: Arc<Notify>) {
    let asker = &ending.0;
    loop {
        let Some(left) = asker.upgrade().map(|asker| asker.alarm()) else { return };
        match left {
            // Woken or not: the router is told the time.
            Some(left) => drop(tokio::time::timeout(left, wake.notified()).await),
            None => wake.notified().await,
        }
        let Some(asker) = asker.upgrade() else { return };
        asker.step(|state, now| state.router.handle(now, Input::Timeout));
    }
}

/// Ends the asker when its keeper of time is dropped, as it is with the runtime.
struct Ending(Weak<Asker>);

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(asker) = self.0.upgrade() {
            asker.end();
        }
    }
}

#[cfg(test)]
mod tests;
