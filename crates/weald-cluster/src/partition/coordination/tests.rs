//! The gate, the reading, the primary and the participant by themselves.

use std::time::Duration;

use bytes::Bytes;
use weald_core::{
    Action, ActionBody, BlockId, CollectionName, Digest, LogIndex, Outcome, OwnPart, Pended,
    Position, Rejection, Revision, TransactionBody, UnknownCause,
};

use super::{
    gate::{Arrival, Policy},
    primary::{Begin, Order},
    reading::Shown,
    *,
};
use crate::partition::{Decision, Waiting};

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

fn id(byte: u8) -> TransactionId {
    TransactionId::new(PlacementKey::from_u64(0), [byte; 16])
}

fn collection(text: &str) -> BlockId {
    BlockId::header(&text.parse().unwrap())
}

fn position(partition: u32, index: u64) -> Position {
    Position { partition: PartitionId(partition), index: LogIndex(index) }
}

fn lock(byte: u8) -> Lock {
    let holder = PartId { id: id(byte), pend: position(1, 5) };
    Lock { holder, deadline: at(2_000), expiry: at(30_000), session: None }
}

mod gates {
    use super::{
        super::gate::{Input, Output},
        *,
    };

    fn arrival(ticket: u64, names: &[&str], is_locking: bool, policy: Policy) -> Input {
        let collections = names.iter().map(|name| collection(name)).collect();
        let id = id(u8::try_from(ticket).unwrap());
        Input::Arrive(Arrival { ticket, id, collections, is_locking, policy })
    }

    fn outputs(gate: &mut Gate, now: u64, input: Input) -> Vec<Output> {
        gate.handle(at(now), input);
        std::iter::from_fn(|| gate.poll_output()).collect()
    }

    fn locked_gate(config: Config) -> Gate {
        let mut gate = Gate::new(config);
        gate.handle(at(0), Input::Locked(collection("c"), lock(99)));
        gate
    }

    #[test]
    fn who_meets_a_lock_waits_fails_or_returns_as_it_wishes() {
        let mut gate = locked_gate(Config::default());
        let met = Rejection::Locked { collection: collection("c").to_string(), holder: id(99) };
        let failed = outputs(&mut gate, 1, arrival(1, &["c"], false, Policy::Fail));
        assert_eq!(failed, [Output::Refuse(1, met)]);
        let returned = outputs(&mut gate, 1, arrival(2, &["c"], false, Policy::Return));
        assert_eq!(returned, [Output::Return(2, lock(99))]);
        let waits = outputs(&mut gate, 1, arrival(3, &["c"], false, Policy::Wait));
        assert_eq!(waits, [Output::Met(lock(99))]);
        let free = outputs(&mut gate, 1, arrival(4, &["d"], false, Policy::Fail));
        assert_eq!(free, [Output::Pass(4)]);
        let passed = outputs(&mut gate, 2, Input::Unlocked(collection("c")));
        assert_eq!(passed, [Output::Pass(3)]);
    }

    #[test]
    fn who_waits_longest_goes_first_and_nobody_overtakes() {
        let mut gate = locked_gate(Config::default());
        outputs(&mut gate, 1, arrival(1, &["c", "d"], true, Policy::Wait));
        outputs(&mut gate, 1, arrival(2, &["c"], true, Policy::Wait));
        let later = outputs(&mut gate, 2, arrival(3, &["d"], false, Policy::Wait));
        assert_eq!(later, [], "`d` is wanted by who came before");
        let passed = outputs(&mut gate, 3, Input::Unlocked(collection("c")));
        assert_eq!(passed, [Output::Pass(1)], "the next lock is about to be taken");
        gate.handle(at(4), Input::Locked(collection("c"), lock(1)));
        assert_eq!(outputs(&mut gate, 4, Input::Done(1)), [Output::Pass(3)]);
        let passed = outputs(&mut gate, 5, Input::Unlocked(collection("c")));
        assert_eq!(passed, [Output::Pass(2)]);
    }

