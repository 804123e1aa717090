//! Pages of changes from chains of both uses.

use std::sync::Arc;

use bytes::Bytes;
use weald_core::{
    Action, ActionBody, CollectionPolicy, CreateMode, Retention, Sequence, TypeName, TypeVersion,
};

use super::*;
use crate::{
    ChangeRecord, CollectionType, DiaryType, ExpectedVersion, RawDiary, Scope, SourceReader, Stop,
    chain::ChainVerifier, testing::Site,
};

/// Notes its operations.
struct Notes;

impl CollectionType for Notes {
    fn name(&self) -> TypeName {
        "notes".parse().unwrap()
    }

    fn version(&self) -> TypeVersion {
        TypeVersion(1)
    }

    fn create(&self, _: &mut Scope<'_, '_>, _: &[u8]) -> Result<Bytes, Stop> {
        Ok(Bytes::new())
    }

    fn apply(&self, scope: &mut Scope<'_, '_>, operation: &[u8]) -> Result<Bytes, Stop> {
        scope.note_change(Bytes::copy_from_slice(operation));
        Ok(Bytes::new())
    }
}

fn action(body: ActionBody) -> Action {
    Action { collection: name(), type_name: Notes.name(), body }
}

fn note(text: &str) -> Action {
    action(ActionBody::Apply(text.to_owned().into()))
}

fn name() -> CollectionName {
    "c".parse().unwrap()
}

fn keep(entries: u64) -> CollectionPolicy {
    CollectionPolicy { retention: Retention { entries_max: Some(entries), ..Retention::ALL } }
}

/// `c` with revisions 1 (creation) to `revisions`, each noting its number twice.
fn noted(revisions: u64, policy: CollectionPolicy) -> Site {
    let mut site = Site::new(vec![Arc::new(Notes), Arc::new(DiaryType)]);
    let (mode, version, options) = (CreateMode::Create, TypeVersion(1), Bytes::new());
    site.run(&[action(ActionBody::Create { mode, version, policy, options })]).unwrap();
    for n in 2..=revisions {
        site.run(&[note(&n.to_string()), note(&format!("{n}'"))]).unwrap();
    }
    site
}

fn page(site: &Site, from: u64, max_bytes: usize) -> FeedPage {
    changes(&mut SourceReader(&site.source), &name(), Revision(from), max_bytes).unwrap()
}

fn revisions(page: FeedPage) -> Vec<u64> {
    match page {
        FeedPage::Changes(changes) => changes.iter().map(|change| change.revision.0).collect(),
        gap @ FeedPage::Gap { .. } => panic!("{gap:?}"),
    }
}

#[test]
fn a27_changes_come_back_in_order_with_revisions_transactions_and_notes() {
    let site = noted(150, CollectionPolicy::default());
    let FeedPage::Changes(all) = page(&site, 0, usize::MAX) else { panic!("a gap") };
    assert_eq!(all.len(), 150);
    for (n, change) in (1_u64..).zip(&all) {
        assert_eq!(change.revision, Revision(n));
        let record = ChangeRecord::decode(&change.detail).unwrap();
        let expected = if n == 1 { vec![] } else { vec![n.to_string(), format!("{n}'")] };
        assert_eq!(record.notes, expected);
    }
    let mut ids: Vec<_> = all.iter().map(|change| change.transaction).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 150);
}

#[test]
fn a26_an_absent_collection_has_no_feed_and_a_new_diary_an_empty_one() {
    let mut site = noted(1, CollectionPolicy::default());
    let mut reader = SourceReader(&site.source);
    let never: CollectionName = "never".parse().unwrap();
    let absent = changes(&mut reader, &never, Revision(0), 100);
    assert_eq!(absent, Err(ReadError::NoSuchCollection(never)));
    let diary = RawDiary::new("d".parse().unwrap());
    site.run(&[diary.create(CreateMode::Create, CollectionPolicy::default())]).unwrap();
    let page = changes(&mut SourceReader(&site.source), diary.name(), Revision(0), 100);
    assert_eq!(page, Ok(FeedPage::Changes(vec![])));
}

#[test]
fn a30_reading_resumes_at_any_revision_in_pages_without_a_gap() {
    let site = noted(100, CollectionPolicy::default());
    for from in [0, 1, 2, 31, 32, 33, 50, 64, 65, 99, 100, 101, 500] {
        let expected: Vec<u64> = (from.max(1)..=100).collect();
        assert_eq!(revisions(page(&site, from, usize::MAX)), expected, "from={from}");
        let mut paged = Vec::new();
        let mut next = from;
        loop {
            let part = revisions(page(&site, next, 200));
            let Some(&last) = part.last() else { break };
            assert!(part.len() < 10);
            paged.extend(part);
            next = last + 1;
        }
        assert_eq!(paged, expected, "from={from}");
    }
    assert_eq!(revisions(page(&site, 7, 0)), vec![7]);
}

#[test]
fn a30_d53_a_pruned_history_is_an_exact_gap_and_goes_on_at_the_floor() {
    let site = noted(100, keep(40));
    for from in [0, 1, 30, 59, 60] {
        let (from, next) = (Revision(from), Revision(61));
        assert_eq!(page(&site, from.0, 10), FeedPage::Gap { from, next });
    }
    for from in [61, 62, 100, 101] {
        assert_eq!(revisions(page(&site, from, usize::MAX)), (from..=100).collect::<Vec<_>>());
    }
}

#[test]
fn a32_a_record_without_notes_keeps_the_chain_and_is_met_in_its_place() {
    let mut site = noted(40, CollectionPolicy::default());
    site.run(&[action(ActionBody::SetPolicy(keep(1000)))]).unwrap();
    site.run(&[note("after")]).unwrap();
    let FeedPage::Changes(late) = page(&site, 41, usize::MAX) else { panic!("a gap") };
    let notes: Vec<usize> =
        late.iter().map(|c| ChangeRecord::decode(&c.detail).unwrap().notes.len()).collect();
    assert_eq!(notes, vec![0, 1]);
    let (_, state) = inspect(&mut SourceReader(&site.source), &name()).unwrap();
    assert_eq!(ChainVerifier::new(&state.chain).run(&mut SourceReader(&site.source)), Ok(42));
    assert_eq!(revisions(page(&site, 0, usize::MAX)), (1..=42).collect::<Vec<_>>());
}

#[test]
fn entries_of_one_revision_are_one_change() {
    let mut site = noted(1, CollectionPolicy::default());
    let diary = RawDiary::new("d".parse().unwrap());
    site.run(&[diary.create(CreateMode::Create, keep(50))]).unwrap();
    let entries = |n: usize| vec![Bytes::from_static(b"entry"); n];
    for n in [1, 40, 3, 20] {
        site.run(&[diary.append(ExpectedVersion::Any, entries(n))]).unwrap();
    }
    let read = |from| changes(&mut SourceReader(&site.source), diary.name(), Revision(from), 10);
    let gap = FeedPage::Gap { from: Revision(1), next: Revision(3) };
    assert_eq!(read(1), Ok(gap));
    // Of 64 entries 50 are kept: 27 of the 40, which are one change larger than the page.
    let Ok(FeedPage::Changes(page)) = read(3) else { panic!("a gap") };
    let first = Appended::decode(&page[0].detail).unwrap();
    assert_eq!((page.len(), first.first, first.entries.len()), (1, Sequence(14), 27));
    let Ok(FeedPage::Changes(page)) = read(4) else { panic!("a gap") };
    let second = Appended::decode(&page[0].detail).unwrap();
    assert_eq!((second.first, second.entries), (Sequence(41), entries(3)));
}
