//! Round trips, refusals and golden vectors of every core type that is persisted or sent.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::{
    Action, ActionBody, AdmissionPolicy, ApplyLimits, Base, Block, BlockId, BlockKind, Change,
    CollectionPolicy, Commit, CreateMode, Digest, Entry, FeatureLevel, KeyBounds, Lock, LogIndex,
    NodeRecord, NodeStanding, Outcome, OwnPart, PartId, Participant, PartitionId, Payload, PeerId,
    Pend, PendAnswer, Pended, PlacementKey, Position, ReadDependency, Rejection, Retention,
    Revision, SessionStamp, SettingsChange, SettingsEntry, SpanningAbort, SpanningCommit, Splice,
    StoreId, SystemChange, SystemEntry, Time, TransactionBody, TransactionId, TransactionRequest,
    Transform, TypeName, TypeVersion,
};

fn request() -> TransactionRequest {
    let collection: crate::CollectionName = "shop/orders".parse().unwrap();
    let header = BlockId::header(&collection);
    let policy = CollectionPolicy {
        retention: Retention { age_max: Some(Duration::from_secs(60)), ..Retention::ALL },
    };
    let create = ActionBody::Create {
        mode: CreateMode::OpenOrCreate,
        version: TypeVersion(1),
        policy: policy.clone(),
        options: Bytes::from_static(b"options"),
    };
    let action =
        |body| Action { collection: collection.clone(), type_name: "diary".parse().unwrap(), body };
    let block = Block {
        id: header,
        kind: BlockKind::HEADER,
        collection: header,
        payload: Bytes::from_static(b"payload"),
    };
    let transform = |change| Transform { id: header, base: Base::At(Revision(2)), change };
    TransactionRequest {
        id: TransactionId::new(PlacementKey::of(&collection), [7; 16]),
        expiry: Time::from_millis(1_700_000_030_000),
        session: Some(SessionStamp { session: [9; 16], number: 5, low_water: 4 }),
        body: TransactionBody {
            reads: vec![ReadDependency { block: header, base: Base::Absent }],
            actions: vec![
                action(create),
                action(ActionBody::Apply(Bytes::from_static(b"append"))),
                action(ActionBody::SetPolicy(policy)),
            ],
            transforms: vec![
                transform(Change::Insert(block)),
                transform(Change::Update(vec![Splice::new(3, 1, "x".as_bytes())])),
                transform(Change::Delete),
            ],
        },
    }
}

fn entry() -> Entry {
    Entry { time: Time::from_millis(1_700_000_000_000), payload: Payload::Transaction(request()) }
}

fn outcomes() -> Vec<Outcome> {
    let commit = Commit {
        position: Position { partition: PartitionId(0), index: LogIndex(42) },
        time: Time::from_millis(1_700_000_000_000),
        revisions: vec![("shop/orders".parse().unwrap(), Revision(3))],
        answers: vec![Bytes::from_static(b"answer")],
    };
    vec![
        Outcome::Committed(commit),
        Outcome::Rejected(Rejection::IdReused),
        Outcome::Unknown(crate::UnknownCause::Deadline),
        Outcome::Unknown(crate::UnknownCause::TakenOver),
    ]
}

fn lock() -> Lock {
    let TransactionRequest { id, expiry, session, .. } = request();
    let pend = Position { partition: PartitionId(3), index: LogIndex(9) };
    let deadline = Time::from_millis(1_700_000_002_000);
    Lock { holder: PartId { id, pend }, deadline, expiry, session }
}

fn pended() -> Pended {
    Pended {
        lock: lock(),
        keys: vec![PlacementKey::from_u64(5)],
        answers: vec![Bytes::from_static(b"answer")],
        revisions: vec![("shop/orders".parse().unwrap(), Revision(3))],
    }
}

/// One of each kind of entry besides a transaction.
fn payloads() -> Vec<Payload> {
    let TransactionRequest { id, expiry, session, body } = request();
    let (digest, part) = (request().digest(), lock().holder);
    let (type_name, version): (TypeName, _) = ("acme".parse().unwrap(), TypeVersion(2));
    let policy =
        SettingsChange::Policy { name: "p".to_owned(), value: Some(Bytes::from_static(b"v")) };
    let settings = vec![
        SettingsChange::Level(FeatureLevel(2)),
        SettingsChange::Limits(ApplyLimits::default()),
        SettingsChange::Register { type_name, version },
        policy,
    ];
    let rejection = Rejection::Locked { collection: "c".to_owned(), holder: id };
    let marks = vec![BlockId::state(&"c".parse().unwrap())];
    let participants = vec![Participant { pended: pended(), actions: vec![1] }];
    let own = OwnPart::Pended(part.pend);
    vec![
        Payload::Noop,
        Payload::Tick,
        Payload::Resolve { id, expiry, session },
        Payload::Settings(SettingsEntry { decided: LogIndex(8), changes: settings }),
        Payload::System(SystemEntry { based_on: LogIndex(7), changes: system_changes() }),
        Payload::Pend(Pend { id, expiry, session, digest, is_primary: true, body, marks }),
        Payload::Commit(SpanningCommit {
            id,
            expiry,
            session,
            digest,
            own,
            actions: vec![0],
            participants,
        }),
        Payload::Abort(SpanningAbort { id, expiry, session, digest, rejection }),
        Payload::ResolvePart { part, is_committed: true },
        Payload::PartResolved { part, keys: vec![PlacementKey::from_u64(5)] },
        Payload::Dissolve { into: Some(crate::Digest::from_bytes([7; 32])) },
    ]
}

