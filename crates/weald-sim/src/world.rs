//! A simulated world: nodes, a network between them, clients, one queue of events, one source of
//! chance. Everything that happens follows from the seed and the commands.

mod beat;
mod clients;
mod commands;
mod driver;
mod forgery;
mod histories;
mod judge;
mod recovery;
mod requests;
mod spanning;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use weald_cluster::{
    configuration::{Configuration, Member},
    replica::{Config, Envelope, Health, Standing, State},
};
use weald_core::{Digest, Outcome, TransactionId};

use crate::{
    client::{Client, Reply, What},
    coverage::Coverage,
    disk::LogKind,
    invariants::{Oracle, Seen, Violation},
    machine::MachineKind,
    name::Name,
    network::{Network, Weather},
    node::{Node, Process, name_of},
    random::Random,
    schedule::{Instant, Schedule},
    trace::Trace,
};

/// Events of a world, at most: several times as many as the busiest has without a mistake.
const EVENTS_MAX: u64 = 2_000_000;

/// What a world is made of.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Nodes that found the partition, all voters: 1, 3 or 5.
    pub(crate) voters: u8,
    pub(crate) config: Config,
    pub(crate) weather: Weather,
    /// What a sync takes, us: at least, at most.
    pub(crate) sync: (u64, u64),
    /// Nodes begin this much after each other, ms.
    pub(crate) stagger: u64,
    /// What clients wait between two operations, at most, us.
    pub(crate) think: u64,
    /// The greatest drift of a clock, parts in a million.
    pub(crate) drift: u64,
    /// Applied entries after which a node makes a checkpoint; zero for never.
    pub(crate) checkpoint_every: u64,
    /// Entries that its log keeps before a checkpoint.
    pub(crate) log_kept: u64,
    /// Which log nodes have.
    pub(crate) log: LogKind,
    /// Which state machine they run.
    pub(crate) machine: MachineKind,
    /// Messages are encoded and decoded.
    pub(crate) is_encoded: bool,
    /// Trace lines are kept.
    pub(crate) is_traced: bool,
    /// So are lines about messages.
    pub(crate) is_verbose: bool,
}

pub(crate) use histories::Histories;
pub(crate) use recovery::authority;
pub(crate) use spanning::{Account, Ask, BALANCE, Outgoing, Spanning, Ticket, Told};

/// What happens.
#[derive(Debug, Hash)]
enum Event {
    Deliver { to: Name, envelope: Box<Envelope> },
    Standing { to: Name, member: Member, standing: Standing },
    Wake { node: Name, process: u64 },
    Synced { node: Name, process: u64 },
    Beat { node: Name, process: u64 },
    Fetched { node: Name, process: u64, from: Name, least: u64 },
    Asked { node: Name, client: u8, serial: u64, what: What },
    Told { client: u8, serial: u64, reply: Reply },
    ClientDue { client: u8, serial: u64 },
    Spanning { node: Name, ticket: Ticket, ask: Box<Ask> },
}

/// See the module's page.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) settings: Settings,
    pub(crate) now: Instant,
    pub(crate) nodes: BTreeMap<Name, Node>,
    pub(crate) network: Network,
    pub(crate) clients: BTreeMap<u8, Client>,
    pub(crate) histories: Histories,
    pub(crate) oracle: Oracle,
    pub(crate) coverage: Coverage,
    pub(crate) trace: Trace,
    pub(crate) violation: Option<Violation>,
    pub(crate) genesis: Configuration,
    random: Random,
    schedule: Schedule<Event>,
    /// What paused nodes have not heard yet.
    held: BTreeMap<Name, Vec<Event>>,
    /// Who is to vote.
    goal: Option<BTreeSet<Name>>,
    /// Who is to vote after that, one set after the other, none before its time.
    pub(crate) journey: VecDeque<(Instant, BTreeSet<Name>)>,
    /// The network whose signed topic messages coordinators check before they log them.
    pub(crate) gate: Option<Digest>,
    /// What came of each transaction that a node has applied; kept where somebody takes it.
    pub(crate) settled: Option<Vec<(Name, TransactionId, Outcome)>>,
    /// What leaves this world for others of the same nodes.
    pub(crate) outgoing: Vec<Outgoing>,
    event_count: u64,
    /// Entries that nodes have proposed for themselves.
    proposed_count: u32,
    /// The last of them vote in the end, or the world is not well.
    pub(crate) must_arrive: bool,
    last_coordinator: Option<Name>,
    /// When somebody last began to coordinate, and who.
    pub(crate) elections: Vec<(Instant, Name)>,
}

impl World {
    /// A world of `settings.voters` nodes that have just been founded and are about to start.
    pub(crate) fn new(mut settings: Settings, seed: u64) -> Self {
        settings.config.authority = authority();
        let mut random = Random::new(seed);
        let names = Name::first(settings.voters);
        let mut nodes: BTreeMap<_, _> =
            names.iter().map(|name| (*name, Node::new(*name, settings.log, &mut random))).collect();
        for node in nodes.values_mut() {
            node.clock.drift = drift(&settings, &mut random);
        }
        let members = nodes.values().map(Node::first_member);
        let genesis = Configuration::founding(members, []).expect("an odd number of voters");
        Self {
            now: Instant(0),
            network: Network::new(settings.weather),
            clients: BTreeMap::new(),
            histories: Histories::default(),
            oracle: Oracle::default(),
            coverage: Coverage::default(),
            trace: Trace::new(settings.is_traced),
            violation: None,
            random,
            schedule: Schedule::new(),
            held: BTreeMap::new(),
            goal: None,
            journey: VecDeque::new(),
            must_arrive: false,
            gate: None,
            settled: None,
            outgoing: Vec::new(),
            event_count: 0,
            proposed_count: 0,
            last_coordinator: None,
            elections: Vec::new(),
            nodes,
            genesis,
            settings,
        }
    }

