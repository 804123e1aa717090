//! The end of an asker.

use tokio::{runtime::Runtime, sync::oneshot::error::TryRecvError};
use weald_cluster::routing::Config;
use weald_core::{Calling, Digest, Mailbox, MailboxError, PeerInfo, Priority};

use super::*;
use crate::reach::message::VIEW;

/// A network in which nobody ever answers.
struct Silence;

impl Mailbox for Silence {
    fn send(&self, _: PeerId, _: Priority, _: Bytes) -> Result<(), MailboxError> {
        Ok(())
    }
}

impl Transport for Silence {
    fn call(&self, _: PeerId, _: Call) -> Calling {
        Box::pin(std::future::pending())
    }

    fn local_peer(&self) -> PeerId {
        peer(0)
    }

    fn peers(&self) -> Vec<PeerInfo> {
        Vec::new()
    }
}

fn peer(byte: u8) -> PeerId {
    PeerId::from_digest(Digest::of("weald test", &[&[byte]]))
}

#[test]
fn whoever_waits_for_an_answer_is_let_go_when_the_runtime_ends() {
    let runtime = Runtime::new().unwrap();
    let router = Router::new(Config { seeds: vec![peer(1)], ..Config::default() }, 0).unwrap();
    let asker = Asker::start(router, Arc::new(Silence), runtime.handle().clone());
    let ask = || {
        let (caller, receiver) = Caller::channel();
        let purpose = Purpose::Read(PlacementKey::from_u64(0));
        let deadline = Instant::now() + Duration::from_secs(3600);
        let payload = Bytes::new();
        asker.ask(Ask { service: VIEW, purpose, payload, deadline, tried: Vec::new() }, caller);
        receiver
    };
    let mut waiting = ask();
    assert_eq!(waiting.try_recv().unwrap_err(), TryRecvError::Empty);
    drop(runtime);
    assert!(waiting.blocking_recv().is_err(), "it is told that no answer comes");
    assert!(ask().blocking_recv().is_err(), "nobody waits from then on");
}

#[test]
fn a_runtime_that_ends_before_it_did_anything_lets_go_of_whoever_waits() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let router = Router::new(Config { seeds: vec![peer(1)], ..Config::default() }, 0).unwrap();
    let asker = Asker::start(router, Arc::new(Silence), runtime.handle().clone());
    let (caller, mut waiting) = Caller::channel();
    let purpose = Purpose::Read(PlacementKey::from_u64(0));
    let deadline = Instant::now() + Duration::from_secs(3600);
    let payload = Bytes::new();
    asker.ask(Ask { service: VIEW, purpose, payload, deadline, tried: Vec::new() }, caller);
    drop(runtime);
    assert_eq!(waiting.try_recv().unwrap_err(), TryRecvError::Closed);
}
