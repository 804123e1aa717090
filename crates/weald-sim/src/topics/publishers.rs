//! Publishers: applications that have something to say, their outboxes on a disk, and the real machine
//! between.

use std::time::Duration;

use weald_core::{
    Outcome, Rejection,
    identity::{Identity, KeyStore},
};
use weald_pubsub::{
    Availability, BatchMode, Incarnation, Message, Outbox, PublishAnswer, Publisher,
    PublisherInput, PublisherOutput, PublisherRecord, Skip,
};

use super::{Asked, Event, Seen, TopicMutation, Topics, address, keys, topic};
use crate::schedule::Instant;

/// What applications wait between two messages, at most, us: one of these in a run.
pub(super) const THINK: [u64; 8] =
    [100_000, 800_000, 800_000, 800_000, 1_500_000, 1_500_000, 1_500_000, 1_500_000];
/// How long messages last.
const TTL: [Duration; 4] = [
    Duration::from_millis(300),
    Duration::from_secs(3),
    Duration::from_secs(3_000),
    Duration::from_secs(3_000),
];

/// One publisher.
#[derive(Debug)]
pub(super) struct PublisherActor {
    pub(super) keys: Identity,
    pub(super) publisher: Publisher,
    /// What survives a crash of its application.
    disk: Outbox,
    /// When its timer is due.
    wake_at: Option<Instant>,
    said: u64,
}

impl PublisherActor {
    pub(super) fn new(id: u8) -> Self {
        let disk = Outbox::new(Incarnation(1));
        let publisher = Publisher::restore(address(), Availability::Available, disk.clone());
        Self { keys: keys(id.into()), publisher, disk, wake_at: None, said: 0 }
    }
}

impl Topics {
    /// An application publishes something, unless it has ended.
    pub(super) fn publish(&mut self, id: u8) {
        if !self.is_open {
            return;
        }
        let (wall, ttl) = (self.wall(), *self.random.pick(&TTL));
        let actor = self.publishers.get_mut(&id).expect("it has begun");
        actor.said += 1;
        let body = format!("{id} says {}", actor.said).into();
        let published = actor.publisher.publish(wall, (body, ttl), &actor.keys);
        let (_, message) = published.expect("an outbox is larger than a run");
        self.see(&Seen::Made { id: message });
        self.carry_out_publisher(id);
        self.after((0, self.think), Event::Publish(id));
    }

    /// A publisher's timer is due.
    pub(super) fn publisher_due(&mut self, id: u8) {
        let wall = self.wall();
        let actor = self.publishers.get_mut(&id).expect("it has begun");
        if actor.wake_at.take_if(|at| *at <= self.now).is_some() {
            actor.publisher.handle_timeout(wall);
            self.carry_out_publisher(id);
        }
    }

    /// Its application crashes and goes on from what its disk has.
    pub(super) fn publisher_crash(&mut self, id: u8) {
        let wall = self.wall();
        self.asking.remove(&id);
        let actor = self.publishers.get_mut(&id).expect("it has begun");
        let disk = actor.disk.clone();
        actor.publisher = Publisher::restore(address(), Availability::Available, disk);
        actor.publisher.handle_timeout(wall);
        self.carry_out_publisher(id);
    }

    /// What came of what a publisher has sent.
    pub(super) fn published(&mut self, id: u8, outcome: Option<Outcome>) {
        let input = match outcome {
            Some(Outcome::Committed(commit)) => {
                let answer = commit.answers.last().map(|bytes| PublishAnswer::decode(bytes));
                match answer {
                    Some(Ok(answer)) => PublisherInput::Answered(answer.results),
                    other => return self.fail("INV9 topic", format!("no answer: {other:?}")),
                }
            }
            Some(Outcome::Rejected(rejection)) if !is_passing(&rejection) => {
                return self.fail("INV9 topic", format!("a publish is refused: {rejection:?}"));
            }
            _ => PublisherInput::Unreachable,
        };
        let is_lost = input == PublisherInput::Unreachable;
        let wall = self.wall();
        let actor = self.publishers.get_mut(&id).expect("it has begun");
        actor.publisher.handle(wall, input);
        if is_lost && self.mutation == Some(TopicMutation::SignAgain) {
            self.sign_again(id);
        }
        self.carry_out_publisher(id);
    }

    /// What a publisher without sequences would do: says the last thing once more.
    fn sign_again(&mut self, id: u8) {
        let wall = self.wall();
        let actor = self.publishers.get_mut(&id).expect("it has begun");
        let body = format!("{id} says {}", actor.said).into();
        let published = actor.publisher.publish(wall, (body, TTL[3]), &actor.keys);
        let (_, message) = published.expect("an outbox is larger than a run");
        self.see(&Seen::Made { id: message });
    }

    fn carry_out_publisher(&mut self, id: u8) {
        loop {
            let actor = self.publishers.get_mut(&id).expect("it has begun");
            let Some(output) = actor.publisher.poll_output() else { break };
            self.publisher_output(id, output);
        }
        let due = self.publishers[&id].publisher.poll_timeout().map(|due| self.moment(due));
        let actor = self.publishers.get_mut(&id).expect("it has begun");
        if let Some(due) = due.filter(|due| actor.wake_at.is_none_or(|at| *due < at)) {
            actor.wake_at = Some(due);
            self.schedule.add(due, Event::PublisherDue(id));
        }
    }

    fn publisher_output(&mut self, id: u8, output: PublisherOutput) {
        let wall = self.wall();
        let actor = self.publishers.get_mut(&id).expect("it has begun");
        match output {
            PublisherOutput::Persist(record) => {
                actor.disk.apply(&record);
                if let PublisherRecord::Taken(message) = record {
                    let persisted = PublisherInput::Persisted(message.sequence);
                    actor.publisher.handle(wall, persisted);
                }
            }
            PublisherOutput::Publish(messages) => self.send(id, messages),
            PublisherOutput::Skip(incarnation, sequence) => {
                let skip = Skip::sign(&address(), (incarnation, sequence), &actor.keys);
                let skip = skip.expect("the key is in memory");
                self.ask(id, Asked::Skip, topic().skip(vec![skip]));
            }
            PublisherOutput::Queued(_) => {}
            PublisherOutput::Settled(sequence, result) => {
                let publisher = actor.keys.public().peer_id();
                if let Ok(published) = result {
                    self.answered.0 += 1;
                    self.see(&Seen::Acknowledged { publisher, sequence, published });
                }
            }
        }
    }

    fn send(&mut self, id: u8, messages: Vec<Message>) {
        let publish = topic().publish(messages.clone(), BatchMode::Each);
        self.ask(id, Asked::Publish(messages), publish);
    }
}

/// Whether the same may be taken later.
fn is_passing(rejection: &Rejection) -> bool {
    matches!(rejection, Rejection::Busy { .. } | Rejection::Locked { .. })
}
