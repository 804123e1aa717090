//! Collections of messages against an ordered map.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{
    PageFault, PageMap,
    limits::PAGE_BYTES_MAX,
    testing::{at, entry, golden},
};

type Model = BTreeMap<u64, MessageEntry>;

fn puts(positions: impl IntoIterator<Item = u64>) -> Vec<MessageEdit> {
    let put = |n| (TopicPosition(n), Some(entry(n, n % 3, at(1000 + n))));
    positions.into_iter().map(put).collect()
}

fn drops(positions: impl IntoIterator<Item = u64>) -> Vec<MessageEdit> {
    positions.into_iter().map(|n| (TopicPosition(n), None)).collect()
}

fn built(pages: &mut PageMap, positions: std::ops::Range<u64>) -> MessageCollection {
    MessageCollection::default().edit(pages, &puts(positions)).unwrap()
}

fn all(pages: &mut PageMap, collection: &MessageCollection) -> Vec<MessageEntry> {
    collection.range(pages, TopicPosition::ZERO, usize::MAX).unwrap()
}

#[test]
fn ps1522_ps255_ps71_a_range_begins_at_its_position_and_ends_at_its_limit() {
    let mut pages = PageMap::new();
    let collection = built(&mut pages, 1..500);
    let read = |pages: &mut PageMap, from, limit| {
        let entries = collection.range(pages, TopicPosition(from), limit).unwrap();
        entries.iter().map(|entry| entry.position.0).collect::<Vec<_>>()
    };
    assert_eq!(read(&mut pages, 100, 3), [100, 101, 102]);
    assert_eq!(read(&mut pages, 498, 10), [498, 499]);
    assert_eq!(read(&mut pages, 500, 10), [0; 0]);
    assert_eq!(collection.get(&mut pages, TopicPosition(77)).unwrap().unwrap().position.0, 77);
    assert_eq!(collection.get(&mut pages, TopicPosition(0)).unwrap(), None);
}

#[test]
fn ps1522_a_message_put_again_is_there_once() {
    let mut pages = PageMap::new();
    let collection = built(&mut pages, 1..10);
    let again = collection.edit(&mut pages, &puts([5])).unwrap();
    assert_eq!(again.cid(), collection.cid());
    assert_eq!(again.len(), 9);
}

#[test]
fn ps1533_ps176_ps251_ps258_ps321_ps330_ps1486_an_old_root_is_readable_after_an_update_and_no_page_has_changed()
 {
    let mut pages = PageMap::new();
    let old = built(&mut pages, 1..300);
    let before = pages.clone();
    let entries = all(&mut pages, &old);
    let new = old.edit(&mut pages, &puts(300..310)).unwrap();
    let new = new.edit(&mut pages, &drops(1..100)).unwrap();
    assert_eq!(all(&mut pages, &old), entries);
    assert_eq!(all(&mut pages, &new).len(), 210);
    new.for_each_page(&mut pages.clone(), |at, _| {
        assert_eq!(Cid::of(pages.bytes(&at.cid).unwrap()), at.cid);
    })
    .unwrap();
    old.for_each_page(&mut before.clone(), |at, _| {
        assert_eq!(before.bytes(&at.cid), pages.bytes(&at.cid));
    })
    .unwrap();
}

#[test]
fn ps282_an_append_makes_only_the_pages_on_its_path() {
    let mut pages = PageMap::new();
    let collection = built(&mut pages, 1..10_000);
    let before = pages.len();
    collection.edit(&mut pages, &puts([10_000])).unwrap();
    assert!(pages.len() - before <= 3, "{}", pages.len() - before);
}

#[test]
fn ps1526_ps260_ps1128_ps1129_ps1793_every_page_lives_as_long_as_its_last_message_and_an_hour() {
    let mut pages = PageMap::new();
    let collection = built(&mut pages, 1..5000);
    let entries = all(&mut pages, &collection);
    let mut seen = 0;
    collection
        .for_each_page(&mut pages, |at, _| {
            let below = entries
                .iter()
                .filter(|entry| (at.summary.first..=at.summary.last).contains(&entry.position.0));
            let latest = below.map(|entry| entry.expires_at).max().unwrap();
            assert_eq!(at.summary.kept_until(), latest.after(std::time::Duration::from_secs(3600)));
            seen += 1;
        })
        .unwrap();
    assert!(seen > 70);
}

#[test]
fn ps301_entries_of_ten_publishers_take_at_most_64_bytes_each() {
    let mut pages = PageMap::new();
    let edits: Vec<_> =
        (1..=10_000).map(|n| (TopicPosition(n), Some(entry(n, n % 10, at(1 << 30))))).collect();
    let collection = MessageCollection::default().edit(&mut pages, &edits).unwrap();
    let mut bytes = 0;
    collection
        .for_each_page(&mut pages.clone(), |at, page| {
            if matches!(page, Page::Leaf(_)) {
                bytes += pages.bytes(&at.cid).unwrap().len();
            }
        })
        .unwrap();
    assert!(bytes / 10_000 <= 64, "{}", bytes / 10_000);
}

