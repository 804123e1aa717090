//! A world of founding machines over the real state machines of partitions. A network's logs are
//! those of its founder; who joins later holds nothing in this world.

use std::collections::{BTreeMap, BTreeSet};

use weald_core::{
    Action, BlockId, BlockRead, BlockSource, Context, Entropy, Entry, Executed, Executor, Fault,
    Halt, Outcome, Overlay, PartitionId, Payload, PeerId, PlacementKey, Rejection, SeededEntropy,
    StoreId, Time, TransactionBody, TransactionId, TransactionRequest, TypeName, TypeVersion,
    identity::{Identity, KeyStore},
};

use crate::{
    founding::{
        Answer, Config, Genesis, Input, Introduction, NetworkId, Output, PartitionView, Pin,
        Proposed, QuestionId, Readiness, Report, Request, State,
    },
    partition::Partition,
    replica::Now,
};

/// No entry of these worlds touches a block.
struct Nothing;

impl BlockSource for Nothing {
    fn block(&self, _: BlockId) -> Result<BlockRead, Fault> {
        Ok(BlockRead::Absent)
    }
}

impl Executor for Nothing {
    fn execute(&self, _: &Context, _: &[Action], _: &mut Overlay<'_>) -> Result<Executed, Halt> {
        Ok(Executed::Done { answers: Vec::new(), commits: BTreeMap::new() })
    }

    fn supports(&self, _: &TypeName, _: TypeVersion) -> bool {
        true
    }
}

/// What may go wrong, until a certain time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weather {
    /// Of a thousand questions, answers and entries, so many are lost.
    pub(super) loss: u64,
    /// The longest way of a message.
    pub(super) delay_max: u64,
    /// Of a thousand steps, so many stop a node.
    pub(super) crashes: u64,
    /// Of a thousand steps, so many are a user's write somewhere.
    pub(super) writes: u64,
    /// Until when.
    pub(super) until: u64,
}

pub(super) struct Node {
    pub(super) config: Config,
    pub(super) me: Introduction,
    peer: PeerId,
    pub(super) pin: Pin,
    /// `None` while it is down.
    pub(super) state: Option<State>,
    run: u64,
    connected: BTreeSet<usize>,
}

impl Node {
    pub(super) fn peer(&self) -> PeerId {
        self.peer
    }

    pub(super) fn readiness(&self) -> Option<Readiness> {
        self.state.as_ref().map(State::readiness)
    }
}

/// The logs of a network, as applied.
pub(super) struct Logs {
    pub(super) genesis: Genesis,
    pub(super) partitions: BTreeMap<PartitionId, Partition>,
    /// User's entries that were taken.
    pub(super) writes: usize,
    /// Whether its only node has let it go.
    pub(super) is_gone: bool,
}

#[derive(Debug)]
enum Event {
    Start(usize),
    Connect(usize, usize),
    Disconnect(usize, usize),
    Question {
        from: usize,
        to: usize,
        request: Box<Request>,
        is_copy: bool,
    },
    /// The answer to a question, or the end of waiting for one.
    Input {
        node: usize,
        run: u64,
        input: Box<Input>,
    },
    Apply {
        node: usize,
        run: u64,
        ticket: crate::founding::Ticket,
        at: PartitionId,
        payload: Box<Payload>,
    },
    Wake(usize, u64),
}

pub(super) struct World {
    pub(super) nodes: Vec<Node>,
    pub(super) logs: BTreeMap<NetworkId, Logs>,
    pub(super) reports: Vec<(usize, Report)>,
    pub(super) now: u64,
    weather: Weather,
    random: SeededEntropy,
    events: BTreeMap<(u64, u64), Event>,
    next_event: u64,
    /// Who asks whom by which question, and in which run.
    questions: BTreeMap<u64, (usize, u64, usize, bool)>,
    next_question: u64,
    writes: u64,
}

impl World {
    pub(super) fn new(seed: u64, weather: Weather, configs: Vec<(Config, u64)>) -> Self {
        let mut random = SeededEntropy::new(seed);
        let mut world = Self {
            nodes: Vec::new(),
            logs: BTreeMap::new(),
            reports: Vec::new(),
            now: 0,
            weather,
            random: SeededEntropy::new(seed ^ 0xabcd),
            events: BTreeMap::new(),
            next_event: 0,
            questions: BTreeMap::new(),
            next_question: 0,
            writes: 0,
        };
        for (node, (config, start)) in configs.into_iter().enumerate() {
            let public_key = Identity::generate(&mut random).public();
            let store = StoreId(random.draw());
            let me = Introduction { store, public_key, weight: 100, domain: String::new() };
            let connected = BTreeSet::new();
            let pin = Pin::default();
            let peer = me.peer();
            world.nodes.push(Node { config, me, peer, pin, state: None, run: 0, connected });
            world.at(start, Event::Start(node));
        }
        world
    }