    #[test]
    fn d66_waiting_is_bounded_in_time_and_number() {
        let config = Config { gate_max: 1, ..Config::default() };
        let mut gate = locked_gate(config);
        outputs(&mut gate, 1, arrival(1, &["c"], false, Policy::Wait));
        let full = outputs(&mut gate, 1, arrival(2, &["c"], false, Policy::Wait));
        assert!(matches!(full[..], [Output::Refuse(2, Rejection::Busy { max: 1, .. })]));
        let due = gate.poll_timeout().unwrap();
        assert_eq!(due, at(1).after(config.gate_timeout));
        assert_eq!(outputs(&mut gate, due.as_millis() - 1, Input::Tick), []);
        let late = outputs(&mut gate, due.as_millis(), Input::Tick);
        assert!(matches!(late[..], [Output::Refuse(1, Rejection::Locked { .. })]));
        assert_eq!((gate.waiting_count(), gate.poll_timeout()), (0, None));
    }
}

mod readings {
    use super::{
        super::reading::{Input, MARKS_MAX, Output, ROUNDS_MAX},
        *,
    };

    fn outputs(reading: &mut Reading) -> Vec<Output> {
        std::iter::from_fn(|| reading.poll_output()).collect()
    }

    fn shown(revision: u64, locks: Vec<Lock>) -> Shown {
        let revisions = [(collection("c"), Revision(revision))].into();
        Shown { revisions, locks }
    }

    fn answer(reading: &mut Reading, round: u32, revisions: [u64; 2]) -> Vec<Output> {
        for (partition, revision) in (0..).zip(revisions) {
            let shown = shown(revision, Vec::new());
            reading.handle(Input::Shown(PartitionId(partition), round, shown));
        }
        outputs(reading)
    }

    fn reading() -> Reading {
        let mut reading = Reading::new([PartitionId(0), PartitionId(1)]);
        assert_eq!(outputs(&mut reading), reads(1));
        reading
    }

    fn reads(round: u32) -> [Output; 2] {
        [Output::Read(PartitionId(0), round), Output::Read(PartitionId(1), round)]
    }

    #[test]
    fn r27_the_second_round_begins_after_the_first_has_ended_and_must_be_equal() {
        let mut reading = reading();
        reading.handle(Input::Shown(PartitionId(0), 1, shown(5, vec![])));
        assert_eq!(outputs(&mut reading), [], "the first round has not ended");
        reading.handle(Input::Shown(PartitionId(1), 1, shown(7, vec![])));
        assert_eq!(outputs(&mut reading), reads(2));
        reading.handle(Input::Shown(PartitionId(0), 1, shown(5, vec![])));
        assert_eq!(answer(&mut reading, 2, [5, 8]), reads(3), "somebody wrote in between");
        assert_eq!(answer(&mut reading, 3, [5, 8]), [Output::Done(3)]);
    }

    #[test]
    fn r27_a_lock_is_resolved_and_read_again() {
        let mut reading = reading();
        answer(&mut reading, 1, [5, 7]);
        reading.handle(Input::Shown(PartitionId(0), 2, shown(5, vec![lock(1)])));
        assert_eq!(outputs(&mut reading), [Output::Resolve(PartitionId(0), lock(1))]);
        reading.handle(Input::Shown(PartitionId(1), 2, shown(7, vec![])));
        assert_eq!(outputs(&mut reading), reads(3), "equal, but not at one moment");
        assert_eq!(answer(&mut reading, 3, [5, 7]), [Output::Done(3)]);
    }

    #[test]
    fn at_last_it_reads_under_marks_that_are_confirmed_after_and_then_gives_up() {
        let mut reading = reading();
        for round in 1..ROUNDS_MAX {
            assert_eq!(answer(&mut reading, round, [round.into(), 0]), reads(round + 1));
        }
        assert_eq!(answer(&mut reading, ROUNDS_MAX, [0, 0]), [Output::Mark]);
        let mut unlucky = reading.clone();
        reading.handle(Input::Marked(true));
        let last = ROUNDS_MAX + 1;
        assert_eq!(outputs(&mut reading), reads(last));
        assert_eq!(answer(&mut reading, last, [9, 9]), [Output::Confirm]);
        reading.handle(Input::Confirmed(true));
        assert_eq!(outputs(&mut reading), [Output::Done(last)]);
        for _ in 1..MARKS_MAX {
            unlucky.handle(Input::Marked(false));
            assert_eq!(outputs(&mut unlucky), [Output::Mark]);
        }
        unlucky.handle(Input::Marked(false));
        assert_eq!(outputs(&mut unlucky), [Output::GaveUp]);
    }
}

