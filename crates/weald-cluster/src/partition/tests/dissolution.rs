//! The end of a network that nobody has used is decided by its logs.

use weald_core::{NodeRecord, NodeStanding, PeerId, StoreId, SystemChange, SystemEntry};

use super::{bank::Site, *};

const INTO: Digest = Digest::from_bytes([5; 32]);

fn end() -> Payload {
    Payload::Dissolve { into: Some(INTO) }
}

fn put_node(based_on: u64, byte: u8) -> Payload {
    let record = NodeRecord {
        store: StoreId([byte; 16]),
        weight: 1,
        domain: String::new(),
        standing: NodeStanding::Up,
        public_key: Bytes::new(),
    };
    let peer = PeerId::from_digest(Digest::from_bytes([byte; 32]));
    let changes = vec![SystemChange::PutNode(peer, record)];
    Payload::System(SystemEntry { based_on: LogIndex(based_on), changes })
}

#[test]
fn r31_a_partition_that_was_used_does_not_end() {
    let mut bench = Bench::new(ApplyLimits::default());
    assert!(bench.partition.dissolution().is_pristine(), "settings are no user's entry");
    bench.apply(1, put(1, 100, "a"));
    bench.try_apply(2, end()).unwrap();
    let standing = *bench.partition.dissolution();
    assert_eq!((standing.is_used, standing.into), (true, None));
    assert!(matches!(bench.apply(3, put(2, 100, "b")), Outcome::Committed(_)));
}

#[test]
fn r31_a_write_after_the_end_is_refused_for_good_and_makes_no_use() {
    let mut bench = Bench::new(ApplyLimits::default());
    bench.try_apply(1, end()).unwrap();
    let refused = Outcome::Rejected(Rejection::Dissolved { into: INTO });
    assert_eq!(bench.apply(2, put(1, 100, "a")), refused);
    assert!(!bench.partition.dissolution().is_used);
    bench.try_apply(3, Payload::Dissolve { into: None }).unwrap();
    assert_eq!(bench.apply(4, put(1, 100, "a")), refused, "a copy of it commits no more");
    assert!(matches!(bench.apply(5, put(2, 100, "b")), Outcome::Committed(_)));
}

#[test]
fn r31_admission_and_the_end_exclude_each_other() {
    let mut site = Site::empty(0);
    site.apply(1, put_node(0, 1));
    site.apply(2, end());
    assert_eq!(site.partition.dissolution().into, Some(INTO), "one node may leave");
    let refused = site.apply(3, put_node(1, 2)).refusal;
    assert_eq!(refused, Some(Rejection::Dissolved { into: INTO }));
    site.apply(4, Payload::Dissolve { into: None });
    site.apply(5, put_node(1, 2));
    let refused = site.apply(6, end()).refusal;
    assert_eq!(refused, Some(Rejection::InUse));
}
