//! Appending and reading.

use serde::{Deserialize, Serialize};
use weald_core::{Halt, Revision, limits::VALUE_BYTES_MAX};

use super::*;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Event {
    Opened { by: String, tags: Vec<(u32, Option<String>)> },
    Closed,
}

fn all(site: &Site, diary: &RawDiary) -> Vec<Bytes> {
    let limit = ReadLimit::entries(usize::MAX);
    let entries = diary.read(&mut SourceReader(&site.source), Sequence(0), limit).unwrap();
    entries.into_iter().map(|entry| entry.payload).collect()
}

#[test]
fn a57_one_and_many_entries_come_back_in_order_both_ways() {
    let mut site = site();
    let diary = raw("d");
    let empty = diary.last(&mut SourceReader(&site.source)).unwrap();
    assert_eq!((empty, all(&site, &diary)), (None, vec![]));
    let mut expected: Vec<Bytes> = Vec::new();
    for n in 0..60_u64 {
        let entries: Vec<Bytes> = (0..n % 7 + 1).map(|i| format!("{n}.{i}").into()).collect();
        let answer = site.run(&[diary.append(ExpectedVersion::Any, entries.clone())]).unwrap();
        let answer = DiaryAnswer::decode(&answer[0]).unwrap();
        assert_eq!(answer.first.0, expected.len() as u64);
        assert_eq!(answer.revision, Revision(n + 2));
        expected.extend(entries);
    }
    assert!(expected.len() > 200);
    assert_eq!(all(&site, &diary), expected);
    let mut reader = SourceReader(&site.source);
    assert_eq!(diary.len(&mut reader).unwrap(), expected.len() as u64);
    let back = diary.read_back(&mut reader, None, ReadLimit::entries(1000)).unwrap();
    assert!(back.iter().map(|entry| &entry.payload).eq(expected.iter().rev()));
    let some = diary.read_back(&mut reader, Some(Sequence(100)), ReadLimit::entries(3)).unwrap();
    let sequences: Vec<u64> = some.iter().map(|entry| entry.sequence.0).collect();
    assert_eq!(sequences, vec![100, 99, 98]);
}

#[test]
fn a57_values_of_any_shape_round_trip_and_another_shape_is_an_error() {
    let mut site = site();
    let diary: Diary<Event> = Diary::new(name("d"));
    let opened = Event::Opened { by: String::new(), tags: vec![(0, None), (7, Some("ü".into()))] };
    let events = [opened.clone(), Event::Closed, opened];
    site.run(&[diary.append(ExpectedVersion::Any, &events[0])]).unwrap();
    site.run(&[diary.append_many(ExpectedVersion::Any, &events[1..])]).unwrap();
    let mut reader = SourceReader(&site.source);
    let read = diary.read(&mut reader, Sequence(0), ReadLimit::default()).unwrap();
    assert!(read.iter().map(|entry| &entry.entry).eq(&events));
    assert_eq!(read[1].revision, read[2].revision);
    assert_eq!(diary.last(&mut reader).unwrap().unwrap().entry, events[2]);
    let other: Diary<(u64, u64)> = Diary::new(name("d"));
    let error = other.read(&mut reader, Sequence(0), ReadLimit::default()).unwrap_err();
    assert!(matches!(error, ReadError::Value { revision: Revision(2), .. }));
}

#[test]
fn a57_two_writers_that_expect_nothing_lose_nothing() {
    let mut site = site();
    let diary = raw("d");
    let limit = ReadLimit::entries(usize::MAX);
    for n in 0..150 {
        let writer = if n % 3 == 0 { "a" } else { "b" };
        let entry = format!("{writer}{n}");
        site.run(&[diary.append(ExpectedVersion::Any, vec![entry.into()])]).unwrap();
    }
    let one = diary.read(&mut SourceReader(&site.source), Sequence(0), limit).unwrap();
    let two = raw("d").read(&mut SourceReader(&site.source), Sequence(0), limit).unwrap();
    assert_eq!((one.len(), &one), (150, &two));
    assert!(one.windows(2).all(|pair| pair[0].sequence.next() == pair[1].sequence));
}

#[test]
fn a57_an_absent_diary_is_an_error_and_not_an_empty_one() {
    let mut site = site();
    let never = raw("never");
    let mut reader = SourceReader(&site.source);
    let absent = ReadError::NoSuchCollection(name("never"));
    assert_eq!(never.len(&mut reader), Err(absent.clone()));
    assert_eq!(never.read(&mut reader, Sequence(0), ReadLimit::default()), Err(absent));
    let refused = site.run(&[never.append(ExpectedVersion::Any, vec!["x".into()])]);
    assert!(matches!(refused, Err(Rejection::NoSuchCollection { .. })));
    site.source.trouble.set(Some((0, Trouble::NotHere)));
    site.source.asked.set(0);
    let halted = raw("d").len(&mut SourceReader(&site.source));
    assert!(matches!(halted, Err(ReadError::Halt(Halt::Need(ids))) if ids.len() == 1));
}