mod primaries {
    use super::{
        super::primary::{Input, Output},
        *,
    };

    fn name(text: &str) -> CollectionName {
        text.parse().unwrap()
    }

    /// Two collections in two partitions, the lesser key in partition 0.
    fn begin(byte: u8, order: Order) -> Begin {
        let action = |text: &str| {
            let body = ActionBody::Apply(Bytes::from_static(b"x"));
            Action { collection: name(text), type_name: "t".parse().unwrap(), body }
        };
        let actions = vec![action("one"), action("other"), action("one")];
        let body = TransactionBody { actions, ..TransactionBody::default() };
        let (one, other) = (PlacementKey::of(&name("one")), PlacementKey::of(&name("other")));
        let partition_of = |key| PartitionId(u32::from(key == one.max(other)));
        let shares = shares(&body, partition_of);
        let (expiry, session, digest) = (at(30_000), None, Digest::ZERO);
        Begin { id: id(byte), expiry, session, digest, shares, order }
    }

    fn pended(byte: u8, partition: u32) -> PendAnswer {
        let holder = PartId { id: id(byte), pend: position(partition, 5) };
        let lock = Lock { holder, ..lock(byte) };
        let keys = vec![PlacementKey::from_u64(7)];
        PendAnswer::Pended(Pended { lock, keys, answers: vec![], revisions: vec![] })
    }

    fn answered(byte: u8, partition: u32, answer: PendAnswer) -> Input {
        Input::Pended { id: id(byte), partition: PartitionId(partition), answer }
    }

    fn outputs(primary: &mut Primary, now: u64, input: Input) -> Vec<Output> {
        primary.handle(at(now), input);
        std::iter::from_fn(|| primary.poll_output()).collect()
    }

    fn primary() -> Primary {
        Primary::new(PartitionId(0), Config::default())
    }

    #[test]
    fn d1_shares_keep_the_order_of_actions_and_are_ordered_by_key() {
        let begin = begin(1, Order::Together);
        let keys: Vec<_> = begin.shares.iter().map(|share| share.key).collect();
        assert!(keys.is_sorted());
        let mut places: Vec<_> = begin.shares.iter().map(|share| share.actions.clone()).collect();
        places.sort();
        assert_eq!(places, [vec![0, 2], vec![1]]);
    }

    #[test]
    fn the_first_attempt_executes_its_own_part_with_the_decision() {
        let mut primary = primary();
        let sent = outputs(&mut primary, 0, Input::Begin(begin(1, Order::Together)));
        assert!(matches!(sent[..], [Output::Send(_, Message::Pend(_))]));
        let decided = outputs(&mut primary, 1, answered(1, 1, pended(1, 1)));
        let [Output::Propose(Payload::Commit(commit))] = &decided[..] else {
            panic!("{decided:?}")
        };
        assert!(matches!(commit.own, OwnPart::Execute(_)));
        assert_eq!(outputs(&mut primary, 2, answered(1, 1, pended(1, 1))), [], "once");
    }

    #[test]
    fn a_rerun_pends_one_part_after_the_other_its_own_among_them() {
        let mut primary = primary();
        let sent = outputs(&mut primary, 0, Input::Begin(begin(1, Order::ByKey)));
        assert!(matches!(&sent[..], [Output::Propose(Payload::Pend(pend))] if pend.is_primary));
        let sent = outputs(&mut primary, 1, answered(1, 0, pended(1, 0)));
        assert!(matches!(&sent[..], [Output::Send(_, Message::Pend(_))]));
        let decided = outputs(&mut primary, 2, answered(1, 1, pended(1, 1)));
        let [Output::Propose(Payload::Commit(commit))] = &decided[..] else {
            panic!("{decided:?}")
        };
        assert_eq!(commit.own, OwnPart::Pended(position(0, 5)));
    }

