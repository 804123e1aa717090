//! Many clients at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use weald_core::Sequence;

use super::Rig;

#[tokio::test(flavor = "multi_thread")]
async fn w129_a_hundred_clients_are_told_of_no_error_when_the_coordinator_is_lost() {
    const CLIENTS: usize = 100;
    const ENTRIES: usize = 5;
    let mut rig = Rig::start(3, 1).await;
    rig.node(0).raw_diary("events").create().await.unwrap();
    let lost = rig.coordinator(0).await;
    let written = Arc::new(AtomicUsize::new(0));
    let write = |client: usize| {
        let node = rig.node((lost + 1 + client % 2) % 3).clone();
        let written = Arc::clone(&written);
        tokio::spawn(async move {
            let diary = node.raw_diary("events").open().await.unwrap();
            for number in 0..ENTRIES {
                diary.append(format!("{client}-{number}")).await.unwrap();
                written.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    let clients: Vec<_> = (0..CLIENTS).map(write).collect();
    while written.load(Ordering::Relaxed) < CLIENTS {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    rig.kill(lost);
    for client in clients {
        client.await.unwrap();
    }
    let diary = rig.node((lost + 1) % 3).raw_diary("events").open().await.unwrap();
    let entries = diary.read(Sequence(0), 1000).await.unwrap();
    let mut entries: Vec<_> = entries.into_iter().map(|entry| entry.entry).collect();
    let name = |client| (0..ENTRIES).map(move |number| format!("{client}-{number}"));
    let mut expected: Vec<_> = (0..CLIENTS).flat_map(name).collect();
    entries.sort();
    expected.sort();
    assert_eq!(entries, expected, "each once");
}
