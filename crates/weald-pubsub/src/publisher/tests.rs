//! A publisher, input by input.

use super::*;
use crate::{
    MessageId, TopicPosition,
    testing::{address, at, identity},
};

const MINUTE: Duration = Duration::from_secs(60);

fn publisher(availability: Availability) -> Publisher {
    Publisher::new(address(), availability, Incarnation(1))
}

fn publish(publisher: &mut Publisher, now: Time, count: usize) {
    for _ in 0..count {
        let body = Bytes::from_static(b"body");
        publisher.publish(now, (body, MINUTE), &identity(1)).unwrap();
    }
}

fn outputs(publisher: &mut Publisher) -> Vec<PublisherOutput> {
    std::iter::from_fn(|| publisher.poll_output()).collect()
}

/// The sequences of a batch that is sent.
fn sent(publisher: &mut Publisher) -> Vec<u64> {
    let outputs = outputs(publisher);
    let batch = outputs.iter().find_map(|output| match output {
        PublisherOutput::Publish(messages) => Some(messages),
        _ => None,
    });
    batch.into_iter().flatten().map(|message| message.sequence.0).collect()
}

fn ok(position: u64) -> Result<Option<Published>, TopicRefusal> {
    let id = MessageId(weald_core::Digest::ZERO);
    Ok(Some(Published { id, position: TopicPosition(position), is_new: true }))
}

fn gap(expected: u64) -> Result<Option<Published>, TopicRefusal> {
    Err(TopicRefusal::SequenceGap { expected: PublisherSequence(expected) })
}

#[test]
fn messages_go_in_order_one_batch_at_a_time() {
    let mut publisher = publisher(Availability::Consistent);
    publish(&mut publisher, at(1), 3);
    assert_eq!(sent(&mut publisher), [1]);
    publisher.handle(at(1), PublisherInput::Answered(vec![ok(1)]));
    assert_eq!(sent(&mut publisher), [2, 3]);
    publisher.handle(at(1), PublisherInput::Answered(vec![ok(2), ok(3)]));
    let settled: Vec<_> = outputs(&mut publisher);
    assert!(matches!(settled[..], [PublisherOutput::Settled(..), PublisherOutput::Settled(..)]));
    assert!(publisher.outbox().is_empty());
    assert_eq!((publisher.poll_timeout(), publisher.outbox().bytes()), (None, 0));
}

#[test]
fn ps558_ps74_ps1531_ps1747_ps1796_a_message_is_sent_again_byte_for_byte_after_growing_pauses() {
    let mut publisher = publisher(Availability::Consistent);
    publish(&mut publisher, at(1), 1);
    let first = outputs(&mut publisher);
    let mut now = at(1);
    for pause in [50, 100, 200] {
        publisher.handle(now, PublisherInput::Unreachable);
        assert_eq!(outputs(&mut publisher), []);
        let due = publisher.poll_timeout().unwrap();
        assert_eq!(due.since(now), Duration::from_millis(pause));
        now = due;
        publisher.handle_timeout(now);
        assert_eq!(outputs(&mut publisher), first);
    }
}

#[test]
fn a_gap_is_filled_by_what_is_kept_or_by_a_skip() {
    let mut publisher = publisher(Availability::Consistent);
    publish(&mut publisher, at(1), 3);
    sent(&mut publisher);
    publisher.handle(at(1), PublisherInput::Answered(vec![ok(1)]));
    sent(&mut publisher);
    publisher.handle(at(1), PublisherInput::Answered(vec![gap(1), gap(1)]));
    let skip = PublisherOutput::Skip(Incarnation(1), PublisherSequence(1));
    assert_eq!(outputs(&mut publisher), [skip], "the topic has lost the first, and so have we");
    publisher.handle(at(1), PublisherInput::Answered(vec![Ok(None)]));
    assert_eq!(sent(&mut publisher), [2, 3]);
}

