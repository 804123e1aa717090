//! The parts of a run and how they go on.

mod reading;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use weald_core::{PeerId, Rejection, SeededEntropy, Time, identity::Identity};

use super::{
    network::{Network, below},
    verdict::last_of,
};
use crate::{
    Availability, BatchMode, BodyAnswer, BodyRequest, Delivery, DeliveryInput, DeliveryOutput,
    Event, Incarnation, LeaseAnswer, Message, MessageId, Outbox, Part, PublishAnswer, Publisher,
    PublisherInput, PublisherOutput, PublisherRecord, PublisherSequence, Skip, StreamId,
    StreamRequest, Subscriber, SubscriberConfig, SubscriberId, SubscriberInput, SubscriberOutput,
    TopicPolicy, TopicPosition, TopicRefusal,
    limits::BODY_CHUNK_BYTES,
    signed::Signed,
    testing::{Site, address, at, identity, peer, topic},
};

const MEMBERS: u64 = 3;
const PUBLISHERS: u64 = 3;
/// Bytes of a large body: of two chunks, a part that is asked for at once.
const LARGE_BYTES: usize = BODY_CHUNK_BYTES + 1;
/// How long a subscription lasts without renewal.
pub(super) const LEASE: Duration = Duration::from_secs(2);

/// How bad the world is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Faults {
    pub(super) loss_percent: u64,
    pub(super) duplicate_percent: u64,
    /// How often in a thousand steps a member or the application crashes.
    pub(super) crash_permille: u64,
}

#[derive(Clone, Debug)]
enum Packet {
    ToMember(u64, StreamId, StreamRequest),
    ToSubscriber(PeerId, Part),
    Fetch(u64, u64, BodyRequest),
    Body(u64, BodyAnswer),
    Publish(u64, u64, Vec<Message>),
    Skip(u64, u64, Skip),
    Answer(u64, u64, Vec<Result<Option<crate::Published>, TopicRefusal>>),
    Lease(Box<Signed<crate::LeaseRequest>>),
    Leased(Result<LeaseAnswer, TopicRefusal>),
}

pub(super) struct Actor {
    keys: Identity,
    pub(super) publisher: Publisher,
    disk: Outbox,
    /// The number of the call that is under way, and when it is given up.
    call: u64,
    gives_up_at: Option<Time>,
    pub(super) settled: BTreeMap<PublisherSequence, bool>,
}

struct Member {
    delivery: Delivery,
    applied: TopicPosition,
    down_until: Time,
}

pub(super) struct World {
    entropy: SeededEntropy,
    faults: Faults,
    pub(super) now: Time,
    pub(super) site: Site,
    pub(super) actors: Vec<Actor>,
    members: Vec<Member>,
    subscriber: Subscriber,
    subscriber_keys: Identity,
    /// The member that the subscriber is connected to.
    stream: u64,
    /// The cursor on the application's disk.
    cursor: TopicPosition,
    pub(super) seen: Vec<Event>,
    network: Network<Packet>,
    /// What the log accepted, by position.
    pub(super) truth: BTreeMap<TopicPosition, (MessageId, Time)>,
    crashes: u64,
    /// Parts of bodies that were asked for.
    pub(super) fetches: u64,
    /// How often the topic has prolonged the subscription.
    pub(super) renewals: u64,
}

fn config() -> SubscriberConfig {
    SubscriberConfig {
        window: 16,
        check_interval: Duration::from_millis(200),
        redial_delay: Duration::from_millis(10),
        redial_delay_max: Duration::from_millis(200),
        body_timeout: Duration::from_millis(150),
        lease: LEASE,
        near: None,
    }
}

fn index(n: u64) -> usize {
    usize::try_from(n).unwrap()
}

impl World {
    pub(super) fn new(seed: u64, faults: Faults) -> Self {
        let now = at(10);
        let actor = |n| {
            let disk = Outbox::new(Incarnation(1));
            let publisher = Publisher::restore(address(), Availability::Available, disk.clone());
            let settled = BTreeMap::new();
            Actor { keys: identity(50 + n), publisher, disk, call: 0, gives_up_at: None, settled }
        };
        let member = |_| Member {
            delivery: Delivery::new(TopicPosition(1)),
            applied: TopicPosition(1),
            down_until: Time::ZERO,
        };
        let subscriber_keys = identity(99);
        let body_bytes_max = LARGE_BYTES;
        let policy = TopicPolicy { messages_max: 200, body_bytes_max, ..TopicPolicy::default() };
        let mut world = Self {
            entropy: SeededEntropy::new(seed),
            faults,
            now,
            site: Site::with(policy),
            actors: (0..PUBLISHERS).map(actor).collect(),
            members: (0..MEMBERS).map(member).collect(),
            subscriber: new_subscriber(&subscriber_keys, TopicPosition::ZERO, now),
            subscriber_keys,
            stream: 0,
            cursor: TopicPosition::ZERO,
            seen: Vec::new(),
            network: Network::new(),
            truth: BTreeMap::new(),
            crashes: 0,
            fetches: 0,
            renewals: 0,
        };
        world.tell_members();
        world
    }

