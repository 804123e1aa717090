//! Entries of transactions over several partitions, one by one. `a` is the account at the primary,
//! `b` and `c` at participants.

use weald_core::{
    Base, BlockId, Digest, FeatureLevel, Outcome, OwnPart, PartId, Participant, Pend, PendAnswer,
    Pended, Position, ReadDependency, Rejection, Revision, SessionStamp, SettingsChange,
    SettingsEntry, SpanningAbort, SpanningCommit, TransactionBody, TransactionRequest, Verdict,
};

use super::{
    super::{lock_of, locks_prefix},
    bank::{Site, account, body, id, settings},
    *,
};

const EXPIRY: u64 = 30_000;

fn digest(byte: u8) -> Digest {
    Digest::from_bytes([byte; 32])
}

fn pend_of(number: u64, actions: &[(&str, &str)]) -> Pend {
    Pend {
        id: id("a", number),
        expiry: Time::from_millis(EXPIRY),
        session: None,
        digest: digest(1),
        is_primary: false,
        body: body(actions),
        marks: Vec::new(),
    }
}

fn pend(site: &mut Site, millis: u64, pend: Pend) -> PendAnswer {
    site.apply(millis, Payload::Pend(pend)).pended.unwrap().1
}

fn pended(site: &mut Site, millis: u64, wanted: Pend) -> Pended {
    match pend(site, millis, wanted) {
        PendAnswer::Pended(pended) => pended,
        other => panic!("{other:?}"),
    }
}

fn single(number: u64, actions: &[(&str, &str)]) -> Payload {
    let (id, expiry) = (id("b", 1000 + number), Time::from_millis(EXPIRY));
    Payload::Transaction(TransactionRequest { id, expiry, session: None, body: body(actions) })
}

fn outcome(site: &mut Site, millis: u64, payload: Payload) -> Outcome {
    site.apply(millis, payload).settled.unwrap().1
}

fn commit_of(number: u64, own: &[(&str, &str)], others: Vec<Pended>) -> SpanningCommit {
    let participants = (1..).zip(others).map(|(place, pended)| {
        let count = u32::try_from(pended.answers.len()).unwrap();
        Participant { pended, actions: (place..place + count).collect() }
    });
    SpanningCommit {
        id: id("a", number),
        expiry: Time::from_millis(EXPIRY),
        session: None,
        digest: digest(1),
        own: OwnPart::Execute(body(own)),
        actions: (0..u32::try_from(own.len()).unwrap()).collect(),
        participants: participants.collect(),
    }
}

fn commit(site: &mut Site, millis: u64, wanted: SpanningCommit) -> Outcome {
    outcome(site, millis, Payload::Commit(wanted))
}

fn resolve(site: &mut Site, millis: u64, part: PartId, is_committed: bool) -> Applied {
    site.apply(millis, Payload::ResolvePart { part, is_committed })
}

fn locked(name: &str, number: u64) -> Rejection {
    Rejection::Locked { collection: name.to_owned(), holder: id("a", number) }
}

/// Two partitions with 100 on `a` and on `b`.
fn two() -> (Site, Site) {
    let (mut one, mut other) = (Site::new(0), Site::new(1));
    one.apply(1, single(1, &[("a", "100")]));
    other.apply(1, single(2, &[("b", "100")]));
    (one, other)
}

