//! Founding a network, joining one, letting others in, and ending one that nobody has used.
//!
//! A node without a network looks for one of its name. If it may, and finds nobody, it *founds* one:
//! a [`Genesis`], whose hash is the network's identity, and with it one replica of each partition of
//! which the node is the only member. Others *join*: a node of the network writes them into the node
//! list, which the system partition's log holds; they pin the genesis and wait to be made members of
//! partitions (`growth`), first as learners, then as voters. So joining and getting a vote are two
//! logged steps, and both are decided by logs, never by who is connected to whom.
//!
//! Nodes that are started in one instant may found one network each. As long as a network has one
//! node and no user's entry it is *pristine*, and one of two pristine networks, that with the higher
//! hash, *dissolves* into the other; a pristine one dissolves into one that is in use. The end of a
//! network is logged in each of its partitions before anything is given up, beginning with the
//! system partition, which closes admission. A user's entry that stands in one of the logs before
//! calls the end off. Between networks that are in use there is no joining; the nodes say so.
//!
//! **Invariant:** pristine networks only ever dissolve into one with a lower hash or one in use, and
//! a network in use never dissolves: so no two dissolve into each other, however late their news.
//!
//! # The driver's loop
//!
//! ```text
//! loop {
//!     wait for a peer, a question, an answer, news of replicas, or State::poll_timeout();
//!     state.handle(now, input)
//!     while let Some(output) = state.poll_output() { carry it out, in order }
//! }
//! ```

mod admission;
mod belonging;
mod config;
mod dissolving;
mod genesis;
mod growth;
mod input;
mod invitation;
pub mod limits;
mod map;
mod membership;
mod message;
mod output;
mod peers;
mod pin;
mod seeking;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use weald_core::{Entropy, PartitionId, PeerId, SeededEntropy, Time};

use self::{admission::Admissions, belonging::Belonging, peers::Peers, seeking::Seeking};
use crate::replica::Now;

pub use config::{Config, Timing};
pub use genesis::{Genesis, GenesisError, NetworkId, check_name};
pub use input::{Input, PartitionView, Proposed, QuestionId, Ticket};
pub use invitation::{Invitation, Terms};
pub use map::Map;
pub use message::{
    Answer, Introduction, JoinRefusal, Lead, Membership, Request, Standing, Verdict, Wish,
};
pub use output::{Output, Readiness, Report};
pub use pin::{Pin, Sought};

/// The partition that holds the state of the network.
const SYSTEM: PartitionId = PartitionId(0);

/// A node on its way to a network and in it. See the module's page for the contract.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct State {
    config: Config,
    me: Introduction,
    /// This node, once computed.
    local: PeerId,
    now: Now,
    started: Time,
    entropy: SeededEntropy,
    pin: Pin,
    /// The network that is pinned, computed once.
    network: Option<NetworkId>,
    phase: Phase,
    peers: Peers,
    /// The newest state of the network that is known; of the pinned network only.
    map: Option<Arc<Map>>,
    /// Whether this node's own replica of the system partition has told of the network.
    has_system: bool,
    views: BTreeMap<PartitionId, PartitionView>,
    admissions: Admissions,
    next_ticket: Ticket,
    /// What this node asks of its own standing: to be drained, and to leave then.
    is_draining: bool,
    announced: Option<Readiness>,
    /// When time alone makes a difference again.
    wake_due: Time,
    outputs: VecDeque<Output>,
}

/// Where a node is on its way.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Phase {
    /// It looks for a network.
    Seeking(Seeking),
    /// Its genesis is being pinned, then the replicas made, then the pin says so.
    Founding(Step),
    /// The genesis of the network that it was let into is being pinned.
    Joining,
    /// It belongs to one.
    Belonging(Belonging),
    /// Its network has joined another: nothing more comes out.
    Over,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Step {
    Pinning,
    Making,
    Sealing,
}

impl State {
    /// A node that begins a run with what it has pinned. `clock` is the time and a seed that no
    /// other run has.
    pub fn new(config: Config, me: Introduction, pin: Pin, clock: (Now, u64)) -> Self {
        let (now, seed) = clock;
        let mut state = Self {
            config,
            local: me.peer(),
            me,
            now,
            started: now.steady,
            entropy: SeededEntropy::new(seed),
            phase: Phase::Seeking(Seeking::new(now.steady)),
            network: pin.network(),
            pin,
            peers: Peers::default(),
            map: None,
            has_system: false,
            views: BTreeMap::new(),
            admissions: Admissions::default(),
            next_ticket: Ticket::default(),
            is_draining: false,
            announced: None,
            wake_due: now.steady,
            outputs: VecDeque::new(),
        };
        if state.pin.genesis.is_some() {
            match state.pin.is_founding {
                true => state.become_making(),
                false => state.become_belonging(),
            }
        }
        state.settle();
        state
    }

    /// Takes in what happened. Afterwards [`State::poll_output`] and [`State::poll_timeout`] may
    /// have changed.
    pub fn handle(&mut self, now: Now, input: Input) {
        let steady = self.now.steady.max(now.steady);
        self.now = Now { steady, wall: now.wall };
        if matches!(self.phase, Phase::Over) {
            return;
        }
        match input {
            Input::Timeout => {}
            Input::PeerUp { peer, addresses, is_near } => {
                self.peers.up(self.now.steady, peer, addresses, is_near);
            }
            Input::PeerDown(peer) => self.handle_peer_down(peer),
            Input::Asked { question, from, request } => {
                self.handle_asked(question, from, &request);
            }
            Input::Answered { peer, answer } => self.handle_answered(peer, answer),
            Input::Pinned => self.handle_pinned(),
            Input::Founded => self.handle_founded(),
            Input::System(system) => self.handle_system(*system),
            Input::Replica(partition, view) => self.handle_replica(partition, view),
            Input::Proposed(ticket, proposed) => self.handle_proposed(ticket, &proposed),
            Input::Drain => self.is_draining = true,
            Input::Stay => self.is_draining = false,
        }
        self.settle();
    }

