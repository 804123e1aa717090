//! What is known of a topic from what it has answered.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use weald_core::{PeerId, Time};
use weald_pubsub::limits::{CONTENT_GRACE, PEER_LEASES_MAX};
use weald_pubsub::{
    Incarnation, Lease, LeaseAction, LeaseRequest, Message, MessageId, Published,
    PublisherSequence, Source, Standing, SubscriberId, TopicPolicy, TopicPosition, TopicRefusal,
};

use super::groups::GroupModel;
use crate::topics::address;

/// Messages that are remembered to be published again.
const SENT_MAX: usize = 64;

/// Everything that was accepted.
#[derive(Default)]
pub(super) struct Model {
    /// By position, from 1.
    pub(super) accepted: Vec<Accepted>,
    /// Where each message of this generation stands.
    places: BTreeMap<MessageId, TopicPosition>,
    runs: BTreeMap<(PeerId, Incarnation), Run>,
    pub(super) leases: BTreeMap<SubscriberId, Known>,
    pub(super) groups: BTreeMap<String, GroupModel>,
    pub(super) sent: VecDeque<Message>,
    /// How often the topic has begun anew.
    pub(super) revived: u64,
    pub(super) has_ended: bool,
}

/// A message that got a position.
pub(super) struct Accepted {
    pub(super) id: MessageId,
    pub(super) expires_at: Time,
    pub(super) revived: u64,
}

/// A run of a publisher.
#[derive(Default)]
struct Run {
    /// What its next sequence may be: the topic may have forgotten it, which is not seen.
    next: BTreeSet<PublisherSequence>,
    /// From when on the topic may have forgotten it.
    kept_until: Time,
}

/// A subscription.
pub(super) struct Known {
    pub(super) nonce: u64,
    pub(super) expires_at: Time,
    pub(super) is_live: bool,
}

/// The sequence with which a run begins.
const FIRST: PublisherSequence = PublisherSequence(1);

impl Run {
    /// Takes what the topic says that it expects.
    fn expect(&mut self, expected: PublisherSequence) {
        assert!(self.next.contains(&expected), "{expected} is expected of {:?}", self.next);
        self.next = [expected].into();
    }
}

impl Model {
    /// The sequence that a run needs next, most likely.
    pub(super) fn next(&self, peer: PeerId, incarnation: Incarnation) -> PublisherSequence {
        let run = self.runs.get(&(peer, incarnation));
        let last = run.and_then(|run| run.next.last());
        last.copied().unwrap_or(FIRST)
    }

    /// The run of `source` with what its next sequence may be at `now`.
    fn run(&mut self, source: &Source, now: Time) -> &mut Run {
        let run = self.runs.entry((source.publisher, source.incarnation)).or_default();
        if run.kept_until <= now {
            run.next.insert(FIRST);
        }
        run
    }

    /// Takes the result of publishing `message`.
    pub(super) fn published(
        &mut self,
        message: &Message,
        result: &Result<Option<Published>, TopicRefusal>,
        now: Time,
    ) {
        let (source, id) = (message.source(), message.id(&address()));
        match result {
            Ok(Some(published)) if published.is_new => {
                let run = self.run(&source, now);
                assert!(run.next.contains(&source.sequence), "taken out of turn: {source:?}");
                run.next = [source.sequence.next()].into();
                assert!(!self.places.contains_key(&id), "a second position: {published:?}");
                self.accept(message, published, now);
            }
            Ok(Some(published)) => {
                assert_eq!(published.id, id);
                assert_eq!(self.places.get(&id), Some(&published.position), "it has moved");
            }
            Ok(None) => panic!("a message without a result"),
            Err(TopicRefusal::SequenceGap { expected }) => {
                assert!(source.sequence > *expected);
                self.run(&source, now).expect(*expected);
            }
            Err(TopicRefusal::Expiry { from, to, .. }) => {
                assert!(message.expires_at <= *from || message.expires_at > *to);
            }
            Err(_) => {}
        }
        if self.sent.len() == SENT_MAX {
            self.sent.pop_front();
        }
        self.sent.push_back(message.clone());
    }

    /// Takes what a union has brought in.
    pub(super) fn imported(&mut self, message: &Message, published: &Published, now: Time) {
        let (source, run) = (message.source(), self.run(&message.source(), now));
        let next = source.sequence.next();
        run.next = run.next.iter().map(|known| next.max(*known)).collect();
        self.accept(message, published, now);
    }

