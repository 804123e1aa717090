//! Collections of subscriptions against an ordered map.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{
    PageMap,
    limits::{PAGE_BYTES_MAX, PEER_LEASES_MAX},
    testing::{at, golden, lease, peer, subscriber},
};

fn built(pages: &mut PageMap, count: u64) -> SubscriberCollection {
    let add = |collection: SubscriberCollection, n| {
        collection.put(pages, lease(n, n + 1, at(1000 + n))).unwrap()
    };
    (0..count).fold(SubscriberCollection::default(), add)
}

#[test]
fn ps1521_ps254_ps72_add_update_remove_are_idempotent_and_keep_one_entry_for_each_id() {
    let mut pages = PageMap::new();
    let one = built(&mut pages, 100);
    assert_eq!(one.put(&mut pages, lease(7, 8, at(1007))).unwrap(), one);
    let updated = one.put(&mut pages, lease(7, 101, at(9000))).unwrap();
    assert_eq!(updated.len(), 100);
    assert_eq!(updated.get(&mut pages, &subscriber(7)).unwrap().unwrap().expires_at, at(9000));
    let without = updated.remove(&mut pages, &subscriber(7)).unwrap();
    assert_eq!(without.remove(&mut pages, &subscriber(7)).unwrap(), without);
    assert_eq!(without.get(&mut pages, &subscriber(7)).unwrap(), None);
    assert_eq!(without.len(), 99);
}

#[test]
fn ps1584_ps122_ps1766_ten_thousand_subscribers_have_small_pages_and_an_addition_touches_three() {
    let mut pages = PageMap::new();
    let collection = built(&mut pages, 10_000);
    let mut largest = 0;
    collection
        .for_each_page(&mut pages.clone(), |at, _| {
            largest = largest.max(pages.bytes(&at.cid).unwrap().len());
        })
        .unwrap();
    assert!(largest <= PAGE_BYTES_MAX, "{largest}");
    let before = pages.len();
    collection.put(&mut pages, lease(10_001, 10_002, at(1))).unwrap();
    assert!(pages.len() - before <= 3, "{}", pages.len() - before);
}

#[test]
fn ps1584_a_full_leaf_of_the_largest_leases_fits_a_page() {
    let widest = |n: u64| Lease {
        id: SubscriberId { peer: peer(n), stream: u64::MAX },
        subscribed_at: Time::MAX,
        nonce: u64::MAX,
        last_seen: TopicPosition(u64::MAX),
        ..lease(n, u64::MAX, Time::MAX)
    };
    let mut leases: Vec<_> = (0..SUBSCRIBER_LEAF_MAX as u64).map(widest).collect();
    leases.sort_by_key(|lease| lease.id);
    assert!(Page::<Lease, ()>::Leaf(leases).encode().len() <= PAGE_BYTES_MAX);
}

#[test]
fn ps1521_ps1526_a_page_lives_as_long_as_its_last_lease_and_an_hour() {
    let mut pages = PageMap::new();
    let collection = built(&mut pages, 300);
    assert_eq!(collection.summary().unwrap().kept_until(), at(1000 + 299 + 3600));
}

#[test]
fn the_leases_of_a_peer_are_found_together_among_many() {
    let mut pages = PageMap::new();
    let mut collection = built(&mut pages, 2000);
    for stream in 0..PEER_LEASES_MAX as u64 {
        let id = SubscriberId { peer: peer(5), stream };
        collection = collection.put(&mut pages, Lease { id, ..lease(5, 3000, at(1)) }).unwrap();
    }
    let found = collection.of_peer(&mut pages, peer(5)).unwrap();
    assert_eq!(found.len(), PEER_LEASES_MAX);
    assert_eq!(collection.of_peer(&mut pages, peer(5000)).unwrap(), []);
}

#[test]
fn ps1540_ps1717_the_entries_after_a_version_are_those_written_since() {
    let mut pages = PageMap::new();
    let collection = built(&mut pages, 500);
    let mut delta = collection.changed_after(&mut pages, TopicVersion(490), 100).unwrap();
    delta.sort_by_key(|lease| lease.version);
    let versions: Vec<_> = delta.iter().map(|lease| lease.version.0).collect();
    assert_eq!(versions, (491..=500).collect::<Vec<_>>());
}

#[test]
fn ps1489_a_lease_expires_at_its_time_and_not_before() {
    let mut pages = PageMap::new();
    let collection = built(&mut pages, 100);
    assert_eq!(collection.expired(&mut pages, Time::from_millis(999_999), 9).unwrap(), []);
    assert_eq!(collection.expired(&mut pages, at(1000), 9).unwrap(), [lease(0, 1, at(1000))]);
    assert_eq!(collection.expired(&mut pages, at(2000), 9).unwrap().len(), 9);
}

#[test]
fn ps1485_ps1527_pages_have_fixed_bytes() {
    let mut pages = PageMap::new();
    let collection = built(&mut pages, 100);
    assert_eq!(golden(pages.bytes(&collection.cid()).unwrap()), "889db65b45801101");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn ps1521_ps259_equal_content_has_equal_roots_whatever_its_history(
        operations in prop::collection::vec((0_u64..400, any::<bool>()), 1..600),
    ) {
        let mut pages = PageMap::new();
        let mut collection = SubscriberCollection::default();
        let mut model: BTreeMap<SubscriberId, Lease> = BTreeMap::new();
        for (n, is_put) in operations {
            if is_put {
                let lease = lease(n, n, at(n));
                model.insert(lease.id, lease);
                collection = collection.put(&mut pages, lease).unwrap();
            } else {
                model.remove(&subscriber(n));
                collection = collection.remove(&mut pages, &subscriber(n)).unwrap();
            }
        }
        let leases: Vec<_> = model.values().copied().collect();
        let found = collection.changed_after(&mut pages, TopicVersion::ZERO, usize::MAX).unwrap();
        let expected: Vec<_> = leases.iter().copied().filter(|l| l.version.0 > 0).collect();
        prop_assert_eq!(found, expected);
        let anew = leases.iter().try_fold(SubscriberCollection::default(), |collection, lease| {
            collection.put(&mut pages, *lease)
        });
        prop_assert_eq!(anew.unwrap(), collection);
    }
}
