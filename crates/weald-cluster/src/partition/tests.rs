//! The partition on a register: one block whose payload is the last value written.

use std::{cell::RefCell, collections::BTreeMap, sync::Arc};

use weald_core::{
    Action, ActionBody, ApplyLimits, Base, Block, BlockKind, BlockRead, Change, CollectionCommit,
    CollectionName, Context, Executed, Fault, Overlay, PlacementKey, ReadDependency, Revision,
    SettingsChange, SettingsEntry, StoredBlock, TransactionBody, Transform, TypeName, TypeVersion,
};

use super::*;

mod bank;
mod batches;
mod dissolution;
mod model;
mod settings;
mod spanning;
mod speculation;

/// Writes each action's bytes into the header block of its collection.
struct Register;

impl Executor for Register {
    fn execute(
        &self,
        _: &Context,
        actions: &[Action],
        overlay: &mut Overlay<'_>,
    ) -> Result<Executed, Halt> {
        let mut commits = BTreeMap::new();
        for action in actions {
            let ActionBody::Apply(payload) = &action.body else {
                let type_name = action.type_name.clone();
                return Ok(Executed::Refused(Rejection::Panicked { type_name }));
            };
            let id = BlockId::header(&action.collection);
            let before = overlay.read(id)?;
            let block =
                Block { id, kind: BlockKind::STATE, collection: id, payload: payload.clone() };
            let revision = before.as_ref().map_or(Revision(1), |stored| stored.revision.next());
            match before {
                Some(_) => overlay.replace(block).map_err(Halt::from)?,
                None => overlay.insert(block).map_err(Halt::from)?,
            }
            let created = (revision == Revision(1)).then(|| action.type_name.clone());
            let name = action.collection.clone();
            commits.insert(id, CollectionCommit { name, revision, floor: None, created });
        }
        Ok(Executed::Done { answers: vec![Bytes::new(); actions.len()], commits })
    }

    fn supports(&self, _: &TypeName, _: TypeVersion) -> bool {
        true
    }
}

/// A partition with its blocks and rows in maps.
struct Bench {
    partition: Partition,
    blocks: RefCell<BTreeMap<BlockId, Arc<StoredBlock>>>,
    rows: BTreeMap<Bytes, Bytes>,
    is_away: bool,
}

impl BlockSource for Bench {
    fn block(&self, id: BlockId) -> Result<BlockRead, Fault> {
        if self.is_away {
            return Ok(BlockRead::NotHere);
        }
        Ok(self.blocks.borrow().get(&id).cloned().map_or(BlockRead::Absent, BlockRead::Present))
    }
}

impl Bench {
    /// A partition whose log begins with its settings.
    fn new(limits: ApplyLimits) -> Self {
        let partition = Partition::new(PartitionId(0));
        let mut bench =
            Self { partition, blocks: RefCell::default(), rows: BTreeMap::new(), is_away: false };
        let register = SettingsChange::Register {
            type_name: "register".parse().unwrap(),
            version: TypeVersion(1),
        };
        let changes = vec![SettingsChange::Limits(limits), register];
        let settings = SettingsEntry { decided: LogIndex::ZERO, changes };
        bench.try_apply(0, Payload::Settings(settings)).unwrap();
        bench
    }

    fn try_apply(&mut self, millis: u64, payload: Payload) -> Result<Option<Outcome>, Halt> {
        let index = self.partition.applied().next();
        let entry = Entry { time: Time::from_millis(millis), payload };
        let mut partition = self.partition.clone();
        let applied = partition.apply(index, &entry, self, &Register);
        let Ok(applied) = applied else {
            let mut again = self.partition.clone();
            let second = again.apply(index, &entry, self, &Register);
            assert_eq!(partition, self.partition, "a halt changes nothing");
            return second.map(|_| None);
        };
        self.partition = partition;
        for effect in applied.effects.blocks {
            match effect.after {
                Some(stored) => drop(self.blocks.borrow_mut().insert(effect.id, stored)),
                None => drop(self.blocks.borrow_mut().remove(&effect.id)),
            }
        }
        for (key, value) in applied.effects.rows {
            match value {
                Some(value) => drop(self.rows.insert(key, value)),
                None => drop(self.rows.remove(&key)),
            }
        }
        self.check_restore();
        Ok(applied.settled.map(|(_, outcome)| outcome))
    }

    fn apply(&mut self, millis: u64, request: TransactionRequest) -> Outcome {
        self.try_apply(millis, Payload::Transaction(request)).unwrap().unwrap()
    }

    /// The rows alone give the same state back.
    fn check_restore(&self) {
        let rows = self.rows.iter().map(|(key, value)| (key.clone(), value.clone()));
        let restored =
            Partition::restore(self.partition.id, self.partition.applied(), rows).unwrap();
        assert_eq!(restored, self.partition);
    }
}

