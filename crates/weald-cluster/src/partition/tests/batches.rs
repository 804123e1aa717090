//! Transactions that were proposed together: each stands or falls alone, in the order of the log.

use proptest::prelude::*;

use super::*;

/// A put that rests on a revision that was never there.
fn doomed(byte: u8) -> TransactionRequest {
    let mut request = put(byte, 1_000, "doomed");
    let block = BlockId::header(&name("r"));
    request.body.reads.push(ReadDependency { block, base: Base::At(Revision(u64::MAX)) });
    request
}

proptest! {
    #[test]
    fn w213_of_a_batch_only_what_is_refused_is_not_applied(
        fails in prop::collection::vec(any::<bool>(), 1..20),
    ) {
        let mut bench = bench();
        let mut revision = 0;
        for (byte, fails) in (1..).zip(&fails) {
            let request = if *fails { doomed(byte) } else { put(byte, 1_000, "x") };
            let outcome = bench.apply(0, request);
            prop_assert_eq!(is_committed(&outcome), !fails);
            revision += u64::from(!fails);
            let held = bench.blocks.borrow().get(&BlockId::header(&name("r"))).cloned();
            prop_assert_eq!(held.map_or(0, |stored| stored.revision.0), revision);
        }
    }
}

#[test]
fn w44_behind_an_entry_that_cannot_be_applied_nothing_is_until_it_can() {
    let mut bench = bench();
    bench.apply(0, put(1, 1_000, "first"));
    let stopped_at = bench.partition.applied();
    bench.is_away = true;
    for byte in 2..5 {
        // The driver asks for the next index again and again: there is no way around it.
        let halted = bench.try_apply(0, Payload::Transaction(put(byte, 1_000, "later")));
        assert!(matches!(halted, Err(Halt::Need(_))));
        assert_eq!(bench.partition.applied(), stopped_at);
    }
    bench.is_away = false;
    for byte in 2..5 {
        assert!(is_committed(&bench.apply(0, put(byte, 1_000, "later"))));
    }
    assert_eq!(bench.partition.applied(), LogIndex(stopped_at.0 + 3));
}
