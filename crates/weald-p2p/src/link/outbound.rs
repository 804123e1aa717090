//! A substream that this node opened: what it sends in one priority.

use std::io;
use std::task::{Context, Poll};
use std::time::Instant;

use libp2p::Stream;
use weald_core::{PeerId, Priority};

use crate::channel::{ReadError, Reader, Writer};
use crate::hub::Hub;
use crate::limits::{LANE_FAILURES_MAX, LANE_PROVEN_AFTER, REOPEN_DELAY};
use crate::line::Line;
use crate::metrics::add;
use weald_core::wire::{Answer, Message, WireError};

/// The sending side of one priority, over all substreams that serve it one after the other.
#[derive(Debug)]
pub(super) struct Outbound {
    priority: Priority,
    state: State,
    failures: Failures,
    answers: Vec<(u64, Answer)>,
}

#[derive(Debug)]
enum State {
    /// No substream; none is opened before this time.
    Closed {
        until: Option<Instant>,
    },
    /// It is being opened.
    Opening,
    Open(Box<Open>),
}

#[derive(Debug)]
struct Open {
    since: Instant,
    stream: Stream,
    writer: Writer,
    reader: Reader,
}

impl Outbound {
    pub(super) const fn new(priority: Priority) -> Self {
        let state = State::Closed { until: None };
        Self { priority, state, failures: Failures(0), answers: Vec::new() }
    }

    pub(super) const fn priority(&self) -> Priority {
        self.priority
    }

    /// Whether a substream should be opened; notes that it is.
    pub(super) fn wants_opening(&mut self, line: &Line, now: Instant) -> bool {
        let State::Closed { until } = self.state else { return false };
        // The substream of the calls is opened at once: it shows that both speak one protocol.
        let is_wanted = self.priority == Priority::Client || line.has_messages(self.priority);
        if until.is_some_and(|until| now < until) {
            return false;
        }
        self.state = if is_wanted { State::Opening } else { State::Closed { until: None } };
        is_wanted
    }

    /// When to ask [`Outbound::wants_opening`] again, if it waits for a time.
    pub(super) const fn retry_at(&self) -> Option<Instant> {
        match self.state {
            State::Closed { until } => until,
            State::Opening | State::Open(_) => None,
        }
    }

    /// When to poll it again, whatever comes until then.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Open(open) => open.reader.deadline(),
            State::Closed { .. } | State::Opening => None,
        }
    }

    pub(super) fn opened(&mut self, stream: Stream, peer: PeerId, hub: &Hub, now: Instant) {
        let reader = Reader::new(&hub.room, peer);
        let writer = Writer::default();
        self.state = State::Open(Box::new(Open { since: now, stream, writer, reader }));
    }

    /// The substream is of no use, or was not opened. `false` when it has failed too often.
    pub(super) fn failed(&mut self, line: &Line, now: Instant) -> bool {
        if self.priority == Priority::Client {
            line.lose_sent();
        }
        let opened = match &self.state {
            State::Open(open) => Some(open.since),
            State::Closed { .. } | State::Opening => None,
        };
        self.state = State::Closed { until: Some(now + REOPEN_DELAY) };
        self.failures.add(opened, now) < LANE_FAILURES_MAX
    }

    /// Lets the substream go; it is opened again when something waits.
    pub(super) fn close(&mut self) {
        if matches!(self.state, State::Open(_)) {
            self.state = State::Closed { until: None };
        }
    }

    /// Writes what waits and reads the answers; `Ready` when the substream is of no use any more.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        line: &Line,
        hub: &Hub,
        now: Instant,
    ) -> Poll<ReadError> {
        let State::Open(open) = &mut self.state else { return Poll::Pending };
        let Open { stream, writer, reader, .. } = &mut **open;
        let (priority, answers) = (self.priority, &mut self.answers);
        let read = reader.poll(cx, now, stream, |message| match message {
            Message::Answer { call, answer } if priority == Priority::Client => {
                answers.push((call, answer));
                Ok(())
            }
            _ => Err(WireError::Malformed),
        });
        if !answers.is_empty() {
            self.failures = Failures(0);
        }
        line.answer(answers);
        let written = writer.poll(cx, stream, |batch| line.take(priority, now, batch));
        add_bytes(hub, reader, writer);
        match (read, written) {
            (Poll::Ready(error), _) => Poll::Ready(error),
            (Poll::Pending, Poll::Ready(Err(error))) => Poll::Ready(ReadError::Ended(error)),
            (Poll::Pending, _) => Poll::Pending,
        }
    }
}

/// How often the substreams of one priority have failed in a row. Answers come on one of the priorities only; on the
/// others one that was open for [`LANE_PROVEN_AFTER`] has worked.
#[derive(Debug)]
struct Failures(u32);

impl Failures {
    /// One more, of a substream that was opened at this time, or not at all; how many these are.
    fn add(&mut self, opened: Option<Instant>, now: Instant) -> u32 {
        if opened.is_some_and(|since| now.duration_since(since) >= LANE_PROVEN_AFTER) {
            self.0 = 0;
        }
        self.0 += 1;
        self.0
    }
}

/// Counts what was read and written since the last time.
pub(super) fn add_bytes(hub: &Hub, reader: &mut Reader, writer: &mut Writer) {
    let (received, sent) = (reader.take_bytes_count(), writer.take_bytes_count());
    if received > 0 {
        add(&hub.counters.bytes_received_count, received);
    }
    if sent > 0 {
        add(&hub.counters.bytes_sent_count, sent);
    }
}

/// Counts why a substream was given up.
pub(super) fn add_failure(hub: &Hub, error: &ReadError) {
    match error {
        ReadError::Ended(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
        ReadError::Ended(_) => {}
        ReadError::Wire(_) => add(&hub.counters.protocol_errors_count, 1),
        ReadError::NoRoom | ReadError::TooSlow => add(&hub.counters.overloads_count, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_far_apart_of_a_lane_that_is_never_answered_are_not_in_a_row() {
        let (mut failures, begin) = (Failures(0), Instant::now());
        let worked = begin + LANE_PROVEN_AFTER;
        assert!((0..2 * LANE_FAILURES_MAX).all(|_| failures.add(Some(begin), worked) == 1));
        let at_once = begin + LANE_PROVEN_AFTER / 2;
        assert_eq!(failures.add(Some(begin), at_once), 2, "it was of no use");
        assert_eq!(failures.add(None, worked), 3, "it was not opened");
    }
}