    #[test]
    fn a_silent_participant_is_asked_again_and_given_up_before_locks_are_overdue() {
        let mut primary = primary();
        let config = Config::default();
        assert!(config.pend_timeout < weald_core::LOCK_HELD);
        outputs(&mut primary, 0, Input::Begin(begin(1, Order::Together)));
        let first = primary.poll_timeout().unwrap();
        assert_eq!(first, at(0).after(config.resend_first));
        let again = outputs(&mut primary, first.as_millis(), Input::Tick);
        assert!(matches!(again[..], [Output::Send(_, Message::Pend(_))]));
        let second = primary.poll_timeout().unwrap();
        assert_eq!(second.since(first), config.resend_first * 2, "the wait doubles");
        let end = at(0).after(config.pend_timeout).as_millis();
        let given_up = outputs(&mut primary, end, Input::Tick);
        let silent = Rejection::Silent { partition: PartitionId(1) };
        assert!(matches!(&given_up[..],
            [Output::Propose(Payload::Abort(abort))] if abort.rejection == silent));
    }

    #[test]
    fn a_decision_is_sent_until_it_is_carried_out_also_by_a_successor() {
        let pend = position(1, 5);
        let key = PlacementKey::from_u64(7);
        let decision = Decision { time: at(1), outstanding: [(key, pend)].into() };
        let mut primary = primary();
        let part = PartId { id: id(1), pend };
        let resolve =
            Output::Send(key, Message::Resolve { part, keys: vec![key], is_committed: true });
        let sent = outputs(&mut primary, 0, Input::Decisions(vec![(id(1), decision)]));
        assert_eq!(sent, std::slice::from_ref(&resolve));
        let due = primary.poll_timeout().unwrap().as_millis();
        assert_eq!(outputs(&mut primary, due, Input::Tick), [resolve]);
        let noted = outputs(&mut primary, due, Input::Resolved { part, keys: vec![key] });
        assert_eq!(noted, [Output::Propose(Payload::PartResolved { part, keys: vec![key] })]);
        outputs(&mut primary, due, Input::CarriedOut { part, keys: vec![key] });
        assert_eq!((primary.decided_count(), primary.poll_timeout()), (0, None));
    }

    #[test]
    fn before_the_deadline_a_question_logs_nothing_and_after_it_the_id_is_resolved() {
        let mut primary = primary();
        let from = PlacementKey::from_u64(7);
        let ask = |may_resolve, verdict| Input::Ask { lock: lock(1), from, may_resolve, verdict };
        let (part, now) = (lock(1).holder, 3_000);
        let says = |verdict| [Output::Send(from, Message::Verdict { part, verdict })];
        let early = outputs(&mut primary, now, ask(false, Verdict::Undecided));
        assert_eq!(early, says(Verdict::Undecided));
        let known = outputs(&mut primary, now, ask(true, Verdict::Committed));
        assert_eq!(known, says(Verdict::Committed));
        let forced = outputs(&mut primary, now, ask(true, Verdict::Undecided));
        let [Output::Propose(Payload::Resolve { id, expiry, .. })] = forced[..] else {
            panic!("{forced:?}")
        };
        assert_eq!(id, part.id);
        assert!(expiry.since(at(now)) > Duration::from_secs(9 * 60), "copies may come for long");
        let outcome = Outcome::Rejected(Rejection::Fenced);
        let settled = Input::Settled { id, outcome, decision: None, is_kept: true };
        assert_eq!(outputs(&mut primary, now, settled), says(Verdict::Aborted));
    }

    #[test]
    fn too_many_transactions_are_busy_and_an_ended_coordination_tells_unknown() {
        let mut primary =
            Primary::new(PartitionId(0), Config { driven_max: 1, ..Config::default() });
        outputs(&mut primary, 0, Input::Begin(begin(1, Order::Together)));
        assert_eq!(outputs(&mut primary, 0, Input::Begin(begin(1, Order::Together))), [], "a copy");
        let full = outputs(&mut primary, 0, Input::Begin(begin(2, Order::Together)));
        let busy = Rejection::Busy { what: "spanning transactions".to_owned(), max: 1 };
        assert_eq!(full, [Output::Answer(id(2), Outcome::Rejected(busy))]);
        let ended = outputs(&mut primary, 1, Input::Deposed);
        let unknown = Outcome::Unknown(UnknownCause::TakenOver);
        assert_eq!(ended, [Output::Answer(id(1), unknown)]);
        assert_eq!((primary.driven_count(), primary.poll_timeout()), (0, None));
    }
}

