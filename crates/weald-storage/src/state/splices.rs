//! Splices as bytes: how a change of a block waits for its checkpoint and how it is stored.
//!
//! Encoded once, when a change is committed, and copied from there into the record. Each splice is
//! the numbers offset and remove and the byte string that comes in; they follow one another to the
//! end of the bytes.

use weald_core::{Splice, limits::BLOCK_BYTES_MAX};

use super::wire::{Fields, put_bytes, put_number};

/// Bytes before what comes in: three numbers below the size of a block.
const HEAD_BYTES_MAX: usize = 12;

/// Appends `splices`.
pub(crate) fn put_splices(out: &mut Vec<u8>, splices: &[Splice]) {
    out.reserve(splices.iter().map(|splice| splice.insert.len() + HEAD_BYTES_MAX).sum());
    for splice in splices {
        put_number(out, splice.offset.into());
        put_number(out, splice.remove.into());
        put_bytes(out, &splice.insert);
    }
}

/// Applies encoded splices, each to the result of the one before. On an error `payload` is in
/// between.
pub(crate) fn apply_splices(payload: &mut Vec<u8>, encoded: &[u8]) -> Result<(), &'static str> {
    let mut fields = Fields::new(encoded);
    while !fields.is_empty() {
        let (offset, remove, insert) = read_splice(&mut fields).ok_or("a splice does not parse")?;
        let end = offset.checked_add(remove).filter(|end| *end <= payload.len());
        let end = end.ok_or("a splice reaches past the payload")?;
        if payload.len() - remove + insert.len() > BLOCK_BYTES_MAX {
            return Err("a splice makes the payload too large");
        }
        if remove == insert.len() {
            payload[offset..end].copy_from_slice(insert);
        } else {
            payload.splice(offset..end, insert.iter().copied());
        }
    }
    Ok(())
}

/// Whether the bytes parse, without a payload to apply them to.
pub(crate) fn are_splices(encoded: &[u8]) -> bool {
    let mut fields = Fields::new(encoded);
    while !fields.is_empty() {
        if read_splice(&mut fields).is_none() {
            return false;
        }
    }
    true
}

fn read_splice<'b>(fields: &mut Fields<'b>) -> Option<(usize, usize, &'b [u8])> {
    Some((fields.length()?, fields.length()?, fields.bytes()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_splice_past_the_payload_is_an_error() {
        for (offset, remove) in [(4, 0), (0, 4), (3, 1)] {
            let mut encoded = Vec::new();
            put_splices(&mut encoded, &[Splice::new(offset, remove, &b"x"[..])]);
            assert!(apply_splices(&mut b"abc".to_vec(), &encoded).is_err());
        }
    }

    #[test]
    fn a_payload_over_the_cap_is_an_error() {
        let mut encoded = Vec::new();
        put_splices(&mut encoded, &[Splice::new(0, 0, vec![0; BLOCK_BYTES_MAX])]);
        assert!(apply_splices(&mut b"abc".to_vec(), &encoded).is_err());
    }

    proptest! {
        #[test]
        fn encoded_splices_do_what_a_vector_does(
            start in proptest::collection::vec(any::<u8>(), 0..64),
            edits in proptest::collection::vec(
                (any::<u16>(), 0usize..8, proptest::collection::vec(any::<u8>(), 0..8)), 0..8),
        ) {
            let mut model = start.clone();
            let mut encoded = Vec::new();
            for (at, remove, insert) in edits {
                let offset = usize::from(at) % (model.len() + 1);
                let remove = remove.min(model.len() - offset);
                model.splice(offset..offset + remove, insert.iter().copied());
                put_splices(&mut encoded, &[Splice::new(offset, remove, insert)]);
            }
            let mut payload = start;
            prop_assert!(are_splices(&encoded));
            prop_assert!(apply_splices(&mut payload, &encoded).is_ok());
            prop_assert_eq!(payload, model);
        }

        #[test]
        fn any_bytes_are_applied_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut payload = vec![7; 32];
            let applied = apply_splices(&mut payload, &bytes).is_ok();
            prop_assert!(!applied || are_splices(&bytes));
        }
    }
}