    /// Lets time pass until `until`.
    pub(super) fn run_until(&mut self, until: u64) {
        while let Some(((time, _), event)) = self.events.pop_first() {
            if time > until {
                self.at(time, event);
                break;
            }
            self.now = self.now.max(time);
            self.misfortune();
            self.handle(event);
        }
        self.now = until;
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        u64::from_le_bytes(self.random.draw()) % bound.max(1)
    }

    fn any_node(&mut self) -> usize {
        let count = self.nodes.len();
        usize::try_from(self.below(u64::try_from(count).unwrap())).unwrap()
    }

    fn is_bad(&self) -> bool {
        self.now < self.weather.until
    }

    fn at(&mut self, time: u64, event: Event) {
        self.next_event += 1;
        self.events.insert((time, self.next_event), event);
    }

    fn soon(&mut self, event: Event) {
        let delay = self.below(self.weather.delay_max) + 1;
        self.at(self.now + delay, event);
    }

    fn is_lost(&mut self) -> bool {
        self.is_bad() && self.below(1000) < self.weather.loss
    }

    fn misfortune(&mut self) {
        if !self.is_bad() {
            return;
        }
        if self.below(1000) < self.weather.crashes {
            let node = self.any_node();
            self.crash(node);
        }
        if self.below(1000) < self.weather.writes {
            let node = self.any_node();
            self.write(node);
        }
    }

    fn crash(&mut self, node: usize) {
        if self.nodes[node].state.take().is_none() {
            return;
        }
        self.let_go(node);
        for other in std::mem::take(&mut self.nodes[node].connected) {
            self.nodes[other].connected.remove(&node);
            let peer = self.nodes[node].peer();
            self.input(other, Input::PeerDown(peer));
        }
        let delay = self.below(2000);
        self.at(self.now + delay, Event::Start(node));
    }

    /// Whoever has asked a node that is down waits until a deadline.
    fn let_go(&mut self, node: usize) {
        let asked = self.questions.extract_if(.., |_, (_, _, to, _)| *to == node);
        let asked: Vec<_> = asked.map(|(_, asked)| asked).collect();
        asked.into_iter().for_each(|asked| self.answer(asked, None));
    }

    /// A user's write through a node that has a network, be it about to end. It is taken by the network's logs, or not.
    pub(super) fn write(&mut self, node: usize) -> Option<Outcome> {
        let node = &self.nodes[node];
        let is_open =
            matches!(node.readiness(), Some(Readiness::Ready | Readiness::Dissolving { .. }));
        if !is_open {
            return None;
        }
        let network = node.pin.network().unwrap();
        let partition = PartitionId(u32::from(self.below(2) == 1));
        self.writes += 1;
        let id =
            TransactionId::new(PlacementKey::from_u64(0), u128::from(self.writes).to_le_bytes());
        let expiry = Time::from_millis(self.now + 1000);
        let body = TransactionBody::default();
        let request = TransactionRequest { id, expiry, session: None, body };
        self.apply(network, partition, Payload::Transaction(request))?.0
    }

    /// Applies an entry in the log of a network whose founder runs.
    fn apply(
        &mut self,
        network: NetworkId,
        at: PartitionId,
        payload: Payload,
    ) -> Option<(Option<Outcome>, Proposed)> {
        let founder = self.founder(network)?;
        let logs = self.logs.get_mut(&network)?;
        let partition = logs.partitions.get_mut(&at)?;
        let is_write = matches!(payload, Payload::Transaction(_));
        let entry = Entry { time: Time::from_millis(self.now), payload };
        let index = partition.applied().next();
        let applied = partition.apply(index, &entry, &Nothing, &Nothing).unwrap();
        let outcome = applied.settled.map(|(_, outcome)| outcome);
        let is_dissolved = matches!(outcome, Some(Outcome::Rejected(Rejection::Dissolved { .. })));
        logs.writes += usize::from(is_write && !is_dissolved);
        let proposed = applied.refusal.map_or(Proposed::Applied, Proposed::Refused);
        self.tell_replica(founder, network, at);
        Some((outcome, proposed))
    }

    /// The running node that holds the logs of a network.
    fn founder(&self, network: NetworkId) -> Option<usize> {
        let logs = self.logs.get(&network).filter(|logs| !logs.is_gone)?;
        let peer = logs.genesis.founder.peer();
        let node = self.nodes.iter().position(|node| node.peer() == peer)?;
        let state = self.nodes[node].state.as_ref()?;
        (state.genesis().map(Genesis::network) == Some(network)).then_some(node)
    }

