//! A network in memory: calls and frames arrive at once, unless somebody is cut off.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::sync::oneshot;
use weald_core::{
    CallError, Caller, Calling, Handlers, Mailbox, MailboxError, PeerId, PeerInfo, Priority,
    Refusal, Reply, Request, Time, Transport,
};

/// All nodes.
#[derive(Default)]
pub(super) struct Wire {
    ports: RwLock<BTreeMap<PeerId, Handlers>>,
    cut: Mutex<BTreeSet<PeerId>>,
    /// Who is connected from a public address.
    far: Mutex<BTreeSet<PeerId>>,
}

/// One node's end.
pub(super) struct Port {
    wire: Weak<Wire>,
    peer: PeerId,
}

impl Wire {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(super) fn port(self: &Arc<Self>, peer: PeerId) -> Arc<Port> {
        Arc::new(Port { wire: Arc::downgrade(self), peer })
    }

    pub(super) fn remove(&self, peer: PeerId) {
        let gone = self.ports.write().remove(&peer);
        drop(gone);
        self.tell(|handlers| handlers.events.disconnected(peer));
    }

    pub(super) fn cut(&self, peer: PeerId) {
        self.cut.lock().insert(peer);
    }

    pub(super) fn heal(&self, peer: PeerId) {
        self.cut.lock().remove(&peer);
    }

    pub(super) fn move_away(&self, peer: PeerId) {
        self.far.lock().insert(peer);
    }

    fn tell(&self, tell: impl Fn(&Handlers)) {
        self.ports.read().values().for_each(tell);
    }

    /// What `to` has for `from`, if they are connected.
    fn handlers(&self, from: PeerId, to: PeerId) -> Option<Handlers> {
        let cut = self.cut.lock();
        let is_cut = cut.contains(&from) || cut.contains(&to);
        self.ports.read().get(&to).filter(|_| !is_cut).cloned()
    }
}

impl Port {
    pub(super) fn listen(&self, handlers: Handlers) {
        let Some(wire) = self.wire.upgrade() else { return };
        wire.tell(|others| others.events.connected(info(self.peer)));
        for peer in wire.ports.read().keys() {
            handlers.events.connected(info(*peer));
        }
        wire.ports.write().insert(self.peer, handlers);
    }

    fn handlers(&self, to: PeerId) -> Option<Handlers> {
        self.wire.upgrade()?.handlers(self.peer, to)
    }
}

impl Mailbox for Port {
    fn send(&self, peer: PeerId, priority: Priority, frame: Bytes) -> Result<(), MailboxError> {
        let handlers = self.handlers(peer).ok_or(MailboxError::Unreachable(peer))?;
        match handlers.frames.frame(self.peer, priority, frame) {
            true => Ok(()),
            false => Err(MailboxError::Full(peer)),
        }
    }
}

impl Transport for Port {
    fn call(&self, peer: PeerId, request: Request) -> Calling {
        let Request { service, body, deadline, correlation } = request;
        let Some(handlers) = self.handlers(peer) else {
            return Box::pin(async move { Err(CallError::Unreachable(peer)) });
        };
        let Some(handler) = handlers.services.get(&service) else {
            return Box::pin(async move { Err(CallError::Unknown(service)) });
        };
        let (sender, receiver) = oneshot::channel();
        let sender = Mutex::new(Some(sender));
        let sink = move |_, answer: Result<Bytes, Refusal>| {
            if let Some(sender) = sender.lock().take() {
                // Who has gone needs no answer.
                sender.send(answer).ok();
            }
        };
        let caller = Caller { peer: self.peer, correlation, deadline };
        handler.call(caller, body, Reply::new(Arc::new(sink), 0));
        let (wire, me) = (self.wire.clone(), self.peer);
        Box::pin(async move {
            let answer = match tokio::time::timeout(deadline, receiver).await {
                Ok(Ok(answer)) => answer,
                _ => return Err(CallError::TimedOut(peer)),
            };
            // An answer does not come over a cut either.
            let is_connected = wire.upgrade().is_some_and(|wire| wire.handlers(me, peer).is_some());
            match answer {
                _ if !is_connected => Err(CallError::Lost(peer)),
                Ok(bytes) => Ok(bytes),
                Err(Refusal::Busy) => Err(CallError::Busy(peer)),
                Err(refusal) => Err(CallError::Refused(refusal)),
            }
        })
    }

    fn local_peer(&self) -> PeerId {
        self.peer
    }

    fn peers(&self) -> Vec<PeerInfo> {
        let Some(wire) = self.wire.upgrade() else { return Vec::new() };
        let all: Vec<_> = wire.ports.read().keys().copied().collect();
        let others = all.into_iter().filter(|peer| wire.handlers(self.peer, *peer).is_some());
        others.filter(|peer| *peer != self.peer).map(info).collect()
    }

    fn peer(&self, peer: PeerId) -> Option<PeerInfo> {
        let near = !self.wire.upgrade()?.far.lock().contains(&peer);
        Some(PeerInfo { near, ..info(peer) })
    }
}

fn info(peer: PeerId) -> PeerInfo {
    PeerInfo {
        peer,
        addresses: Vec::new(),
        rtt: Some(Duration::ZERO),
        relayed: false,
        near: true,
        since: Time::ZERO,
        hints: None,
    }
}