#[test]
fn w218_w219_a_transfer_is_visible_nowhere_before_its_commit_and_then_everywhere() {
    let (mut one, mut other) = two();
    let part = pended(&mut other, 10, pend_of(7, &[("b", "+30")]));
    assert_eq!(part.answers, ["130"]);
    assert_eq!(part.revisions, [(account("b"), Revision(2))]);
    assert_eq!((one.balance("a"), other.balance("b")), (100, 100));
    let Outcome::Committed(done) =
        commit(&mut one, 10, commit_of(7, &[("a", "-30")], vec![part.clone()]))
    else {
        panic!("refused")
    };
    assert_eq!(done.answers, ["70", "130"]);
    assert_eq!(done.revisions, [(account("a"), Revision(2)), (account("b"), Revision(2))]);
    assert_eq!((one.balance("a"), other.balance("b")), (70, 100));
    assert_eq!(one.partition.verdict(&part.lock), Verdict::Committed);
    let applied = resolve(&mut other, 11, part.lock.holder, true);
    assert_eq!(applied.changed, [(BlockId::header(&account("b")), Revision(2))]);
    assert_eq!(applied.unlocked, [BlockId::header(&account("b"))]);
    assert_eq!(other.balance("b"), 130);
    assert_eq!(one.partition.decision_count(), 1);
    let (part, keys) = applied.resolved.unwrap();
    one.apply(12, Payload::PartResolved { part, keys });
    assert_eq!(one.partition.decision_count(), 0);
    assert_eq!(other.partition.waiting_count(), 0);
}

#[test]
fn w221_a_part_that_is_dropped_leaves_nothing() {
    let (mut one, mut other) = two();
    let part = pended(&mut other, 10, pend_of(7, &[("b", "+30")]));
    let refused = commit(&mut one, 10, commit_of(7, &[("a", "-300")], vec![part.clone()]));
    assert!(matches!(refused, Outcome::Rejected(Rejection::Custom { code: 1, .. })));
    assert_eq!(one.partition.decision_count(), 0);
    assert_eq!(one.partition.verdict(&part.lock), Verdict::Aborted);
    let applied = resolve(&mut other, 11, part.lock.holder, false);
    assert!(applied.changed.is_empty() && applied.effects.blocks.is_empty());
    assert_eq!((one.balance("a"), other.balance("b")), (100, 100));
    assert!(matches!(outcome(&mut other, 12, single(9, &[("b", "-1")])), Outcome::Committed(_)));
}

#[test]
fn what_an_intent_locks_is_neither_written_nor_read_by_an_ordinary_entry() {
    let (_, mut other) = two();
    pended(&mut other, 10, pend_of(7, &[("b", "+30")]));
    for (number, operation) in [(1, "+1"), (2, "?")] {
        let met = outcome(&mut other, 11, single(20 + number, &[("b", operation)]));
        assert_eq!(met, Outcome::Rejected(locked("b", 7)));
        assert!(locked("b", 7).is_retryable());
    }
    let read = ReadDependency { block: BlockId::state(&account("b")), base: Base::At(Revision(1)) };
    let body = TransactionBody { reads: vec![read], ..body(&[("c", "5")]) };
    let (expiry, session) = (Time::from_millis(EXPIRY), None);
    let request = TransactionRequest { id: id("c", 30), expiry, session, body };
    let met = outcome(&mut other, 12, Payload::Transaction(request));
    assert!(
        matches!(met, Outcome::Rejected(Rejection::Locked { holder, .. }) if holder == id("a", 7))
    );
    let free = outcome(&mut other, 13, single(31, &[("c", "5")]));
    assert!(matches!(free, Outcome::Committed(_)), "other collections are not locked");
}

#[test]
fn a_collection_that_a_part_will_make_is_locked_before_it_is_there() {
    let (_, mut other) = two();
    pended(&mut other, 10, pend_of(7, &[("new", "5")]));
    let met = outcome(&mut other, 11, single(21, &[("new", "1")]));
    assert_eq!(met, Outcome::Rejected(locked("new", 7)));
    let absent = ReadDependency { block: BlockId::state(&account("new")), base: Base::Absent };
    let body = TransactionBody { reads: vec![absent], ..body(&[("c", "5")]) };
    let (expiry, session) = (Time::from_millis(EXPIRY), None);
    let request = TransactionRequest { id: id("c", 30), expiry, session, body };
    let met = outcome(&mut other, 12, Payload::Transaction(request));
    assert!(matches!(met, Outcome::Rejected(Rejection::Locked { .. })));
}

