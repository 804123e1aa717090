//! The bytes of nodes, as `docs/format.md` has them.

use bytes::Bytes;
use weald_core::{BlockId, Revision};

use crate::btree::{
    INNER_KIND, LEAF_KIND, check_node,
    inner::{self, Child},
    leaf::encode_entry,
};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn id(last: u8) -> BlockId {
    let mut bytes = [0; BlockId::LEN];
    bytes[23] = last;
    BlockId::from_bytes(bytes)
}

/// A changed vector is a changed format: trees on disk could not be read.
#[test]
fn golden_nodes_hold() {
    let leaf = [encode_entry(b"a", Revision(7), b"one"), encode_entry(b"bc", Revision(258), b"")];
    let leaf = Bytes::from(leaf.concat());
    let entries = "0100".to_owned()
        + "61"
        + "0700000000000000"
        + "03000000"
        + "6f6e65"
        + "0200"
        + "6263"
        + "0201000000000000"
        + "00000000";
    assert_eq!(hex(&leaf), entries);
    assert_eq!(check_node(id(0), LEAF_KIND, &leaf), Ok(2));

    let child = |key: &'static [u8], last| Child { key: Bytes::from_static(key), id: id(last) };
    let inner = inner::encode(&[child(b"", 1), child(b"bc", 2), child(b"d", 3)]);
    let zeros = "00".repeat(15);
    let expect = "0300".to_owned()
        + "1000"
        + "2200"
        + "3300"
        + &format!("{zeros}01")
        + &format!("{zeros}026263")
        + &format!("{zeros}0364");
    assert_eq!(hex(&inner), expect);
    assert_eq!(check_node(id(0), INNER_KIND, &inner), Ok(3));
    assert_eq!((LEAF_KIND.0, INNER_KIND.0), (16, 17));
}
