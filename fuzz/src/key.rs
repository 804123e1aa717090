//! Keys of trees: any bytes are a key or refused, a key has one form, and the order of bytes is the order of keys.

use std::fmt::Debug;

use weald_collections::Key;

use crate::script::Script;

/// Reads `data` as two byte keys and takes them for keys of several types.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let left = script.bytes(64).to_vec();
    let right = if script.byte().is_multiple_of(2) {
        script.bytes(64).to_vec()
    } else {
        neighbour(&left, &mut script)
    };
    check::<u64>(&left, &right);
    check::<i32>(&left, &right);
    check::<String>(&left, &right);
    check::<Vec<u8>>(&left, &right);
    check::<Option<String>>(&left, &right);
    check::<(String, u64)>(&left, &right);
    check::<(Vec<u8>, Option<i64>)>(&left, &right);
    check::<bool>(&left, &right);
}

/// One byte away, so that both are often keys of one type.
fn neighbour(key: &[u8], script: &mut Script<'_>) -> Vec<u8> {
    let mut key = key.to_vec();
    let at = script.below(key.len());
    if let Some(byte) = key.get_mut(at) {
        *byte = script.byte();
    }
    key
}

fn check<K: Key + Ord + Debug>(left: &[u8], right: &[u8]) {
    let decode = |bytes: &[u8]| {
        let key = K::from_key(bytes).ok()?;
        assert_eq!(key.to_key()[..], *bytes, "a key has two forms key={key:?}");
        Some(key)
    };
    if let (Some(left_key), Some(right_key)) = (decode(left), decode(right)) {
        assert_eq!(
            left_key.cmp(&right_key),
            left.cmp(right),
            "left={left_key:?} right={right_key:?}"
        );
    }
}
