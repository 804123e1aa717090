//! What waits in a line, and how calls end.

use std::time::Duration;

use weald_core::{Digest, Refusal, Service};

use super::*;
use crate::limits::CALLS_MAX;
use weald_core::wire::Failure;

fn peer() -> PeerId {
    PeerId::from_digest(Digest::from_bytes([7; 32]))
}

fn request(deadline_ms: u64) -> Request {
    Request::new(Service(1), Bytes::from_static(b"q"), Duration::from_millis(deadline_ms))
}

/// The numbers of the requests that leave now.
fn sent(line: &Line, now: Instant) -> Vec<u64> {
    let mut batch = Vec::new();
    line.take(Priority::Client, now, &mut batch);
    batch
        .into_iter()
        .map(|message| match message {
            Message::Request { call, .. } => call,
            other => panic!("not a request: {other:?}"),
        })
        .collect()
}

#[test]
fn frames_leave_in_order_and_in_batches() {
    let line = Line::new(peer());
    let frame = |byte| Bytes::from(vec![byte; BATCH_BYTES / 2]);
    (0..5).for_each(|byte| line.send(Priority::Bulk, frame(byte)).unwrap());
    let mut batches = Vec::new();
    while line.has_messages(Priority::Bulk) {
        let mut batch = Vec::new();
        line.take(Priority::Bulk, Instant::now(), &mut batch);
        batches.push(batch);
    }
    assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1]);
    let all: Vec<_> = batches.into_iter().flatten().collect();
    assert_eq!(all, (0..5).map(|byte| Message::Frame(frame(byte))).collect::<Vec<_>>());
}

#[test]
fn a_lane_is_bounded_in_messages_and_in_bytes() {
    let line = Line::new(peer());
    let full = Err(MailboxError::Full(peer()));
    (0..LANE_MESSAGES_MAX)
        .for_each(|_| line.send(Priority::Consensus, Bytes::from_static(b"f")).unwrap());
    assert_eq!(line.send(Priority::Consensus, Bytes::new()), full);
    let large = Bytes::from(vec![0; BODY_BYTES_MAX]);
    let fitting = LANE_BYTES_MAX / BODY_BYTES_MAX;
    (0..fitting).for_each(|_| line.send(Priority::Bulk, large.clone()).unwrap());
    assert_eq!(line.send(Priority::Bulk, large), full);
    assert_eq!(line.send(Priority::Client, Bytes::new()), Ok(()), "lanes do not share room");
}

#[test]
fn what_is_larger_than_a_message_is_refused_at_once() {
    let line = Line::new(peer());
    let (bytes, bytes_max) = (BODY_BYTES_MAX + 1, BODY_BYTES_MAX);
    let body = Bytes::from(vec![0; bytes]);
    let refused = line.send(Priority::Bulk, body.clone());
    assert_eq!(refused, Err(MailboxError::TooLarge { bytes, bytes_max }));
    let refused = line.call(Request::new(Service(1), body, Duration::ZERO), Instant::now());
    assert_eq!(refused.unwrap_err(), CallError::TooLarge { bytes, bytes_max });
    assert_eq!(line.call_count(), 0);
}

#[test]
fn answers_find_their_calls_in_any_order_and_once() {
    let (line, now) = (Line::new(peer()), Instant::now());
    let mut receivers: Vec<_> = (0..3).map(|_| line.call(request(1000), now).unwrap()).collect();
    let calls = sent(&line, now);
    let mut answers = vec![
        (calls[2], Ok(Bytes::from_static(b"two"))),
        (calls[0], Err(Failure::Unknown)),
        (calls[2], Ok(Bytes::from_static(b"again"))),
        (calls[1], Err(Failure::Refused(Refusal::Busy))),
        (1 << 40, Ok(Bytes::new())),
    ];
    line.answer(&mut answers);
    let ends: Vec<_> = receivers.iter_mut().map(|receiver| receiver.try_recv().unwrap()).collect();
    let expect = [
        Err(CallError::Unknown(Service(1))),
        Err(CallError::Busy(peer())),
        Ok(Bytes::from_static(b"two")),
    ];
    assert_eq!(ends, expect);
    assert_eq!(line.call_count(), 0);
}

#[test]
fn a_late_answer_does_not_meet_the_call_that_took_the_slot() {
    let (line, now) = (Line::new(peer()), Instant::now());
    let _first = line.call(request(10), now).unwrap();
    let first = sent(&line, now)[0];
    let later = now + Duration::from_millis(10);
    assert_eq!(line.expire(later), (1, None));
    let mut second = line.call(request(10), later).unwrap();
    assert_ne!(sent(&line, later)[0], first);
    line.answer(&mut vec![(first, Ok(Bytes::new()))]);
    assert!(second.try_recv().is_err());
}

#[test]
fn calls_end_by_their_deadlines_sent_or_not() {
    let (line, now) = (Line::new(peer()), Instant::now());
    let mut short = line.call(request(10), now).unwrap();
    let mut long = line.call(request(1000), now).unwrap();
    assert_eq!(line.expire(now), (0, Some(now + Duration::from_millis(10))));
    let later = now + Duration::from_millis(10);
    assert_eq!(line.expire(later), (1, Some(now + Duration::from_secs(1))));
    assert_eq!(short.try_recv().unwrap(), Err(CallError::TimedOut(peer())));
    assert!(long.try_recv().is_err());
    assert_eq!(sent(&line, later).len(), 1, "an ended call is not sent");
}

#[test]
fn a_request_says_how_long_its_caller_still_waits() {
    let (line, now) = (Line::new(peer()), Instant::now());
    let _receiver = line.call(request(1000), now).unwrap();
    let mut batch = Vec::new();
    line.take(Priority::Client, now + Duration::from_millis(300), &mut batch);
    let Message::Request { deadline, .. } = &batch[0] else { panic!("{batch:?}") };
    assert_eq!(*deadline, Duration::from_millis(700));
}

#[test]
fn calls_are_bounded_and_those_that_nobody_waits_for_make_room() {
    let (line, now) = (Line::new(peer()), Instant::now());
    let mut receivers: Vec<_> =
        (0..CALLS_MAX).map(|_| line.call(request(1000), now).unwrap()).collect();
    while !sent(&line, now).is_empty() {}
    assert_eq!(line.call(request(1000), now).unwrap_err(), CallError::Busy(peer()));
    receivers.pop();
    assert!(line.call(request(1000), now).is_ok());
    assert_eq!(line.call_count(), CALLS_MAX);
}

#[test]
fn a_closed_line_says_which_calls_had_left() {
    let (line, now) = (Line::new(peer()), Instant::now());
    let mut left = line.call(request(1000), now).unwrap();
    sent(&line, now);
    let mut waiting = line.call(request(1000), now).unwrap();
    line.close();
    assert_eq!(left.try_recv().unwrap(), Err(CallError::Lost(peer())));
    assert_eq!(waiting.try_recv().unwrap(), Err(CallError::Unreachable(peer())));
    let unreachable = CallError::Unreachable(peer());
    assert_eq!(line.call(request(1000), now).unwrap_err(), unreachable);
    let refused = line.send(Priority::Bulk, Bytes::new());
    assert_eq!(refused, Err(MailboxError::Unreachable(peer())));
}