    /// The next thing to do, in order; `None` when there is nothing.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Timeout`] is to be handed in at the latest, by the steady clock.
    pub fn poll_timeout(&self) -> Time {
        self.wake_due
    }

    /// The network that the node belongs to.
    pub fn genesis(&self) -> Option<&Genesis> {
        self.pin.genesis.as_ref().filter(|_| !self.pin.is_founding)
    }

    /// Whether the map comes from this node's own replica of the system partition.
    fn is_authority(&self) -> bool {
        self.has_system && self.views.contains_key(&SYSTEM)
    }

    /// Whether the node can serve, and what it waits for.
    pub fn readiness(&self) -> Readiness {
        match &self.phase {
            Phase::Seeking(seeking) => self.seeking_readiness(seeking),
            Phase::Founding(_) => Readiness::Founding,
            Phase::Joining | Phase::Over => Readiness::Opening,
            Phase::Belonging(belonging) => self.belonging_readiness(belonging),
        }
    }

    /// How the node stands to networks, as it says to peers.
    pub fn standing(&self) -> Standing {
        match (&self.phase, self.network) {
            (Phase::Belonging(belonging), Some(network)) => self.standing_in(network, belonging),
            (Phase::Founding(_) | Phase::Joining | Phase::Over, Some(network)) => {
                Standing::Opening { network }
            }
            _ => Standing::Seeking { may_found: self.may_found() },
        }
    }

    fn settle(&mut self) {
        match &self.phase {
            Phase::Seeking(_) => self.seek(),
            Phase::Belonging(_) => self.belong(),
            Phase::Founding(_) | Phase::Joining | Phase::Over => {}
        }
        self.greet();
        self.announce();
        let interval = match self.is_quiet() {
            true => self.config.timing.growth_interval,
            false => self.config.timing.ask_interval,
        };
        let next = self.now.steady.after(interval);
        if self.wake_due <= self.now.steady || self.wake_due > next {
            self.wake_due = next;
        }
    }

    fn announce(&mut self) {
        let readiness = self.readiness();
        if self.announced.as_ref() != Some(&readiness) {
            self.announced = Some(readiness.clone());
            self.outputs.push_back(Output::Ready(readiness));
        }
    }

    fn report(&mut self, report: Report) {
        self.outputs.push_back(Output::Report(report));
    }

    fn handle_pinned(&mut self) {
        match self.phase {
            Phase::Founding(Step::Pinning) => self.become_making(),
            Phase::Founding(Step::Sealing) => {
                let network = self.network.expect("a genesis was pinned");
                self.report(Report::Founded(network));
                self.become_belonging();
            }
            Phase::Joining => {
                let network = self.network.expect("a genesis was pinned");
                self.report(Report::Joined(network));
                self.become_belonging();
            }
            Phase::Seeking(_)
            | Phase::Founding(Step::Making)
            | Phase::Belonging(_)
            | Phase::Over => {}
        }
    }

    fn handle_founded(&mut self) {
        if self.phase == Phase::Founding(Step::Making) {
            self.phase = Phase::Founding(Step::Sealing);
            self.pin.is_founding = false;
            self.outputs.push_back(Output::Pin(Box::new(self.pin.clone())));
        }
    }

    fn become_making(&mut self) {
        let genesis = self.pin.genesis.clone().expect("a genesis was pinned");
        self.phase = Phase::Founding(Step::Making);
        self.outputs.push_back(Output::Found(Box::new(genesis)));
    }

    fn become_belonging(&mut self) {
        let genesis = self.pin.genesis.clone().expect("a genesis was pinned");
        self.phase = Phase::Belonging(Belonging::new(self.now.steady));
        self.outputs.push_back(Output::Open(Box::new(genesis)));
        self.publish_map();
    }

    /// Sets about founding a network.
    fn become_founding(&mut self) {
        let genesis = Genesis {
            name: self.config.name.clone(),
            founder: self.me.clone(),
            nonce: self.entropy.draw(),
            founded_at: self.now.wall,
            partition_count: self.config.partition_count,
            responsibility_k: self.config.responsibility_k,
            admission: self.config.admission,
            level: weald_core::FeatureLevel::NEWEST,
        };
        self.pin = Pin { genesis: Some(genesis), is_founding: true, ..Pin::default() };
        self.network = self.pin.network();
        self.phase = Phase::Founding(Step::Pinning);
        self.outputs.push_back(Output::Pin(Box::new(self.pin.clone())));
    }

    /// Sets about belonging to a network into which a peer has let this node.
    fn become_joining(&mut self, genesis: Genesis, peer: PeerId, map: Option<Box<Map>>) {
        self.pin = Pin { genesis: Some(genesis), nodes: [peer].into(), ..Pin::default() };
        self.network = self.pin.network();
        self.phase = Phase::Joining;
        self.outputs.push_back(Output::Pin(Box::new(self.pin.clone())));
        if let Some(map) = map {
            self.learn_map(*map);
        }
    }
}