    fn draw(&mut self, bound: u64) -> u64 {
        below(&mut self.entropy, bound)
    }

    fn send(&mut self, packet: &Packet) {
        let faults = (self.faults.loss_percent, self.faults.duplicate_percent);
        self.network.send((self.now, &mut self.entropy), faults, packet);
    }

    fn tell_members(&mut self) {
        let members = (0..MEMBERS).map(peer).collect();
        self.subscriber.handle(self.now, SubscriberInput::Members(members));
    }

    /// So many steps of publishing, reading and trouble.
    pub(super) fn run(&mut self, steps: u64) {
        for _ in 0..steps {
            match self.draw(10) {
                0..4 => self.publish(),
                4..6 => self.consume(),
                6 => drop(self.site.act(topic().prune(40)).unwrap()),
                _ => {}
            }
            if self.draw(1000) < self.faults.crash_permille {
                self.crash();
            }
            self.step();
        }
    }

    /// Ends all trouble and goes on until everything has arrived.
    pub(super) fn settle(&mut self) {
        self.faults = Faults::default();
        for _ in 0..100_000 {
            self.consume();
            self.step();
            let is_done = self.actors.iter().all(|actor| actor.publisher.outbox().is_empty());
            if is_done && self.subscriber.last_seen().next() == self.site.head().next {
                return;
            }
        }
        panic!("it does not come to rest: {:?} {:?}", self.subscriber, self.site.head());
    }

    fn publish(&mut self) {
        let nth = index(self.draw(PUBLISHERS));
        let ttl = [Duration::from_millis(150), Duration::from_secs(1000)];
        let ttl = ttl[usize::from(self.draw(4) > 0)];
        let large = self.draw(24);
        let actor = &mut self.actors[nth];
        let body = match large {
            0 => Bytes::from(vec![u8::try_from(nth).unwrap(); LARGE_BYTES]),
            _ => Bytes::from(actor.publisher.outbox().last().0.to_string()),
        };
        actor.publisher.publish(self.now, (body, ttl), &actor.keys).unwrap();
    }

    /// The application takes some events, and acknowledges some of what it took.
    fn consume(&mut self) {
        for _ in 0..self.draw(12) {
            let Some(event) = self.subscriber.poll_event() else { break };
            self.seen.push(event);
        }
        if self.draw(3) == 0 {
            self.subscriber.acknowledge(self.subscriber.last_seen());
        }
    }

    fn crash(&mut self) {
        self.crashes += 1;
        match self.draw(3) {
            0 => self.crash_application(),
            1 => self.crash_publisher(),
            _ => self.crash_member(),
        }
    }

    /// The application forgets what it saw after its cursor.
    fn crash_application(&mut self) {
        let cursor = self.cursor;
        let is_kept = |event: &Event| last_of(event).is_some_and(|last| last <= cursor);
        self.seen.retain(is_kept);
        self.subscriber = new_subscriber(&self.subscriber_keys, cursor, self.now);
        self.tell_members();
    }

    fn crash_publisher(&mut self) {
        let nth = index(self.draw(PUBLISHERS));
        let actor = &mut self.actors[nth];
        let disk = actor.disk.clone();
        actor.publisher = Publisher::restore(address(), Availability::Available, disk);
        actor.call += 1;
        actor.gives_up_at = None;
        actor.publisher.handle_timeout(self.now);
    }

    pub(super) fn crash_member(&mut self) {
        let nth = self.draw(MEMBERS);
        let down = Duration::from_millis(self.draw(400));
        let is_noticed = self.draw(2) == 0;
        let member = &mut self.members[index(nth)];
        member.delivery = Delivery::new(member.applied);
        member.down_until = self.now.after(down);
        if is_noticed {
            self.subscriber.handle(self.now, SubscriberInput::Disconnected(peer(nth)));
        }
    }

