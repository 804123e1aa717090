//! Another head of the topic, as a forced recovery or a federation leaves one: it has messages of its
//! own. Its owner compares both again and again, at whatever member answers, and brings in on each
//! side what it lacks.

use std::{collections::BTreeMap, time::Duration};

use weald_core::Time;
use weald_pubsub::{
    AdminAction, AdminRequest, Cid, Draft, Incarnation, Lease, Message, MessageCollection,
    MessageEntry, MessageId, PageFault, PageMap, PublisherSequence, Signed, SubscriberCollection,
    TopicPosition,
    merge::{Fork, Merge, Missing, merge},
};

use super::{Asked, Event, Seen, TopicMutation, Topics, address, client, keys, topic};
use crate::name::Name;

/// The keys of those who publish at the other head.
const KEYS: [u64; 2] = [300, 301];
/// Messages that are new there from one comparison to the next, at most.
const NEW_MAX: u64 = 6;

/// See the module's page.
#[derive(Clone, Debug, Default)]
pub(super) struct OtherHead {
    pages: PageMap,
    messages: MessageCollection,
    last: TopicPosition,
    /// Messages of its own.
    bodies: BTreeMap<MessageId, Message>,
    said: [u64; 2],
}

/// A topic's pages, opened.
type Sides = (PageMap, MessageCollection, SubscriberCollection);

impl OtherHead {
    fn fork(&mut self) -> Fork<'_> {
        let subscribers = SubscriberCollection::default();
        Fork { pages: &mut self.pages, messages: self.messages, subscribers }
    }

    fn add(&mut self, entry: MessageEntry) {
        self.last = self.last.next();
        let edit = (self.last, Some(MessageEntry { position: self.last, ..entry }));
        let edited = self.messages.edit(&mut self.pages, &[edit]);
        self.messages = edited.expect("its pages are in memory");
    }

    /// Somebody publishes here.
    fn publish(&mut self, nth: usize, (wall, ttl): (Time, Duration)) -> MessageId {
        self.said[nth] += 1;
        let draft = Draft {
            incarnation: Incarnation(1),
            sequence: PublisherSequence(self.said[nth]),
            published_at: wall,
            expires_at: wall.after(ttl),
            body: format!("elsewhere {nth} says {}", self.said[nth]).into(),
        };
        let message = Message::sign(&address(), draft, &keys(KEYS[nth]));
        let message = message.expect("the key is in memory");
        let id = message.id(&address());
        self.add(MessageEntry::new(&address(), TopicPosition::ZERO, &message));
        self.bodies.insert(id, message);
        id
    }
}

impl Topics {
    /// Both heads are compared, and what the topic lacks is on its way to it.
    pub(super) fn compare(&mut self) {
        if self.is_open {
            self.publish_elsewhere();
            self.after((300_000, 3_000_000), Event::Compare);
        }
        let name = self.any_node();
        self.compare_at(name);
    }

    fn publish_elsewhere(&mut self) {
        let wall = self.wall();
        for _ in 0..self.random.below(NEW_MAX) {
            let (nth, ttl) = (self.random.index(KEYS.len()), *self.random.pick(&[2, 3_000]));
            let Some(other) = &mut self.other else { return };
            let id = other.publish(nth, (wall, Duration::from_secs(ttl)));
            self.see(&Seen::Made { id });
        }
    }

    /// Compares with the topic as a member has it. What the topic lacks then; `None` where the member
    /// cannot tell.
    pub(super) fn compare_at(&mut self, name: Name) -> Option<usize> {
        let machine = self.world.nodes.get(&name)?.process.as_ref()?.machine.real()?;
        let (pages, messages, subscribers) = machine.topic(|reader| topic().pages(reader))?;
        let now = machine.partition().time();
        let mut home = opened(pages, messages, subscribers).expect("a topic's pages are whole");
        let mut other = self.other.clone()?;
        let merged = merged(&mut home, &mut other, now).expect("all pages are in memory");
        let merged = match self.mutation {
            Some(TopicMutation::MergeByPosition) => by_position(&mut home, &mut other),
            _ => merged,
        };
        let swapped = {
            let (pages, messages, subscribers) = (&mut home.0, home.1, home.2);
            let home = &mut Fork { pages, messages, subscribers };
            merge(&mut other.fork(), home, now).expect("all pages are in memory")
        };
        let (here, there) = (ids(home.1, &mut home.0), ids(other.messages, &mut other.pages));
        self.see(&Seen::Compared {
            sides: [&here, &there],
            merged: &merged,
            swapped: &swapped,
            now,
        });
        let missing = merged.left.messages.len();
        self.bring_in(&merged.left);
        let other = self.other.as_mut()?;
        merged.right.messages.into_iter().for_each(|entry| other.add(entry));
        Some(missing)
    }

    fn bring_in(&mut self, missing: &Missing) {
        let Some(other) = &self.other else { return };
        let mut unions = missing.unions(|entry| other.bodies.get(&entry.id).cloned());
        if unions.is_empty() || self.asking.contains_key(&client::OWNER) {
            return;
        }
        let union = unions.swap_remove(0);
        let messages = union.messages.clone();
        let action = AdminAction::Union(union);
        let request = AdminRequest { signed_at: self.log_time(), generation: 1, action };
        let signed = Signed::new(&address(), request, &self.owner).expect("the key is in memory");
        self.ask(client::OWNER, Asked::Union(messages), topic().administer(signed));
    }
}

fn opened(mut pages: PageMap, messages: Cid, subscribers: Cid) -> Result<Sides, PageFault> {
    let messages = match messages == Cid::EMPTY {
        true => MessageCollection::default(),
        false => {
            let root = pages.reference::<MessageEntry>(messages)?;
            MessageCollection::open(&mut pages, root)?
        }
    };
    let subscribers = match subscribers == Cid::EMPTY {
        true => SubscriberCollection::default(),
        false => SubscriberCollection::open(pages.reference::<Lease>(subscribers)?),
    };
    Ok((pages, messages, subscribers))
}

fn merged(home: &mut Sides, other: &mut OtherHead, now: Time) -> Result<Merge, PageFault> {
    let (pages, messages, subscribers) = (&mut home.0, home.1, home.2);
    merge(&mut Fork { pages, messages, subscribers }, &mut other.fork(), now)
}

/// All messages of a side, with their expiries.
fn ids(messages: MessageCollection, pages: &mut PageMap) -> BTreeMap<MessageId, Time> {
    let all = messages.range(pages, TopicPosition::ZERO, usize::MAX);
    let all = all.expect("all pages are in memory");
    all.iter().map(|entry| (entry.id, entry.expires_at)).collect()
}

/// What a merge would be that takes the longer side for the one that goes on from the other.
fn by_position(home: &mut Sides, other: &mut OtherHead) -> Merge {
    let all = |messages: MessageCollection, pages: &mut PageMap| {
        messages.range(pages, TopicPosition::ZERO, usize::MAX).expect("all pages are in memory")
    };
    let (here, there) = (all(home.1, &mut home.0), all(other.messages, &mut other.pages));
    let behind = |one: &[MessageEntry], other: &[MessageEntry]| {
        let messages = other.get(one.len()..).unwrap_or_default().to_vec();
        Missing { messages, leases: Vec::new() }
    };
    Merge { left: behind(&here, &there), right: behind(&there, &here) }
}
