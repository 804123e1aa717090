//! Arrays of bytes as they are encoded: as they stand, without a length.
//!
//! Serde knows an array of bytes as a tuple of numbers and asks for each byte by itself, which takes a third of
//! the time of whoever decodes ids. Here they go eight at a time, as what the format writes as eight bytes that it
//! does not look at: a floating-point number. The bytes are the same. Moving such a number keeps
//! all of its bits on every processor that does not compute in wider registers.
//!
//! For fields: `#[serde(with = "weald_core::codec::raw")]`.

use std::fmt;

use serde::{
    Deserializer, Serializer,
    de::{Error as _, SeqAccess, Visitor},
    ser::SerializeTuple as _,
};

#[cfg(all(target_arch = "x86", not(target_feature = "sse2")))]
compile_error!("ids would not survive registers of 80 bits; build for a processor with SSE2");

/// Bytes that go at a time.
const STEP: usize = size_of::<f64>();

/// Encodes the bytes.
///
/// # Errors
/// When the format takes no more.
pub fn serialize<S: Serializer, const N: usize>(
    bytes: &[u8; N],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    const { assert!(N.is_multiple_of(STEP), "arrays go in whole steps") };
    let (steps, _) = bytes.as_chunks::<STEP>();
    let mut tuple = serializer.serialize_tuple(steps.len())?;
    for step in steps {
        tuple.serialize_element(&f64::from_le_bytes(*step))?;
    }
    tuple.end()
}

/// Decodes what [`serialize`] made.
///
/// # Errors
/// When there are fewer bytes.
pub fn deserialize<'de, D: Deserializer<'de>, const N: usize>(
    deserializer: D,
) -> Result<[u8; N], D::Error> {
    deserializer.deserialize_tuple(N / STEP, Steps)
}

struct Steps<const N: usize>;

impl<'de, const N: usize> Visitor<'de> for Steps<N> {
    type Value = [u8; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{N} bytes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut steps: A) -> Result<[u8; N], A::Error> {
        let mut bytes = [0; N];
        for (nth, place) in bytes.as_chunks_mut::<STEP>().0.iter_mut().enumerate() {
            let step: Option<f64> = steps.next_element()?;
            *place = step.ok_or_else(|| A::Error::invalid_length(nth * STEP, &self))?.to_le_bytes();
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::{Deserialize, Serialize};

    use crate::codec::{self, Kind};

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Stepped(#[serde(with = "super")] [u8; 32], #[serde(with = "super")] [u8; 16]);

    type Plain = ([u8; 32], [u8; 16]);

    fn check(long: [u8; 32], short: [u8; 16]) {
        let stepped = codec::encode(Kind(1), &Stepped(long, short));
        assert_eq!(stepped, codec::encode(Kind(1), &(long, short)));
        assert_eq!(codec::decode(Kind(1), &stepped), Ok(Stepped(long, short)));
        assert_eq!(codec::decode::<Plain>(Kind(1), &stepped), Ok((long, short)));
        for shorter in 2..stepped.len() {
            assert!(codec::decode::<Stepped>(Kind(1), &stepped[..shorter]).is_err());
        }
    }

    #[test]
    fn what_would_be_no_number_keeps_its_bits() {
        for first in [0x7f, 0xff] {
            for second in [0xf0, 0xf7, 0xf8, 0xff] {
                let mut long = [1; 32];
                (long[7], long[6]) = (first, second);
                check(long, [second; 16]);
            }
        }
        check([0xff; 32], [0; 16]);
    }

    proptest! {
        #[test]
        fn bytes_are_encoded_as_they_stand(long: [u8; 32], short: [u8; 16]) {
            check(long, short);
        }
    }
}