    fn tell_replica(&mut self, node: usize, network: NetworkId, at: PartitionId) {
        let logs = &self.logs[&network];
        let partition = &logs.partitions[&at];
        let view = PartitionView {
            member: logs.genesis.member(),
            configuration: logs.genesis.configuration(),
            is_coordinator: true,
            coordinator: Some(logs.genesis.founder.peer()),
            may_change: true,
            caught_up: BTreeSet::new(),
            is_amnesiac: false,
            dissolution: *partition.dissolution(),
        };
        let system = partition.system().clone();
        self.input(node, Input::Replica(at, Some(Box::new(view))));
        if at == PartitionId(0) {
            self.input(node, Input::System(Box::new(system)));
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Start(node) => self.start(node),
            Event::Connect(a, b) => self.connect(a, b),
            Event::Disconnect(a, b) => self.disconnect(a, b),
            Event::Question { from, to, request, is_copy } => {
                self.question(from, to, request, is_copy);
            }
            Event::Input { node, run, input } => {
                if self.nodes[node].run == run {
                    self.input(node, *input);
                }
            }
            Event::Apply { node, run, ticket, at, payload } => {
                self.propose(node, run, (ticket, at), *payload);
            }
            Event::Wake(node, run) => {
                if self.nodes[node].run == run && self.nodes[node].state.is_some() {
                    self.input(node, Input::Timeout);
                    let due = self.nodes[node].state.as_ref().map(|s| s.poll_timeout().as_millis());
                    self.at(due.unwrap_or(self.now + 100), Event::Wake(node, run));
                }
            }
        }
    }

    fn start(&mut self, node: usize) {
        if self.nodes[node].state.is_some() {
            return;
        }
        let now = self.clock();
        let seed = self.below(u64::MAX);
        let place = &mut self.nodes[node];
        place.run += 1;
        let (config, me, pin) = (place.config.clone(), place.me.clone(), place.pin.clone());
        place.state = Some(State::new(config, me, pin, (now, seed)));
        let run = place.run;
        self.at(self.now + 50, Event::Wake(node, run));
        for other in 0..self.nodes.len() {
            if other != node {
                self.soon(Event::Connect(node, other));
            }
        }
        self.drain(node);
    }

    fn connect(&mut self, a: usize, b: usize) {
        let is_up = |node: usize| self.nodes[node].state.is_some();
        if !is_up(a) || !is_up(b) || !self.nodes[a].connected.insert(b) {
            return;
        }
        self.nodes[b].connected.insert(a);
        for (node, other) in [(a, b), (b, a)] {
            let addresses = vec![format!("/memory/{other}")];
            let peer = self.nodes[other].peer();
            self.input(node, Input::PeerUp { peer, addresses, is_near: true });
        }
        if self.is_lost() {
            self.soon(Event::Disconnect(a, b));
        }
    }

    fn disconnect(&mut self, a: usize, b: usize) {
        if !self.nodes[a].connected.remove(&b) {
            return;
        }
        self.nodes[b].connected.remove(&a);
        for (node, other) in [(a, b), (b, a)] {
            let peer = self.nodes[other].peer();
            self.input(node, Input::PeerDown(peer));
        }
        let delay = self.below(3000);
        self.at(self.now + delay, Event::Connect(a, b));
    }

    fn question(&mut self, from: usize, to: usize, request: Box<Request>, is_copy: bool) {
        let asked_by = self.nodes[from].peer();
        if self.nodes[to].state.is_none() || !self.nodes[from].connected.contains(&to) {
            return self.answer((from, self.nodes[from].run, to, is_copy), None);
        }
        self.next_question += 1;
        let question = self.next_question;
        self.questions.insert(question, (from, self.nodes[from].run, to, is_copy));
        let question = QuestionId(question);
        self.input(to, Input::Asked { question, from: asked_by, request });
    }

    /// Carries an answer back; the copy of a question has none.
    fn answer(&mut self, asked: (usize, u64, usize, bool), answer: Option<Box<Answer>>) {
        let (from, run, to, is_copy) = asked;
        if is_copy {
            return;
        }
        let answer = answer.filter(|_| !self.is_lost());
        let input = Box::new(Input::Answered { peer: self.nodes[to].peer(), answer });
        self.soon(Event::Input { node: from, run, input });
    }

    fn propose(
        &mut self,
        node: usize,
        run: u64,
        of: (crate::founding::Ticket, PartitionId),
        payload: Payload,
    ) {
        let (ticket, at) = of;
        if self.nodes[node].run != run || self.nodes[node].state.is_none() {
            return;
        }
        let Some(network) = self.nodes[node].pin.network() else { return };
        let proposed = match self.is_lost() {
            true => None,
            false => self.apply(network, at, payload).map(|(_, proposed)| proposed),
        };
        let proposed = proposed.filter(|_| !self.is_lost()).unwrap_or(Proposed::Failed);
        if self.nodes[node].run == run {
            let input = Box::new(Input::Proposed(ticket, proposed));
            self.soon(Event::Input { node, run, input });
        }
    }

