//! Delivery of a small topic, read as the driver would.

use std::sync::Arc;

use super::*;
use crate::testing::{identity, message};

const TO_THE_END: TopicPosition = TopicPosition(u64::MAX);

fn at(position: u64) -> TopicPosition {
    TopicPosition(position)
}

fn gone(first: u64, last: u64) -> TopicItem {
    TopicItem::Gone { first: at(first), last: at(last) }
}

fn item(position: u64) -> TopicItem {
    TopicItem::Message { position: at(position), message: message(&identity(1), position, "x") }
}

/// A topic of messages 1 to 10, of which 4 to 6 are gone, read as the driver would.
fn page(from: u64, limit: usize) -> TopicPage {
    let all = [item(1), item(2), item(3), gone(4, 6), item(7), item(8), item(9), item(10)];
    let whole = Part { from: at(1), items: all.to_vec(), next: at(11), end: at(11) };
    let mut items = whole.within(at(from), at(11)).items;
    items.truncate(limit);
    let next = items.last().map_or(at(from), |item| item.range().1.next());
    TopicPage { items, next, end: at(11) }
}

/// Carries out reads, `limit` items at a time, and returns what is sent.
fn drive(delivery: &mut Delivery, limit: usize) -> (Vec<(u64, Part)>, usize) {
    let (mut sent, mut reads) = (Vec::new(), 0);
    while let Some(output) = delivery.poll_output() {
        match output {
            DeliveryOutput::Read { from, .. } => {
                reads += 1;
                delivery.handle(DeliveryInput::Read { from, page: page(from.0, limit) });
            }
            DeliveryOutput::Send(stream, part) => sent.push((stream.0, Arc::unwrap_or_clone(part))),
            DeliveryOutput::Refuse(stream) => panic!("refused: {stream:?}"),
        }
    }
    (sent, reads)
}

fn ask(delivery: &mut Delivery, stream: u64, request: StreamRequest) {
    delivery.handle(DeliveryInput::Asked(StreamId(stream), request));
}

fn open(from: u64, until: TopicPosition) -> StreamRequest {
    StreamRequest::Open { from: at(from), until }
}

fn items(sent: &[(u64, Part)], stream: u64) -> Vec<TopicItem> {
    let of = sent.iter().filter(|(to, _)| *to == stream);
    of.flat_map(|(_, part)| part.items.clone()).collect()
}

#[test]
fn ps1543_ps529_ps324_a_stream_begins_at_its_position_and_says_what_is_gone() {
    let mut delivery = Delivery::new(at(11));
    ask(&mut delivery, 1, open(0, TO_THE_END));
    ask(&mut delivery, 2, open(6, TO_THE_END));
    let (sent, _) = drive(&mut delivery, 3);
    assert_eq!(items(&sent, 1), page(1, 99).items);
    assert_eq!(items(&sent, 2), [gone(6, 6), item(7), item(8), item(9), item(10)]);
    let last = &sent.last().unwrap().1;
    assert_eq!((last.next, last.end), (at(11), at(11)));
}

#[test]
fn ps57_ps1542_ps76_ps92_ps97_ps98_ps605_what_is_applied_is_pushed_without_being_asked_for() {
    let mut delivery = Delivery::new(at(9));
    ask(&mut delivery, 1, open(9, TO_THE_END));
    let read = delivery.poll_output().unwrap();
    assert_eq!(read, DeliveryOutput::Read { from: at(9), limit: DELIVERY_READ_MAX });
    let page_of = |end| TopicPage { items: Vec::new(), next: at(9), end: at(end) };
    delivery.handle(DeliveryInput::Read { from: at(9), page: page_of(9) });
    let Some(DeliveryOutput::Send(_, part)) = delivery.poll_output() else { panic!() };
    assert_eq!((part.items.len(), part.next), (0, at(9)), "an empty part says: caught up");
    assert_eq!(delivery.poll_output(), None);
    delivery.handle(DeliveryInput::Applied(at(11)));
    let (sent, _) = drive(&mut delivery, 99);
    assert_eq!(items(&sent, 1), [item(9), item(10)]);
    delivery.handle(DeliveryInput::Applied(at(10)));
    assert_eq!(drive(&mut delivery, 99).0, []);
}