fn name(text: &str) -> CollectionName {
    text.parse().unwrap()
}

fn id(byte: u8) -> TransactionId {
    TransactionId::new(PlacementKey::from_u64(0), [byte; 16])
}

fn put(byte: u8, expiry: u64, value: &'static str) -> TransactionRequest {
    let body = ActionBody::Apply(Bytes::from_static(value.as_bytes()));
    let type_name = "register".parse().unwrap();
    let actions = vec![Action { collection: name("r"), type_name, body }];
    TransactionRequest {
        id: id(byte),
        expiry: Time::from_millis(expiry),
        session: None,
        body: TransactionBody { actions, ..TransactionBody::default() },
    }
}

fn stamped(request: TransactionRequest, number: u64, low_water: u64) -> TransactionRequest {
    let session = Some(SessionStamp { session: [7; 16], number, low_water });
    TransactionRequest { session, ..request }
}

fn bench() -> Bench {
    Bench::new(ApplyLimits::default())
}

fn is_committed(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Committed(_))
}

#[test]
fn a56_a_repeated_request_is_answered_and_not_executed() {
    let mut bench = bench();
    let first = bench.apply(10, put(1, 1_000, "x"));
    assert!(is_committed(&first));
    assert_eq!(bench.apply(20, put(1, 9_000, "x")), first, "another expiry is the same request");
    let reused = bench.apply(30, put(1, 1_000, "y"));
    assert_eq!(reused, Outcome::Rejected(Rejection::IdReused));
    assert_eq!(bench.apply(40, put(1, 1_000, "x")), first, "the refusal took nothing away");
}

#[test]
fn d6_an_expired_request_is_refused_and_one_too_far_ahead_too() {
    let mut bench = bench();
    let late = bench.apply(2_000, put(1, 1_999, "x"));
    assert_eq!(late, Outcome::Rejected(Rejection::Forgotten));
    assert!(is_committed(&bench.apply(2_000, put(2, 2_000, "x"))), "the expiry itself is in time");
    let ahead = bench.apply(2_000, put(3, 2_001 + 600_000, "x"));
    assert!(matches!(ahead, Outcome::Rejected(Rejection::Expired { .. })));
}

#[test]
fn log_time_never_goes_back() {
    let mut bench = bench();
    bench.apply(5_000, put(1, 6_000, "x"));
    let Outcome::Committed(commit) = bench.apply(100, put(2, 6_000, "y")) else { panic!() };
    assert_eq!(commit.time, Time::from_millis(5_000));
}

#[test]
fn results_without_a_session_are_kept_for_eleven_minutes() {
    let mut bench = bench();
    let first = bench.apply(0, put(1, 30_000, "x"));
    let kept = 11 * 60 * 1000;
    assert_eq!(bench.apply(kept, put(1, kept + 30_000, "x")), first);
    let again = bench.apply(kept + 1, put(1, kept + 30_000, "x"));
    assert!(is_committed(&again) && again != first, "forgotten, and executed as new");
}

#[test]
fn below_the_low_water_mark_results_go_and_copies_are_forgotten() {
    let mut bench = bench();
    bench.apply(0, stamped(put(1, 30_000, "a"), 1, 1));
    bench.apply(0, stamped(put(2, 30_000, "b"), 2, 1));
    assert_eq!(bench.partition.result_count(), 2);
    bench.apply(0, stamped(put(3, 30_000, "c"), 3, 3));
    assert_eq!(bench.partition.result_count(), 1);
    let copy = bench.apply(1, stamped(put(1, 30_000, "a"), 1, 1));
    assert_eq!(copy, Outcome::Rejected(Rejection::Forgotten));
    assert_eq!(bench.partition.session_count(), 1);
    // The mark is kept until the last expiry of its session, then the copy is past its own.
    bench.try_apply(30_001, Payload::Tick).unwrap();
    assert_eq!((bench.partition.session_count(), bench.partition.result_count()), (0, 0));
    let copy = bench.apply(30_002, stamped(put(1, 30_000, "a"), 1, 1));
    assert_eq!(copy, Outcome::Rejected(Rejection::Forgotten));
    assert_eq!(bench.partition.due(), None, "nothing is left to expire");
}

#[test]
fn a_full_table_is_busy_and_evicts_nothing() {
    let limits = ApplyLimits { results_max: 1, sessions_max: 1, ..ApplyLimits::default() };
    let mut bench = Bench::new(limits);
    let first = bench.apply(0, put(1, 1_000, "a"));
    let busy = bench.apply(0, put(2, 1_000, "b"));
    assert!(matches!(busy, Outcome::Rejected(Rejection::Busy { max: 1, .. })));
    assert_eq!(bench.apply(0, put(1, 1_000, "a")), first);
    bench.try_apply(700_000, Payload::Tick).unwrap();
    assert!(is_committed(&bench.apply(700_000, stamped(put(3, 700_010, "c"), 1, 1))));
    bench.apply(700_000, stamped(put(4, 700_010, "d"), 2, 2));
    let mut other = stamped(put(5, 700_010, "e"), 1, 1);
    other.session.as_mut().unwrap().session = [8; 16];
    let busy = bench.apply(700_000, other);
    assert!(matches!(busy, Outcome::Rejected(Rejection::Busy { .. })));
}