    fn clock(&self) -> Now {
        let now = Time::from_millis(self.now);
        Now { steady: now, wall: now }
    }

    pub(super) fn input(&mut self, node: usize, input: Input) {
        let now = self.clock();
        let Some(state) = &mut self.nodes[node].state else { return };
        state.handle(now, input);
        self.drain(node);
    }

    fn drain(&mut self, node: usize) {
        while let Some(output) = self.nodes[node].state.as_mut().and_then(State::poll_output) {
            self.carry_out(node, output);
        }
    }

    fn carry_out(&mut self, node: usize, output: Output) {
        let run = self.nodes[node].run;
        let input = |input| Event::Input { node, run, input: Box::new(input) };
        match output {
            Output::Ask { peer, request } => self.carry_question(node, peer, &request),
            Output::Reply { question, answer } => {
                let asked = self.questions.remove(&question.0).expect("one reply to a question");
                let (from, asked_run, ..) = asked;
                if self.nodes[from].run == asked_run {
                    self.answer(asked, Some(answer));
                }
            }
            Output::Pin(pin) => {
                self.nodes[node].pin = *pin;
                self.soon(input(Input::Pinned));
            }
            Output::Found(genesis) => {
                let partition = |id| (id, Partition::new(id));
                let partitions = genesis.partitions().map(partition).collect();
                let network = genesis.network();
                let logs = Logs { genesis: *genesis, partitions, writes: 0, is_gone: false };
                self.logs.entry(network).or_insert(logs);
                self.soon(input(Input::Founded));
            }
            Output::Open(genesis) => self.open(node, &genesis),
            Output::Propose { ticket, partition, payload } => {
                self.soon(Event::Apply { node, run, ticket, at: partition, payload });
            }
            Output::Reset(pin) => self.reset(node, *pin),
            Output::Report(report) => self.reports.push((node, report)),
            Output::Dial { .. }
            | Output::Reconfigure { .. }
            | Output::Map(_)
            | Output::Ready(_) => {}
            Output::Host { .. } | Output::Retire(_) => panic!("nobody is a member here"),
        }
    }

    fn carry_question(&mut self, node: usize, peer: PeerId, request: &Request) {
        let to = self.nodes.iter().position(|other| other.peer() == peer).unwrap();
        let request = Box::new(Request::decode(&request.encode()).unwrap());
        if self.is_lost() {
            return self.answer((node, self.nodes[node].run, to, false), None);
        }
        if self.is_lost() {
            let request = request.clone();
            self.soon(Event::Question { from: node, to, request, is_copy: true });
        }
        self.soon(Event::Question { from: node, to, request, is_copy: false });
    }

    fn open(&mut self, node: usize, genesis: &Genesis) {
        if genesis.founder.peer() != self.nodes[node].peer() {
            return;
        }
        let network = genesis.network();
        for partition in genesis.partitions() {
            assert!(!self.logs[&network].is_gone, "what was let go is never opened again");
            self.tell_replica(node, network, partition);
        }
    }

    /// The point of no return: nothing that somebody was told may be lost here.
    fn reset(&mut self, node: usize, pin: Pin) {
        let network = self.nodes[node].pin.network().expect("only a network can be let go");
        let logs = self.logs.get_mut(&network).unwrap();
        assert_eq!(logs.writes, 0, "a network in use was let go");
        let nodes = logs.partitions[&PartitionId(0)].system().nodes.len();
        assert!(nodes <= 1, "a network with several nodes was let go");
        logs.is_gone = true;
        let store = StoreId(self.random.draw());
        let place = &mut self.nodes[node];
        (place.pin, place.me.store, place.state) = (pin, store, None);
        self.let_go(node);
        for other in std::mem::take(&mut self.nodes[node].connected) {
            self.nodes[other].connected.remove(&node);
            let peer = self.nodes[node].peer();
            self.input(other, Input::PeerDown(peer));
        }
        self.soon(Event::Start(node));
    }

    /// The networks that the nodes belong to, those that are ready only.
    pub(super) fn networks(&self) -> BTreeSet<NetworkId> {
        let ready = self.nodes.iter().filter(|n| n.readiness() == Some(Readiness::Ready));
        ready.filter_map(|node| node.pin.network()).collect()
    }

    /// Where every node stands, for a failed test's message.
    pub(super) fn describe(&self) -> String {
        let of = |node: &Node| {
            let standing = node.state.as_ref().map(State::standing);
            format!("{:?} {standing:?} {:?}\n", node.peer(), node.readiness())
        };
        self.nodes.iter().map(of).collect()
    }
}
