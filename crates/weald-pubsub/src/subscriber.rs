//! The subscriber's side of delivery: each message once, in the order of positions, or the exact
//! range that is gone.
//!
//! The driver feeds inputs with the time, carries out [`SubscriberOutput`]s, and calls
//! [`Subscriber::handle_timeout`] at [`Subscriber::poll_timeout`]. The application takes
//! [`Event`]s; what it has not taken bounds what the member may send. The body of a large message is
//! fetched when the application asks for an event and that message is the next. Spurious inputs are
//! harmless.

mod events;
mod fetching;
mod lease;
mod window;

use std::{collections::VecDeque, time::Duration};

use weald_core::{PeerId, Time};

use crate::{
    BodyAnswer, BodyRequest, LeaseAnswer, LeaseRequest, Part, StreamRequest, SubscriberId, TopicId,
    TopicPosition, TopicRefusal, assign,
};

pub use events::Event;
use events::Events;
use fetching::Fetching;
use lease::LeaseKeeper;
use window::{Taken, Window};

/// Settings of a subscriber.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SubscriberConfig {
    /// Positions that may be on their way or waiting for the application. Default: 1024.
    pub window: u64,
    /// After how long without a word the member is asked whether something was lost. Default: 2 s.
    pub check_interval: Duration,
    /// The first pause before a member is dialled again; doubled each time. Default: 50 ms.
    pub redial_delay: Duration,
    /// The longest pause before a member is dialled again. Default: 5 s.
    pub redial_delay_max: Duration,
    /// After how long without an answer some chunks of a body are asked of another member. Default: 3 s.
    pub body_timeout: Duration,
    /// How long a subscription lasts without renewal. Default: 30 min.
    pub lease: Duration,
    /// A member that is tried before those that are assigned: the one in the subscriber's own
    /// process. Default: none.
    pub near: Option<PeerId>,
}

impl Default for SubscriberConfig {
    fn default() -> Self {
        Self {
            window: 1024,
            check_interval: Duration::from_secs(2),
            redial_delay: Duration::from_millis(50),
            redial_delay_max: Duration::from_secs(5),
            body_timeout: Duration::from_secs(3),
            lease: Duration::from_secs(30 * 60),
            near: None,
        }
    }
}

impl SubscriberConfig {
    /// The pause after so many failures in a row.
    fn pause(&self, failures: u32) -> Duration {
        let factor = 1_u32 << failures.min(16);
        (self.redial_delay * factor).min(self.redial_delay_max)
    }
}

/// What happens to a subscriber.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SubscriberInput {
    /// The home members of the topic, or others than before.
    Members(Vec<PeerId>),
    /// A member that was dialled is connected.
    Connected(PeerId),
    /// A member refused, could not be reached or is gone.
    Disconnected(PeerId),
    /// A member has sent a part.
    Part(PeerId, Part),
    /// What came of the [`SubscriberOutput::Fetch`] of this number; [`BodyAnswer::NotHere`] where the
    /// member was not reached.
    Body(u64, BodyAnswer),
    /// The topic has answered a lease request.
    Leased(LeaseAnswer),
    /// The topic, or whoever stands before it, has refused a lease request.
    LeaseRefused(TopicRefusal),
    /// A forced recovery began a new generation: positions from before say nothing any more.
    Reset {
        /// The generation.
        generation: u64,
    },
    /// The application ends the subscription.
    Unsubscribe,
}