    fn accept(&mut self, message: &Message, published: &Published, now: Time) {
        let (id, expires_at) = (message.id(&address()), message.expires_at);
        assert_eq!(published.id, id);
        assert_eq!(published.position.0, self.accepted.len() as u64 + 1, "positions are dense");
        assert!(expires_at > now, "it had expired");
        self.accepted.push(Accepted { id, expires_at, revived: self.revived });
        self.places.insert(id, published.position);
        let run = self.run(&message.source(), now);
        run.kept_until = run.kept_until.max(expires_at.after(CONTENT_GRACE));
    }

    /// Takes the result of passing over the sequence of `source`.
    pub(super) fn skipped(
        &mut self,
        source: &Source,
        result: &Result<Option<Published>, TopicRefusal>,
        now: Time,
    ) {
        let run = self.run(source, now);
        match result {
            Ok(Some(published)) => panic!("a skip has no place: {published:?}"),
            Ok(None) => {
                let was_next = run.next.remove(&source.sequence);
                run.next.retain(|next| *next > source.sequence);
                run.next.extend(was_next.then_some(source.sequence.next()));
            }
            Err(TopicRefusal::SequenceGap { expected }) => run.expect(*expected),
            Err(_) => {}
        }
    }

    /// Takes that a request about a subscription was granted.
    pub(super) fn leased(&mut self, id: SubscriberId, request: &LeaseRequest, now: Time) {
        let known = self.leases.get(&id).filter(|known| known.expires_at > now);
        let is_live = request.action != LeaseAction::Unsubscribe;
        if let Some(known) = known.filter(|known| known.nonce >= request.nonce) {
            assert_eq!((known.nonce, known.is_live), (request.nonce, is_live), "a stale request");
            return;
        }
        let begins = request.action == LeaseAction::Subscribe;
        assert!(begins || known.is_some_and(|known| known.is_live), "it was not subscribed");
        let before = known.map_or(Time::ZERO, |known| known.expires_at);
        let expires_at = if is_live { before.max(request.expires_at) } else { before };
        self.leases.insert(id, Known { nonce: request.nonce, expires_at, is_live });
    }

    /// Takes that a union has brought these in, where `stored` was kept; how many were taken.
    pub(super) fn united(
        &mut self,
        leases: &[Lease],
        stored: Vec<Lease>,
        (now, policy): (Time, &TopicPolicy),
    ) -> u64 {
        let mut stored: BTreeMap<_, _> =
            stored.into_iter().map(|lease| (lease.id, lease)).collect();
        let mut taken = 0;
        for lease in leases {
            let found = stored.get(&lease.id).copied();
            let was_live = found.is_some_and(|found| found.standing == Standing::Live);
            let is_live = lease.standing == Standing::Live;
            let live = stored.values().filter(|lease| lease.standing == Standing::Live).count();
            let own = stored.keys().filter(|id| id.peer == lease.id.peer).count();
            let is_newer = found.is_none_or(|found| found.nonce < lease.nonce);
            let lasts = lease.expires_at > now && lease.expires_at <= now.after(policy.lease_max);
            let may_live = !is_live || was_live || (live as u64) < policy.subscribers_max;
            let may_stand = found.is_some() || own < PEER_LEASES_MAX;
            if !(is_newer && lasts && may_live && may_stand) {
                continue;
            }
            taken += 1;
            let before = found.map_or(Time::ZERO, |found| found.expires_at);
            let expires_at = before.max(lease.expires_at);
            stored.insert(lease.id, Lease { expires_at, ..*lease });
            self.leases.insert(lease.id, Known { nonce: lease.nonce, expires_at, is_live });
        }
        taken
    }

    /// Takes that the topic has ended.
    pub(super) fn end(&mut self) {
        self.has_ended = true;
        self.places.clear();
        self.runs.clear();
        self.leases.clear();
        self.groups.clear();
    }

    /// Takes that the topic has begun anew.
    pub(super) fn revive(&mut self) {
        assert!(self.has_ended, "it had not ended");
        self.has_ended = false;
        self.revived += 1;
    }

    /// The message at a position.
    pub(super) fn at(&self, position: TopicPosition) -> &Accepted {
        let nth = usize::try_from(position.0).expect("few positions");
        &self.accepted[nth - 1]
    }
}

/// How long messages last.
pub(super) fn lifetime(choice: usize) -> Duration {
    Duration::from_secs([0, 1, 10, 60, 3_600, 7 * 24 * 3_600, 8 * 24 * 3_600][choice])
}