#[test]
fn a_reader_finds_the_lock_with_its_transaction_and_primary() {
    let (_, mut other) = two();
    let part = pended(&mut other, 10, pend_of(7, &[("b", "+30")]));
    let collection = BlockId::header(&account("b"));
    let lock = other.partition.lock(&collection).unwrap();
    assert_eq!(lock, part.lock);
    assert_eq!(lock.holder.id, id("a", 7));
    assert_eq!(lock.primary(), PlacementKey::of(&account("a")));
    let rows = other.rows(locks_prefix());
    let seen: Vec<_> = rows.iter().map(|(key, value)| lock_of(key, value).unwrap()).collect();
    assert_eq!(seen, [(collection, lock)]);
    resolve(&mut other, 11, lock.holder, true);
    assert!(other.partition.lock(&collection).is_none() && other.rows(locks_prefix()).is_empty());
}

#[test]
fn what_a_part_has_read_stays_as_it_is_until_the_decision() {
    let (_, mut other) = two();
    let looked = pended(&mut other, 10, pend_of(7, &[("b", "?")]));
    assert!(looked.keys.is_empty(), "nothing is written, so nothing has to be carried out");
    let also = pended(&mut other, 11, pend_of(8, &[("b", "?")]));
    let met = outcome(&mut other, 12, single(21, &[("b", "+1")]));
    assert!(
        matches!(met, Outcome::Rejected(Rejection::Locked { .. })),
        "marks are shared by readers"
    );
    let seen = outcome(&mut other, 12, single(22, &[("b", "?")]));
    assert!(matches!(seen, Outcome::Committed(_)));
    resolve(&mut other, 13, looked.lock.holder, true);
    let met = outcome(&mut other, 14, single(23, &[("b", "+1")]));
    assert!(matches!(met, Outcome::Rejected(Rejection::Locked { .. })));
    resolve(&mut other, 15, also.lock.holder, false);
    let free = outcome(&mut other, 16, single(24, &[("b", "+1")]));
    assert!(matches!(free, Outcome::Committed(_)));
}

#[test]
fn a_read_of_a_part_must_still_hold_and_is_marked() {
    let (_, mut other) = two();
    let reading = |number, revision| {
        let block = BlockId::state(&account("b"));
        let read = ReadDependency { block, base: Base::At(Revision(revision)) };
        let body = TransactionBody { reads: vec![read], ..TransactionBody::default() };
        Pend { body, ..pend_of(number, &[]) }
    };
    let lost = pend(&mut other, 10, reading(7, 9));
    assert!(matches!(lost, PendAnswer::Refused(Rejection::Conflict { winner: Some(_), .. })));
    pended(&mut other, 11, reading(8, 1));
    let met = outcome(&mut other, 12, single(21, &[("b", "+1")]));
    assert!(matches!(met, Outcome::Rejected(Rejection::Locked { .. })));
}

#[test]
fn a_reader_may_mark_what_it_will_read_whatever_that_is() {
    let (_, mut other) = two();
    let marks = vec![BlockId::state(&account("b")), BlockId::state(&account("absent"))];
    let reader = Pend { marks, ..pend_of(7, &[]) };
    let part = pended(&mut other, 10, reader.clone());
    for (number, name) in [(1, "b"), (2, "absent")] {
        let met = outcome(&mut other, 11, single(20 + number, &[(name, "+1")]));
        assert!(matches!(met, Outcome::Rejected(Rejection::Locked { .. })), "{name}");
    }
    resolve(&mut other, 12, part.lock.holder, true);
    pended(&mut other, 13, pend_of(8, &[("b", "+1")]));
    let met = pend(&mut other, 14, Pend { id: id("a", 9), ..reader });
    assert!(matches!(met, PendAnswer::Refused(Rejection::Locked { .. })), "a reader meets locks");
}

#[test]
fn r7_a_repeated_pend_is_answered_and_not_executed() {
    let (_, mut other) = two();
    let first = pended(&mut other, 10, pend_of(7, &[("b", "+30")]));
    let again = pended(&mut other, 500, pend_of(7, &[("b", "+30")]));
    assert_eq!(again, first);
    resolve(&mut other, 501, first.lock.holder, true);
    assert_eq!(other.balance("b"), 130);
    let applied = resolve(&mut other, 502, first.lock.holder, true);
    assert_eq!((applied.changed.len(), other.balance("b")), (0, 130), "once");
    assert!(applied.resolved.is_some(), "the primary is told again");
}