#[test]
fn a_stream_is_sent_no_more_than_it_allows() {
    let mut delivery = Delivery::new(at(11));
    ask(&mut delivery, 1, open(1, at(3)));
    assert_eq!(items(&drive(&mut delivery, 99).0, 1), [item(1), item(2)]);
    ask(&mut delivery, 1, StreamRequest::Allow { until: at(6) });
    assert_eq!(items(&drive(&mut delivery, 99).0, 1), [item(3), gone(4, 5)]);
    ask(&mut delivery, 1, StreamRequest::Allow { until: at(2) });
    assert_eq!(drive(&mut delivery, 99).0, []);
    ask(&mut delivery, 1, StreamRequest::Allow { until: TO_THE_END });
    let rest = [gone(6, 6), item(7), item(8), item(9), item(10)];
    assert_eq!(items(&drive(&mut delivery, 99).0, 1), rest);
}

#[test]
fn ps1559_a_fill_sends_exactly_what_is_missing_and_the_stream_goes_on() {
    let mut delivery = Delivery::new(at(11));
    ask(&mut delivery, 1, open(1, at(10)));
    drive(&mut delivery, 99);
    ask(&mut delivery, 1, StreamRequest::Fill { from: at(2), until: at(8) });
    let (sent, _) = drive(&mut delivery, 2);
    assert_eq!(items(&sent, 1), [item(2), item(3), gone(4, 6), item(7)]);
    ask(&mut delivery, 1, StreamRequest::Fill { from: at(8), until: at(8) });
    ask(&mut delivery, 1, StreamRequest::Allow { until: at(11) });
    assert_eq!(items(&drive(&mut delivery, 99).0, 1), [item(10)]);
}

#[test]
fn ps276_streams_at_one_position_share_their_reads() {
    let mut delivery = Delivery::new(at(11));
    (0..1000).for_each(|stream| ask(&mut delivery, stream, open(1, TO_THE_END)));
    let (sent, reads) = drive(&mut delivery, 4);
    assert_eq!(reads, 2);
    assert!((0..1000).all(|stream| items(&sent, stream).len() == 8));
}

#[test]
fn ps1503_a_thousand_streams_at_one_position_are_sent_the_very_same_part() {
    let mut delivery = Delivery::new(at(11));
    (0..1000).for_each(|stream| ask(&mut delivery, stream, open(1, TO_THE_END)));
    ask(&mut delivery, 1000, open(1, at(3)));
    let read = delivery.poll_output();
    assert_eq!(read, Some(DeliveryOutput::Read { from: at(1), limit: DELIVERY_READ_MAX }));
    delivery.handle(DeliveryInput::Read { from: at(1), page: page(1, 99) });
    let mut parts = Vec::new();
    while let Some(DeliveryOutput::Send(stream, part)) = delivery.poll_output() {
        parts.push((stream, part));
    }
    let (cut, whole) = parts.split_last().unwrap();
    assert_eq!((whole.len(), cut.0, cut.1.next), (1000, StreamId(1000), at(3)));
    assert!(whole.iter().all(|(_, part)| Arc::ptr_eq(part, &whole[0].1)));
}

#[test]
fn d66_a_member_with_too_many_streams_refuses_and_a_closed_stream_makes_room() {
    let mut delivery = Delivery::new(at(1));
    let max = DELIVERY_STREAMS_MAX as u64;
    (0..max).for_each(|stream| ask(&mut delivery, stream, open(1, at(0))));
    while delivery.poll_output().is_some() {}
    ask(&mut delivery, max, open(1, at(0)));
    assert_eq!(delivery.poll_output(), Some(DeliveryOutput::Refuse(StreamId(max))));
    delivery.handle(DeliveryInput::Closed(StreamId(5)));
    ask(&mut delivery, max, open(1, at(0)));
    assert_eq!((delivery.poll_output(), delivery.stream_count() as u64), (None, max));
}