/// What the driver carries out.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum SubscriberOutput {
    /// Connect to a member; then [`SubscriberInput::Connected`] or
    /// [`SubscriberInput::Disconnected`].
    Dial(PeerId),
    /// The connection to a member is not needed any more.
    Hangup(PeerId),
    /// Send a request to the member that is connected.
    Send(PeerId, StreamRequest),
    /// Ask a member for a part of a body, also one that no stream is open to; then
    /// [`SubscriberInput::Body`]. One is under way at a time: an earlier one is not needed any more.
    Fetch {
        /// Names the request in its answer.
        number: u64,
        /// The member.
        member: PeerId,
        /// What is asked.
        request: BodyRequest,
    },
    /// The body that a member has given, or the last part of it, was not that of the message.
    Refused {
        /// The member.
        member: PeerId,
        /// Where the message stands.
        position: TopicPosition,
    },
    /// Sign a lease request and bring it to the topic.
    Lease(LeaseRequest),
    /// Keep the cursor durably, with [`Subscriber::generation`]: everything up to here was
    /// acknowledged.
    Persist(TopicPosition),
}

/// How a subscriber reaches its topic.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Link {
    /// Not before this.
    Waiting(Time),
    Dialling(PeerId),
    /// Connected; whether a word was heard since the member was last asked.
    Open {
        member: PeerId,
        is_asked: bool,
        check_at: Time,
    },
    Ended,
}

/// One subscription of one application.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Subscriber {
    config: SubscriberConfig,
    id: SubscriberId,
    topic: TopicId,
    /// Members in the order in which they are tried.
    order: Vec<PeerId>,
    /// Failures in a row; names the member that is tried next.
    failures: u32,
    link: Link,
    window: Window,
    events: Events,
    fetching: Fetching,
    lease: LeaseKeeper,
    outputs: VecDeque<SubscriberOutput>,
}

impl Subscriber {
    /// A subscription that has seen everything up to `cursor`; nothing, for the whole history.
    pub fn new(
        config: SubscriberConfig,
        (id, topic): (SubscriberId, TopicId),
        cursor: TopicPosition,
        now: Time,
    ) -> Self {
        Self {
            config,
            id,
            topic,
            order: Vec::new(),
            failures: 0,
            link: Link::Waiting(now),
            window: Window::new(cursor),
            events: Events::new(cursor),
            fetching: Fetching::default(),
            lease: LeaseKeeper::new(id.stream, config.lease, now),
            outputs: VecDeque::new(),
        }
    }

    /// Notes that the topic is known to reach up to before `end`: the subscription has not caught up
    /// before all of that was delivered, whatever a member that lags says.
    pub fn expect(&mut self, end: TopicPosition) {
        self.window.note_end(end);
    }

    /// Notes which generation the cursor is of. Called before anything is taken; 0 if never.
    pub fn begin_in(&mut self, generation: u64) {
        self.events.begin_in(generation);
    }

    /// Renews the lease now.
    pub fn renew(&mut self, now: Time) {
        self.lease.hurry(now);
        self.handle_timeout(now);
    }

    /// The nonce of the last request about the lease: its answer, or that to a later one, says what
    /// became of all that was asked until now.
    pub fn lease_nonce(&self) -> u64 {
        self.lease.nonce()
    }

    /// Whether there is something to do.
    pub fn has_outputs(&self) -> bool {
        !self.outputs.is_empty() || self.fetching.is_new()
    }

    /// Whether the subscription has ended and nothing is left to be carried out.
    pub fn is_over(&self) -> bool {
        self.link == Link::Ended && self.outputs.is_empty()
    }

    /// The last position that the application has acknowledged: where a restart resumes.
    pub const fn cursor(&self) -> TopicPosition {
        self.events.cursor()
    }

    /// The generation that [`Subscriber::cursor`] is of: the last that the application was told of.
    pub const fn generation(&self) -> u64 {
        self.events.told_generation()
    }

    /// The last position that the application has taken: the `lastSeenVersion`.
    pub const fn last_seen(&self) -> TopicPosition {
        self.events.taken()
    }

