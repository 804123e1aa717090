//! Writers that sync the log in their own threads, on a runtime with several.

use std::{
    future::IntoFuture,
    task::{Context, Poll, Waker},
};

use weald::{Config, Weald};

use super::open;

const WRITERS: u64 = 6;
const WRITES: u64 = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn writers_that_lead_by_turns_are_all_answered_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let node = open(folder.path()).await;
    let diary = node.raw_diary("log").create().await.unwrap();
    let writers = (0..WRITERS).map(|writer| {
        let diary = diary.clone();
        tokio::spawn(async move {
            for number in 0..WRITES {
                diary.append(format!("{writer} {number}")).await.unwrap();
                // One that is alone at times, and one among others.
                if number % (writer + 2) == 0 {
                    tokio::task::yield_now().await;
                }
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    node.close().await.unwrap();
    let node = open(folder.path()).await;
    let diary = node.raw_diary("log").open().await.unwrap();
    assert_eq!(diary.len().await.unwrap(), WRITERS * WRITES);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_nobody_waits_for_any_more_is_made_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let node = open(folder.path()).await;
    let diary = node.raw_diary("log").create().await.unwrap();
    for number in 1..=20 {
        let mut append = diary.append("dropped").into_future();
        let mut nobody = Context::from_waker(Waker::noop());
        let polled = append.as_mut().poll(&mut nobody);
        assert!(matches!(polled, Poll::Pending), "it gives way before it syncs");
        drop(append);
        diary.append("kept").await.unwrap();
        assert_eq!(diary.len().await.unwrap(), 2 * number);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leading_can_be_switched_off() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { lone_writers_sync: false, ..Config::default() };
    let node = Weald::builder().config(config).open(folder.path()).await.unwrap();
    let tree = node.raw_tree("words").create().await.unwrap();
    tree.put("one", "1").await.unwrap();
    assert_eq!(tree.get("one").await.unwrap().unwrap(), "1");
}
