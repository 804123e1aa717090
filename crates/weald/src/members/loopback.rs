//! A network within the process, for tests of several nodes: frames and calls go straight to the
//! other node's handlers. Links can be cut and nodes taken away.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use weald_core::{
    CallError, Caller, Calling, Handlers, Mailbox, MailboxError, PeerId, PeerInfo, Priority,
    Refusal, Reply, Request, Time, Transport,
};

/// The network that several nodes share.
#[derive(Clone, Default)]
pub(crate) struct Loopback(Arc<Mutex<Hub>>);

#[derive(Default)]
struct Hub {
    nodes: BTreeMap<PeerId, Handlers>,
    /// Ordered pairs between which nothing goes.
    cut: BTreeSet<(PeerId, PeerId)>,
    /// Nobody answers a call.
    is_dumb: bool,
}

/// One node's end of it.
pub(crate) struct LoopbackEnd {
    network: Loopback,
    me: PeerId,
}

impl Loopback {
    /// Connects a node with all others. A node of the same id that was there is forgotten.
    pub(crate) fn connect(&self, me: PeerId, handlers: Handlers) -> Arc<LoopbackEnd> {
        let mut hub = self.0.lock();
        hub.nodes.insert(me, handlers.clone());
        let others: Vec<_> = hub.nodes.iter().map(|(p, h)| (*p, h.clone())).collect();
        drop(hub);
        for (peer, other) in others.into_iter().filter(|(peer, _)| *peer != me) {
            other.events.connected(info(me));
            handlers.events.connected(info(peer));
        }
        Arc::new(LoopbackEnd { network: self.clone(), me })
    }

    /// Takes a node away, as if its process had died.
    pub(crate) fn disconnect(&self, me: PeerId) {
        let mut hub = self.0.lock();
        hub.nodes.remove(&me);
        let others: Vec<_> = hub.nodes.values().cloned().collect();
        drop(hub);
        others.iter().for_each(|other| other.events.disconnected(me));
    }

    /// Lets nothing through between two nodes, either way.
    pub(crate) fn cut(&self, one: PeerId, other: PeerId) {
        self.0.lock().cut.extend([(one, other), (other, one)]);
    }

    /// Lets everything through again.
    pub(crate) fn heal(&self) {
        self.0.lock().cut.clear();
    }

    /// Lets calls be answered no more, or again. Frames go through.
    pub(crate) fn refuse_calls(&self, is_dumb: bool) {
        self.0.lock().is_dumb = is_dumb;
    }

    fn route(&self, from: PeerId, to: PeerId) -> Option<Handlers> {
        let hub = self.0.lock();
        let is_open = hub.nodes.contains_key(&from) && !hub.cut.contains(&(from, to));
        hub.nodes.get(&to).filter(|_| is_open).cloned()
    }
}

impl Mailbox for LoopbackEnd {
    fn send(&self, peer: PeerId, priority: Priority, frame: Bytes) -> Result<(), MailboxError> {
        let to = self.network.route(self.me, peer).ok_or(MailboxError::Unreachable(peer))?;
        match to.frames.frame(self.me, priority, frame) {
            true => Ok(()),
            false => Err(MailboxError::Full(peer)),
        }
    }
}

impl Transport for LoopbackEnd {
    fn call(&self, peer: PeerId, request: Request) -> Calling {
        let is_dumb = self.network.0.lock().is_dumb;
        let Some(to) = self.network.route(self.me, peer).filter(|_| !is_dumb) else {
            return Box::pin(std::future::ready(Err(CallError::Unreachable(peer))));
        };
        let Some(service) = to.services.get(&request.service) else {
            return Box::pin(std::future::ready(Err(CallError::Unknown(request.service))));
        };
        let (sender, receiver) = oneshot::channel();
        let sender = Mutex::new(Some(sender));
        let sink = move |_, answer: Result<Bytes, Refusal>| {
            if let Some(sender) = sender.lock().take() {
                sender.send(answer).ok();
            }
        };
        let caller =
            Caller { peer: self.me, correlation: request.correlation, deadline: request.deadline };
        service.call(caller, request.body, Reply::new(Arc::new(sink), 1));
        Box::pin(async move {
            match receiver.await {
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(Refusal::Busy)) => Err(CallError::Busy(peer)),
                Ok(Err(refusal)) => Err(CallError::Refused(refusal)),
                Err(_) => Err(CallError::Lost(peer)),
            }
        })
    }

    fn local_peer(&self) -> PeerId {
        self.me
    }

    fn peers(&self) -> Vec<PeerInfo> {
        let hub = self.network.0.lock();
        hub.nodes.keys().filter(|peer| **peer != self.me).map(|peer| info(*peer)).collect()
    }
}

fn info(peer: PeerId) -> PeerInfo {
    PeerInfo {
        peer,
        addresses: Vec::new(),
        rtt: None,
        relayed: false,
        near: true,
        since: Time::ZERO,
        hints: None,
    }
}
