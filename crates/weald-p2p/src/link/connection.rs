//! The connection handler: opens, reads and writes the substreams of one connection.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use libp2p::swarm::handler::{
    ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
};
use libp2p::swarm::{
    ConnectionHandler, ConnectionHandlerEvent, StreamUpgradeError, SubstreamProtocol,
};
use libp2p::{Stream, StreamProtocol};
use tokio::time::Sleep;
use weald_core::{NodeHints, Priority};

use super::inbound::Inbound;
use super::outbound::{Outbound, add_failure};
use super::upgrade::Upgrade;
use crate::hub::Hub;
use crate::limits::OPEN_TIMEOUT;
use crate::line::{Budget, Line, PRIORITIES, lane_index};
use crate::metrics::add;

/// What the node tells a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ToLink {
    /// Whether this is the connection to the peer that is used.
    Use(bool),
}

/// What a connection tells the node.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FromLink {
    /// The peer speaks the protocol of this network.
    Ready,
    /// The peer does not.
    Foreign,
    /// Substreams fail over and over: the connection is of no use.
    Broken,
    /// The peer says of itself.
    Hints(NodeHints),
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Link {
    line: Arc<Line>,
    budget: Arc<Budget>,
    hub: Arc<Hub>,
    outbound: [Outbound; 3],
    inbound: [Option<Inbound>; 3],
    events: VecDeque<FromLink>,
    timer: Pin<Box<Sleep>>,
    is_ready: bool,
    is_used: bool,
}

impl Link {
    pub(crate) fn new(line: Arc<Line>, budget: Arc<Budget>, hub: Arc<Hub>) -> Self {
        line.hint(*hub.hints.lock());
        Self {
            line,
            budget,
            hub,
            outbound: PRIORITIES.map(Outbound::new),
            inbound: [None, None, None],
            events: VecDeque::new(),
            timer: Box::pin(tokio::time::sleep(std::time::Duration::ZERO)),
            is_ready: false,
            is_used: true,
        }
    }

    /// One of the two has opened a substream: they speak the same protocol.
    fn become_ready(&mut self) {
        if !self.is_ready {
            self.is_ready = true;
            self.events.push_back(FromLink::Ready);
        }
    }

    fn opened_by_peer(&mut self, stream: Stream, name: &StreamProtocol) {
        let Some(priority) = self.hub.protocols.priority(name) else {
            unreachable!("only names that this node listens for are agreed on");
        };
        // A peer that opens another has given up the one before.
        let inbound = Inbound::new(stream, self.line.peer(), priority, &self.budget, &self.hub);
        self.inbound[lane_index(priority)] = Some(inbound);
        self.become_ready();
    }

    fn not_opened(&mut self, priority: Priority, is_foreign: bool) {
        if is_foreign {
            self.events.push_back(FromLink::Foreign);
        }
        self.fail(priority, Instant::now());
    }

    fn fail(&mut self, priority: Priority, now: Instant) {
        if !self.outbound[lane_index(priority)].failed(&self.line, now) {
            self.events.push_back(FromLink::Broken);
        }
    }

    /// The next substream to open.
    fn next_opening(&mut self, now: Instant) -> Option<SubstreamProtocol<Upgrade, Priority>> {
        if !self.is_used && self.line.call_count() == 0 {
            return None;
        }
        let line = &self.line;
        let lane = self
            .outbound
            .iter_mut()
            .find_map(|lane| lane.wants_opening(line, now).then_some(lane.priority()))?;
        let names = self.hub.protocols.lane(lane).to_vec();
        Some(SubstreamProtocol::new(Upgrade { names }, lane).with_timeout(OPEN_TIMEOUT))
    }

    fn poll_outbound(&mut self, cx: &mut Context<'_>, now: Instant) {
        for priority in PRIORITIES {
            let lane = &mut self.outbound[lane_index(priority)];
            if let Poll::Ready(error) = lane.poll(cx, &self.line, &self.hub, now) {
                tracing::debug!(target: "weald::rpc", peer = %self.line.peer(), ?priority, %error, "substream failed");
                add_failure(&self.hub, &error);
                self.fail(priority, now);
            }
        }
    }

    fn poll_inbound(&mut self, cx: &mut Context<'_>, now: Instant) {
        for slot in &mut self.inbound {
            let Some(inbound) = slot else { continue };
            let ended = inbound.poll(cx, now);
            let hints = inbound.take_hints();
            self.events.extend(hints.map(FromLink::Hints));
            if let Poll::Ready(error) = ended {
                tracing::debug!(target: "weald::rpc", peer = %self.line.peer(), %error, "substream of the peer ended");
                add_failure(&self.hub, &error);
                *slot = None;
            }
        }
    }

    /// When the next unfinished message is given up.
    fn next_deadline(&self) -> Option<Instant> {
        let outbound = self.outbound.iter().filter_map(Outbound::deadline);
        outbound.chain(self.inbound.iter().flatten().filter_map(Inbound::deadline)).min()
    }

    /// Ends calls whose time is over and sets the one timer for what comes next.
    fn poll_timer(&mut self, cx: &mut Context<'_>, now: Instant) {
        let (expired_count, next) = self.line.expire(now);
        let mut next = next.into_iter().chain(self.next_deadline()).min();
        if expired_count > 0 {
            add(&self.hub.counters.calls_timed_out_count, expired_count as u64);
        }
        if self.is_used {
            let retries = self.outbound.iter().filter_map(Outbound::retry_at);
            next = next.into_iter().chain(retries).min();
        }
        let Some(next) = next.map(tokio::time::Instant::from_std) else { return };
        if self.timer.is_elapsed() || next < self.timer.deadline() {
            self.timer.as_mut().reset(next);
        }
        if self.timer.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }

    /// Leaves a connection that is not used: its calls are answered first.
    fn retire(&mut self) {
        if !self.is_used && self.line.call_count() == 0 {
            self.outbound.iter_mut().for_each(Outbound::close);
        }
    }
}

impl ConnectionHandler for Link {
    type FromBehaviour = ToLink;
    type ToBehaviour = FromLink;
    type InboundProtocol = Upgrade;
    type OutboundProtocol = Upgrade;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Priority;

    fn listen_protocol(&self) -> SubstreamProtocol<Upgrade> {
        SubstreamProtocol::new(Upgrade { names: self.hub.protocols.all() }, ())
            .with_timeout(OPEN_TIMEOUT)
    }

    fn connection_keep_alive(&self) -> bool {
        self.is_used || self.line.call_count() > 0
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Upgrade, Priority, FromLink>> {
        let now = Instant::now();
        // What handlers queue at once need not wake this task: it is about to look.
        self.line.unregister();
        self.poll_inbound(cx, now);
        self.line.register(cx.waker());
        self.poll_outbound(cx, now);
        self.retire();
        self.poll_timer(cx, now);
        if let Some(event) = self.events.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(event));
        }
        if let Some(protocol) = self.next_opening(now) {
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, event: ToLink) {
        let ToLink::Use(is_used) = event;
        self.is_used = is_used;
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Upgrade, Upgrade, (), Priority>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: (stream, name),
                ..
            }) => self.opened_by_peer(stream, &name),
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: stream,
                info: priority,
            }) => {
                let (peer, now) = (self.line.peer(), Instant::now());
                self.outbound[lane_index(priority)].opened(stream, peer, &self.hub, now);
                self.become_ready();
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info: priority, error }) => {
                let is_foreign = matches!(error, StreamUpgradeError::NegotiationFailed);
                self.not_opened(priority, is_foreign);
            }
            _ => {}
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.line.close();
    }
}
