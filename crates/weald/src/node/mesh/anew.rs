//! Beginning anew: the node's network has joined another before it was used.

use std::{
    path::Path,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::RwLock;
use tokio::sync::watch;
use weald_cluster::founding::Pin;

use super::assembly::Assembly;
use crate::{
    ErrorKind, Result,
    founding::Pins,
    node::{Running, Weald, blocking},
};

/// How often a step of beginning anew is tried that somebody stands in the way of.
const ATTEMPTS_MAX: u32 = 240;
/// The pause between two attempts: a minute in all.
const PAUSE: Duration = Duration::from_millis(250);

/// Where a node's handles find it.
type Shelf = RwLock<Option<Arc<Running>>>;

/// What tells that the node is to begin anew.
type Reset = watch::Receiver<Option<Pin>>;

/// Starts the node anew where its network has joined another before it was used: everything is
/// stopped, the folder emptied, and what was learnt of the other network pinned in it.
pub(super) fn supervise(weald: &Weald, assembly: Assembly, mut reset: Reset) {
    let slot = Arc::downgrade(&weald.0);
    let mut assembly = assembly;
    tokio::spawn(async move {
        loop {
            let Ok(pin) = reset.wait_for(Option::is_some).await.map(|pin| pin.clone()) else {
                return;
            };
            let Some(pin) = pin else { return };
            match begin_anew(&slot, &mut assembly, pin).await {
                Ok(Some(next)) => reset = next,
                Ok(None) => return,
                Err(error) => {
                    tracing::error!(target: "weald::node", %error, "the node does not begin anew; restart it");
                    return;
                }
            }
        }
    });
}

async fn begin_anew(
    slot: &Weak<Shelf>,
    assembly: &mut Assembly,
    pin: Pin,
) -> Result<Option<Reset>> {
    let Some(before) = slot.upgrade().and_then(|slot| slot.write().take()) else { return Ok(None) };
    let backend = Arc::clone(&before.backend);
    drop(before);
    let bound = backend.addresses();
    if let Err(error) = backend.close().wait().await {
        tracing::warn!(target: "weald::node", %error, "what is given up was not checkpointed");
    }
    empty(&assembly.config.data_dir.clone(), &pin).await?;
    // Who has heard of the node finds it where it was.
    let wanted = assembly.config.listen.clone();
    assembly.config.listen = wanted.iter().map(|listen| at_its_port(listen, &bound)).collect();
    let started = start(assembly).await;
    assembly.config.listen = wanted;
    let (running, reset) = started?;
    let Some(slot) = slot.upgrade() else { return Ok(None) };
    *slot.write() = Some(Arc::new(running));
    Ok(Some(reset))
}

/// Empties the folder once nobody uses it any more: a reader may hold a view of what is given up.
async fn empty(path: &Path, pin: &Pin) -> Result<()> {
    for attempt in 1.. {
        let (path, pin) = (path.to_owned(), pin.clone());
        match blocking(move || Pins::reset(&path, &pin)).await? {
            Err(error) if error.kind() == ErrorKind::Unavailable && attempt < ATTEMPTS_MAX => {
                tracing::debug!(target: "weald::node", %error, attempt, "the folder is not empty yet");
                tokio::time::sleep(PAUSE).await;
            }
            done => return done,
        }
    }
    Ok(())
}

async fn start(assembly: &mut Assembly) -> Result<(Running, Reset)> {
    let mut attempt = 1;
    loop {
        match assembly.start_full().await {
            Err(error) if error.kind() == ErrorKind::Unavailable && attempt < ATTEMPTS_MAX => {
                tracing::debug!(target: "weald::node", %error, attempt, "not started yet");
                attempt += 1;
                tokio::time::sleep(PAUSE).await;
            }
            done => return done,
        }
    }
}

/// The address `listen` with the port that was given for port 0, as far as `bound` shows it.
fn at_its_port(listen: &str, bound: &[String]) -> String {
    for protocol in ["/tcp/", "/udp/"] {
        let Some((host, rest)) = listen.split_once(&format!("{protocol}0")) else { continue };
        let port = |address: &'_ String| -> Option<String> {
            // A place at a relay has the relay's port.
            if address.contains("/p2p-circuit") {
                return None;
            }
            address.split_once(protocol)?.1.split('/').next().map(str::to_owned)
        };
        if let Some(port) = bound.iter().find_map(port) {
            return format!("{host}{protocol}{port}{rest}");
        }
    }
    listen.to_owned()
}

#[cfg(test)]
mod tests {
    use weald_core::{Digest, PeerId, StoreId, Time};
    use weald_storage::{
        engine::EngineKind,
        header::{HEADER_FILE, StoreFolder, StoreHeader},
    };

    use super::*;

    #[tokio::test]
    async fn a_folder_that_somebody_still_uses_is_emptied_once_it_is_let_go() {
        let place = tempfile::tempdir().unwrap();
        let folder = StoreFolder::open(place.path(), || StoreHeader {
            node: PeerId::from_digest(Digest::ZERO),
            store: StoreId([1; 16]),
            engine: EngineKind::Memory,
            partition_count: 1,
            created_at: Time::ZERO,
        })
        .unwrap();
        let pin = Pin::default();
        let mut emptying = Box::pin(empty(place.path(), &pin));
        let early = tokio::time::timeout(PAUSE * 2, emptying.as_mut()).await;
        assert!(early.is_err() && place.path().join(HEADER_FILE).exists(), "it is in use");
        drop(folder);
        emptying.await.unwrap();
        assert!(!place.path().join(HEADER_FILE).exists());
    }

    #[test]
    fn a_node_that_begins_anew_listens_where_it_did() {
        let bound = [
            "/ip4/10.0.0.9/tcp/60/p2p/12D3/p2p-circuit/p2p/12D3".to_owned(),
            "/ip4/127.0.0.1/udp/50/quic-v1/p2p/12D3".to_owned(),
            "/ip4/127.0.0.1/tcp/40/p2p/12D3".to_owned(),
            "/ip4/10.0.0.7/tcp/40/p2p/12D3".to_owned(),
        ];
        let check = |listen: &str, expected: &str| {
            assert_eq!(at_its_port(listen, &bound), expected);
            assert_eq!(at_its_port(listen, &[]), listen);
        };
        check("/ip4/0.0.0.0/tcp/0", "/ip4/0.0.0.0/tcp/40");
        check("/ip4/0.0.0.0/udp/0/quic-v1", "/ip4/0.0.0.0/udp/50/quic-v1");
        check("/ip4/127.0.0.1/tcp/7", "/ip4/127.0.0.1/tcp/7");
    }
}
