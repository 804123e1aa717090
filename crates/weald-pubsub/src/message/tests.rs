//! What a signature and an id cover.

use weald_core::Digest;

use super::*;
use crate::{
    TopicId,
    testing::{address, at, draft, golden, identity, message},
};

#[test]
fn ps1523_ps73_a_message_is_signed_and_verified_for_its_topic_and_network_only() {
    let message = message(&identity(1), 1, "hello");
    assert!(message.verify(&address()));
    assert!(!message.verify(&TopicAddress { topic: TopicId::of("other"), ..address() }));
    assert!(!message.verify(&TopicAddress { network: Digest::ZERO, ..address() }));
}

#[test]
fn ps1523_any_changed_field_changes_the_id_or_breaks_the_signature() {
    let original = message(&identity(1), 1, "hello");
    let other = identity(2).public();
    type Change = fn(&mut Message);
    let changed: [(&str, Change); 5] = [
        ("incarnation", |m| m.incarnation = Incarnation(2)),
        ("sequence", |m| m.sequence = PublisherSequence(2)),
        ("expires_at", |m| m.expires_at = at(7)),
        ("body", |m| m.body = Bytes::from_static(b"hullo")),
        ("published_at", |m| m.published_at = at(7)),
    ];
    for (field, change) in changed {
        let mut message = original.clone();
        change(&mut message);
        assert!(!message.verify(&address()), "{field}");
        let is_named = field != "published_at";
        assert_eq!(message.id(&address()) != original.id(&address()), is_named, "{field}");
    }
    let stolen = Message { publisher: other, ..original };
    assert!(!stolen.verify(&address()));
}

#[test]
fn ps1663_work_is_found_for_one_message_and_serves_no_other() {
    let worked = message(&identity(1), 1, "large").with_work(&address(), 8);
    assert!(worked.work_bits(&address()) >= 8);
    assert!(worked.verify(&address()), "work is not signed");
    let others = (2..40).map(|n| Message { work: worked.work, ..message(&identity(1), n, "x") });
    assert!(others.into_iter().any(|other| other.work_bits(&address()) < 8));
}

#[test]
fn a_skip_is_signed_for_one_sequence() {
    let place = (Incarnation(1), PublisherSequence(3));
    let skip = Skip::sign(&address(), place, &identity(1)).unwrap();
    assert!(skip.verify(&address()));
    assert!(!Skip { sequence: PublisherSequence(4), ..skip.clone() }.verify(&address()));
    assert!(!skip.verify(&TopicAddress { topic: TopicId::of("other"), ..address() }));
}

#[test]
fn ps264_a_body_of_random_bytes_leaves_the_metadata_readable() {
    let body = Bytes::copy_from_slice(Digest::of("cipher text", &[]).as_bytes());
    let message = Message::sign(&address(), draft(5, body), &identity(1)).unwrap();
    let read = Message::decode(&message.encode()).unwrap();
    assert_eq!((read.sequence.0, read.expires_at, read.body.len()), (5, at(50_000), 32));
}

#[test]
fn ps1485_ps1527_messages_round_trip_and_their_bytes_are_fixed() {
    let message = message(&identity(1), 1, "hello");
    let bytes = message.encode();
    assert_eq!(Message::decode(&bytes).unwrap(), message);
    assert_eq!(golden(&bytes), "44fb1d646895aa29");
    assert!(bytes.len() <= 5 + 32 + 64 + 32, "a message carries little beside its body");
    for end in 0..bytes.len() {
        assert!(Message::decode(&bytes[..end]).is_err(), "{end}");
    }
}
