//! Laws of the merge, over forks that own their pages.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use weald_core::Digest;

use super::*;
use crate::{
    CoordinatorObject, MessageEdit, MessageId, Standing, SubscriberId, TopicId, TopicPosition,
    TopicVersion, limits,
    testing::{at, entry, lease},
};

/// A fork that owns its pages.
#[derive(Clone, Debug, Default)]
struct Owned {
    pages: PageMap,
    messages: MessageCollection,
    subscribers: SubscriberCollection,
}

impl Owned {
    fn fork(&mut self) -> Fork<'_> {
        let (messages, subscribers) = (self.messages, self.subscribers);
        Fork { pages: &mut self.pages, messages, subscribers }
    }

    fn edit(&mut self, edits: &[MessageEdit]) {
        self.messages = self.messages.edit(&mut self.pages, edits).unwrap();
    }

    /// Publishes messages that are the same on every side, at the next positions of this one.
    fn publish(&mut self, messages: impl IntoIterator<Item = u64>) {
        for n in messages {
            let next = self.messages.summary().map_or(1, |summary| summary.last + 1);
            let position = TopicPosition(next);
            let entry = MessageEntry { position, ..entry(n, n % 7, at(1000 + n)) };
            self.edit(&[(position, Some(entry))]);
        }
    }

    fn ids(&mut self, now: Time) -> BTreeSet<MessageId> {
        let all = self.messages.range(&mut self.pages, TopicPosition::ZERO, usize::MAX).unwrap();
        all.iter().filter(|entry| entry.expires_at > now).map(|entry| entry.id).collect()
    }

    fn put(&mut self, lease: Lease) {
        self.subscribers = self.subscribers.put(&mut self.pages, lease).unwrap();
    }

    fn leases(&mut self) -> BTreeMap<SubscriberId, Lease> {
        let all = self.subscribers.changed_after(&mut self.pages, TopicVersion::ZERO, usize::MAX);
        all.unwrap().into_iter().map(|lease| (lease.id, lease)).collect()
    }

    /// This side with what a merge says it lacks.
    fn with(mut self, missing: &Missing) -> Self {
        for lost in &missing.messages {
            let next = self.messages.summary().map_or(1, |summary| summary.last + 1);
            let position = TopicPosition(next);
            self.edit(&[(position, Some(MessageEntry { position, ..*lost }))]);
        }
        for lease in &missing.leases {
            self.put(*lease);
        }
        self
    }
}

fn merged(a: &Owned, b: &Owned, now: Time) -> Owned {
    let missing = merge(&mut a.clone().fork(), &mut b.clone().fork(), now).unwrap().left;
    a.clone().with(&missing)
}

#[test]
fn ps1508_ps295_p6_ps181_ps274_heads_of_10000_that_differ_in_100_touch_few_pages() {
    let edits: Vec<MessageEdit> =
        (1..=9950).map(|n| (TopicPosition(n), Some(entry(n, n % 7, at(5000))))).collect();
    let mut common = Owned::default();
    common.edit(&edits);
    let (mut a, mut b) = (common.clone(), common);
    a.publish(20_001..=20_050);
    b.publish(30_001..=30_050);
    let before = a.pages.loads() + b.pages.loads();
    let merge = merge(&mut a.fork(), &mut b.fork(), at(1)).unwrap();
    let touched = a.pages.loads() + b.pages.loads() - before;
    assert_eq!((merge.left.messages.len(), merge.right.messages.len()), (50, 50));
    assert!(touched <= 20, "{touched}");
}

#[test]
fn ps1555_ps1777_forks_of_one_version_are_told_apart_and_merged() {
    let head = CoordinatorObject::new(TopicId::of("chat"), Digest::ZERO, at(1));
    let mut base = Owned::default();
    base.publish(1..=20);
    let forked = |other| {
        let (mut side, mut head) =
            (base.clone(), CoordinatorObject { next: TopicPosition(99), ..head.clone() });
        head.advance_messages(side.messages.cid(), side.messages.len());
        side.publish([other]);
        head.advance_messages(side.messages.cid(), side.messages.len());
        (side, head)
    };
    let ((mut a, here), (mut b, there)) = (forked(100), forked(200));
    assert_eq!(here.messages.version, there.messages.version);
    assert_eq!(here.messages.count, there.messages.count);
    assert_ne!(here.messages.root, there.messages.root);
    let common = here.message_history.iter().zip(&there.message_history);
    assert_eq!(common.filter(|(one, other)| one == other).count(), 1, "the version they share");
    let merge = merge(&mut a.fork(), &mut b.fork(), at(1)).unwrap();
    assert_eq!((merge.left.messages.len(), merge.right.messages.len()), (1, 1));
}

#[test]
fn ps1555_ps1776_a_fork_that_pruned_its_front_misses_only_what_has_not_expired() {
    let mut a = Owned::default();
    a.publish(1..=500);
    let mut b = a.clone();
    b.edit(&(1..=200).map(|n| (TopicPosition(n), None)).collect::<Vec<_>>());
    let merge = merge(&mut a.fork(), &mut b.fork(), at(1150)).unwrap();
    assert_eq!(merge.left, Missing::default());
    assert_eq!(merge.right.messages.len(), 50, "those that expire after 1150");
}

