//! A topic under faults: the real collection type in the real state machine, publishers that ask one
//! node after the other, members that deliver to subscribers, another head of the topic whose
//! messages its owner brings in, and a stranger who forges.
//!
//! The world is that of a random run; what is done to its nodes and links hits publishers, streams
//! and imports alike. Applications of publishers and subscribers crash, too, and go on from what
//! they kept. In the end everything has to have arrived everywhere.

mod asking;
mod fork;
mod invariants;
mod judge;
mod members;
mod mutation;
mod publishers;
mod stranger;
mod subscribers;

use std::{collections::BTreeMap, time::Duration};

use weald_core::{
    CollectionName, Digest, SeededEntropy, Time, TransactionId,
    identity::{Identity, KeyStore},
};
use weald_pubsub::{Part, StreamId, StreamRequest, Topic, TopicAddress, TopicId, TopicPolicy};

use crate::{
    clock::Clock,
    command::Command,
    invariants::Violation,
    machine::MachineKind,
    name::Name,
    node::PARTITION,
    plan::{FAULTY_MILLIS, Plan},
    random::Random,
    run::Verdict,
    schedule::{Instant, Schedule},
    world::{Outgoing, Ticket, Told, World},
};
use asking::{Asked, Asking};
use fork::OtherHead;
use invariants::{Oracle, Seen};
use members::Member;
pub(crate) use mutation::TopicMutation;
use publishers::PublisherActor;
use subscribers::SubscriberActor;

/// How long everything may take to arrive once there are no faults, us.
const AGREEMENT: u64 = 60_000_000;
/// What a question or an answer takes between a client and a node, us.
const DELAY: (u64, u64) = (100, 500);
/// Subscribers, the late ones among them.
const SUBSCRIBERS: (u64, u64) = (2, 4);
/// How often expired messages are asked to be removed, at most, us.
const PRUNE: u64 = 1_600_000;

/// Which actor asks, by the name that it has on tickets. Publishers have the first numbers.
mod client {
    pub(super) const FOUNDER: u8 = 200;
    pub(super) const JANITOR: u8 = 201;
    pub(super) const OWNER: u8 = 202;
    pub(super) const STRANGER: u8 = 203;
    /// The first subscriber.
    pub(super) const SUBSCRIBER: u8 = 100;
}

/// See the module's page.
#[derive(Debug)]
pub(crate) struct Topics {
    world: World,
    now: Instant,
    random: Random,
    schedule: Schedule<Event>,
    mutation: Option<TopicMutation>,
    policy: TopicPolicy,
    /// What applications wait between two messages, at most, us.
    think: u64,
    oracle: Oracle,
    /// Transactions on their way, by who asks.
    asking: BTreeMap<u8, Asking>,
    /// What each transaction is about, until it was applied.
    asked: BTreeMap<TransactionId, Asked>,
    asked_count: u64,
    /// Attempts to ask, so that an answer to an earlier one is told apart.
    serial_count: u32,
    publishers: BTreeMap<u8, PublisherActor>,
    subscribers: BTreeMap<u8, SubscriberActor>,
    members: BTreeMap<Name, Member>,
    stream_count: u64,
    other: Option<OtherHead>,
    owner: Identity,
    is_founded: bool,
    is_open: bool,
    violation: Option<Violation>,
    /// Messages that publishers know to be in the topic, and those that were shown.
    answered: (u64, u64),
}

/// What happens beside what happens in the world.
#[derive(Debug)]
enum Event {
    /// A client is told something.
    Told(Ticket, Told),
    /// A client has waited long enough for an answer.
    AskDue(u8, u32),
    /// A publisher's application has something to say.
    Publish(u8),
    /// A publisher's timer.
    PublisherDue(u8),
    /// A publisher's application crashes.
    PublisherCrash(u8),
    /// A subscriber's timer.
    SubscriberDue(u8, u32),
    /// A subscriber's application takes what has come.
    Consume(u8),
    /// A subscriber's application begins, or begins anew.
    Begin(u8),
    /// A member is dialled.
    Dialled { subscriber: u8, stream: StreamId, member: Name },
    /// A member was reached, or not.
    Linked { subscriber: u8, stream: StreamId, is_open: bool },
    /// A request arrives at a member.
    Wanted { member: Name, subscriber: u8, stream: StreamId, request: StreamRequest },
    /// A stream's end arrives at a member.
    Closed { member: Name, stream: StreamId },
    /// A part arrives at a subscriber.
    Part { subscriber: u8, stream: StreamId, part: Box<Part> },
    /// What has expired is to be removed.
    Prune,
    /// The owner compares the topic with its other head.
    Compare,
    /// A stranger forges something.
    Forge,
}

