//! What topics store and send: whatever decodes keeps its rules, and is what it encodes to.

use std::collections::BTreeSet;

use weald_core::codec::{Kind, decode, encode};
use weald_core::identity::verify_all;
use weald_core::{Action, ActionBody, Time};
use weald_pubsub::limits::{HEAD_BYTES_MAX, PAGE_BYTES_MAX};
use weald_pubsub::merge::{Fork, merge};
use weald_pubsub::page::PageEntry;
use weald_pubsub::{
    AdminRequest, BodyAnswer, BodyRequest, Cid, CoordinatorObject, CoordinatorSnapshot,
    CreationToken, Delivery, DeliveryInput, GroupAnswer, GroupRequest, GroupState, LargeMessage,
    Lease, LeaseAnswer, LeaseRequest, Message, MessageCollection, MessageEntry, Outbox, Page,
    PageMap, Part, PruneAnswer, PublishAnswer, PublisherRecord, Signed, Skip, StreamId,
    StreamRequest, SubscriberCollection, Topic, TopicItem, TopicNote, TopicOptions, TopicPolicy,
    TopicPosition, TopicType, TopicVersion, Union, UnionAnswer,
};

use crate::topics::address;

/// The envelope of what travels inside of others.
const INNER: Kind = Kind(255);
/// Entries that a walk over a page is asked for.
const ENTRIES_MAX: usize = 200;

/// Decodes `data` as each kind of thing.
pub fn run(data: &[u8]) {
    objects(data);
    page_of_messages(data);
    page_of_leases(data);
    inner(data);
    operation(data);
    // These are only read here; what writes them is private to the crate.
    let _ = (
        TopicNote::decode(data),
        PublishAnswer::decode(data),
        LeaseAnswer::decode(data),
        GroupAnswer::decode(data),
        PruneAnswer::decode(data),
        UnionAnswer::decode(data),
    );
}

fn objects(data: &[u8]) {
    if let Ok(message) = Message::decode(data) {
        assert_eq!(Message::decode(&message.encode()).as_ref(), Ok(&message));
        let id = message.id(&address());
        let other = Message { work: message.work ^ 1, ..message.clone() };
        assert_eq!(other.id(&address()), id, "the work is not part of the id");
        let expires_at = Time::from_millis(message.expires_at.as_millis() ^ 1);
        assert_ne!(Message { expires_at, ..other }.id(&address()), id);
        let holds = message.verify(&address());
        assert_eq!(verify_all(&[message.claim(&address())]).is_ok(), holds);
    }
    if let Ok(large) = LargeMessage::decode(data) {
        assert_eq!(LargeMessage::decode(&large.encode()).as_ref(), Ok(&large));
        let lengths = (0..large.chunk_count().min(64)).map(|nth| large.chunk_bytes(nth));
        let bytes: usize = lengths.sum();
        assert!(!large.is_sound() || bytes == large.body_bytes as usize, "{large:?}");
        assert_eq!(large.with_body(&[]), None, "nobody finds a body of this digest");
    }
    if let Ok(head) = CoordinatorObject::decode(data) {
        let encoded = head.encode();
        assert_eq!(CoordinatorObject::decode(&encoded).as_ref(), Ok(&head));
        assert!(encoded.len() <= HEAD_BYTES_MAX, "a head of {} bytes", encoded.len());
        assert_eq!(head.check(), Ok(()));
    }
    if let Ok(snapshot) = CoordinatorSnapshot::decode(data) {
        let encoded = snapshot.encode();
        assert_eq!(CoordinatorSnapshot::decode(&encoded).as_ref(), Ok(&snapshot));
        assert_eq!(snapshot.cid(), Cid::of(&encoded));
        assert!(encoded.len() <= PAGE_BYTES_MAX, "a snapshot of {} bytes", encoded.len());
    }
}

/// A page that comes back from its bytes, and the map that holds it alone.
fn page<E: PageEntry>(data: &[u8]) -> Option<PageMap> {
    let page = Page::<E, ()>::decode(data).ok()?;
    let encoded = page.encode();
    assert_eq!(Page::decode(&encoded).as_ref(), Ok(&page));
    assert!(page.summary().is_some_and(|summary| summary.count > 0), "a page has entries");
    let mut pages = PageMap::new();
    pages.insert(encoded);
    Some(pages)
}

