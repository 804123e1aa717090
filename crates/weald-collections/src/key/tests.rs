//! The order of encoded keys is the order of values, and decoding gives them back.

use std::{cmp::Ordering, fmt::Debug};

use bytes::Bytes;
use proptest::prelude::*;

use super::{EncodeKey, Key, KeyError};

fn check<K: Key + Ord + Debug + Clone>(a: &K, b: &K) {
    assert_eq!(a.to_key().cmp(&b.to_key()), a.cmp(b), "{a:?} {b:?}");
    assert_eq!(K::from_key(&a.to_key()).as_ref(), Ok(a));
}

/// Bytes with many zeros and ones, which the encoding escapes.
fn escaped() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(
        prop_oneof![Just(0u8), Just(1), Just(2), Just(255), any::<u8>()],
        0..6,
    )
}

fn text() -> impl Strategy<Value = String> {
    proptest::collection::vec(
        prop_oneof![Just('\0'), Just('\u{1}'), Just('a'), any::<char>()],
        0..5,
    )
    .prop_map(|chars| chars.into_iter().collect())
}

macro_rules! orders {
    ($($name:ident: $ty:ty = $strategy:expr;)*) => {
        proptest! {$(
            #[test]
            fn $name(a in $strategy, b in $strategy) {
                check::<$ty>(&a, &b);
            }
        )*}
    };
}

orders! {
    a17_encoded_order_is_value_order_for_u8: u8 = any::<u8>();
    a17_encoded_order_is_value_order_for_u16: u16 = any::<u16>();
    a17_encoded_order_is_value_order_for_u32: u32 = any::<u32>();
    a17_encoded_order_is_value_order_for_u64: u64 = any::<u64>();
    a17_encoded_order_is_value_order_for_u128: u128 = any::<u128>();
    a17_encoded_order_is_value_order_for_i8: i8 = any::<i8>();
    a17_encoded_order_is_value_order_for_i16: i16 = any::<i16>();
    a17_encoded_order_is_value_order_for_i32: i32 = any::<i32>();
    a17_encoded_order_is_value_order_for_i64: i64 = any::<i64>();
    a17_encoded_order_is_value_order_for_i128: i128 = any::<i128>();
    a17_encoded_order_is_value_order_for_bool: bool = any::<bool>();
    a17_encoded_order_is_value_order_for_char: char = any::<char>();
    a17_encoded_order_is_value_order_for_strings: String = text();
    a17_encoded_order_is_value_order_for_byte_strings: Vec<u8> = escaped();
    a17_encoded_order_is_value_order_for_shared_bytes: Bytes = escaped().prop_map(Bytes::from);
    a17_encoded_order_is_value_order_for_options: Option<i16> = any::<Option<i16>>();
    a17_encoded_order_is_value_order_for_nested_options: Option<Option<String>> =
        proptest::option::of(proptest::option::of(text()));
    a17_encoded_order_is_value_order_for_pairs: (String, String) = (text(), text());
    a17_encoded_order_is_value_order_for_mixed_tuples: (Vec<u8>, Option<i8>, bool) =
        (escaped(), any::<Option<i8>>(), any::<bool>());
    a17_encoded_order_is_value_order_for_tuples_of_six: (bool, String, i8, Option<bool>, u8, Vec<u8>) =
        (any::<bool>(), text(), any::<i8>(), any::<Option<bool>>(), any::<u8>(), escaped());
    a17_encoded_order_is_value_order_for_nested_tuples: ((String, bool), (i8, Vec<u8>)) =
        ((text(), any::<bool>()), (any::<i8>(), escaped()));
}

proptest! {
    #[test]
    fn a17_encoded_order_is_the_total_order_of_floats(a in any::<f64>(), b in any::<f64>()) {
        prop_assert_eq!(a.to_key().cmp(&b.to_key()), a.total_cmp(&b));
        prop_assert_eq!(f64::from_key(&a.to_key()).unwrap().to_bits(), a.to_bits());
    }

    #[test]
    fn any_bytes_are_a_key_or_refused(bytes in escaped()) {
        if let Ok(key) = <(String, Option<u8>)>::from_key(&bytes) {
            prop_assert_eq!(key.to_key(), bytes.clone());
        }
        if let Ok(key) = <(Vec<u8>, bool)>::from_key(&bytes) {
            prop_assert_eq!(key.to_key(), bytes.clone());
        }
    }
}

#[test]
fn a17_extremes_are_ordered() {
    let check = |a: &[u8], b: &[u8]| assert_eq!(a.cmp(b), Ordering::Less);
    check(&i64::MIN.to_key(), &(-1i64).to_key());
    check(&(-1i64).to_key(), &0i64.to_key());
    check(&f64::NEG_INFINITY.to_key(), &(-0.0f64).to_key());
    check(&(-0.0f64).to_key(), &0.0f64.to_key());
    check(&("a", "b").to_key(), &("a\0", "").to_key());
    check(&("", 9u8).to_key(), &("\0", 0u8).to_key());
    check(&None::<u8>.to_key(), &Some(0u8).to_key());
}

#[test]
fn borrowed_forms_encode_alike() {
    assert_eq!("text".to_key(), "text".to_owned().to_key());
    assert_eq!([1u8, 0][..].to_key(), vec![1u8, 0].to_key());
    assert_eq!(("a", 1u8).to_key(), ("a".to_owned(), 1u8).to_key());
}

#[test]
fn bytes_that_no_key_encodes_to_are_refused() {
    assert_eq!(u16::from_key(&[1]), Err(KeyError::Malformed));
    assert_eq!(u16::from_key(&[1, 2, 3]), Err(KeyError::Trailing));
    assert_eq!(bool::from_key(&[2]), Err(KeyError::Malformed));
    assert_eq!(char::from_key(&[0xff; 4]), Err(KeyError::Malformed));
    assert_eq!(String::from_key(b"open"), Err(KeyError::Malformed));
    assert_eq!(String::from_key(&[0xff, 0]), Err(KeyError::Malformed));
    assert_eq!(String::from_key(&[1, b'a', 0]), Err(KeyError::Malformed), "a needless escape");
}

/// Keys stand in trees: their bytes may not change.
#[test]
fn golden_keys_hold() {
    assert_eq!(&7u32.to_key()[..], [0, 0, 0, 7]);
    assert_eq!(&(-1i16).to_key()[..], [0x7f, 0xff]);
    assert_eq!(&"a\0\u{1}b".to_key()[..], [b'a', 1, 0, 1, 1, b'b', 0]);
    assert_eq!(&(true, None::<u8>, Some('x')).to_key()[..], [1, 0, 1, 0, 0, 0, b'x']);
    assert_eq!(&1.0f64.to_key()[..], [0xbf, 0xf0, 0, 0, 0, 0, 0, 0]);
}
