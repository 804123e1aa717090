//! Subscribers: the real machine between a member's stream and an application that takes events,
//! acknowledges some, and crashes now and then.

use std::time::Duration;

use weald_core::{
    Outcome, PeerId, Rejection,
    identity::{Identity, KeyStore},
};
use weald_pubsub::{
    LeaseAnswer, LeaseRequest, Part, Signed, StreamId, Subscriber, SubscriberConfig, SubscriberId,
    SubscriberInput, SubscriberOutput, TopicPosition, TopicRefusal,
};

use super::{Asked, Event, Seen, TopicMutation, Topics, address, keys, topic};
use crate::{
    name::Name,
    node::{identity, name_of_peer},
    schedule::Instant,
};

/// What an application waits before it takes more, at most, us.
const THINK: u64 = 60_000;
/// Events that it takes at once, at most.
const TAKEN_MAX: u64 = 40;

/// One subscriber.
#[derive(Debug)]
pub(super) struct SubscriberActor {
    id: u8,
    /// The node by whose links it reaches others.
    pub(super) home: Name,
    pub(super) keys: Identity,
    config: SubscriberConfig,
    pub(super) machine: Option<Subscriber>,
    /// Counts the runs of its application.
    run: u32,
    /// The member that it has dialled, and by which name.
    link: Option<(Name, StreamId)>,
    /// What is on its disk.
    cursor: TopicPosition,
    wake_at: Option<Instant>,
    is_consuming: bool,
}

impl SubscriberActor {
    pub(super) fn new((id, home): (u8, Name), window: u64, lease: Duration) -> Self {
        let config = SubscriberConfig {
            window,
            check_interval: Duration::from_millis(700),
            redial_delay_max: Duration::from_secs(1),
            lease,
            near: None,
            ..SubscriberConfig::default()
        };
        Self {
            id,
            home,
            keys: keys(id.into()),
            config,
            machine: None,
            run: 0,
            link: None,
            cursor: TopicPosition::ZERO,
            wake_at: None,
            is_consuming: false,
        }
    }

    pub(super) fn subscriber_id(&self) -> SubscriberId {
        SubscriberId { peer: self.keys.public().peer_id(), stream: self.id.into() }
    }
}

fn peer(name: Name) -> PeerId {
    identity(name).public().peer_id()
}

impl Topics {
    /// A subscriber's application begins, at its cursor.
    pub(super) fn begin_subscriber(&mut self, id: u8) {
        let wall = self.wall();
        let members: Vec<PeerId> = self.world.nodes.keys().map(|name| peer(*name)).collect();
        let actor = self.subscribers.get_mut(&id).expect("it was added");
        actor.run += 1;
        let (old, cursor) = (actor.link.take(), actor.cursor);
        let names = (actor.subscriber_id(), address().topic);
        let mut machine = Subscriber::new(actor.config, names, cursor, wall);
        machine.handle(wall, SubscriberInput::Members(members));
        actor.machine = Some(machine);
        actor.wake_at = None;
        let is_consuming = std::mem::replace(&mut actor.is_consuming, true);
        self.asking.remove(&id);
        self.see(&Seen::Began { subscriber: id, cursor });
        self.hang_up(old);
        self.carry_out_subscriber(id);
        if !is_consuming {
            self.after((0, THINK), Event::Consume(id));
        }
        if self.is_open && self.random.one_in(2) {
            self.after((300_000, 6_000_000), Event::Begin(id));
        }
    }

    fn hang_up(&mut self, link: Option<(Name, StreamId)>) {
        if let Some((member, stream)) = link {
            self.after((200, 5_000), Event::Closed { member, stream });
        }
    }

    /// Hands an input to a subscriber, if its application runs.
    fn hand(&mut self, id: u8, input: SubscriberInput) {
        let wall = self.wall();
        let actor = self.subscribers.get_mut(&id).expect("it was added");
        if let Some(machine) = &mut actor.machine {
            machine.handle(wall, input);
            self.carry_out_subscriber(id);
        }
    }

    /// A subscriber's timer is due.
    pub(super) fn subscriber_due(&mut self, id: u8, run: u32) {
        let wall = self.wall();
        let actor = self.subscribers.get_mut(&id).expect("it was added");
        let is_due = actor.wake_at.take_if(|at| *at <= self.now).is_some();
        if let Some(machine) = actor.machine.as_mut().filter(|_| is_due && actor.run == run) {
            machine.handle_timeout(wall);
            self.carry_out_subscriber(id);
        }
    }

    /// The application takes some of what has come, and acknowledges it now and then.
    pub(super) fn consume(&mut self, id: u8) {
        let count = self.random.below(TAKEN_MAX);
        for _ in 0..count {
            let actor = self.subscribers.get_mut(&id).expect("it was added");
            let event = actor.machine.as_mut().and_then(Subscriber::poll_event);
            let Some(event) = event else { break };
            self.answered.1 += 1;
            let log_time = self.log_time();
            self.see(&Seen::Shown { subscriber: id, event: &event, log_time });
        }
        if self.random.one_in(3) {
            let actor = self.subscribers.get_mut(&id).expect("it was added");
            if let Some(machine) = &mut actor.machine {
                machine.acknowledge(machine.last_seen());
            }
        }
        self.carry_out_subscriber(id);
        self.after((0, THINK), Event::Consume(id));
    }