/// Runs the plan of a topic.
pub(crate) fn run(plan: &Plan, mutation: Option<TopicMutation>) -> Verdict {
    let mut topics = Topics::new(plan, mutation);
    topics.world.boot();
    topics.now = topics.world.now;
    topics.found();
    for (at, command) in &plan.steps {
        topics.run_until(*at);
        topics.command(command);
    }
    topics.run_until(Instant::from_millis(FAULTY_MILLIS));
    topics.close();
    topics.verdict()
}

fn address() -> TopicAddress {
    let network = Digest::of("simulated network", &[]);
    TopicAddress { network, topic: TopicId::of("sim") }
}

fn topic() -> Topic {
    Topic::new(address())
}

fn collection() -> CollectionName {
    topic().collection()
}

/// The keys of somebody outside of the nodes.
fn keys(number: u64) -> Identity {
    Identity::generate(&mut SeededEntropy::new(0x70b1c + number))
}

impl Topics {
    fn new(plan: &Plan, mutation: Option<TopicMutation>) -> Self {
        let mut settings = plan.settings.clone();
        settings.machine = MachineKind::Partition(PARTITION);
        let mut world = World::new(settings, plan.seed);
        world.settled = Some(Vec::new());
        let is_checked = mutation != Some(TopicMutation::LogUnverified);
        world.gate = is_checked.then(|| address().network);
        let mut random = Random::new(plan.seed ^ 0x0070_91c5);
        let owner = keys(999);
        // What is removed for its number cannot be told from what another head has and this one not.
        let is_capped = random.one_in(3);
        let policy = TopicPolicy {
            messages_max: if is_capped { random.between(20, 200) } else { 100_000 },
            owner: Some(owner.public()),
            ..TopicPolicy::default()
        };
        Self {
            world,
            now: Instant(0),
            schedule: Schedule::new(),
            mutation,
            oracle: Oracle::new(policy.messages_max),
            asking: BTreeMap::new(),
            asked: BTreeMap::new(),
            asked_count: 0,
            serial_count: 0,
            publishers: BTreeMap::new(),
            subscribers: BTreeMap::new(),
            members: BTreeMap::new(),
            stream_count: 0,
            other: (!is_capped).then(OtherHead::default),
            owner,
            is_founded: false,
            is_open: true,
            violation: None,
            answered: (0, 0),
            think: *random.pick(&publishers::THINK),
            random,
            policy,
        }
    }

    fn run_until(&mut self, until: Instant) {
        self.run_while(until, |_| true);
    }

    /// Lets time pass while `goes_on`.
    fn run_while(&mut self, until: Instant, mut goes_on: impl FnMut(&mut Self) -> bool) {
        while self.violation.is_none() {
            if !goes_on(self) {
                return;
            }
            let (own, world) = (self.schedule.next_at(), self.world.next_at());
            let at = own.into_iter().chain(world).min();
            let Some(at) = at.filter(|at| *at <= until) else { break };
            self.now = self.now.max(at);
            self.world.now = self.world.now.max(self.now);
            if world.is_some_and(|world| own.is_none_or(|own| world < own)) {
                self.world.step_once(until);
                self.violation = self.world.violation.clone();
            } else if let Some((_, event)) = self.schedule.pop(until) {
                self.happen(event);
            }
            self.follow();
        }
        self.now = self.now.max(until);
        self.world.now = self.now;
    }