#[test]
fn r21_a_late_pend_of_a_resolved_fenced_or_expired_id_is_refused() {
    let (mut one, mut other) = two();
    let part = pended(&mut other, 10, pend_of(7, &[("b", "+30")]));
    resolve(&mut other, 20, part.lock.holder, false);
    assert_eq!(pend(&mut other, 21, pend_of(7, &[("b", "+30")])), PendAnswer::Resolved);
    // At the primary it is the id's fence that refuses.
    let (fenced, expiry) = (id("a", 8), Time::from_millis(EXPIRY));
    one.apply(22, Payload::Resolve { id: fenced, expiry, session: None });
    let own = Pend { is_primary: true, ..pend_of(8, &[("a", "+1")]) };
    assert_eq!(pend(&mut one, 23, own), PendAnswer::Resolved);
    let late = pend(&mut other, EXPIRY + 1, pend_of(7, &[("b", "+30")]));
    assert_eq!(late, PendAnswer::Refused(Rejection::Forgotten));
    assert_eq!(other.balance("b"), 100);
}

#[test]
fn r23_one_id_names_one_request_across_pend_and_commit() {
    let (mut one, mut other) = two();
    let first = pended(&mut other, 10, pend_of(7, &[("b", "+30")]));
    let reused = PendAnswer::Refused(Rejection::IdReused);
    let another = || Pend { digest: digest(2), ..pend_of(7, &[("b", "+31")]) };
    assert_eq!(pend(&mut other, 11, another()), reused);
    let as_single = single(7, &[("b", "?")]);
    let Payload::Transaction(request) = as_single else { unreachable!() };
    let same_id = TransactionRequest { id: id("a", 7), ..request };
    let met = outcome(&mut other, 12, Payload::Transaction(same_id));
    assert_eq!(met, Outcome::Rejected(Rejection::IdReused));
    resolve(&mut other, 13, first.lock.holder, true);
    assert_eq!(pend(&mut other, 14, another()), reused, "also after it was resolved");
    let done = commit(&mut one, 15, commit_of(7, &[("a", "-30")], vec![first.clone()]));
    assert!(matches!(done, Outcome::Committed(_)));
    let other_commit = SpanningCommit { digest: digest(2), ..commit_of(7, &[("a", "-1")], vec![]) };
    assert_eq!(commit(&mut one, 16, other_commit), Outcome::Rejected(Rejection::IdReused));
    assert_eq!(commit(&mut one, 17, commit_of(7, &[("a", "-30")], vec![first])), done);
    assert_eq!(one.balance("a"), 70);
}

#[test]
fn r21_a_fenced_id_never_commits() {
    let (mut one, mut other) = two();
    let part = pended(&mut other, 10, pend_of(7, &[("b", "+30")]));
    let fence =
        Payload::Resolve { id: id("a", 7), expiry: Time::from_millis(EXPIRY), session: None };
    assert_eq!(outcome(&mut one, 2_100, fence), Outcome::Rejected(Rejection::Fenced));
    assert_eq!(one.partition.verdict(&part.lock), Verdict::Aborted);
    let late = commit(&mut one, 2_200, commit_of(7, &[("a", "-30")], vec![part]));
    assert_eq!(late, Outcome::Rejected(Rejection::Fenced));
    assert_eq!(one.balance("a"), 100);
}

#[test]
fn r24_a_commit_decision_outlives_its_id_until_every_participant_has_carried_it_out() {
    let (mut one, mut other) = two();
    let part = pended(&mut other, 10, pend_of(7, &[("b", "+30")]));
    commit(&mut one, 20, commit_of(7, &[("a", "-30")], vec![part.clone()]));
    let long = 60 * 60 * 1000;
    one.apply(long, Payload::Tick);
    assert_eq!(one.partition.outcome(&id("a", 7)), None, "the result is gone");
    assert_eq!(one.partition.verdict(&part.lock), Verdict::Committed, "the decision is not");
    resolve(&mut other, long, part.lock.holder, true);
    assert_eq!(other.balance("b"), 130);
    one.apply(long, Payload::PartResolved { part: part.lock.holder, keys: part.keys.clone() });
    assert_eq!(one.partition.verdict(&part.lock), Verdict::Aborted);
}

