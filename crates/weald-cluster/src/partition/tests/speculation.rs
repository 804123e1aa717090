//! What an entry comes to, worked out before it is committed: taken on the state that it was worked
//! out on, and on no other.

use super::*;

/// What `request`, proposed at 0 ms, comes to if it is applied next.
fn speculate(bench: &Bench, request: TransactionRequest) -> Speculation {
    let entry = Entry { time: Time::ZERO, payload: Payload::Transaction(request) };
    bench.partition.speculate(&entry, bench, &Register).unwrap()
}

#[test]
fn what_was_speculated_comes_to_what_applying_gives() {
    let mut bench = bench();
    bench.apply(0, put(1, 1_000, "first"));
    let speculation = speculate(&bench, put(2, 1_000, "second"));
    let mut ahead = bench.partition.clone();
    let applied = ahead.apply_speculation(speculation).expect("it is the same state");
    bench.apply(0, put(2, 1_000, "second"));
    assert_eq!(ahead, bench.partition);
    assert!(matches!(applied.settled, Some((_, Outcome::Committed(_)))), "{applied:?}");
}

#[test]
fn what_was_speculated_is_refused_once_something_else_was_applied() {
    let mut bench = bench();
    bench.apply(0, put(1, 1_000, "first"));
    let speculation = speculate(&bench, put(2, 1_000, "second"));
    bench.apply(0, put(3, 1_000, "another's"));
    let before = bench.partition.clone();
    assert!(bench.partition.apply_speculation(speculation).is_none());
    assert_eq!(bench.partition, before, "nothing has changed");
}

#[test]
fn what_was_speculated_is_refused_at_the_same_index_after_another_past() {
    let (mut here, mut there) = (bench(), bench());
    here.apply(0, put(1, 1_000, "here"));
    there.apply(0, put(1, 1_000, "there"));
    assert_eq!(here.partition.applied(), there.partition.applied());
    let speculation = speculate(&here, put(2, 1_000, "second"));
    assert!(there.partition.apply_speculation(speculation).is_none());
}