fn page_of_messages(data: &[u8]) {
    let Some(mut pages) = page::<MessageEntry>(data) else { return };
    let cid = Cid::of(&Page::<MessageEntry, ()>::decode(data).expect("it did").encode());
    let root = pages.reference::<MessageEntry>(cid).expect("it is there");
    let messages = MessageCollection::open(&mut pages, root).expect("it is there");
    let found = messages.range(&mut pages, TopicPosition::ZERO, ENTRIES_MAX);
    if let Ok(found) = &found {
        assert!(found.is_sorted_by(|a, b| a.position < b.position) || messages.level() > 0);
        assert!(messages.level() > 0 || found.len() as u64 == messages.len());
    }
    // What is below it is not here: every other answer names the page that is missing.
    let _ = messages.expired(&mut pages, Time::MAX, ENTRIES_MAX);
    let _ = messages.get(&mut pages, TopicPosition(1));
    let (subscribers, mut none) = (SubscriberCollection::default(), PageMap::new());
    let mut left = Fork { pages: &mut pages, messages, subscribers };
    let messages = MessageCollection::default();
    let mut right = Fork { pages: &mut none, messages, subscribers };
    if let (Ok(merged), Ok(found)) = (merge(&mut left, &mut right, Time::ZERO), found) {
        let lives = |entry: &&MessageEntry| entry.expires_at > Time::ZERO;
        // Of two entries with one id a union brings in one.
        let ids: BTreeSet<_> = found.iter().filter(lives).map(|entry| entry.id).collect();
        assert_eq!(merged.right.messages.len(), ids.len());
        assert!(merged.left.messages.is_empty() && merged.left.leases.is_empty());
    }
}

fn page_of_leases(data: &[u8]) {
    let Some(mut pages) = page::<Lease>(data) else { return };
    let cid = Cid::of(&Page::<Lease, ()>::decode(data).expect("it did").encode());
    let root = pages.reference::<Lease>(cid).expect("it is there");
    let subscribers = SubscriberCollection::open(root);
    let found = subscribers.changed_after(&mut pages, TopicVersion::ZERO, ENTRIES_MAX);
    for lease in found.iter().flatten().take(8) {
        let _ = subscribers.get(&mut pages, &lease.id);
        let _ = subscribers.of_peer(&mut pages, lease.id.peer);
    }
    let _ = subscribers.expired(&mut pages, Time::MAX, ENTRIES_MAX);
}

/// What comes back from `$bytes`, if it is there.
macro_rules! again {
    ($name:ty, $bytes:expr) => {
        decode::<$name>(INNER, $bytes).ok().inspect(|found| {
            let again = decode::<$name>(INNER, &encode(INNER, found));
            assert_eq!(again.as_ref(), Ok(found));
        })
    };
}

/// What travels or is stored inside of something else.
fn inner(data: &[u8]) {
    if let Some(policy) = again!(TopicPolicy, data) {
        let _ = policy.check();
        policy.digest();
    }
    if let Some(request) = again!(StreamRequest, data) {
        let mut delivery = Delivery::new(TopicPosition(7));
        delivery.handle(DeliveryInput::Asked(StreamId(1), request));
        while delivery.poll_output().is_some() {}
        assert!(delivery.stream_count() <= 1);
    }
    if let Some(part) = again!(Part, data) {
        let within = part.within(TopicPosition(3), TopicPosition(9));
        let positions = within.items.iter().map(TopicItem::range);
        assert!(positions.into_iter().all(|(first, last)| first.0 >= 3 && last.0 < 9));
    }
    if let Some(record) = again!(PublisherRecord, data) {
        let mut outbox = Outbox::new(weald_pubsub::Incarnation(1));
        outbox.apply(&record);
        assert_eq!(outbox.is_empty(), matches!(record, PublisherRecord::Done(_)));
        outbox.apply(&PublisherRecord::Done(outbox.last()));
        assert_eq!((outbox.len(), outbox.bytes()), (0, 0));
    }
    let now = Time::from_millis(1);
    let proofs = [
        again!(Skip, data).map(|skip| skip.verify(&address())),
        again!(Signed<LeaseRequest>, data).map(|signed| signed.verify(&address(), now).is_ok()),
        again!(Signed<GroupRequest>, data).map(|signed| signed.verify(&address(), now).is_ok()),
        again!(Signed<AdminRequest>, data).map(|signed| signed.verify(&address(), now).is_ok()),
        again!(Signed<CreationToken>, data)
            .map(|signed| signed.allows(&signed.key, &address(), now)),
    ];
    // They are signed for moments that are not this one, or for nobody.
    assert!(proofs[1..4].iter().flatten().all(|holds| !holds));
    again!(GroupState, data);
    again!(BodyRequest, data).map(|request| request.is_bounded());
    again!(BodyAnswer, data);
    again!(TopicOptions, data);
    again!(Union, data);
}

/// What a coordinator checks of an operation before it logs it.
fn operation(data: &[u8]) {
    let action = Action {
        collection: address().topic.collection(),
        type_name: TopicType::type_name(),
        body: ActionBody::Apply(bytes::Bytes::copy_from_slice(data)),
    };
    let claims = Topic::claims(&action, &address().network);
    let checked = Topic::check_signatures(&action, &address().network);
    assert!(checked.is_err() || claims.is_ok(), "what is checked can be read");
    if let Ok(claims) = claims {
        assert_eq!(claims.iter().all(weald_core::identity::Claim::holds), checked.is_ok());
    }
}