#[test]
fn ps1584_the_largest_pages_there_can_be_fit_their_bound() {
    let high = u64::MAX - 5000;
    let edits: Vec<_> =
        (high..u64::MAX).map(|n| (TopicPosition(n), Some(entry(n, n, Time::MAX)))).collect();
    let mut pages = PageMap::new();
    let collection = MessageCollection::default().edit(&mut pages, &edits).unwrap();
    let mut largest = 0;
    collection
        .for_each_page(&mut pages.clone(), |at, _| {
            largest = largest.max(pages.bytes(&at.cid).unwrap().len());
        })
        .unwrap();
    assert!((5000..=PAGE_BYTES_MAX).contains(&largest), "{largest}");
}

#[test]
fn ps1489_a_message_expires_at_its_time_and_not_before() {
    let mut pages = PageMap::new();
    let collection = built(&mut pages, 1..200);
    let expired = |pages: &mut PageMap, now| collection.expired(pages, now, 1000).unwrap().len();
    assert_eq!(expired(&mut pages, Time::from_millis(1_001_000 - 1)), 0);
    assert_eq!(expired(&mut pages, at(1001)), 1);
    assert_eq!(expired(&mut pages, at(1100)), 100);
    let loads = pages.loads();
    assert_eq!(collection.expired(&mut pages, at(5), 1000).unwrap(), []);
    assert_eq!(pages.loads(), loads, "a summary rules the whole tree out");
}

#[test]
fn ps275_every_bit_flip_in_every_page_is_detected() {
    let mut pages = PageMap::new();
    let collection = built(&mut pages, 1..200);
    let mut cids = Vec::new();
    collection.for_each_page(&mut pages, |at, _| cids.push(at.cid)).unwrap();
    for (nth, cid) in cids.iter().cycle().take(300).enumerate() {
        let mut damaged = pages.clone();
        damaged.flip(cid, nth * 31);
        let read = collection.range(&mut damaged, TopicPosition(1), usize::MAX);
        assert_eq!(read, Err(PageFault::Damaged(*cid)));
    }
}

#[test]
fn ps257_the_names_of_pages_are_spread_evenly() {
    let mut pages = PageMap::new();
    let collection = built(&mut pages, 1..64_000);
    let mut counts = [0_i64; 16];
    let mut count = |at: &PageRef<()>| {
        counts[usize::from(at.cid.digest().as_bytes()[0] >> 4)] += 1;
    };
    collection.for_each_page(&mut pages, |at, _| count(at)).unwrap();
    let (all, buckets): (i64, i64) = (counts.iter().sum(), 16);
    assert!(all > 1000);
    let squares: i64 = counts.iter().map(|count| (count * buckets - all).pow(2)).sum();
    assert!(squares / (buckets * all) <= 37, "chi-square of 15 degrees, at 0.1 %: {counts:?}");
}

#[test]
fn a_missing_page_is_named() {
    let mut pages = PageMap::new();
    let collection = built(&mut pages, 1..200);
    let root = collection.cid();
    pages.remove(&root);
    let read = collection.range(&mut pages, TopicPosition(1), 1);
    assert_eq!(read, Err(PageFault::Missing(root)));
}

#[test]
fn ps1485_ps1527_pages_have_fixed_bytes() {
    let mut pages = PageMap::new();
    let collection = built(&mut pages, 1..200);
    assert_eq!(golden(pages.bytes(&collection.cid()).unwrap()), "c239a43c55ccc8b3");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    /// Whatever came and went: the content decides the root, and reading gives the content.
    #[test]
    fn ps1522_ps167_ps259_equal_content_has_equal_roots_whatever_its_history(
        rounds in prop::collection::vec(
            prop::collection::btree_map(1_u64..6_000, any::<bool>(), 1..40), 1..8,
        ),
        dropped in 0_u64..6_000,
    ) {
        let mut pages = PageMap::new();
        let (mut collection, mut model) = (MessageCollection::default(), Model::new());
        let front: BTreeMap<u64, bool> = (0..dropped).map(|n| (n, false)).collect();
        for round in rounds.into_iter().chain([front]) {
            let edit = |(n, is_put): (u64, bool)| {
                (TopicPosition(n), is_put.then(|| entry(n, n % 5, at(n))))
            };
            let edits: Vec<_> = round.into_iter().map(edit).collect();
            for (position, entry) in &edits {
                match entry {
                    Some(entry) => drop(model.insert(position.0, *entry)),
                    None => drop(model.remove(&position.0)),
                }
            }
            collection = collection.edit(&mut pages, &edits).unwrap();
            let entries: Vec<_> = model.values().copied().collect();
            prop_assert_eq!(all(&mut pages, &collection), entries.clone());
            let edits: Vec<_> = entries.iter().map(|e| (e.position, Some(*e))).collect();
            let anew = MessageCollection::default().edit(&mut pages, &edits).unwrap();
            prop_assert_eq!(anew, collection);
            prop_assert_eq!(collection.len(), model.len() as u64);
        }
    }
}
