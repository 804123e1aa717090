//! A node that nobody writes to for a long time: what is due is let go by ticks of its own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use weald::{Clock, Time, Weald};

/// A clock that is moved by hand.
#[derive(Default)]
struct Hand(AtomicU64);

impl Clock for Hand {
    fn now(&self) -> Time {
        Time::from_millis(self.0.load(Ordering::SeqCst))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_node_lets_go_of_old_results_and_writes_on() {
    let clock = Arc::new(Hand(AtomicU64::new(1_000_000)));
    let folder = tempfile::tempdir().unwrap();
    let shared = Arc::clone(&clock) as Arc<dyn Clock>;
    let node = Weald::builder().clock(shared).open(folder.path()).await.unwrap();
    let diary = node.raw_diary("d").create().await.unwrap();
    diary.append("a").transaction_id("mine").await.unwrap();
    let before = node.status().applied;
    clock.0.fetch_add(3_600_000, Ordering::SeqCst);
    let ticked = async {
        while node.status().applied <= before {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), ticked).await.expect("a tick is logged");
    for entry in ["b", "c", "d"] {
        diary.append(entry).await.unwrap();
    }
    assert_eq!(diary.len().await.unwrap(), 4);
    let settled = async {
        while node.status().writes_waiting != 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let settled = tokio::time::timeout(Duration::from_secs(30), settled).await;
    settled.expect("answered writes give back their share of the queue");
    node.close().await.unwrap();
}