    /// Takes an input.
    pub fn handle(&mut self, now: Time, input: SubscriberInput) {
        match input {
            SubscriberInput::Members(members) => {
                self.order = assign(&self.id, &self.topic, &members);
                // The sort is stable: the others stay in their order.
                self.order.sort_by_key(|member| Some(*member) != self.config.near);
                self.leave_strangers(now);
            }
            SubscriberInput::Connected(member) => self.handle_connected(now, member),
            SubscriberInput::Disconnected(member) => self.handle_disconnected(now, member),
            SubscriberInput::Part(member, part) => self.handle_part(now, member, part),
            SubscriberInput::Body(number, answer) => self.handle_body(now, number, answer),
            SubscriberInput::Leased(answer) => self.lease.handle_answer(now, &answer),
            SubscriberInput::LeaseRefused(refusal) => self.lease.handle_refusal(now, &refusal),
            SubscriberInput::Reset { generation } => self.handle_reset(now, generation),
            SubscriberInput::Unsubscribe => self.end(now),
        }
        self.handle_timeout(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Time) {
        if self.link == Link::Ended {
            return;
        }
        if let Some(request) = self.lease.poll_request(now, self.events.taken()) {
            self.outputs.push_back(SubscriberOutput::Lease(request));
        }
        match self.link {
            Link::Waiting(at) if at <= now => self.dial(),
            Link::Open { member, is_asked: false, check_at } if check_at <= now => {
                self.ask(now, member);
            }
            Link::Open { member, is_asked: true, check_at } if check_at <= now => {
                self.leave(now, member);
            }
            _ => {}
        }
        self.fetch_on(now);
    }

    /// When [`Subscriber::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Time> {
        let link = match self.link {
            Link::Waiting(at) => (!self.order.is_empty()).then_some(at),
            Link::Open { check_at, .. } => Some(check_at),
            Link::Dialling(_) => None,
            Link::Ended => return None,
        };
        let fetch = self.fetching.due().filter(|_| !self.order.is_empty());
        [link, fetch, Some(self.lease.due())].into_iter().flatten().min()
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<SubscriberOutput> {
        self.outputs.pop_front()
    }

    /// The next event for the application. `None` also while the body of the next message is not here:
    /// it is fetched from now on, and [`Subscriber::handle_timeout`] is due.
    pub fn poll_event(&mut self) -> Option<Event> {
        if let Some(large) = self.events.large() {
            let settled = self.fetching.settle(large)?;
            self.events.replace_first(settled);
        }
        let event = self.events.take()?;
        if matches!(event, Event::Reset { .. }) {
            self.outputs.push_back(SubscriberOutput::Persist(self.events.cursor()));
        }
        if let Link::Open { member, .. } = self.link
            && let Some(until) = self.window.moved_on(self.events.taken(), self.config.window)
        {
            self.outputs.push_back(SubscriberOutput::Send(member, StreamRequest::Allow { until }));
        }
        Some(event)
    }

    /// The application is done with everything up to `position`. A position that it has not taken
    /// says nothing, so the cursor never passes a message that was not delivered.
    pub fn acknowledge(&mut self, position: TopicPosition) {
        if self.events.acknowledge(position) {
            self.outputs.push_back(SubscriberOutput::Persist(position));
        }
    }

    fn dial(&mut self) {
        let Some(count) = u32::try_from(self.order.len()).ok().filter(|count| *count > 0) else {
            return;
        };
        let nth = usize::try_from(self.failures % count).expect("a place in a list in memory");
        let member = self.order[nth];
        self.link = Link::Dialling(member);
        self.outputs.push_back(SubscriberOutput::Dial(member));
    }

    fn handle_connected(&mut self, now: Time, member: PeerId) {
        if self.link == Link::Dialling(member) {
            self.fetching.prefer_the_first();
            self.ask(now, member);
        }
    }

    /// Asks a member to deliver what comes next: when it is connected, and when it was silent.
    fn ask(&mut self, now: Time, member: PeerId) {
        let check_at = now.after(self.config.check_interval);
        self.link = Link::Open { member, is_asked: true, check_at };
        let (from, until) = self.window.open(self.events.taken(), self.config.window);
        self.outputs.push_back(SubscriberOutput::Send(member, StreamRequest::Open { from, until }));
    }

    fn handle_disconnected(&mut self, now: Time, member: PeerId) {
        let is_it = match self.link {
            Link::Dialling(dialled) => dialled == member,
            Link::Open { member: open, .. } => open == member,
            Link::Waiting(_) | Link::Ended => false,
        };
        if !is_it {
            return;
        }
        let delay = self.config.pause(self.failures);
        self.failures = self.failures.saturating_add(1);
        self.window.forget_parts();
        self.link = Link::Waiting(now.after(delay));
    }

    /// Goes to the next member: this one is silent, or sends more than it may.
    fn leave(&mut self, now: Time, member: PeerId) {
        self.outputs.push_back(SubscriberOutput::Hangup(member));
        self.handle_disconnected(now, member);
    }

    /// Goes to another member when its own is no member any more.
    fn leave_strangers(&mut self, now: Time) {
        if let Link::Open { member, .. } | Link::Dialling(member) = self.link
            && !self.order.contains(&member)
        {
            self.outputs.push_back(SubscriberOutput::Hangup(member));
            self.failures = 0;
            self.window.forget_parts();
            self.link = Link::Waiting(now);
        }
    }

    fn handle_part(&mut self, now: Time, from: PeerId, part: Part) {
        let Link::Open { member, .. } = self.link else { return };
        if member != from {
            return;
        }
        match self.window.take(part) {
            Taken::Heard => {}
            Taken::Ignored => return,
            Taken::Beyond => return self.leave(now, member),
        }
        self.failures = 0;
        let check_at = now.after(self.config.check_interval);
        self.link = Link::Open { member, is_asked: false, check_at };
        while let Some(part) = self.window.poll_part() {
            self.events.add(part);
        }
        self.events.note_end(self.window.end(), self.window.is_full());
        if let Some((from, until)) = self.window.poll_hole() {
            let fill = StreamRequest::Fill { from, until };
            self.outputs.push_back(SubscriberOutput::Send(member, fill));
        }
    }

    fn handle_body(&mut self, now: Time, number: u64, answer: BodyAnswer) {
        let wrong = self.fetching.handle_answer(now, &self.config, (number, answer));
        if let Some((member, position)) = wrong {
            self.outputs.push_back(SubscriberOutput::Refused { member, position });
        }
    }

    /// Asks for what is missing of a body, if that is due: the member that serves the stream, then the
    /// others.
    fn fetch_on(&mut self, now: Time) {
        if self.fetching.due().is_none_or(|due| due > now) {
            return;
        }
        let serving = match self.link {
            Link::Open { member, .. } => Some(member),
            Link::Waiting(_) | Link::Dialling(_) | Link::Ended => None,
        };
        let others = self.order.iter().copied().filter(|member| Some(*member) != serving);
        let members: Vec<PeerId> = serving.into_iter().chain(others).collect();
        let request = self.fetching.poll_request(now, &self.config, &members);
        if let Some((number, member, request)) = request {
            self.outputs.push_back(SubscriberOutput::Fetch { number, member, request });
        }
    }

    fn handle_reset(&mut self, now: Time, generation: u64) {
        if self.link == Link::Ended || !self.events.reset(generation) {
            return;
        }
        self.window.reset();
        self.fetching.forget();
        if let Link::Open { member, .. } = self.link {
            self.ask(now, member);
        }
    }

    fn end(&mut self, now: Time) {
        if let Link::Open { member, .. } | Link::Dialling(member) = self.link {
            self.outputs.push_back(SubscriberOutput::Hangup(member));
        }
        if self.link != Link::Ended {
            let request = self.lease.ending(now, self.events.taken());
            self.outputs.push_back(SubscriberOutput::Lease(request));
        }
        self.link = Link::Ended;
        self.fetching.forget();
    }
}

#[cfg(test)]
mod tests;
