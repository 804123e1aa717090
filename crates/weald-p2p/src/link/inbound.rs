//! A substream that the peer opened: what it sends in one priority, and the answers to it.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use libp2p::Stream;
use weald_core::{Caller, NodeHints, PeerId, Priority, Reply};

use crate::channel::{ReadError, Reader, Writer};
use crate::hub::Hub;
use crate::line::{Budget, Counts, Desk};
use crate::link::outbound::add_bytes;
use crate::metrics::add;
use weald_core::Refusal;
use weald_core::wire::{Failure, Message, WireError};

/// The receiving side of one priority.
#[derive(Debug)]
pub(super) struct Inbound {
    stream: Stream,
    reader: Reader,
    writer: Writer,
    visitor: Visitor,
}

/// Who sends, and where the answers go.
#[derive(Debug)]
struct Visitor {
    peer: PeerId,
    priority: Priority,
    desk: Arc<Desk>,
    hub: Arc<Hub>,
    hints: Option<NodeHints>,
}

impl Inbound {
    pub(super) fn new(
        stream: Stream,
        peer: PeerId,
        priority: Priority,
        budget: &Arc<Budget>,
        hub: &Arc<Hub>,
    ) -> Self {
        let desk = Arc::new(Desk::new(Arc::clone(budget)));
        let visitor = Visitor { peer, priority, desk, hub: Arc::clone(hub), hints: None };
        let reader = Reader::new(&hub.room, peer);
        Self { stream, reader, writer: Writer::default(), visitor }
    }

    /// What the peer has said of itself since last asked.
    pub(super) const fn take_hints(&mut self) -> Option<NodeHints> {
        self.visitor.hints.take()
    }

    /// Hands on what has come and writes what was answered; `Ready` when the substream is of no use
    /// any more. A peer that does not read its answers is not read from.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<ReadError> {
        // Services that answer at once need not wake this task: it is about to look.
        self.visitor.desk.unregister();
        let mut read = self.poll_read(cx, now);
        self.visitor.desk.register(cx.waker());
        loop {
            let was_full = self.visitor.desk.is_full();
            let desk = &self.visitor.desk;
            let written = self.writer.poll(cx, &mut self.stream, |batch| desk.take(batch));
            if let Poll::Ready(Err(error)) = written {
                return Poll::Ready(ReadError::Ended(error));
            }
            if read.is_ready() || !was_full || self.visitor.desk.is_full() {
                break;
            }
            read = self.poll_read(cx, now);
        }
        self.count();
        read
    }

    /// When to poll it again, whatever comes until then.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.reader.deadline()
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<ReadError> {
        if self.visitor.desk.is_full() {
            self.reader.pause(now);
            return Poll::Pending;
        }
        let visitor = &mut self.visitor;
        self.reader.poll(cx, now, &mut self.stream, |message| visitor.receive(message))
    }

    fn count(&mut self) {
        let hub = &self.visitor.hub;
        add_bytes(hub, &mut self.reader, &mut self.writer);
        let counts = self.visitor.desk.take_counts();
        if counts != Counts::default() {
            add(&hub.counters.answers_dropped_count, counts.dropped);
            add(&hub.counters.requests_denied_count, counts.denied);
            add(&hub.counters.requests_malformed_count, counts.malformed);
        }
    }
}

impl Drop for Inbound {
    fn drop(&mut self) {
        self.visitor.desk.close();
    }
}

impl Visitor {
    fn receive(&mut self, message: Message) -> Result<(), WireError> {
        let counters = &self.hub.counters;
        match message {
            Message::Frame(frame) => {
                let taken = self.hub.handlers.frames.frame(self.peer, self.priority, frame);
                let counter = if taken {
                    &counters.frames_received_count
                } else {
                    &counters.frames_dropped_count
                };
                add(counter, 1);
            }
            Message::Request { .. } if self.priority == Priority::Client => self.ask(message),
            Message::Hints(hints) if self.priority == Priority::Client => self.hints = Some(hints),
            Message::Request { .. } | Message::Hints(_) | Message::Answer { .. } => {
                return Err(WireError::Malformed);
            }
        }
        Ok(())
    }

    /// Gives a request to its service, within the budget of the peer.
    fn ask(&self, message: Message) {
        let Message::Request { call, service, correlation, deadline, body } = message else {
            unreachable!("only requests are asked");
        };
        let counters = &self.hub.counters;
        tracing::trace!(target: "weald::rpc", %correlation, %service, peer = %self.peer, "request");
        let Some(handler) = self.hub.handlers.services.get(&service) else {
            add(&counters.requests_unknown_count, 1);
            return self.desk.refuse(call, Failure::Unknown);
        };
        if !self.desk.open() {
            add(&counters.requests_busy_count, 1);
            return self.desk.refuse(call, Failure::Refused(Refusal::Busy));
        }
        add(&counters.requests_count, 1);
        let caller = Caller { peer: self.peer, correlation, deadline };
        let desk: Arc<Desk> = Arc::clone(&self.desk);
        handler.call(caller, body, Reply::new(desk, call));
    }
}
