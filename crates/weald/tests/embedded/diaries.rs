//! Diaries.

use serde::{Deserialize, Serialize};
use weald::{DiaryOptions, ErrorKind, Retention, Sequence, TailEvent, Weald};

use crate::open;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Event {
    name: String,
    tags: Vec<(u32, Option<bool>)>,
}

fn event(number: u32) -> Event {
    Event { name: format!("event {number}"), tags: vec![(number, None), (0, Some(false))] }
}

#[tokio::test]
async fn a57_entries_come_back_in_order_both_ways_and_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let node = open(folder.path()).await;
    let diary = node.diary::<Event>("shop/events").create().await.unwrap();
    assert!(diary.is_empty().await.unwrap());
    assert_eq!(diary.last().await.unwrap(), None);
    for number in 0..120 {
        let appended = diary.append(&event(number)).await.unwrap();
        assert_eq!(appended.first, Sequence(u64::from(number)));
    }
    let more: Vec<Event> = (120..150).map(event).collect();
    let appended = diary.append_many(&more).await.unwrap();
    assert_eq!((appended.first, appended.count), (Sequence(120), 30));
    drop((diary, node));

    let node = open(folder.path()).await;
    let diary = node.diary::<Event>("shop/events").open().await.unwrap();
    let all = diary.read(Sequence(0), 1000).await.unwrap();
    let read: Vec<Event> = all.iter().map(|stored| stored.entry.clone()).collect();
    assert_eq!(read, (0..150).map(event).collect::<Vec<_>>());
    assert_eq!(all[120].revision, all[149].revision, "one append is one revision");
    let back = diary.read_back(None, 3).await.unwrap();
    let sequences: Vec<u64> = back.iter().map(|stored| stored.sequence.0).collect();
    assert_eq!(sequences, [149, 148, 147]);
    let back = diary.read_back(Some(Sequence(5)), 1).await.unwrap();
    assert_eq!(back[0].entry, event(5));
}

#[tokio::test]
async fn a57_concurrent_appends_through_two_handles_are_all_kept() {
    let node = Weald::in_memory().await.unwrap();
    let first = node.diary::<u32>("numbers").create().await.unwrap();
    let second = node.diary::<u32>("numbers").open().await.unwrap();
    let append = |diary: weald::Diary<u32>, from: u32| async move {
        for number in from..from + 50 {
            diary.append(&number).await.unwrap();
        }
    };
    let writers =
        [tokio::spawn(append(first.clone(), 0)), tokio::spawn(append(second.clone(), 50))];
    for writer in writers {
        writer.await.unwrap();
    }
    let mut found: Vec<u32> =
        first.read(Sequence(0), 200).await.unwrap().iter().map(|e| e.entry).collect();
    let other: Vec<u32> =
        second.read(Sequence(0), 200).await.unwrap().iter().map(|e| e.entry).collect();
    assert_eq!(found, other, "both handles read one diary");
    found.sort_unstable();
    assert_eq!(found, (0..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn d50_create_open_and_open_or_create_are_different_calls() {
    let node = Weald::in_memory().await.unwrap();
    let absent = node.raw_diary("events").open().await.unwrap_err();
    assert_eq!(absent.kind(), ErrorKind::NotFound);
    assert!(node.collections().await.unwrap().is_empty(), "opening stages nothing");
    node.raw_diary("events").create().await.unwrap().append("one").await.unwrap();
    let again = node.raw_diary("events").create().await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);
    let found = node.raw_diary("events").open_or_create().await.unwrap();
    assert_eq!(found.len().await.unwrap(), 1);
    let listed = node.collections().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].name.as_str(), listed[0].entries), ("events", Some(1)));
}

#[tokio::test]
async fn d52_a_tail_tells_history_then_caught_up_then_live_entries() {
    let node = Weald::in_memory().await.unwrap();
    let diary = node.diary::<u32>("numbers").create().await.unwrap();
    diary.append_many(&[1, 2]).await.unwrap();
    let mut tail = diary.tail(Sequence(1));
    let mut told = Vec::new();
    for round in 0..4 {
        match tail.next().await.unwrap().unwrap() {
            TailEvent::Entry(entry) => told.push(Some(entry.entry)),
            TailEvent::CaughtUp => told.push(None),
            TailEvent::Gap { .. } => panic!("nothing was dropped"),
        }
        if round == 1 {
            diary.append_many(&[3, 4]).await.unwrap();
        }
    }
    assert_eq!(told, [Some(2), None, Some(3), Some(4)]);
}

#[tokio::test]
async fn d52_d53_a_tail_tells_the_exact_gap_that_retention_made() {
    let node = Weald::in_memory().await.unwrap();
    let retention = Retention { entries_max: Some(3), ..Retention::ALL };
    let options = DiaryOptions { retention };
    let diary = node.diary::<u32>("numbers").options(options).create().await.unwrap();
    for number in 0..10 {
        diary.append(&number).await.unwrap();
    }
    let mut tail = diary.tail(Sequence(0));
    let gap = tail.next().await.unwrap().unwrap();
    let expected = TailEvent::Gap { from: Sequence(0), next: Sequence(7) };
    assert_eq!(gap, expected);
    let next = tail.next().await.unwrap().unwrap();
    assert!(matches!(next, TailEvent::Entry(entry) if entry.entry == 7));
    let gone = diary.read(Sequence(2), 1).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::Gone);
    assert_eq!(diary.len().await.unwrap(), 10, "sequences go on");
}