#[test]
fn r22_a_part_pended_anew_under_a_decided_id_is_not_what_was_decided() {
    let (mut one, mut other) = two();
    let first = pended(&mut other, 10, pend_of(7, &[("b", "+30")]));
    commit(&mut one, 20, commit_of(7, &[("a", "-30")], vec![first.clone()]));
    resolve(&mut other, 30, first.lock.holder, true);
    // Past the expiry of the first copy its id is not kept here; a copy with a later one comes.
    let copy = Pend { expiry: Time::from_millis(EXPIRY + 60_000), ..pend_of(7, &[("b", "+30")]) };
    let second = pended(&mut other, EXPIRY + 1, copy);
    assert_ne!(second.lock.holder.pend, first.lock.holder.pend);
    assert_eq!(one.partition.verdict(&second.lock), Verdict::Aborted, "its result is Committed");
    assert_eq!(one.partition.verdict(&first.lock), Verdict::Committed);
}

#[test]
fn past_the_expiry_of_a_part_no_decision_means_aborted_and_none_is_made() {
    let (mut one, mut other) = two();
    let part = pended(&mut other, 10, pend_of(7, &[("b", "+30")]));
    assert_eq!(one.partition.verdict(&part.lock), Verdict::Undecided);
    one.apply(EXPIRY + 1, Payload::Tick);
    assert_eq!(one.partition.verdict(&part.lock), Verdict::Aborted);
    // Also where the decision itself would be in time: the part may be dropped already.
    let expiry = Time::from_millis(EXPIRY + 60_000);
    let late = SpanningCommit { expiry, ..commit_of(7, &[("a", "-30")], vec![part]) };
    let refused = commit(&mut one, EXPIRY + 2, late);
    assert!(matches!(refused, Outcome::Rejected(Rejection::Expired { .. })));
    assert_eq!(one.balance("a"), 100);
}

#[test]
fn an_abort_keeps_the_reason_as_the_result() {
    let (mut one, _) = two();
    let rejection = Rejection::Conflict { collection: "b".to_owned(), winner: Some(id("b", 3)) };
    let (expiry, session) = (Time::from_millis(EXPIRY), None);
    let abort = SpanningAbort {
        id: id("a", 7),
        expiry,
        session,
        digest: digest(1),
        rejection: rejection.clone(),
    };
    let refused = Outcome::Rejected(rejection);
    assert_eq!(outcome(&mut one, 10, Payload::Abort(abort.clone())), refused);
    assert_eq!(commit(&mut one, 11, commit_of(7, &[("a", "-30")], vec![])), refused);
    let done = commit(&mut one, 12, commit_of(8, &[("a", "-30")], vec![]));
    let too_late = Payload::Abort(SpanningAbort { id: id("a", 8), ..abort });
    assert_eq!(outcome(&mut one, 13, too_late), done, "a commit stands");
}

#[test]
fn the_primarys_own_part_may_wait_as_well_and_goes_with_the_decision() {
    let (mut one, mut other) = two();
    let own = Pend { is_primary: true, ..pend_of(7, &[("a", "-30")]) };
    let own = pended(&mut one, 10, own);
    let met = outcome(&mut one, 11, single(21, &[("a", "+1")]));
    assert_eq!(met, Outcome::Rejected(locked("a", 7)));
    let part = pended(&mut other, 12, pend_of(7, &[("b", "+30")]));
    let decision = SpanningCommit {
        own: OwnPart::Pended(own.lock.holder.pend),
        ..commit_of(7, &[("a", "-30")], vec![part])
    };
    let Outcome::Committed(done) = commit(&mut one, 13, decision) else { panic!("refused") };
    assert_eq!(done.answers, ["70", "130"]);
    assert_eq!((one.balance("a"), one.partition.waiting_count()), (70, 0));
    // A fence lets an own part go as well.
    let own = Pend { is_primary: true, ..pend_of(8, &[("a", "-30")]) };
    pended(&mut one, 14, own);
    let fence =
        Payload::Resolve { id: id("a", 8), expiry: Time::from_millis(EXPIRY), session: None };
    let applied = one.apply(15, fence);
    assert_eq!(applied.unlocked, [BlockId::header(&account("a"))]);
    assert_eq!((one.balance("a"), one.partition.waiting_count()), (70, 0));
}