    /// Takes in what has happened in the world.
    fn follow(&mut self) {
        for outgoing in std::mem::take(&mut self.world.outgoing) {
            // Transactions of one partition have no messages to others.
            if let Outgoing::Told { ticket, told } = outgoing {
                self.after(DELAY, Event::Told(ticket, told));
            }
        }
        let settled = self.world.settled.as_mut().map(std::mem::take).unwrap_or_default();
        for (_, id, outcome) in settled {
            self.applied(id, &outcome);
        }
        self.follow_members();
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Told(ticket, told) => self.told(ticket, told),
            Event::AskDue(client, serial) => self.ask_due(client, serial),
            Event::Publish(id) => self.publish(id),
            Event::PublisherDue(id) => self.publisher_due(id),
            Event::PublisherCrash(id) => self.publisher_crash(id),
            Event::SubscriberDue(id, run) => self.subscriber_due(id, run),
            Event::Consume(id) => self.consume(id),
            Event::Begin(id) => self.begin_subscriber(id),
            Event::Dialled { subscriber, stream, member } => {
                self.dialled(subscriber, stream, member);
            }
            Event::Linked { subscriber, stream, is_open } => {
                self.linked(subscriber, stream, is_open);
            }
            Event::Wanted { member, subscriber, stream, request } => {
                self.wanted(member, (subscriber, stream), request);
            }
            Event::Closed { member, stream } => self.closed(member, stream),
            Event::Part { subscriber, stream, part } => self.part(subscriber, stream, *part),
            Event::Prune => self.prune(),
            Event::Compare => self.compare(),
            Event::Forge => self.forge(),
        }
    }

    /// Lets an event happen after a time that is drawn, us.
    fn after(&mut self, (least, most): (u64, u64), event: Event) {
        let delay = self.random.between(least, most);
        self.schedule.add(self.now.after(delay), event);
    }

    /// The time of day, for everybody outside of the nodes.
    fn wall(&self) -> Time {
        Clock::default().at(self.now).wall
    }

    /// The moment at which the time of day is `due`.
    fn moment(&self, due: Time) -> Instant {
        let left = due.since(self.wall()).as_millis();
        self.now.after(u64::try_from(left).unwrap_or(u64::MAX).saturating_mul(1000))
    }

    /// Log time, as far as anybody has applied.
    fn log_time(&self) -> Time {
        let time = self.world.oracle.ledger.machine().time;
        if time > Time::ZERO { time } else { self.wall() }
    }

    fn see(&mut self, seen: &Seen<'_>) {
        if let Err(violation) = self.oracle.see(self.now, seen) {
            self.violation.get_or_insert(violation);
        }
    }

    fn fail(&mut self, invariant: &'static str, detail: String) {
        let at = self.now;
        self.violation.get_or_insert(Violation { invariant, at, detail });
    }

    fn command(&mut self, command: &Command) {
        match command {
            Command::Load(publishers) => {
                for id in 0..*publishers {
                    self.publishers.insert(id, PublisherActor::new(id));
                }
            }
            _ => self.world.command(command),
        }
        self.follow();
    }

    /// The topic is there: everybody begins.
    fn open(&mut self) {
        self.is_founded = true;
        for id in self.publishers.keys().copied().collect::<Vec<_>>() {
            self.after((0, 20_000), Event::Publish(id));
            if self.random.one_in(2) {
                self.after((500_000, 8_000_000), Event::PublisherCrash(id));
            }
        }
        let count = self.random.between(SUBSCRIBERS.0, SUBSCRIBERS.1);
        let count = u8::try_from(count).unwrap_or(1);
        for id in client::SUBSCRIBER..client::SUBSCRIBER + count {
            let is_first = id == client::SUBSCRIBER;
            let lease = *self.random.pick(&[8, 300, 300]);
            let window = *self.random.pick(&[4, 16, 64, 1024]);
            let home = self.any_node();
            let lease = Duration::from_secs(lease);
            self.subscribers.insert(id, SubscriberActor::new((id, home), window, lease));
            self.after((0, if is_first { 50_000 } else { 8_000_000 }), Event::Begin(id));
        }
        self.after((0, PRUNE), Event::Prune);
        self.after((300_000, 2_000_000), Event::Forge);
        if self.other.is_some() {
            self.after((300_000, 2_000_000), Event::Compare);
        }
    }

    fn prune(&mut self) {
        if !self.asking.contains_key(&client::JANITOR) {
            self.ask(client::JANITOR, Asked::Prune, topic().prune(64));
        }
        self.after((PRUNE / 4, PRUNE), Event::Prune);
    }

    fn any_node(&mut self) -> Name {
        let names: Vec<Name> = self.world.nodes.keys().copied().collect();
        *self.random.pick(&names)
    }

    fn verdict(self) -> Verdict {
        let (violation, answered, passed) = (self.violation, self.answered, self.now.0);
        let hash = self.world.trace.hash() ^ self.oracle.hash();
        let (coverage, lines) = (self.world.coverage, self.world.trace.lines().to_vec());
        Verdict { violation, coverage, hash, passed, answered, lines }
    }
}

#[cfg(test)]
mod tests;
