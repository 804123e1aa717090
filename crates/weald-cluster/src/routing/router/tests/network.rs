//! A network of scripted nodes around one router, in virtual time.

use std::collections::BTreeMap;

use weald_core::{Digest, Epoch, TransactionId};

use super::*;

/// How long a message is on its way.
pub(super) const DELAY: Duration = Duration::from_millis(1);

pub(super) fn peer(i: u8) -> PeerId {
    PeerId::from_digest(Digest::from_bytes([i; 32]))
}

pub(super) fn reign(number: u64, campaigner: u8) -> Reign {
    let epoch = Epoch { number, campaigner: Some(peer(campaigner)) };
    Reign { generation: 0, epoch }
}

/// A time after the network's beginning.
pub(super) fn millis_at(millis: u64) -> Time {
    Time::from_millis(1_000_000 + millis)
}

/// A write with 5 seconds from the beginning of the network, extended by [`Network::submit`].
pub(super) fn write(ticket: u64) -> Submit {
    let id = TransactionId::new(PlacementKey::from_u64(1), [1; 16]);
    let payload = Bytes::from(format!("request {ticket}"));
    Submit::new(Ticket(ticket), Purpose::Write(id), payload, Time::MAX)
}

/// A final answer from a node that tells nothing of coordinators.
pub(super) fn done(text: &'static str) -> Answer {
    let bytes = Bytes::from_static(text.as_bytes());
    Answer::Done { partition: PartitionId(0), reign: Reign::default(), bytes }
}

/// What a node does with a request.
#[derive(Clone, Debug)]
pub(super) enum Script {
    Answer(Answer),
    /// Answers twice.
    Twice(Answer),
    /// Answers later.
    Late(Duration, Answer),
    /// Never answers.
    Silent,
    /// Cannot be reached, which is known at once.
    NotSent,
}

impl Script {
    pub(super) fn busy(retry_after_ms: u64) -> Self {
        Self::Answer(Answer::Busy { what: Table::Log, max: 1, retry_after_ms })
    }
}

type Behaviour = Box<dyn FnMut(Time, PeerId, &Request) -> Script>;

/// A router, the nodes' script and all that happened.
pub(super) struct Network {
    pub(super) router: Router,
    pub(super) config: Config,
    pub(super) now: Time,
    pub(super) sent: Vec<(Time, PeerId, Request)>,
    pub(super) done: Vec<(Ticket, Result<Bytes, RouteError>)>,
    breaker_changes: Vec<BreakerState>,
    behaviour: Behaviour,
    healed: BTreeSet<PeerId>,
    under_way: BTreeMap<(Time, u64), Input>,
    number: u64,
}

impl Network {
    /// One partition of the nodes 1 to `count`.
    pub(super) fn new(count: u8, config: Config) -> Self {
        let mut router = Router::new(config.clone(), 7).unwrap();
        let nodes = Nodes::new((1..=count).map(|i| (peer(i), Node::new(StoreId([i; 16])))));
        let version = Version { generation: 0, index: weald_core::LogIndex(1) };
        let ranges = Ranges::founded(1).unwrap();
        let map = Map::computed(version, &ranges, &nodes.unwrap(), ResponsibilityK::default());
        router.handle(millis_at(0), Input::Map(Box::new(map)));
        Self {
            router,
            config,
            now: millis_at(0),
            sent: Vec::new(),
            done: Vec::new(),
            breaker_changes: Vec::new(),
            behaviour: Box::new(|_, _, _| Script::Silent),
            healed: BTreeSet::new(),
            under_way: BTreeMap::new(),
            number: 0,
        }
    }

    /// What every node does.
    pub(super) fn each(&mut self, mut script: impl FnMut(PeerId, &Request) -> Script + 'static) {
        self.behaviour = Box::new(move |_, me, request| script(me, request));
    }

    /// What every node does, by the time.
    pub(super) fn each_at(
        &mut self,
        script: impl FnMut(Time, PeerId, &Request) -> Script + 'static,
    ) {
        self.behaviour = Box::new(script);
    }

    /// From here on the node serves whatever it is asked.
    pub(super) fn heal(&mut self, node: PeerId) {
        self.healed.insert(node);
    }

    /// Tells the router of an epoch.
    pub(super) fn hint(&mut self, reign: Reign) {
        let mut map = self.router.map().clone();
        map.hint(PartitionId(0), reign);
        self.input(Input::Map(Box::new(map)));
    }

    /// Submits, with a deadline of 5 seconds unless another is set.
    pub(super) fn submit(&mut self, mut submit: Submit) {
        if submit.deadline == Time::MAX {
            submit.deadline = self.now.after(5 * SECOND);
        }
        self.input(Input::Submit(submit));
    }

    pub(super) fn reply(&mut self, peer: PeerId, reply: Reply) {
        self.input(Input::Reply { peer, reply });
    }

    pub(super) fn input(&mut self, input: Input) {
        self.router.handle(self.now, input);
        while let Some(output) = self.router.poll_output() {
            match output {
                Output::Send { peer, request } => self.deliver(peer, request),
                Output::Done { ticket, result } => self.done.push((ticket, result)),
                Output::Breaker { state, .. } => self.breaker_changes.push(state),
            }
        }
    }

    pub(super) fn run_for(&mut self, duration: Duration) {
        self.run_until(self.now.after(duration));
    }

    /// Lets everything happen that is due by then.
    pub(super) fn run_until(&mut self, end: Time) {
        loop {
            let arrival = self.under_way.first_key_value().map(|((at, _), _)| *at);
            let timeout = self.router.poll_timeout();
            let next = arrival.into_iter().chain(timeout).min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            if arrival == Some(next) {
                let (_, input) = self.under_way.pop_first().unwrap();
                self.input(input);
            } else {
                self.input(Input::Timeout);
            }
        }
        self.now = end;
    }

    /// How a request ended; it must have, once.
    pub(super) fn result(&self, ticket: u64) -> Result<Bytes, RouteError> {
        let mut results = self.done.iter().filter(|(done, _)| *done == Ticket(ticket));
        let (_, result) = results.next().unwrap();
        assert!(results.next().is_none(), "it ended twice");
        result.clone()
    }

    pub(super) fn breaker_states(&self) -> &[BreakerState] {
        &self.breaker_changes
    }

    fn deliver(&mut self, peer: PeerId, request: Request) {
        let script = if self.healed.contains(&peer) {
            Script::Answer(done("healed"))
        } else {
            (self.behaviour)(self.now, peer, &request)
        };
        let (ticket, attempt) = (request.ticket, request.attempt);
        self.sent.push((self.now, peer, request));
        let reply = |answer| Input::Reply { peer, reply: Reply { ticket, attempt, answer } };
        match script {
            Script::Answer(answer) => self.after(2 * DELAY, reply(answer)),
            Script::Twice(answer) => {
                self.after(2 * DELAY, reply(answer.clone()));
                self.after(3 * DELAY, reply(answer));
            }
            Script::Late(delay, answer) => self.after(delay, reply(answer)),
            Script::Silent => {}
            // After one time step, so that the breaker of a busy loop does not hide one.
            Script::NotSent => self.after(DELAY, Input::NotSent { ticket, attempt }),
        }
    }

    fn after(&mut self, delay: Duration, input: Input) {
        self.number += 1;
        self.under_way.insert((self.now.after(delay), self.number), input);
    }
}