    /// Time goes on to what comes next.
    fn step(&mut self) {
        let timeouts = self.actors.iter().flat_map(|a| [a.publisher.poll_timeout(), a.gives_up_at]);
        let due = timeouts
            .chain([self.subscriber.poll_timeout(), self.network.next_arrival()])
            .flatten()
            .min();
        let latest = self.now.after(Duration::from_millis(1 + self.draw(20)));
        self.now = due.map_or(latest, |due| due.clamp(self.now, latest));
        self.site.time = self.now;
        self.subscriber.handle_timeout(self.now);
        self.give_up_calls();
        for actor in &mut self.actors {
            actor.publisher.handle_timeout(self.now);
        }
        while let Some(packet) = self.network.arrive(self.now) {
            self.arrive(packet);
        }
        self.apply();
        self.carry_out();
    }

    fn give_up_calls(&mut self) {
        for actor in &mut self.actors {
            if actor.gives_up_at.is_some_and(|at| at <= self.now) {
                actor.gives_up_at = None;
                actor.call += 1;
                actor.publisher.handle(self.now, PublisherInput::Unreachable);
            }
        }
    }

    /// Members apply the log, each in its own time.
    fn apply(&mut self) {
        let next = self.site.head().next;
        for nth in 0..index(MEMBERS) {
            if self.draw(3) == 0 || self.members[nth].down_until > self.now {
                continue;
            }
            let behind = self.draw(4);
            let member = &mut self.members[nth];
            let to = TopicPosition(next.0.saturating_sub(behind)).max(member.applied);
            member.applied = if self.faults.loss_percent == 0 { next } else { to };
            member.delivery.handle(DeliveryInput::Applied(member.applied));
        }
    }

    fn arrive(&mut self, packet: Packet) {
        match packet {
            Packet::ToMember(nth, stream, request) => {
                let member = &mut self.members[index(nth)];
                if member.down_until <= self.now {
                    member.delivery.handle(DeliveryInput::Asked(stream, request));
                }
            }
            Packet::ToSubscriber(member, part) => {
                self.subscriber.handle(self.now, SubscriberInput::Part(member, part));
            }
            Packet::Fetch(nth, number, request) => {
                if self.members[index(nth)].down_until <= self.now {
                    let answer = self.body(nth, &request);
                    self.send(&Packet::Body(number, answer));
                }
            }
            Packet::Body(number, answer) => {
                self.subscriber.handle(self.now, SubscriberInput::Body(number, answer));
            }
            Packet::Publish(nth, call, messages) => {
                let answer = self.site.act(topic().publish(messages.clone(), BatchMode::Each));
                let results = PublishAnswer::decode(&answer.unwrap()).unwrap().results;
                for (message, result) in messages.iter().zip(&results) {
                    self.note(message, result);
                }
                self.send(&Packet::Answer(nth, call, results));
            }
            Packet::Skip(nth, call, skip) => {
                let answer = self.site.act(topic().skip(vec![skip])).unwrap();
                let results = PublishAnswer::decode(&answer).unwrap().results;
                self.send(&Packet::Answer(nth, call, results));
            }
            Packet::Answer(nth, call, results) => {
                let actor = &mut self.actors[index(nth)];
                if actor.call == call && actor.gives_up_at.take().is_some() {
                    actor.publisher.handle(self.now, PublisherInput::Answered(results));
                }
            }
            Packet::Lease(request) => self.lease(*request),
            Packet::Leased(Ok(answer)) => {
                self.subscriber.handle(self.now, SubscriberInput::Leased(answer));
            }
            Packet::Leased(Err(refusal)) => {
                self.subscriber.handle(self.now, SubscriberInput::LeaseRefused(refusal));
            }
        }
    }

    fn note(&mut self, message: &Message, result: &Result<Option<crate::Published>, TopicRefusal>) {
        let Ok(Some(published)) = result else { return };
        let accepted = (published.id, message.expires_at);
        let before = self.truth.insert(published.position, accepted);
        assert_eq!(before.is_none(), published.is_new, "a position is given once");
        assert!(before.is_none_or(|before| before == accepted));
    }

    fn lease(&mut self, request: Signed<crate::LeaseRequest>) {
        let is_end = request.request.action == crate::LeaseAction::Unsubscribe;
        assert!(!is_end, "nobody unsubscribes here");
        let is_renewal = request.request.action == crate::LeaseAction::Renew;
        let answer = match self.site.act(topic().lease(request)) {
            Ok(bytes) => {
                self.renewals += u64::from(is_renewal);
                Ok(LeaseAnswer::decode(&bytes).unwrap())
            }
            Err(rejection) => Err(refusal_of(&rejection)),
        };
        self.send(&Packet::Leased(answer));
    }

