//! Nodes that create one name at once.

use std::collections::BTreeSet;

use weald_core::Sequence;

use super::Rig;
use crate::{ErrorKind, Result, Weald};

/// What is created.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Tree,
    Diary,
    Topic,
}

const KINDS: [Kind; 3] = [Kind::Tree, Kind::Diary, Kind::Topic];

async fn create(node: Weald, kind: Kind, name: String) -> Result<()> {
    match kind {
        Kind::Tree => node.raw_tree(&name).create().await.map(drop),
        Kind::Diary => node.raw_diary(&name).create().await.map(drop),
        Kind::Topic => node.topic(&name).create().await.map(drop),
    }
}

async fn open_or_create(node: Weald, kind: Kind, name: String) -> Result<()> {
    match kind {
        Kind::Tree => node.raw_tree(&name).open_or_create().await.map(drop),
        Kind::Diary => node.raw_diary(&name).open_or_create().await.map(drop),
        Kind::Topic => node.topic(&name).open_or_create().await.map(drop),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn d2_ps320_ps328_ps1532_of_those_who_create_one_name_at_once_one_makes_it_and_all_are_told()
{
    let rig = Rig::start(3, 4).await;
    for round in 0..30 {
        let kind = KINDS[round % KINDS.len()];
        let name = format!("one-{round}");
        let creating = |number| tokio::spawn(create(rig.node(number).clone(), kind, name.clone()));
        let mut made = 0;
        for task in [creating(0), creating(1), creating(2)] {
            match task.await.unwrap() {
                Ok(()) => made += 1,
                Err(error) => assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}"),
            }
        }
        assert_eq!(made, 1, "{kind:?}");
        let name = format!("any-{round}");
        let opening =
            |number| tokio::spawn(open_or_create(rig.node(number).clone(), kind, name.clone()));
        for task in [opening(0), opening(1), opening(2)] {
            task.await.unwrap().unwrap();
        }
    }
    for number in 0..3 {
        assert_eq!(rig.node(number).collections().await.unwrap().len(), 60);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn d15_all_that_writers_on_all_nodes_were_told_is_there_exactly_once() {
    let rig = Rig::start(3, 2).await;
    rig.node(0).raw_tree("stock").create().await.unwrap();
    rig.node(1).raw_diary("events").create().await.unwrap();
    let writing = |writer: usize| {
        let node = rig.node(writer % 3).clone();
        tokio::spawn(async move {
            let tree = node.raw_tree("stock").open().await.unwrap();
            let diary = node.raw_diary("events").open().await.unwrap();
            for number in 0..40 {
                let what = format!("{writer}/{number:02}");
                tree.put(what.clone(), what.clone()).await.unwrap();
                diary.append(what).await.unwrap();
            }
        })
    };
    let tasks: Vec<_> = (0..6).map(writing).collect();
    for task in tasks {
        task.await.unwrap();
    }
    for number in 0..3 {
        let tree = rig.node(number).raw_tree("stock").open().await.unwrap();
        assert_eq!(tree.count().await.unwrap(), 240);
        let diary = rig.node(number).raw_diary("events").open().await.unwrap();
        let entries = diary.read(Sequence(0), 1000).await.unwrap();
        let entries: Vec<_> = entries.into_iter().map(|entry| entry.entry).collect();
        assert_eq!((entries.len(), entries.iter().collect::<BTreeSet<_>>().len()), (240, 240));
        for writer in 0..6 {
            let begin = format!("{writer}/");
            let own = entries.iter().filter(|entry| entry.starts_with(begin.as_bytes()));
            assert!(own.is_sorted(), "what one writer appends stays in its order");
        }
    }
}
