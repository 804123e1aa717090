//! Transactions.

use weald::{ErrorKind, ExpectedVersion, Rejection, Sequence, Tree, Weald};

use crate::open;

async fn counter(node: &Weald) -> Tree<String, u64> {
    node.tree("counters").open_or_create().await.unwrap()
}

/// Raises a counter by a closure that may be run again.
async fn raise(node: &Weald) -> u32 {
    let done = node.transact(|tx| {
        let mut counters = tx.tree::<String, u64>("counters")?;
        let before = counters.get("hits")?.unwrap_or(0);
        counters.put("hits", &(before + 1))
    });
    done.await.unwrap().attempts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a55_many_clients_raise_one_counter_by_retried_closures() {
    let node = Weald::in_memory().await.unwrap();
    let tree = counter(&node).await;
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let node = node.clone();
            tokio::spawn(async move {
                for _ in 0..20 {
                    raise(&node).await;
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(tree.get("hits").await.unwrap(), Some(160));
}

#[tokio::test]
async fn a55_many_clients_raise_one_counter_by_conditional_writes() {
    let node = Weald::in_memory().await.unwrap();
    let tree = counter(&node).await;
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let tree = tree.clone();
            tokio::spawn(async move {
                let mut left = 10;
                while left > 0 {
                    let entry = tree.entry("hits").await.unwrap();
                    let (value, revision) =
                        entry.map_or((0, None), |entry| (entry.value, Some(entry.revision)));
                    match tree.compare_and_put("hits", revision, &(value + 1)).await {
                        Ok(_) => left -= 1,
                        Err(error) => assert!(matches!(
                            error.kind(),
                            ErrorKind::Conflict | ErrorKind::AlreadyExists
                        )),
                    }
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(tree.get("hits").await.unwrap(), Some(40));
}

#[tokio::test]
async fn a_transaction_over_two_collections_is_all_or_nothing_and_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let node = open(folder.path()).await;
    counter(&node).await.put("apples", &10).await.unwrap();
    node.diary::<String>("orders").create().await.unwrap();
    let order = |node: Weald, wanted: u64| async move {
        node.transact(move |tx| {
            let mut counters = tx.tree::<String, u64>("counters")?;
            let there = counters.get("apples")?.unwrap_or(0);
            counters.put("apples", &there.saturating_sub(wanted))?;
            tx.diary::<String>("orders")?.append(&format!("{wanted} apples"))?;
            if there < wanted {
                return Err(weald::Error::aborted("not enough apples"));
            }
            Ok(there - wanted)
        })
        .await
    };
    let done = order(node.clone(), 7).await.unwrap();
    assert_eq!(done.value, 3);
    let (id, commit) = done.commit.unwrap();
    assert_eq!(commit.revisions.len(), 2);
    let refused = order(node.clone(), 7).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Aborted);

    drop(node);
    let node = open(folder.path()).await;
    assert_eq!(counter(&node).await.get("apples").await.unwrap(), Some(3));
    let orders = node.diary::<String>("orders").open().await.unwrap();
    let orders = orders.read(Sequence(0), 10).await.unwrap();
    assert_eq!(orders.len(), 1);
    assert_eq!(orders[0].transaction, id, "one id on every collection that it touched");
}

#[tokio::test]
async fn a48_a49_a_loser_is_run_again_on_what_the_winner_left() {
    let node = Weald::in_memory().await.unwrap();
    let tree = counter(&node).await;
    tree.put("hits", &1).await.unwrap();
    let mut runs = 0;
    let (winner, handle) = (tree.clone(), tokio::runtime::Handle::current());
    let done = tokio::task::spawn_blocking({
        let node = node.clone();
        move || {
            handle.clone().block_on(node.transact(move |tx| {
                let mut counters = tx.tree::<String, u64>("counters")?;
                let seen = counters.get("hits")?.unwrap_or(0);
                runs += 1;
                if runs == 1 {
                    // Somebody else writes between this read and the commit.
                    std::thread::scope(|scope| {
                        scope.spawn(|| futures_block(&handle, &winner));
                    });
                }
                counters.put("hits", &(seen + 1))?;
                Ok(seen)
            }))
        }
    });
    let done = done.await.unwrap().unwrap();
    assert_eq!((done.value, done.attempts), (100, 2), "it saw the winner's value");
    assert_eq!(tree.get("hits").await.unwrap(), Some(101));
}

fn futures_block(handle: &tokio::runtime::Handle, winner: &Tree<String, u64>) {
    handle.block_on(async { winner.put("hits", &100).await.unwrap() });
}

#[tokio::test]
async fn a52_a_transaction_gives_up_after_the_attempts_it_was_given() {
    let config = weald::Config { transact_attempts_max: 3, ..weald::Config::default() };
    let node = Weald::builder().config(config).in_memory().await.unwrap();
    let tree = counter(&node).await;
    tree.put("hits", &1).await.unwrap();
    let (winner, handle) = (tree.clone(), tokio::runtime::Handle::current());
    let losing = tokio::task::spawn_blocking({
        let node = node.clone();
        move || {
            handle.clone().block_on(node.transact(move |tx| {
                let mut counters = tx.tree::<String, u64>("counters")?;
                let seen = counters.get("hits")?.unwrap_or(0);
                std::thread::scope(|scope| {
                    scope.spawn(|| futures_block(&handle, &winner));
                });
                counters.put("hits", &(seen + 1))
            }))
        }
    });
    let error = losing.await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Conflict, Some(3)));
    assert!(matches!(error.rejection(), Some(Rejection::Conflict { .. })), "{error}");
    assert_eq!(tree.get("hits").await.unwrap(), Some(100));
    // A53: the handle and the node go on.
    tree.put("hits", &5).await.unwrap();
    assert_eq!(raise(&node).await, 1);
}

#[tokio::test]
async fn a53_an_aborted_transaction_leaves_everything_usable() {
    let node = Weald::in_memory().await.unwrap();
    let tree = counter(&node).await;
    let aborted = node.transact(|tx| {
        tx.tree::<String, u64>("counters")?.put("hits", &9)?;
        Err::<(), _>(weald::Error::aborted("changed my mind"))
    });
    assert_eq!(aborted.await.unwrap_err().kind(), ErrorKind::Aborted);
    assert_eq!(tree.get("hits").await.unwrap(), None);
    assert_eq!(raise(&node).await, 1);
}

#[tokio::test]
async fn a_transaction_reads_its_own_writes_and_rolls_back_to_a_savepoint() {
    let node = Weald::in_memory().await.unwrap();
    let tree = counter(&node).await;
    node.diary::<u32>("numbers").create().await.unwrap();
    let done = node.transact(|tx| {
        tx.tree::<String, u64>("counters")?.put("a", &1)?;
        let savepoint = tx.savepoint();
        tx.tree::<String, u64>("counters")?.put("a", &2)?;
        tx.tree::<String, u64>("counters")?.put("b", &2)?;
        let seen = tx.tree::<String, u64>("counters")?.get("a")?;
        tx.rollback(savepoint)?;
        let after = tx.tree::<String, u64>("counters")?.range(.., 10)?.len();
        let first = tx.raw_diary("numbers")?.append_expecting(ExpectedVersion::Empty, ["x"])?;
        Ok((seen, after, first))
    });
    assert_eq!(done.await.unwrap().value, (Some(2), 1, Sequence(0)));
    assert_eq!(tree.get("a").await.unwrap(), Some(1));
    assert_eq!(tree.get("b").await.unwrap(), None);
}

#[tokio::test]
async fn a46_creations_at_once_end_with_one_collection_and_a_definite_answer_each() {
    let node = Weald::in_memory().await.unwrap();
    let create = |node: Weald| async move { node.raw_tree("new").create().await };
    let tasks: Vec<_> = (0..4).map(|_| tokio::spawn(create(node.clone()))).collect();
    let mut made = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => made += 1,
            Err(error) => assert_eq!(error.kind(), ErrorKind::AlreadyExists),
        }
    }
    assert_eq!(made, 1);
    let put = |node: Weald, key: u8| async move {
        let tree = node.raw_tree("other").open_or_create().await.unwrap();
        tree.put([key], "x").await.unwrap();
    };
    let tasks: Vec<_> = (0..4).map(|key| tokio::spawn(put(node.clone(), key))).collect();
    for task in tasks {
        task.await.unwrap();
    }
    let tree = node.raw_tree("other").open().await.unwrap();
    assert_eq!(tree.count().await.unwrap(), 4, "every creator's writes are there");
}

/// Puts a key into a tree and the same into a diary, until the node goes away; tells how often
/// that was acknowledged.
async fn write_both(node: Weald, name: u32) -> u64 {
    let mut acknowledged = 0;
    loop {
        let done = node.transact(move |tx| {
            tx.tree::<(u32, u64), u64>("tree")?.put(&(name, acknowledged), &acknowledged)?;
            tx.diary::<(u32, u64)>("diary")?.append(&(name, acknowledged))
        });
        match done.await {
            Ok(_) => acknowledged += 1,
            Err(_) => return acknowledged,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a51_what_was_cut_off_is_whole_or_absent_and_what_was_acknowledged_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let node = open(folder.path()).await;
    node.tree::<(u32, u64), u64>("tree").create().await.unwrap();
    let diary = node.diary::<(u32, u64)>("diary").create().await.unwrap();
    let writers: Vec<_> = (0..4).map(|name| tokio::spawn(write_both(node.clone(), name))).collect();
    while diary.len().await.unwrap() < 40 {
        tokio::task::yield_now().await;
    }
    node.close().await.unwrap();
    let mut acknowledged = 0;
    for writer in writers {
        acknowledged += writer.await.unwrap();
    }
    let node = open(folder.path()).await;
    let tree: Tree<(u32, u64), u64> = node.tree("tree").open().await.unwrap();
    let diary = node.diary::<(u32, u64)>("diary").open().await.unwrap();
    let mut noted: Vec<_> = diary
        .read(Sequence(0), usize::MAX)
        .await
        .unwrap()
        .into_iter()
        .map(|stored| stored.entry)
        .collect();
    noted.sort_unstable();
    let kept: Vec<_> =
        tree.range(..).entries().await.unwrap().into_iter().map(|entry| entry.key).collect();
    assert_eq!(kept, noted, "both or neither");
    assert!(u64::try_from(kept.len()).unwrap() >= acknowledged);
    tree.put(&(9, 9), &9).await.unwrap();
}