#[test]
fn a_commit_that_names_answers_wrongly_is_refused_and_does_not_panic() {
    let (mut one, mut other) = two();
    let part = pended(&mut other, 10, pend_of(7, &[("b", "+30")]));
    let with = |number: u64, places: Vec<u32>| {
        let mut pended = part.clone();
        pended.lock.holder.id = id("a", number);
        let participants = vec![Participant { pended, actions: places }];
        SpanningCommit { participants, ..commit_of(number, &[("a", "-30")], vec![]) }
    };
    for (number, places) in [(7, vec![]), (8, vec![0]), (9, vec![5]), (10, vec![1, 2])] {
        let refused = commit(&mut one, 11, with(number, places.clone()));
        assert!(matches!(refused, Outcome::Rejected(Rejection::Invalid { .. })), "{places:?}");
    }
    let foreign = SpanningCommit { id: id("a", 11), ..with(7, vec![1]) };
    let refused = commit(&mut one, 12, foreign);
    assert!(matches!(refused, Outcome::Rejected(Rejection::Invalid { .. })));
    assert_eq!(one.balance("a"), 100);
}

#[test]
fn below_the_mark_a_resolved_id_is_forgotten_and_never_fenced() {
    let (mut one, _) = two();
    let stamp = |number, low_water| Some(SessionStamp { session: [7; 16], number, low_water });
    let with = |number, low_water| SpanningCommit {
        session: stamp(number, low_water),
        ..commit_of(number, &[("a", "-1")], vec![])
    };
    assert!(matches!(commit(&mut one, 10, with(1, 1)), Outcome::Committed(_)));
    assert!(matches!(commit(&mut one, 11, with(2, 2)), Outcome::Committed(_)));
    assert_eq!(one.partition.outcome(&id("a", 1)), None, "below the mark");
    let resolve = |number| Payload::Resolve {
        id: id("a", number),
        expiry: Time::from_millis(EXPIRY),
        session: stamp(number, 1),
    };
    let forgotten = Outcome::Rejected(Rejection::Forgotten);
    assert_eq!(outcome(&mut one, 12, resolve(1)), forgotten, "it has committed");
    assert_eq!(commit(&mut one, 13, with(1, 1)), forgotten);
    let fenced = Outcome::Rejected(Rejection::Fenced);
    assert_eq!(outcome(&mut one, 14, resolve(3)), fenced);
    assert_eq!(commit(&mut one, 15, with(3, 2)), fenced);
}

#[test]
fn d66_full_tables_are_busy_and_name_their_bound() {
    let (mut one, mut other) = two();
    let limits = ApplyLimits { pends_max: 1, decisions_max: 1, ..ApplyLimits::default() };
    for site in [&mut one, &mut other] {
        let changes = vec![SettingsChange::Limits(limits)];
        let entry = SettingsEntry { decided: LogIndex::ZERO, changes };
        site.apply(5, Payload::Settings(entry));
    }
    let part = pended(&mut other, 10, pend_of(7, &[("b", "+30")]));
    let busy = |what: &str| Rejection::Busy { what: what.to_owned(), max: 1 };
    let full = pend(&mut other, 11, pend_of(8, &[("c", "+1")]));
    assert_eq!(full, PendAnswer::Refused(busy("pended")));
    commit(&mut one, 12, commit_of(7, &[("a", "-30")], vec![part.clone()]));
    let full = commit(&mut one, 13, commit_of(8, &[("a", "-30")], vec![]));
    assert_eq!(full, Outcome::Rejected(busy("decisions")));
    one.apply(14, Payload::PartResolved { part: part.lock.holder, keys: part.keys });
    let done = commit(&mut one, 15, commit_of(8, &[("a", "-30")], vec![]));
    assert!(matches!(done, Outcome::Committed(_)), "nothing was kept of the refusal");
}

