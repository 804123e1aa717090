//! What the real state machine makes of requests that come again.

use std::time::Duration;

use super::*;
use crate::node::PARTITION;

/// An entry of so many bytes stands in a block of its own.
const ENTRY_BYTES: usize = 100_000;

/// A request to append to the first diary, under an id and without a session, at a log time.
fn append(machine: &mut RealMachine, id: u8, expected: ExpectedVersion, at: Time) -> RealOutcome {
    let (mode, policy) = (CreateMode::OpenOrCreate, CollectionPolicy::default());
    let entries = vec![Bytes::from(vec![id; ENTRY_BYTES])];
    let actions = vec![diary(1).create(mode, policy), diary(1).append(expected, entries)];
    let id = TransactionId::new(PlacementKey::of(diary(1).name()), [id; 16]);
    let (expiry, body) = (at.after(Duration::from_secs(30)), TransactionBody::default());
    let body = TransactionBody { actions, ..body };
    let request = TransactionRequest { id, expiry, session: None, body };
    let payload = Payload::Transaction(request);
    let index = machine.point.index.next();
    machine.point.index = index;
    machine.apply_payload(index, &Entry { time: at, payload }).expect("a request has an outcome")
}

fn length(machine: &RealMachine) -> usize {
    let limit = ReadLimit::entries(SHOWN_MAX);
    let read = |reader: &mut SourceReader<'_>| diary(1).read(reader, Sequence(0), limit);
    loading(&*machine.view(), read).map_or(0, |entries| entries.len())
}

#[test]
fn r7_a_request_whose_reply_is_lost_five_times_is_applied_once_whatever_version_it_expects() {
    let mut machine = RealMachine::new(PARTITION);
    let versions =
        [ExpectedVersion::Any, ExpectedVersion::Exact(Sequence(0)), ExpectedVersion::Any];
    for (id, expected) in (1..).zip(versions) {
        let at = |millis| Time::from_millis(u64::from(id) * 10_000 + millis);
        let first = append(&mut machine, id, expected, at(0));
        assert!(matches!(first, RealOutcome::Committed(_)), "{first:?}");
        for copy in 1..=5 {
            let again = append(&mut machine, id, expected, at(copy * 1_000));
            assert_eq!(again, first, "copy {copy} of request {id} is answered as the first was");
        }
        assert_eq!(length(&machine), usize::from(id), "nothing is there twice");
    }
}

#[test]
fn d6_an_id_that_is_used_again_after_its_result_is_gone_is_refused_where_its_blocks_are_there() {
    let mut machine = RealMachine::new(PARTITION);
    let first = append(&mut machine, 1, ExpectedVersion::Any, Time::from_millis(1_000));
    assert!(matches!(first, RealOutcome::Committed(_)));
    let later = Time::from_millis(1_000).after(Duration::from_secs(12 * 60));
    let again = append(&mut machine, 1, ExpectedVersion::Any, later);
    assert_eq!(again, RealOutcome::Rejected(Rejection::IdReused));
    assert_eq!(length(&machine), 1);
    let other = append(&mut machine, 2, ExpectedVersion::Any, later);
    assert!(matches!(other, RealOutcome::Committed(_)), "the state machine goes on");
}