#[test]
fn a_read_that_gives_nothing_is_not_repeated_and_unasked_ones_are_ignored() {
    let mut delivery = Delivery::new(at(11));
    let empty = TopicPage { items: Vec::new(), next: at(1), end: at(1) };
    delivery.handle(DeliveryInput::Read { from: at(1), page: empty.clone() });
    ask(&mut delivery, 1, open(1, TO_THE_END));
    assert!(matches!(delivery.poll_output(), Some(DeliveryOutput::Read { .. })));
    delivery.handle(DeliveryInput::Read { from: at(1), page: empty });
    assert!(matches!(delivery.poll_output(), Some(DeliveryOutput::Send(..))));
    assert_eq!(delivery.poll_output(), None);
}

#[test]
fn ps58_what_is_applied_is_pushed_to_every_stream_that_is_open() {
    let mut delivery = Delivery::new(at(9));
    (1..=3).for_each(|stream| ask(&mut delivery, stream, open(9, TO_THE_END)));
    let nothing = TopicPage { items: Vec::new(), next: at(9), end: at(9) };
    while let Some(output) = delivery.poll_output() {
        match output {
            DeliveryOutput::Read { from, .. } => {
                delivery.handle(DeliveryInput::Read { from, page: nothing.clone() });
            }
            DeliveryOutput::Send(_, part) => assert_eq!(part.items, []),
            DeliveryOutput::Refuse(stream) => panic!("refused: {stream:?}"),
        }
    }
    delivery.handle(DeliveryInput::Applied(at(11)));
    let (sent, _) = drive(&mut delivery, 99);
    for stream in 1..=3 {
        assert_eq!(items(&sent, stream), [item(9), item(10)], "stream {stream}");
    }
}

#[test]
fn a_hole_that_begins_before_the_first_position_is_filled_from_there() {
    let mut delivery = Delivery::new(at(11));
    ask(&mut delivery, 1, open(9, TO_THE_END));
    drive(&mut delivery, 100);
    ask(&mut delivery, 1, StreamRequest::Fill { from: at(0), until: at(3) });
    let (sent, _) = drive(&mut delivery, 100);
    let [(1, part)] = &sent[..] else { panic!("one part is sent: {sent:?}") };
    assert_eq!((part.from, part.next), (at(1), at(3)));
    assert_eq!(part.items, [item(1), item(2)]);
}

#[test]
fn a_read_that_shows_a_later_end_serves_those_who_wait_at_the_end_that_was_known() {
    let mut delivery = Delivery::new(at(9));
    let old = TopicPage { items: Vec::new(), next: at(9), end: at(9) };
    ask(&mut delivery, 1, open(9, TO_THE_END));
    assert!(matches!(delivery.poll_output(), Some(DeliveryOutput::Read { .. })));
    delivery.handle(DeliveryInput::Read { from: at(9), page: old });
    assert!(matches!(delivery.poll_output(), Some(DeliveryOutput::Send(..))));
    // The topic goes on before a late joiner comes, and the word of that comes last.
    ask(&mut delivery, 2, open(1, at(3)));
    let (sent, _) = drive(&mut delivery, 99);
    assert_eq!(items(&sent, 2), [item(1), item(2)]);
    assert_eq!(items(&sent, 1), [item(9), item(10)], "it does not wait for the next message");
    delivery.handle(DeliveryInput::Applied(at(11)));
    assert_eq!(drive(&mut delivery, 99).0, []);
}

#[test]
fn d66_reads_that_no_stream_waits_for_any_more_are_dropped() {
    let mut delivery = Delivery::new(at(11));
    ask(&mut delivery, 1, open(7, TO_THE_END));
    for round in 0..10_000 {
        ask(&mut delivery, 2, open(round, at(1)));
        ask(&mut delivery, 2, StreamRequest::Fill { from: at(round + 1), until: at(20_000) });
    }
    assert!(delivery.queued.len() <= 4 * 2 + DELIVERY_READS_SLACK, "{}", delivery.queued.len());
    assert_eq!(delivery.queued.len(), delivery.reads.len());
    let (sent, reads) = drive(&mut delivery, 99);
    assert!(reads <= 4, "{reads} reads for two streams");
    assert_eq!(items(&sent, 1), [item(7), item(8), item(9), item(10)]);
    ask(&mut delivery, 2, open(5, TO_THE_END));
    delivery.handle(DeliveryInput::Closed(StreamId(2)));
    assert_eq!((drive(&mut delivery, 99), delivery.reads.len()), ((Vec::new(), 0), 0));
}
