//! Operations on the topic, right and wrong ones.

use std::time::Duration;

use bytes::Bytes;
use weald_core::Time;
use weald_core::identity::{Identity, KeyStore};
use weald_pubsub::limits::{BODY_CHUNK_BYTES, FRESHNESS, PRUNE_MAX};
use weald_pubsub::{
    AdminAction, AdminRequest, BatchMode, Bucket, ChannelState, Incarnation, Lease, LeaseAction,
    LeaseAnswer, LeaseRequest, Message, PruneAnswer, PublishAnswer, PublisherSequence, Signed,
    Skip, Source, Standing, SubscriberId, Topic, TopicPosition, TopicReadError, TopicRefusal,
    TopicVersion, Union, UnionAnswer,
};

use super::model::lifetime;
use super::{BODY_BYTES_MAX, World, is, topic};
use crate::script::Script;
use crate::topics::{PEOPLE, address, message, peer};

/// Messages of one batch.
const BATCH: usize = 24;
/// Messages that get a position in one input.
const MESSAGES_MAX: usize = 300;

/// Which run of whom.
struct Publisher {
    keys: &'static Identity,
    incarnation: u64,
}

impl World {
    pub(super) fn publish(&mut self, script: &mut Script<'_>) {
        let publisher = publisher(script);
        let next = self.next_of(&publisher).0;
        let sequence = match script.byte() % 8 {
            0 => next + 1,
            1 => next.saturating_sub(1),
            2 => 1,
            _ => next,
        };
        let len = match script.byte() {
            255 => BODY_BYTES_MAX + 1,
            254 => BODY_BYTES_MAX,
            253 => BODY_CHUNK_BYTES + 1,
            252 => BODY_CHUNK_BYTES,
            byte => usize::from(byte),
        };
        let body = vec![script.byte(); len].into();
        let mut made = self.message(script, (&publisher, sequence), body);
        if script.byte().is_multiple_of(16) {
            made.body = "forged".into();
        }
        self.publish_all(vec![made], BatchMode::Each);
    }

    pub(super) fn publish_batch(&mut self, script: &mut Script<'_>) {
        let mode = [BatchMode::Each, BatchMode::Whole][script.below(2)];
        let mut messages: Vec<Message> = Vec::new();
        let publishers = [publisher(script), publisher(script)];
        let first = publishers.each_ref().map(|publisher| self.next_of(publisher).0);
        for nth in 0..=script.below(BATCH) {
            let which = nth % (1 + usize::from(script.byte().is_multiple_of(4)));
            let made = messages.iter().filter(|message| {
                message.publisher == publishers[which].keys.public()
                    && message.incarnation.0 == publishers[which].incarnation
            });
            let sequence = first[which] + made.count() as u64;
            let body = vec![script.byte(); nth].into();
            messages.push(self.message(script, (&publishers[which], sequence), body));
        }
        self.publish_all(messages, mode);
    }

    /// Publishes again what was published before.
    pub(super) fn repeat(&mut self, script: &mut Script<'_>) {
        let count = self.model.sent.len();
        let picked = |_| self.model.sent.get(script.below(count)).cloned();
        let messages: Vec<Message> = (0..3).filter_map(picked).collect();
        self.publish_all(messages, BatchMode::Each);
    }

    fn publish_all(&mut self, messages: Vec<Message>, mode: BatchMode) {
        if self.model.accepted.len() + messages.len() > MESSAGES_MAX || messages.is_empty() {
            return;
        }
        let action = topic().publish(messages.clone(), mode);
        // A coordinator logs nothing that is forged; a strict topic refuses it by itself.
        if !self.policy.is_strict && Topic::check_signatures(&action, &address().network).is_err() {
            return;
        }
        let answered = self.execute(action);
        assert!(!self.model.has_ended || answered.is_err(), "the topic has ended");
        let Ok(answer) = answered else { return };
        let results = PublishAnswer::decode(&answer).expect("an answer to a publish").results;
        assert_eq!(results.len(), messages.len());
        assert!(mode == BatchMode::Each || results.iter().all(Result::is_ok));
        for (message, result) in messages.iter().zip(&results) {
            self.model.published(message, result, self.now);
        }
    }