#[test]
fn ps1555_ps287_ps1515_ps398_a_missing_page_is_named_and_the_merge_goes_on_once_it_is_there() {
    let (mut a, mut b) = (Owned::default(), Owned::default());
    a.publish(1..=300);
    b.publish(200..=500);
    let whole = merge(&mut a.fork(), &mut b.fork(), at(1)).unwrap();
    let mut partial = PageMap::new();
    let mut fetched = 0;
    let found = loop {
        let (messages, subscribers) = (b.messages, b.subscribers);
        let mut fork = Fork { pages: &mut partial, messages, subscribers };
        match merge(&mut a.clone().fork(), &mut fork, at(1)) {
            Ok(found) => break found,
            Err(PageFault::Missing(cid)) => {
                partial.insert(b.pages.bytes(&cid).unwrap().clone());
                fetched += 1;
            }
            Err(other) => panic!("{other}"),
        }
    };
    assert_eq!((found, fetched), (whole, b.pages_count()));
}

impl Owned {
    /// Pages of the messages as they are.
    fn pages_count(&mut self) -> usize {
        let mut count = 0;
        self.messages.for_each_page(&mut self.pages, |_, _| count += 1).unwrap();
        count
    }
}

#[test]
fn ps1555_an_unsubscribe_on_one_side_ends_the_lease_on_the_other() {
    let (mut a, mut b) = (Owned::default(), Owned::default());
    let live = lease(1, 1, at(500));
    a.put(live);
    b.put(Lease { nonce: 2, standing: Standing::Ended, ..live });
    b.put(lease(2, 2, at(500)));
    let merge = merge(&mut a.fork(), &mut b.fork(), at(1)).unwrap();
    assert_eq!(merge.left.leases.len(), 2);
    assert_eq!(merge.right.leases, []);
}

#[test]
fn ps1555_unions_are_within_the_caps_of_an_action() {
    let missing = Missing {
        messages: (1..=2500).map(|n| entry(n, 1, at(9))).collect(),
        leases: (0..30).map(|n| lease(n, 1, at(9))).collect(),
    };
    let message = crate::testing::message(&crate::testing::identity(1), 1, "x");
    let unions = missing.unions(|_| Some(message.clone()));
    assert!(unions.iter().all(|union| union.messages.len() <= limits::BATCH_MAX));
    assert_eq!(unions.iter().map(|union| union.messages.len()).sum::<usize>(), 2500);
    assert_eq!(unions.iter().map(|union| union.leases.len()).sum::<usize>(), 30);
    assert_eq!(Missing::default().unions(|_| None), []);
}

/// Sides that share a beginning, or not.
fn sides() -> impl Strategy<Value = [Owned; 3]> {
    let leases = || prop::collection::vec((0..60_u64, 1..4_u64, any::<bool>()), 0..60);
    let messages = || prop::collection::vec(0..300_u64, 0..60);
    let part = || (messages(), leases());
    (0..200_u64, [part(), part(), part()]).prop_map(|(common, parts)| {
        let mut base = Owned::default();
        base.publish(1000..1000 + common);
        parts.map(|(messages, leases)| {
            let mut side = base.clone();
            side.publish(messages.into_iter().collect::<BTreeSet<_>>());
            for (n, nonce, is_live) in leases {
                let standing = if is_live { Standing::Live } else { Standing::Ended };
                side.put(Lease { nonce, standing, ..lease(n, n + 1, at(5000)) });
            }
            side
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn ps1549_ps1480_r30_ps169_ps280_ps293_ps1487_ps1513_ps1548_ps1707_ps1715_ps1748_a_merge_is_the_union_whatever_the_order_and_however_often(
        [a, b, c] in sides(),
        seconds in 900..1400_u64,
    ) {
        let now = at(seconds);
        let ids = |side: &Owned| side.clone().ids(now);
        let leases = |side: &Owned| side.clone().leases();
        let (ab, ba) = (merged(&a, &b, now), merged(&b, &a, now));
        let union: BTreeSet<_> = ids(&a).union(&ids(&b)).copied().collect();
        prop_assert_eq!(ids(&ab), union);
        prop_assert_eq!(ids(&ab), ids(&ba), "commutative");
        prop_assert_eq!(leases(&ab), leases(&ba));
        prop_assert_eq!(ab.subscribers.cid(), ba.subscribers.cid(), "equal sets have equal roots");
        let (left, right) = (merged(&ab, &c, now), merged(&a, &merged(&b, &c, now), now));
        prop_assert_eq!(ids(&left), ids(&right), "associative");
        prop_assert_eq!(leases(&left), leases(&right));
        let again = merged(&ab, &b, now);
        prop_assert_eq!(again.messages.cid(), ab.messages.cid(), "idempotent");
        prop_assert_eq!(again.subscribers.cid(), ab.subscribers.cid());
        let own = merge(&mut a.clone().fork(), &mut a.clone().fork(), now).unwrap();
        prop_assert_eq!(own, Merge::default());
    }
}