    /// Does what the machines want done, until they want nothing.
    fn carry_out(&mut self) {
        while let Some(output) = self.subscriber.poll_output() {
            self.carry_out_subscriber(output);
        }
        for nth in 0..MEMBERS {
            while let Some(output) = self.members[index(nth)].delivery.poll_output() {
                self.carry_out_delivery(nth, output);
            }
        }
        for nth in 0..PUBLISHERS {
            while let Some(output) = self.actors[index(nth)].publisher.poll_output() {
                self.carry_out_publisher(nth, output);
            }
        }
    }

    fn carry_out_subscriber(&mut self, output: SubscriberOutput) {
        let number = |member: PeerId| (0..MEMBERS).find(|n| peer(*n) == member).unwrap();
        match output {
            SubscriberOutput::Dial(member) => {
                let is_up = self.members[index(number(member))].down_until <= self.now;
                self.stream += u64::from(is_up);
                let input = if is_up {
                    SubscriberInput::Connected(member)
                } else {
                    SubscriberInput::Disconnected(member)
                };
                self.subscriber.handle(self.now, input);
            }
            SubscriberOutput::Hangup(member) => {
                let closed = DeliveryInput::Closed(StreamId(self.stream));
                self.members[index(number(member))].delivery.handle(closed);
            }
            SubscriberOutput::Send(member, request) => {
                let stream = StreamId(self.stream);
                self.send(&Packet::ToMember(number(member), stream, request));
            }
            SubscriberOutput::Fetch { number: request_number, member, request } => {
                self.fetches += 1;
                self.send(&Packet::Fetch(number(member), request_number, request));
            }
            SubscriberOutput::Refused { member, .. } => panic!("{member} is honest"),
            SubscriberOutput::Lease(request) => {
                let signed = Signed::new(&address(), request, &self.subscriber_keys).unwrap();
                self.send(&Packet::Lease(Box::new(signed)));
            }
            SubscriberOutput::Persist(cursor) => self.cursor = cursor,
        }
    }

    fn carry_out_delivery(&mut self, nth: u64, output: DeliveryOutput) {
        match output {
            DeliveryOutput::Read { from, limit } => {
                let page = self.read(from, limit, self.members[index(nth)].applied);
                let read = DeliveryInput::Read { from, page };
                self.members[index(nth)].delivery.handle(read);
            }
            DeliveryOutput::Send(_, part) => {
                let part = Arc::unwrap_or_clone(part);
                self.send(&Packet::ToSubscriber(peer(nth), part));
            }
            DeliveryOutput::Refuse(stream) => panic!("refused: {stream:?}"),
        }
    }

    fn carry_out_publisher(&mut self, nth: u64, output: PublisherOutput) {
        let actor = &mut self.actors[index(nth)];
        match output {
            PublisherOutput::Persist(record) => {
                actor.disk.apply(&record);
                if let PublisherRecord::Taken(message) = record {
                    let persisted = PublisherInput::Persisted(message.sequence);
                    actor.publisher.handle(self.now, persisted);
                }
            }
            PublisherOutput::Publish(messages) => {
                let call = self.begin_call(nth);
                self.send(&Packet::Publish(nth, call, messages));
            }
            PublisherOutput::Skip(incarnation, sequence) => {
                let skip = Skip::sign(&address(), (incarnation, sequence), &actor.keys).unwrap();
                let call = self.begin_call(nth);
                self.send(&Packet::Skip(nth, call, skip));
            }
            PublisherOutput::Queued(_) => {}
            PublisherOutput::Settled(sequence, result) => {
                let before = actor.settled.insert(sequence, result.is_ok());
                assert!(before.is_none() || self.crashes > 0, "a message is settled once");
            }
        }
    }

    fn begin_call(&mut self, nth: u64) -> u64 {
        let actor = &mut self.actors[index(nth)];
        actor.call += 1;
        actor.gives_up_at = Some(self.now.after(Duration::from_millis(150)));
        actor.call
    }
}

fn new_subscriber(keys: &Identity, cursor: TopicPosition, now: Time) -> Subscriber {
    use weald_core::identity::KeyStore;
    let id = SubscriberId { peer: keys.public().peer_id(), stream: 1 };
    Subscriber::new(config(), (id, address().topic), cursor, now)
}

/// The refusal behind a rejection, as far as a subscriber tells them apart.
fn refusal_of(rejection: &Rejection) -> TopicRefusal {
    let not_subscribed = TopicRefusal::NotSubscribed;
    match rejection {
        Rejection::Custom { code, .. } if *code == not_subscribed.code() => not_subscribed,
        _ => TopicRefusal::RateLimited,
    }
}