fn system_changes() -> Vec<SystemChange> {
    let peer = PeerId::from_digest(Digest::from_bytes([4; 32]));
    let record = NodeRecord {
        store: StoreId([5; 16]),
        weight: 100,
        domain: "rack".to_owned(),
        standing: NodeStanding::Draining,
        public_key: Bytes::from_static(&[6; 32]),
    };
    vec![
        SystemChange::PutNode(peer, record),
        SystemChange::RemoveNode(peer),
        SystemChange::Found(vec![(PartitionId(0), KeyBounds::ALL)]),
        SystemChange::Split {
            partition: PartitionId(0),
            at: PlacementKey::from_u64(9),
            child: PartitionId(1),
        },
        SystemChange::Level(FeatureLevel::NEWEST),
        SystemChange::Admission(AdmissionPolicy::Invited),
        SystemChange::Responsibility(5),
        SystemChange::Register { type_name: "acme".parse().unwrap(), version: TypeVersion(2) },
    ]
}

fn pend_answers() -> Vec<PendAnswer> {
    let silent = Rejection::Silent { partition: PartitionId(3) };
    vec![PendAnswer::Pended(pended()), PendAnswer::Refused(silent), PendAnswer::Resolved]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of a type may change only with the format version. A changed vector is a changed
/// format: old data could not be read.
#[test]
fn golden_vectors_hold() {
    let golden = include_str!("golden.txt");
    let mut found = format!("entry {}\n", hex(&encode(Kind::ENTRY, &entry())));
    found += &format!("body {}\n", hex(&encode(Kind::BODY, &request().body)));
    for outcome in outcomes() {
        found += &format!("outcome {}\n", hex(&encode(Kind::OUTCOME, &outcome)));
    }
    for payload in payloads() {
        let entry = Entry { time: Time::from_millis(1), payload };
        found += &format!("entry {}\n", hex(&encode(Kind::ENTRY, &entry)));
    }
    for answer in pend_answers() {
        found += &format!("answer {}\n", hex(&encode(Kind::PEND_ANSWER, &answer)));
    }
    assert_eq!(found, golden);
}

#[test]
fn every_type_round_trips() {
    assert_eq!(decode::<Entry>(Kind::ENTRY, &encode(Kind::ENTRY, &entry())).unwrap(), entry());
    for outcome in outcomes() {
        let bytes = encode(Kind::OUTCOME, &outcome);
        assert_eq!(decode::<Outcome>(Kind::OUTCOME, &bytes).unwrap(), outcome);
    }
    for payload in payloads() {
        let entry = Entry { time: Time::from_millis(1), payload };
        assert_eq!(decode::<Entry>(Kind::ENTRY, &encode(Kind::ENTRY, &entry)).unwrap(), entry);
    }
    for answer in pend_answers() {
        let bytes = encode(Kind::PEND_ANSWER, &answer);
        assert_eq!(decode::<PendAnswer>(Kind::PEND_ANSWER, &bytes).unwrap(), answer);
    }
}

#[test]
fn what_is_not_exactly_one_envelope_is_refused() {
    let bytes = encode(Kind::ENTRY, &entry());
    let refused = |bytes: &[u8]| decode::<Entry>(Kind::ENTRY, bytes).unwrap_err();
    assert_eq!(refused(&bytes[..1]), CodecError::Short(1));
    assert_eq!(refused(&[2, Kind::ENTRY.0]), CodecError::Version { found: 2 });
    assert_eq!(refused(&[1, 2]), CodecError::Kind { found: 2, expected: 1 });
    assert!(matches!(refused(&bytes[..bytes.len() - 1]), CodecError::Malformed(_)));
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(refused(&longer), CodecError::Trailing(1));
    let huge = vec![0; DECODE_BYTES_MAX + 1];
    assert!(matches!(refused(&huge), CodecError::TooLarge { .. }));
}

#[test]
fn a_length_that_claims_more_than_there_is_allocates_nothing_large() {
    // Kind OUTCOME, a vector that claims 2^60 elements.
    let bytes = [1, Kind::OUTCOME.0, 253, 0, 0, 0, 0, 0, 0, 0, 16];
    assert!(decode::<Vec<u64>>(Kind::OUTCOME, &bytes).is_err());
}

#[test]
fn an_invalid_name_is_refused_by_the_decoder() {
    let bytes = encode(Kind::BODY, "a//b");
    assert!(decode::<crate::CollectionName>(Kind::BODY, &bytes).is_err());
}

proptest! {
    #[test]
    fn any_bytes_decode_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let bytes = [&[FORMAT_VERSION, Kind::ENTRY.0], &bytes[..]].concat();
        if let Ok(entry) = decode::<Entry>(Kind::ENTRY, &bytes) {
            let again = encode(Kind::ENTRY, &entry);
            prop_assert_eq!(decode::<Entry>(Kind::ENTRY, &again).unwrap(), entry);
        }
    }

    #[test]
    fn any_flipped_bit_decodes_or_is_refused(at in any::<usize>(), bit in 0u8..8) {
        let mut bytes = encode(Kind::ENTRY, &entry()).to_vec();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        // Must not panic; what decodes may be another valid entry, which checksums above catch.
        let _ = decode::<Entry>(Kind::ENTRY, &bytes);
    }
}