#[test]
fn w94_expectations_hold_exactly_when_they_say() {
    use ExpectedVersion::{Any, Empty, Exact, Exists};
    let exact = |n| Exact(Sequence(n));
    // Entries there, expectation, whether it holds.
    let table = [
        (0, Any, true),
        (0, Empty, true),
        (0, Exists, false),
        (0, exact(0), false),
        (1, Any, true),
        (1, Empty, false),
        (1, Exists, true),
        (1, exact(0), true),
        (1, exact(1), false),
        (40, exact(38), false),
        (40, exact(39), true),
        (40, exact(40), false),
    ];
    for (count, expected, holds) in table {
        let mut site = site();
        if count > 0 {
            let entries = vec![Bytes::from_static(b"e"); count];
            site.run(&[raw("d").append(Any, entries)]).unwrap();
        }
        let result = site.run(&[raw("d").append(expected, vec!["new".into()])]);
        assert_eq!(result.is_ok(), holds, "count={count} {expected:?}");
        if let Err(rejection) = result {
            assert!(matches!(rejection, Rejection::Expectation { .. }));
        }
        assert_eq!(all(&site, &raw("d")).len(), count + usize::from(holds));
    }
}

#[test]
fn diaries_of_one_group_are_appended_together_or_not_at_all() {
    let mut site = site();
    let (one, two) = (raw("g/one"), raw("g/two"));
    let create = |diary: &RawDiary| diary.create(CreateMode::Create, CollectionPolicy::default());
    site.run(&[create(&one), create(&two)]).unwrap();
    let append = |diary: &RawDiary, expected| diary.append(expected, vec!["x".into()]);
    let both = [append(&one, ExpectedVersion::Empty), append(&two, ExpectedVersion::Empty)];
    site.run(&both).unwrap();
    let half = [append(&one, ExpectedVersion::Any), append(&two, ExpectedVersion::Empty)];
    assert!(site.run(&half).is_err());
    assert_eq!((all(&site, &one).len(), all(&site, &two).len()), (1, 1));
    let mut reader = SourceReader(&site.source);
    let last = |diary: &RawDiary, reader: &mut _| diary.last(reader).unwrap().unwrap();
    let (a, b) = (last(&one, &mut reader), last(&two, &mut reader));
    assert_eq!((a.transaction, a.index), (b.transaction, b.index));
}

#[test]
fn malformed_operations_are_refused() {
    let mut site = site();
    let refused = site.run(&[raw("d").append(ExpectedVersion::Any, vec![])]);
    assert!(matches!(refused, Err(Rejection::Invalid { .. })));
    let large = vec![Bytes::from(vec![0; VALUE_BYTES_MAX + 1])];
    let refused = site.run(&[raw("d").append(ExpectedVersion::Any, large)]);
    assert!(matches!(refused, Err(Rejection::TooLarge { .. })));
    let mut action = raw("d").append(ExpectedVersion::Any, vec!["x".into()]);
    action.body = weald_core::ActionBody::Apply("nonsense".into());
    assert!(matches!(site.run(&[action]), Err(Rejection::Invalid { .. })));
    let largest = vec![Bytes::from(vec![0; VALUE_BYTES_MAX])];
    site.run(&[raw("d").append(ExpectedVersion::Any, largest)]).unwrap();
    assert_eq!(all(&site, &raw("d")).len(), 1);
}

#[test]
fn a62_empty_and_zero_entries_are_kept() {
    let mut site = site();
    let entries: Vec<Bytes> = vec![Bytes::new(), Bytes::from_static(&[0]), Bytes::new()];
    site.run(&[raw("d").append(ExpectedVersion::Any, entries.clone())]).unwrap();
    assert_eq!(all(&site, &raw("d")), entries);
}

#[test]
fn d53_reading_what_retention_dropped_says_where_to_go_on() {
    let mut site = Site::new(vec![Arc::new(DiaryType)]);
    let retention = Retention { entries_max: Some(10), ..Retention::ALL };
    site.run(&[raw("d").create(CreateMode::Create, CollectionPolicy { retention })]).unwrap();
    for _ in 0..30 {
        let entries = vec![Bytes::from_static(b"e"); 2];
        site.run(&[raw("d").append(ExpectedVersion::Any, entries)]).unwrap();
    }
    let mut reader = SourceReader(&site.source);
    let gone = ReadError::Gone { wanted: Sequence(49), first: Sequence(50) };
    let limit = ReadLimit::default();
    assert_eq!(raw("d").read(&mut reader, Sequence(49), limit), Err(gone.clone()));
    assert_eq!(raw("d").read_back(&mut reader, Some(Sequence(49)), limit), Err(gone));
    assert_eq!(raw("d").read(&mut reader, Sequence(50), limit).unwrap().len(), 10);
    assert_eq!(raw("d").len(&mut reader).unwrap(), 60);
}

#[test]
fn d5_trouble_at_any_block_of_an_append_leaves_the_diary_as_before() {
    let mut before = site();
    let entries: Vec<Bytes> = (0..70).map(|n: u64| n.to_string().into()).collect();
    before.run(&[raw("d").append(ExpectedVersion::Any, entries.clone())]).unwrap();
    let retention = Retention { entries_max: Some(40), ..Retention::ALL };
    let policy = weald_core::ActionBody::SetPolicy(CollectionPolicy { retention });
    let append = raw("d").append(ExpectedVersion::Exists, entries);
    let actions = [weald_core::Action { body: policy, ..append.clone() }, append];
    let mut after = before.clone();
    after.source.asked.set(0);
    after.run(&actions).unwrap();
    let asked = after.source.asked.get();
    assert!(asked >= 6, "asked={asked}");
    for trouble in [Trouble::Fault, Trouble::NotHere] {
        for at in 0..asked {
            let mut site = before.clone();
            site.source.asked.set(0);
            site.source.trouble.set(Some((at, trouble)));
            assert!(site.try_run(&actions).is_err(), "{trouble:?} at={at}");
            assert_eq!(site.source.blocks, before.source.blocks);
            site.source.trouble.set(None);
            site.run(&actions).unwrap();
            assert_eq!(site.source.blocks, after.source.blocks);
        }
    }
}