#[test]
fn a_message_refused_for_good_or_expired_unsent_is_skipped() {
    let mut publisher = publisher(Availability::Consistent);
    publish(&mut publisher, at(1), 1);
    sent(&mut publisher);
    publish(&mut publisher, at(2), 1);
    publish(&mut publisher, at(30), 1);
    let too_large = TopicRefusal::TooLarge { bytes: 2, max: 1 };
    publisher.handle(at(30), PublisherInput::Answered(vec![Err(too_large.clone())]));
    let skip = |sequence| PublisherOutput::Skip(Incarnation(1), PublisherSequence(sequence));
    let settled = PublisherOutput::Settled(PublisherSequence(1), Err(too_large));
    assert_eq!(outputs(&mut publisher), [settled, skip(1)]);
    publisher.handle(at(62), PublisherInput::Answered(vec![Ok(None)]));
    let outputs_now = outputs(&mut publisher);
    assert!(matches!(
        outputs_now[..],
        [
            PublisherOutput::Settled(PublisherSequence(2), Err(TopicRefusal::Expiry { .. })),
            PublisherOutput::Skip(_, PublisherSequence(2))
        ]
    ));
    publisher.handle(at(62), PublisherInput::Answered(vec![Ok(None)]));
    assert_eq!(sent(&mut publisher), [3]);
}

#[test]
fn a_refusal_that_may_pass_is_waited_out_and_one_that_does_not_settles_all() {
    let mut publisher = publisher(Availability::Consistent);
    publish(&mut publisher, at(1), 2);
    sent(&mut publisher);
    publisher.handle(at(1), PublisherInput::Answered(vec![Err(TopicRefusal::RateLimited)]));
    assert_eq!(outputs(&mut publisher), []);
    publisher.handle_timeout(at(2));
    assert_eq!(sent(&mut publisher), [1, 2]);
    publisher.handle(at(2), PublisherInput::Refused(TopicRefusal::Deleted));
    assert_eq!(outputs(&mut publisher).len(), 2);
    assert!(publisher.outbox().is_empty());
}

#[test]
fn a_topic_that_has_ended_takes_none_of_what_waits() {
    let mut publisher = publisher(Availability::Consistent);
    publish(&mut publisher, at(1), 1);
    sent(&mut publisher);
    publish(&mut publisher, at(1), 2);
    publisher.handle(at(2), PublisherInput::Refused(TopicRefusal::Deleted));
    let settled = |sequence| {
        PublisherOutput::Settled(PublisherSequence(sequence), Err(TopicRefusal::Deleted))
    };
    assert_eq!(outputs(&mut publisher), [settled(1), settled(2), settled(3)]);
    assert!(publisher.outbox().is_empty());
    publish(&mut publisher, at(3), 1);
    assert_eq!(sent(&mut publisher), [4]);
}

#[test]
fn what_was_given_up_is_told_once_though_the_topic_ends_then() {
    let mut publisher = publisher(Availability::Consistent);
    publish(&mut publisher, at(1), 1);
    let too_large = TopicRefusal::TooLarge { bytes: 2, max: 1 };
    sent(&mut publisher);
    publisher.handle(at(1), PublisherInput::Answered(vec![Err(too_large.clone())]));
    let told = PublisherOutput::Settled(PublisherSequence(1), Err(too_large));
    let skip = PublisherOutput::Skip(Incarnation(1), PublisherSequence(1));
    assert_eq!(outputs(&mut publisher), [told, skip]);
    publisher.handle(at(2), PublisherInput::Refused(TopicRefusal::Deleted));
    assert_eq!(outputs(&mut publisher), []);
    assert!(publisher.outbox().is_empty());
}

/// What a driver does that keeps all it is told to keep: the sequences that it says are queued.
fn kept_and_queued(publisher: &mut Publisher, now: Time, disk: &mut Outbox) -> Vec<u64> {
    let mut queued = Vec::new();
    while let Some(output) = publisher.poll_output() {
        match output {
            PublisherOutput::Persist(record) => {
                disk.apply(&record);
                if let PublisherRecord::Taken(message) = record {
                    publisher.handle(now, PublisherInput::Persisted(message.sequence));
                }
            }
            PublisherOutput::Queued(sequence) => {
                assert!(disk.contains(sequence), "only what is durable is queued");
                queued.push(sequence.0);
            }
            _ => {}
        }
    }
    queued
}

