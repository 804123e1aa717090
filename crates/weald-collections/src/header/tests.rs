//! The bytes of headers and of what the codec carries for every collection.

use weald_core::{Block, Digest, PlacementKey, Retention, Revision, Sequence};

use super::*;
use crate::{Appended, ChangeRecord, CreateAnswer, DiaryAnswer, ExpectedVersion, RawDiary};

fn header() -> CollectionHeader {
    let name: CollectionName = "shop/orders".parse().unwrap();
    CollectionHeader {
        type_name: "diary".parse().unwrap(),
        version: TypeVersion(1),
        chain_use: ChainUse::Entries,
        policy: CollectionPolicy {
            retention: Retention { entries_max: Some(9), ..Retention::ALL },
        },
        options: Bytes::from_static(b"o"),
        root: Bytes::from_static(b"r"),
        created_at: Time::from_millis(1_700_000_000_000),
        created_by: TransactionId::new(PlacementKey::of(&name), [7; 16]),
        name,
    }
}

fn stored(kind: BlockKind, payload: Bytes) -> StoredBlock {
    let id = header().id();
    StoredBlock { block: Block { id, kind, collection: id, payload }, revision: Revision(1) }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_header_round_trips_and_anything_else_is_damage() {
    let payload = header().encode();
    let read = CollectionHeader::decode(&stored(BlockKind::HEADER, payload.clone()));
    assert_eq!(read, Ok(header()));
    assert!(CollectionHeader::decode(&stored(BlockKind::STATE, payload.clone())).is_err());
    for len in 0..payload.len() {
        let cut = stored(BlockKind::HEADER, payload.slice(..len));
        assert!(CollectionHeader::decode(&cut).is_err());
    }
    let other = CollectionHeader { name: "shop/other".parse().unwrap(), ..header() };
    assert!(CollectionHeader::decode(&stored(BlockKind::HEADER, other.encode())).is_err());
}

/// A changed vector is a changed format: what is on disk or in a log could not be read.
#[test]
fn golden_vectors_hold() {
    let appended = Appended { first: Sequence(3), entries: vec!["a".into(), "".into()] };
    let record = ChangeRecord { actions: Digest::ZERO, notes: vec!["n".into()] };
    let answer = DiaryAnswer { first: Sequence(300), revision: Revision(4) };
    let diary = RawDiary::new("d".parse().unwrap());
    let append = diary.append(ExpectedVersion::Exact(Sequence(5)), vec!["e".into()]);
    let weald_core::ActionBody::Apply(append) = append.body else { panic!("not an operation") };
    let found = [
        ("header", header().encode()),
        ("created", CreateAnswer { is_new: true }.encode()),
        ("appended", appended.encode()),
        ("record", record.encode()),
        ("diary answer", codec::encode(kind::DIARY_ANSWER, &answer)),
        ("diary append", append),
    ];
    let lines = found.map(|(what, bytes)| format!("{what} {}\n", hex(&bytes))).concat();
    assert_eq!(lines, include_str!("golden.txt"));
    assert_eq!(Appended::decode(&appended.encode()), Ok(appended));
    assert_eq!(ChangeRecord::decode(&record.encode()), Ok(record));
}