    pub(super) fn skip(&mut self, script: &mut Script<'_>) {
        let publisher = publisher(script);
        let next = self.next_of(&publisher).0;
        let sequence = [next, next, next + 1, 1][script.below(4)];
        let place = (Incarnation(publisher.incarnation), PublisherSequence(sequence));
        let skip = Skip::sign(&address(), place, publisher.keys).expect("a key in memory signs");
        let source = skip.source();
        let answered = self.execute(topic().skip(vec![skip]));
        assert!(!self.model.has_ended || answered.is_err(), "the topic has ended");
        let Ok(answer) = answered else { return };
        let results = PublishAnswer::decode(&answer).expect("an answer to skips").results;
        self.model.skipped(&source, &results[0], self.now);
    }

    pub(super) fn lease(&mut self, script: &mut Script<'_>) {
        let keys = &PEOPLE[script.below(PEOPLE.len())];
        let actions = [LeaseAction::Subscribe, LeaseAction::Renew, LeaseAction::Unsubscribe];
        let signed_at = self.signed_at(script);
        let request = LeaseRequest {
            action: actions[script.below(actions.len())],
            // Few, so that requests meet; now and then more than a peer may have.
            stream: if script.byte() < 224 { script.below(2) } else { script.below(18) } as u64,
            nonce: self.nonce(script),
            signed_at,
            expires_at: self.now.after(Duration::from_secs(script.below(2_000) as u64)),
            last_seen: TopicPosition(script.byte().into()),
        };
        let signed = Signed::new(&address(), request, keys).expect("a key in memory signs");
        let answered = self.execute(topic().lease(signed));
        let is_fresh = self.is_fresh(signed_at);
        assert!(is_fresh && !self.model.has_ended || answered.is_err(), "an old request");
        let Ok(answer) = answered else { return };
        let answer = LeaseAnswer::decode(&answer).expect("an answer about a lease");
        assert_eq!(answer.next.0, self.model.accepted.len() as u64 + 1);
        let id = SubscriberId { peer: keys.public().peer_id(), stream: request.stream };
        self.model.leased(id, &request, self.now);
        let known = &self.model.leases[&id];
        assert_eq!(answer.expires_at, known.expires_at, "an end that was not asked for");
    }

    pub(super) fn prune(&mut self, script: &mut Script<'_>) {
        let limit = [1, 5, PRUNE_MAX][script.below(3)];
        let answer = self.execute(topic().prune(limit)).expect("anyone may prune");
        let answer = PruneAnswer::decode(&answer).expect("an answer to a prune");
        self.note_end();
        if answer.has_more || self.model.has_ended {
            return;
        }
        let entries = topic().entries(&mut self.members.reader(), TopicPosition::ZERO, usize::MAX);
        let entries = entries.expect("the topic is there");
        assert!(entries.iter().all(|entry| entry.expires_at > self.now), "more is to be removed");
    }

    pub(super) fn administer(&mut self, script: &mut Script<'_>) {
        // Mostly the owner.
        let who = [0, 0, 0, 1][script.below(4)];
        let generation = 1 + self.model.revived + u64::from(script.byte().is_multiple_of(8));
        let union = self.union(script);
        let action = match script.byte() % 8 {
            0 => AdminAction::Delete,
            1..=3 => AdminAction::Revive,
            _ => AdminAction::Union(union.clone()),
        };
        let request =
            AdminRequest { signed_at: self.signed_at(script), generation, action: action.clone() };
        let (signed_at, keys) = (request.signed_at, &PEOPLE[who]);
        let signed = Signed::new(&address(), request, keys).expect("a key in memory signs");
        let before = self.stored_leases();
        let answered = self.execute(topic().administer(signed));
        let is_allowed =
            who == 0 && generation == 1 + self.model.revived && self.is_fresh(signed_at);
        assert!(is_allowed || answered.is_err(), "not the owner's, or not of this topic");
        match (action, answered) {
            (AdminAction::Delete, Ok(_)) => self.model.end(),
            (AdminAction::Revive, Ok(_)) => self.model.revive(),
            (AdminAction::Union(_), Ok(answer)) => {
                let answer = UnionAnswer::decode(&answer).expect("an answer to a union");
                assert!(!self.model.has_ended, "the topic has ended");
                self.note_union(&union, &answer, before);
            }
            (_, Err(rejection)) => {
                assert!(
                    !is(&rejection, &TopicRefusal::Denied) || who != 0,
                    "the owner was refused: {rejection:?}"
                );
            }
        }
    }

    fn note_union(&mut self, union: &Union, answer: &UnionAnswer, before: Vec<Lease>) {
        let taken = self.model.united(&union.leases, before, (self.now, &self.policy));
        assert_eq!(answer.leases, taken, "of {:?}", union.leases);
        for published in &answer.published {
            let message = union.messages.iter().find(|m| m.id(&address()) == published.id);
            let message = message.expect("one of those that were brought in");
            self.model.imported(message, published, self.now);
        }
    }