#[test]
fn the_policy_available_says_queued_once_when_it_is_durable_and_the_other_waits() {
    for (availability, expected) in
        [(Availability::Available, vec![1, 2, 3]), (Availability::Consistent, vec![])]
    {
        let mut publisher = publisher(availability);
        let (mut disk, mut queued) = (Outbox::new(Incarnation(1)), Vec::new());
        publish(&mut publisher, at(1), 2);
        assert_eq!(kept_and_queued(&mut publisher, at(1), &mut disk), [0; 0]);
        assert!(disk.is_empty(), "nothing is kept while the topic may answer");
        for seconds in 1..5 {
            publisher.handle(at(seconds), PublisherInput::Unreachable);
            queued.extend(kept_and_queued(&mut publisher, at(seconds), &mut disk));
            publisher.handle_timeout(at(seconds + 1));
        }
        publish(&mut publisher, at(6), 1);
        queued.extend(kept_and_queued(&mut publisher, at(6), &mut disk));
        assert_eq!(queued, expected, "{availability:?}");
    }
}

#[test]
fn what_is_queued_comes_once_after_a_restart_and_what_is_published_later_is_another_run() {
    let mut before = publisher(Availability::Available);
    let mut disk = Outbox::new(Incarnation(1));
    publish(&mut before, at(1), 1);
    sent(&mut before);
    before.handle(at(1), PublisherInput::Answered(vec![ok(1)]));
    publish(&mut before, at(2), 2);
    before.handle(at(2), PublisherInput::Unreachable);
    assert_eq!(kept_and_queued(&mut before, at(2), &mut disk), [2, 3]);
    assert_eq!(before.outbox().records().len(), 2);
    // The process ends before it hears that the second arrived.
    let mut after = Publisher::restore(address(), Availability::Available, disk.clone());
    after.handle_timeout(at(30));
    assert_eq!(sent(&mut after), [2, 3]);
    let repeated = Published { is_new: false, ..ok(2).unwrap().unwrap() };
    after.handle(at(30), PublisherInput::Answered(vec![Ok(Some(repeated)), ok(3)]));
    kept_and_queued(&mut after, at(30), &mut disk);
    assert!(disk.is_empty() && after.outbox().is_empty());
}

#[test]
fn what_is_queued_is_given_up_at_its_expiry_and_its_record_with_it() {
    let mut publisher = publisher(Availability::Available);
    let mut disk = Outbox::new(Incarnation(1));
    publish(&mut publisher, at(1), 1);
    publisher.handle(at(1), PublisherInput::Unreachable);
    publish(&mut publisher, at(1), 1);
    assert_eq!(kept_and_queued(&mut publisher, at(1), &mut disk), [1, 2]);
    publisher.handle_timeout(at(61));
    let told = outputs(&mut publisher);
    let [expired, PublisherOutput::Publish(again)] = &told[..] else { panic!("{told:?}") };
    assert!(is_expired(expired, 2), "it was never sent: {expired:?}");
    assert_eq!(again.len(), 1, "the topic may have the first, and says what became of it");
    publisher.handle(at(61), PublisherInput::Answered(vec![expiry()]));
    let told = outputs(&mut publisher);
    let skip = |sequence| PublisherOutput::Skip(Incarnation(1), PublisherSequence(sequence));
    assert!(is_expired(&told[0], 1) && told[1..] == [skip(1)], "{told:?}");
    publisher.handle(at(61), PublisherInput::Answered(vec![Ok(None)]));
    let told = outputs(&mut publisher);
    let done = |sequence| PublisherRecord::Done(PublisherSequence(sequence));
    assert_eq!(told, [PublisherOutput::Persist(done(1)), skip(2)]);
    disk.apply(&done(1));
    publisher.handle(at(61), PublisherInput::Answered(vec![Ok(None)]));
    kept_and_queued(&mut publisher, at(61), &mut disk);
    assert!(disk.is_empty());
}

/// What a topic answers that does not have the message and may not take it any more.
fn expiry() -> Result<Option<Published>, TopicRefusal> {
    Err(TopicRefusal::Expiry { expires_at: at(61), from: at(61), to: Time::MAX })
}

fn is_expired(output: &PublisherOutput, sequence: u64) -> bool {
    matches!(
        output,
        PublisherOutput::Settled(PublisherSequence(of), Err(TopicRefusal::Expiry { .. }))
            if *of == sequence
    )
}