#[test]
fn a_resolved_id_never_commits() {
    let mut bench = bench();
    let resolve =
        |byte| Payload::Resolve { id: id(byte), expiry: Time::from_millis(9_000), session: None };
    let fenced = bench.try_apply(0, resolve(1)).unwrap().unwrap();
    assert_eq!(fenced, Outcome::Rejected(Rejection::Fenced));
    assert_eq!(bench.apply(1, put(1, 5_000, "x")), Outcome::Rejected(Rejection::Fenced));
    let done = bench.apply(2, put(2, 5_000, "x"));
    assert_eq!(bench.try_apply(3, resolve(2)).unwrap().unwrap(), done, "its result stands");
    let late = bench.try_apply(10_000, resolve(3)).unwrap().unwrap();
    assert_eq!(late, Outcome::Rejected(Rejection::Forgotten), "past the expiry nobody can tell");
}

#[test]
fn a_read_that_no_longer_holds_is_a_conflict_that_names_the_winner() {
    let mut bench = bench();
    bench.apply(0, put(1, 1_000, "a"));
    let block = BlockId::header(&name("r"));
    let read = |request: TransactionRequest, base| {
        let mut request = request;
        request.body.reads.push(ReadDependency { block, base });
        request
    };
    let held = bench.apply(0, read(put(2, 1_000, "b"), Base::At(Revision(1))));
    assert!(is_committed(&held));
    let lost = bench.apply(0, read(put(3, 1_000, "c"), Base::At(Revision(1))));
    let expected = Rejection::Conflict { collection: "r".to_owned(), winner: Some(id(2)) };
    assert_eq!(lost, Outcome::Rejected(expected));
}

#[test]
fn changes_that_a_client_computed_are_applied_on_their_base_only() {
    let mut bench = bench();
    let collection = BlockId::header(&name("own"));
    let block = |payload: &'static str, kind| Block {
        id: collection,
        kind,
        collection,
        payload: Bytes::from_static(payload.as_bytes()),
    };
    let request = |byte, base, payload, kind| {
        let change = Change::Insert(block(payload, kind));
        let transforms = vec![Transform { id: collection, base, change }];
        let body = TransactionBody { transforms, ..TransactionBody::default() };
        TransactionRequest { body, ..put(byte, 1_000, "") }
    };
    let without_state = bench.apply(0, request(1, Base::Absent, "a", BlockKind::HEADER));
    assert!(matches!(without_state, Outcome::Rejected(Rejection::Invalid { .. })));
    assert!(is_committed(&bench.apply(0, request(2, Base::Absent, "a", BlockKind::STATE))));
    let late = bench.apply(0, request(3, Base::Absent, "b", BlockKind::STATE));
    let expected = Rejection::Conflict { collection: collection.to_string(), winner: Some(id(2)) };
    assert_eq!(late, Outcome::Rejected(expected));
    assert!(is_committed(
        &bench.apply(0, request(4, Base::At(Revision(1)), "b", BlockKind::STATE))
    ));
    let stored = bench.blocks.borrow()[&collection].clone();
    assert_eq!((stored.revision, &stored.block.payload[..]), (Revision(2), &b"b"[..]));
    let listed: Vec<_> = bench.rows.keys().filter_map(|key| collection_of(key)).collect();
    assert_eq!(listed, [collection]);
}

#[test]
fn what_is_not_in_memory_halts_and_changes_nothing() {
    let mut bench = bench();
    bench.is_away = true;
    let halted = bench.try_apply(0, Payload::Transaction(put(1, 1_000, "x")));
    assert!(matches!(halted, Err(Halt::Need(_))));
    bench.is_away = false;
    assert!(is_committed(&bench.apply(0, put(1, 1_000, "x"))));
}

#[test]
fn equal_logs_give_equal_effect_hashes_and_other_logs_others() {
    let run = |values: [&'static str; 2]| {
        let mut bench = bench();
        for (byte, value) in (1..).zip(values) {
            bench.apply(u64::from(byte), put(byte, 1_000, value));
        }
        bench.try_apply(5, Payload::Noop).unwrap();
        bench.partition.effect_hash()
    };
    assert_eq!(run(["a", "b"]), run(["a", "b"]));
    assert_ne!(run(["a", "b"]), run(["b", "a"]));
}