    /// A dialled member was reached or not, or is gone.
    pub(super) fn linked(&mut self, id: u8, stream: StreamId, is_open: bool) {
        let Some((name, _)) = self.link_of(id, stream) else { return };
        let input = match is_open {
            true => SubscriberInput::Connected(peer(name)),
            false => SubscriberInput::Disconnected(peer(name)),
        };
        self.hand(id, input);
    }

    fn link_of(&self, id: u8, stream: StreamId) -> Option<(Name, StreamId)> {
        self.subscribers[&id].link.filter(|(_, open)| *open == stream)
    }

    /// A part arrives.
    pub(super) fn part(&mut self, id: u8, stream: StreamId, part: Part) {
        let Some((name, _)) = self.link_of(id, stream) else { return };
        let actor = &self.subscribers[&id];
        let window = actor.config.window;
        if let Some(taken) = actor.machine.as_ref().map(Subscriber::last_seen) {
            self.see(&Seen::Sent { until: part.next, taken, window });
        }
        if self.mutation == Some(TopicMutation::KeepCursorEarly) {
            let last = TopicPosition(part.next.0.saturating_sub(1));
            let actor = self.subscribers.get_mut(&id).expect("it was added");
            actor.cursor = actor.cursor.max(last);
        }
        self.hand(id, SubscriberInput::Part(peer(name), part));
    }

    /// What came of a lease request.
    pub(super) fn leased(&mut self, id: u8, outcome: Option<Outcome>) {
        let input = match outcome {
            Some(Outcome::Committed(commit)) => {
                let answer = commit.answers.last().map(|bytes| LeaseAnswer::decode(bytes));
                match answer {
                    Some(Ok(answer)) => SubscriberInput::Leased(answer),
                    other => return self.fail("INV9 topic", format!("no answer: {other:?}")),
                }
            }
            Some(Outcome::Rejected(rejection)) => {
                SubscriberInput::LeaseRefused(refusal(&rejection))
            }
            // The machine asks again by itself.
            _ => return,
        };
        self.hand(id, input);
    }

    fn carry_out_subscriber(&mut self, id: u8) {
        loop {
            let actor = self.subscribers.get_mut(&id).expect("it was added");
            let output = actor.machine.as_mut().and_then(Subscriber::poll_output);
            let Some(output) = output else { break };
            self.subscriber_output(id, output);
        }
        let actor = &self.subscribers[&id];
        let due = actor.machine.as_ref().and_then(Subscriber::poll_timeout);
        let due = due.map(|due| self.moment(due));
        let actor = self.subscribers.get_mut(&id).expect("it was added");
        if let Some(due) = due.filter(|due| actor.wake_at.is_none_or(|at| *due < at)) {
            actor.wake_at = Some(due);
            self.schedule.add(due, Event::SubscriberDue(id, actor.run));
        }
    }

    fn subscriber_output(&mut self, id: u8, output: SubscriberOutput) {
        match output {
            SubscriberOutput::Dial(member) => {
                let Some(member) = name_of_peer(&member) else { return };
                self.stream_count += 1;
                let stream = StreamId(self.stream_count);
                let actor = self.subscribers.get_mut(&id).expect("it was added");
                let old = actor.link.replace((member, stream));
                self.hang_up(old);
                self.after((200, 5_000), Event::Dialled { subscriber: id, stream, member });
            }
            SubscriberOutput::Hangup(_) => {
                let actor = self.subscribers.get_mut(&id).expect("it was added");
                let old = actor.link.take();
                self.hang_up(old);
            }
            SubscriberOutput::Send(_, request) => {
                let actor = &self.subscribers[&id];
                let Some((member, stream)) = actor.link else { return };
                for delay in self.route((actor.home, member), "Wanted") {
                    let event = Event::Wanted { member, subscriber: id, stream, request };
                    self.schedule.add(self.now.after(delay), event);
                }
            }
            SubscriberOutput::Fetch { request, .. } => {
                self.fail("INV9 topic", format!("nobody publishes large bodies: {request:?}"));
            }
            SubscriberOutput::Refused { member, position } => {
                self.fail("INV9 topic", format!("{member} gave no body of {position}"));
            }
            SubscriberOutput::Lease(request) => self.lease(id, request),
            SubscriberOutput::Persist(cursor) => {
                self.subscribers.get_mut(&id).expect("it was added").cursor = cursor;
            }
        }
    }

    fn lease(&mut self, id: u8, request: LeaseRequest) {
        let keys = &self.subscribers[&id].keys;
        let signed = Signed::new(&address(), request, keys).expect("the key is in memory");
        self.ask(id, Asked::Lease, topic().lease(signed));
    }
}

/// The refusal behind a rejection, as far as a subscriber tells them apart.
fn refusal(rejection: &Rejection) -> TopicRefusal {
    let code = |refusal: &TopicRefusal| refusal.code();
    let known = [TopicRefusal::NotSubscribed, TopicRefusal::StaleNonce { highest: 0 }];
    let Rejection::Custom { code: found, .. } = rejection else { return TopicRefusal::RateLimited };
    let known = known.into_iter().find(|known| code(known) == *found);
    known.unwrap_or(TopicRefusal::RateLimited)
}