#[test]
fn a_message_without_an_answer_is_settled_by_the_topic_and_not_by_the_clock() {
    for restarts in [false, true] {
        let mut publisher = publisher(Availability::Available);
        let mut disk = Outbox::new(Incarnation(1));
        publish(&mut publisher, at(1), 1);
        sent(&mut publisher);
        publisher.handle(at(2), PublisherInput::Unreachable);
        kept_and_queued(&mut publisher, at(2), &mut disk);
        if restarts {
            publisher = Publisher::restore(address(), Availability::Available, disk.clone());
        }
        publisher.handle_timeout(at(90));
        assert_eq!(sent(&mut publisher), [1], "behind its expiry, too");
        publisher.handle(at(90), PublisherInput::Unreachable);
        outputs(&mut publisher);
        publisher.handle_timeout(at(100));
        assert_eq!(sent(&mut publisher), [1]);
        publisher.handle(at(100), PublisherInput::Answered(vec![ok(1)]));
        let settled = PublisherOutput::Settled(PublisherSequence(1), ok(1).map(Option::unwrap));
        assert!(outputs(&mut publisher).contains(&settled));
        assert!(publisher.outbox().is_empty());
    }
}

#[test]
fn a_message_that_was_refused_for_now_expires_by_the_clock() {
    let mut publisher = publisher(Availability::Consistent);
    publish(&mut publisher, at(1), 1);
    sent(&mut publisher);
    publisher.handle(at(1), PublisherInput::Answered(vec![Err(TopicRefusal::RateLimited)]));
    publisher.handle_timeout(at(61));
    assert!(is_expired(&outputs(&mut publisher)[0], 1));
}

#[test]
fn what_a_topic_that_has_ended_may_have_had_is_told_as_forgotten() {
    let mut publisher = publisher(Availability::Consistent);
    publish(&mut publisher, at(1), 1);
    sent(&mut publisher);
    publisher.handle(at(1), PublisherInput::Unreachable);
    publish(&mut publisher, at(1), 1);
    publisher.handle_timeout(at(2));
    assert_eq!(sent(&mut publisher), [1, 2]);
    publisher.handle(at(2), PublisherInput::Refused(TopicRefusal::Deleted));
    let settled =
        |sequence, refusal| PublisherOutput::Settled(PublisherSequence(sequence), Err(refusal));
    let told = [settled(1, TopicRefusal::Forgotten), settled(2, TopicRefusal::Deleted)];
    assert_eq!(outputs(&mut publisher), told);
}

#[test]
fn ps1523_a_durable_publisher_sends_what_is_on_disk_and_goes_on_after_a_restart() {
    let outbox = Outbox::new(Incarnation(4));
    let mut publisher = Publisher::restore(address(), Availability::Available, outbox.clone());
    publish(&mut publisher, at(1), 3);
    let records: Vec<_> = outputs(&mut publisher)
        .into_iter()
        .map(|output| match output {
            PublisherOutput::Persist(record) => record,
            other => panic!("nothing is sent before it is durable: {other:?}"),
        })
        .collect();
    publisher.handle(at(1), PublisherInput::Persisted(PublisherSequence(2)));
    assert_eq!(sent(&mut publisher), [1, 2]);
    publisher.handle(at(1), PublisherInput::Answered(vec![ok(1)]));
    let mut kept = outbox;
    records.iter().for_each(|record| kept.apply(record));
    for output in outputs(&mut publisher) {
        if let PublisherOutput::Persist(record) = output {
            kept.apply(&record);
        }
    }
    let mut again = Publisher::restore(address(), Availability::Available, kept);
    again.handle_timeout(at(2));
    assert_eq!(sent(&mut again), [2, 3]);
    publish(&mut again, at(2), 1);
    assert_eq!(again.outbox().last(), PublisherSequence(4));
}

#[test]
fn d66_a_full_outbox_takes_no_more() {
    let mut publisher = publisher(Availability::Available);
    let large = Bytes::from(vec![7; 1024 * 1024]);
    let keys = identity(1);
    let taken = (0..100)
        .take_while(|_| publisher.publish(at(1), (large.clone(), MINUTE), &keys).is_ok())
        .count();
    assert_eq!(taken, OUTBOX_BYTES_MAX / large.len());
    let refused = publisher.publish(at(1), (large, MINUTE), &keys);
    assert!(matches!(refused, Err(OutboxError::Full { messages: 64, .. })));
}