#[test]
fn bytes_that_wait_for_a_decision_are_bounded() {
    let (_, mut other) = two();
    let limits = ApplyLimits { intent_bytes_max: 200, ..ApplyLimits::default() };
    let changes = vec![SettingsChange::Limits(limits)];
    other.apply(5, Payload::Settings(SettingsEntry { decided: LogIndex::ZERO, changes }));
    let first = pended(&mut other, 10, pend_of(7, &[("b", "+30")]));
    let full = pend(&mut other, 11, pend_of(8, &[("c", "+1")]));
    assert!(matches!(full, PendAnswer::Refused(Rejection::Busy { max: 200, .. })));
    resolve(&mut other, 12, first.lock.holder, false);
    pended(&mut other, 13, pend_of(8, &[("c", "+1")]));
}

#[test]
fn w226_entries_of_a_later_feature_level_are_refused_until_it_is_raised() {
    let mut site = Site::empty(1);
    let part = PartId { id: id("a", 7), pend: Position::default() };
    let level = Rejection::Level { needed: FeatureLevel::SPANNING, level: FeatureLevel::FIRST };
    let refused = pend(&mut site, 1, pend_of(7, &[("b", "+30")]));
    assert_eq!(refused, PendAnswer::Refused(level.clone()));
    let refused = commit(&mut site, 2, commit_of(7, &[("b", "+30")], vec![]));
    assert_eq!(refused, Outcome::Rejected(level.clone()));
    for payload in [
        Payload::ResolvePart { part, is_committed: true },
        Payload::PartResolved { part, keys: Vec::new() },
    ] {
        assert_eq!(site.apply(3, payload).refusal, Some(level.clone()));
    }
    site.apply(4, settings());
    pended(&mut site, 5, pend_of(7, &[("b", "+30")]));
}

#[test]
fn rows_of_locks_begin_with_the_placement_key_of_what_they_are_about() {
    let (mut one, mut other) = two();
    let part = pended(&mut other, 10, pend_of(7, &[("b", "+30"), ("c", "+1"), ("d", "?")]));
    commit(&mut one, 11, commit_of(7, &[("a", "-30")], vec![part.clone()]));
    let keys_under = |site: &Site, table: &[u8]| -> Vec<u64> {
        let rows = site.rows(table).into_iter();
        rows.map(|(key, _)| u64::from_be_bytes(key[1..9].try_into().unwrap())).collect()
    };
    let placement = |name: &str| PlacementKey::of(&account(name)).as_u64();
    let sorted = |names: &[&str]| {
        let mut keys: Vec<u64> = names.iter().map(|name| placement(name)).collect();
        keys.sort_unstable();
        keys
    };
    assert_eq!(keys_under(&other, b"i"), sorted(&["b", "c"]));
    assert_eq!(keys_under(&other, b"p"), sorted(&["b", "c", "d"]));
    assert_eq!(keys_under(&one, b"d"), [placement("a")]);
    resolve(&mut other, 12, part.lock.holder, true);
    assert_eq!(keys_under(&other, b"x"), sorted(&["b", "c", "d"]));
}

#[test]
fn equal_logs_come_to_equal_hashes_however_blocks_come_into_memory() {
    let (mut one, mut other) = two();
    let part = pended(&mut other, 10, pend_of(7, &[("b", "+30"), ("c", "1")]));
    pend(&mut other, 11, pend_of(8, &[("b", "+1")]));
    resolve(&mut other, 12, part.lock.holder, true);
    commit(&mut one, 13, commit_of(7, &[("a", "-30")], vec![]));
    for site in [&one, &other] {
        let mut again = Site::empty(site.partition.id().0).forgetful();
        for entry in &site.entries {
            again.apply_entry(entry.clone());
        }
        assert_eq!(again.partition, site.partition);
        assert_eq!(again.partition.effect_hash(), site.partition.effect_hash());
    }
}