mod participants {
    use super::{
        super::participant::{Input, Output},
        *,
    };

    const KEY: PlacementKey = PlacementKey::from_u64(7);

    fn waiting(is_primary: bool) -> Waiting {
        Waiting { lock: lock(1), is_primary, key: KEY, keys: vec![KEY] }
    }

    fn outputs(participant: &mut Participant, now: u64, input: Input) -> Vec<Output> {
        participant.handle(at(now), input);
        std::iter::from_fn(|| participant.poll_output()).collect()
    }

    fn participant(is_primary: bool) -> Participant {
        let mut participant = Participant::new(PartitionId(1), Config::default());
        participant.handle(at(0), Input::Waiting(vec![waiting(is_primary)]));
        participant
    }

    fn ask(may_resolve: bool) -> Output {
        Output::Send(lock(1).primary(), Message::Ask { lock: lock(1), from: KEY, may_resolve })
    }

    #[test]
    fn r26_a_part_past_its_deadline_makes_its_primary_decide() {
        let mut participant = participant(false);
        assert_eq!(participant.poll_timeout(), Some(lock(1).deadline));
        assert_eq!(outputs(&mut participant, 1_999, Input::Tick), []);
        assert_eq!(outputs(&mut participant, 2_000, Input::Tick), [ask(true)]);
        assert_eq!(outputs(&mut participant, 2_001, Input::Tick), [], "it waits for an answer");
        let part = lock(1).holder;
        let verdict = |verdict| Input::Verdict { part, verdict };
        assert_eq!(outputs(&mut participant, 2_002, verdict(Verdict::Undecided)), []);
        let due = participant.poll_timeout().unwrap().as_millis();
        assert_eq!(outputs(&mut participant, due, Input::Tick), [ask(true)], "and asks again");
        let drop = Payload::ResolvePart { part, is_committed: false };
        let dropped = outputs(&mut participant, due, verdict(Verdict::Aborted));
        assert_eq!(dropped, [Output::Propose(drop)]);
        assert_eq!(outputs(&mut participant, due, Input::Resolved { part }), []);
        assert_eq!((participant.waiting_count(), participant.poll_timeout()), (0, None));
    }

    #[test]
    fn before_the_deadline_whoever_meets_a_lock_only_asks() {
        let mut participant = participant(false);
        assert_eq!(outputs(&mut participant, 100, Input::Met(lock(1))), [ask(false)]);
        assert_eq!(outputs(&mut participant, 2_001, Input::Met(lock(1))), [ask(true)]);
    }

    #[test]
    fn the_primarys_own_overdue_part_has_its_id_settled_here() {
        let mut participant = participant(true);
        let settled = outputs(&mut participant, 2_000, Input::Tick);
        assert!(matches!(settled[..], [Output::Propose(Payload::Resolve { .. })]));
        outputs(&mut participant, 2_001, Input::Settled(id(1)));
        assert_eq!(participant.waiting_count(), 0);
    }

    #[test]
    fn r24_what_is_said_to_be_carried_out_has_gone_through_the_log() {
        let mut participant = Participant::new(PartitionId(1), Config::default());
        let part = lock(1).holder;
        let resolve = || Input::Resolve { part, keys: vec![KEY], is_committed: true };
        // Nothing of it is known here; the state may be old.
        let logged = outputs(&mut participant, 0, resolve());
        let payload = Payload::ResolvePart { part, is_committed: true };
        assert_eq!(logged, [Output::Propose(payload)]);
        assert_eq!(outputs(&mut participant, 1, resolve()), [], "it is on its way");
        let told = outputs(&mut participant, 2, Input::Resolved { part });
        let message = Message::Resolved { part, keys: vec![KEY] };
        assert_eq!(told, [Output::Send(lock(1).primary(), message)]);
    }
}