    /// Messages that are here, were here, or never were.
    fn union(&mut self, script: &mut Script<'_>) -> Union {
        let mut messages = Vec::new();
        if self.model.accepted.len() + 4 > MESSAGES_MAX {
            return Union::default();
        }
        for _ in 0..script.below(4) {
            let count = self.model.sent.len();
            if script.byte().is_multiple_of(2) {
                messages.extend(self.model.sent.get(script.below(count)).cloned());
                continue;
            }
            let publisher = publisher(script);
            let sequence = 1 + script.below(8) as u64;
            let body = vec![script.byte(); 9].into();
            messages.push(self.message(script, (&publisher, sequence), body));
        }
        let leases = (0..script.below(4)).map(|_| self.foreign_lease(script)).collect();
        Union { messages, leases }
    }

    /// A lease as another head of the topic has it: older or newer than what is here, of this or another
    /// length, its other fields anything.
    fn foreign_lease(&mut self, script: &mut Script<'_>) -> Lease {
        let stream = if script.byte() < 160 { script.below(2) } else { script.below(20) } as u64;
        let standing = match script.byte() % 4 {
            0 => Standing::Ended,
            _ => Standing::Live,
        };
        Lease {
            id: SubscriberId { peer: peer(script.below(PEOPLE.len())), stream },
            version: TopicVersion(script.byte().into()),
            subscribed_at: Time::from_millis([0, 10_000_000, u64::MAX][script.below(3)]),
            expires_at: self.now.after(lifetime([4, 4, 3, 2, 0, 5, 6][script.below(7)])),
            nonce: self.nonce(script),
            last_seen: TopicPosition(script.byte().into()),
            standing,
            renewals: Bucket::default(),
        }
    }

    /// All leases that the topic keeps, those among them that have expired and are not removed yet.
    fn stored_leases(&mut self) -> Vec<Lease> {
        let reader = &mut self.members.reader();
        match topic().subscribers(reader, TopicVersion::ZERO, usize::MAX) {
            Err(TopicReadError::Deleted) => Vec::new(),
            leases => leases.expect("the topic is there"),
        }
    }

    /// Notes that the topic has ended because nobody used it.
    pub(super) fn note_end(&mut self) {
        let head = topic().any_head(&mut self.members.reader()).expect("the topic was made");
        if head.state == ChannelState::Deleted && !self.model.has_ended {
            self.model.end();
        }
    }

    fn message(
        &self,
        script: &mut Script<'_>,
        (publisher, sequence): (&Publisher, u64),
        body: Bytes,
    ) -> Message {
        let expires_at = self.now.after(lifetime([4, 4, 4, 0, 1, 2, 3, 5, 6][script.below(9)]));
        let place = (publisher.incarnation, sequence);
        message(publisher.keys, place, (self.now, expires_at), body)
    }

    fn next_of(&self, publisher: &Publisher) -> PublisherSequence {
        let source = Source {
            publisher: publisher.keys.public().peer_id(),
            incarnation: Incarnation(publisher.incarnation),
            sequence: PublisherSequence::ZERO,
        };
        self.model.next(source.publisher, source.incarnation)
    }

    /// When a request is signed: mostly now.
    pub(super) fn signed_at(&self, script: &mut Script<'_>) -> Time {
        match script.byte() % 16 {
            0 => self.now.before(FRESHNESS),
            1 => self.now.before(FRESHNESS * 2),
            2 => self.now.after(FRESHNESS * 2),
            _ => self.now,
        }
    }

    pub(super) fn is_fresh(&self, signed_at: Time) -> bool {
        self.now.since(signed_at).max(signed_at.since(self.now)) <= FRESHNESS
    }

    /// Mostly a new nonce.
    pub(super) fn nonce(&mut self, script: &mut Script<'_>) -> u64 {
        match script.byte() % 8 {
            0 => self.nonce,
            1 => self.nonce.saturating_sub(script.below(8) as u64),
            _ => {
                self.nonce += 1;
                self.nonce
            }
        }
    }
}

fn publisher(script: &mut Script<'_>) -> Publisher {
    let byte = script.byte();
    let keys = &PEOPLE[usize::from(byte) % PEOPLE.len()];
    // Mostly the first run; more of them than a topic remembers.
    let incarnation = if byte < 192 { 1 } else { 1 + script.below(20) as u64 };
    Publisher { keys, incarnation }
}