    /// When something happens next.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.schedule.next_at()
    }

    /// Lets the next thing happen, if it is due.
    pub(crate) fn step_once(&mut self, until: Instant) {
        if let Some((at, event)) = self.schedule.pop(until) {
            self.now = self.now.max(at);
            self.happen(event);
        }
    }

    /// Lets time pass, until then or until an invariant does not hold.
    pub(crate) fn run_until(&mut self, until: Instant) {
        self.run_while(until, |_| true);
    }

    /// Lets time pass while `goes_on`, asked after every event. Whether it ended before `until`.
    pub(crate) fn run_while(
        &mut self,
        until: Instant,
        mut goes_on: impl FnMut(&Self) -> bool,
    ) -> bool {
        while self.violation.is_none() {
            if !goes_on(self) {
                return true;
            }
            let Some((at, event)) = self.schedule.pop(until) else { break };
            self.now = self.now.max(at);
            self.happen(event);
        }
        self.now = self.now.max(until);
        self.violation.is_some()
    }

    fn happen(&mut self, event: Event) {
        if let Some(node) = event.node()
            && self.nodes.get(&node).is_none_or(|node| node.is_paused)
        {
            self.held.entry(node).or_default().push(event);
            return;
        }
        self.trace.event(self.now, &event);
        self.event_count += 1;
        if self.event_count == EVENTS_MAX {
            self.fail("liveness", format!("messages go to and fro without end: {event:?}"));
        }
        match event {
            Event::Deliver { to, envelope } => self.deliver(to, *envelope),
            Event::Standing { to, member, standing } => {
                let input = weald_cluster::replica::Input::Standing(member, standing);
                self.handle(to, input);
            }
            Event::Wake { node, process } => self.wake(node, process),
            Event::Synced { node, process } => self.synced(node, process),
            Event::Beat { node, process } => self.beat(node, process),
            Event::Fetched { node, process, from, least } => {
                self.fetched(node, process, (from, least));
            }
            Event::Asked { node, client, serial, what } => self.asked(node, (client, serial), what),
            Event::Told { client, serial, reply } => self.told(client, serial, reply),
            Event::ClientDue { client, serial } => self.client_due(client, serial),
            Event::Spanning { node, ticket, ask } => self.spanning_asked(node, ticket, *ask),
        }
    }

    /// Shows the oracle what was seen.
    fn see(&mut self, seen: &Seen<'_>) {
        if let Err(violation) = self.oracle.see(self.now, seen) {
            self.violation.get_or_insert(violation);
        }
    }

    /// The process that runs on a node, if one does and it is the one meant.
    fn process(&mut self, node: Name, process: u64) -> Option<&mut Process> {
        let running = self.nodes.get_mut(&node)?.process.as_mut()?;
        (running.id == process).then_some(running)
    }

    /// Shows the oracle what was seen of a node's log and state. What a generation says that is over
    /// is no evidence (rule C16), and neither is what somebody shows who has nothing in the new one.
    fn see_of(&mut self, name: Name, seen: &Seen<'_>) {
        let generation = self.oracle.generation;
        let is_over = self.state(name).is_some_and(|state| {
            let has_nothing = generation > 0 && state.health() == Health::Amnesiac;
            state.generation() < generation || has_nothing
        });
        if !is_over {
            self.see(seen);
        }
    }

    /// The state of a node that runs.
    pub(crate) fn state(&self, node: Name) -> Option<&State> {
        self.nodes.get(&node)?.process.as_ref().map(|process| &process.state)
    }

    /// Who coordinates the highest epoch of the last generation, among nodes that run.
    pub(crate) fn coordinator(&self) -> Option<Name> {
        let running =
            self.nodes.iter().filter_map(|(name, node)| Some((name, node.process.as_ref()?)));
        let coordinating = running.filter_map(|(name, process)| {
            let epoch = process.state.coordinating()?;
            Some((process.state.generation(), epoch, *name))
        });
        coordinating.max().map(|(_, _, name)| name)
    }
}

impl Event {
    /// Whom it happens to, if that is a node.
    const fn node(&self) -> Option<Name> {
        match self {
            Self::Deliver { to, .. } | Self::Standing { to, .. } => Some(*to),
            Self::Wake { node, .. }
            | Self::Synced { node, .. }
            | Self::Beat { node, .. }
            | Self::Fetched { node, .. }
            | Self::Asked { node, .. }
            | Self::Spanning { node, .. } => Some(*node),
            Self::Told { .. } | Self::ClientDue { .. } => None,
        }
    }
}

/// The names of members, in order.
fn names_of<'a>(members: impl IntoIterator<Item = &'a Member>) -> BTreeSet<Name> {
    members.into_iter().filter_map(name_of).collect()
}

fn drift(settings: &Settings, random: &mut Random) -> i32 {
    let drawn = random.below(2 * settings.drift + 1);
    i32::try_from(drawn).unwrap_or(0) - i32::try_from(settings.drift).unwrap_or(0)
}

#[cfg(test)]
mod tests;
