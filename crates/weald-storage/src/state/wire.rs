//! Numbers and byte strings inside a stored record.
//!
//! A number is a little-endian base-128 varint: seven bits a byte, the high bit set on all but the
//! last. A byte string is its length as a number, then its bytes. Reading never panics: every
//! method answers `None` for bytes that do not hold what is asked for.

/// Longest encoding of a number, in bytes.
const NUMBER_BYTES_MAX: usize = 10;

/// Appends a number.
pub(crate) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    loop {
        let low = u8::try_from(number & 0x7f).expect("seven bits fit a byte");
        number >>= 7;
        if number == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

/// Appends a length.
pub(crate) fn put_length(out: &mut Vec<u8>, length: usize) {
    put_number(out, u64::try_from(length).expect("a length fits 64 bits"));
}

/// Appends a byte string.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_length(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// Reads fields from the front of a byte string.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'b> {
    rest: &'b [u8],
}

impl<'b> Fields<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether everything was read.
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// What was not read yet.
    pub(crate) fn rest(&self) -> &'b [u8] {
        self.rest
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(byte)
    }

    /// A number in its one canonical form.
    pub(crate) fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for position in 0..NUMBER_BYTES_MAX {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            let shift = 7 * u32::try_from(position).ok()?;
            if bits.checked_shl(shift)?.wrapping_shr(shift) != bits {
                return None;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return (byte != 0 || position == 0).then_some(number);
            }
        }
        None
    }

    pub(crate) fn length(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok()
    }

    pub(crate) fn take(&mut self, length: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    pub(crate) fn bytes(&mut self) -> Option<&'b [u8]> {
        let length = self.length()?;
        self.take(length)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*array)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_round_trip_at_every_length() {
        let edges = (0..64).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit, (1 << bit) + 1]);
        for number in edges.chain([u64::MAX]) {
            let mut bytes = Vec::new();
            put_number(&mut bytes, number);
            let mut fields = Fields::new(&bytes);
            assert_eq!(fields.number(), Some(number));
            assert!(fields.is_empty());
        }
    }

    #[test]
    fn numbers_that_are_cut_padded_or_too_large_are_refused() {
        let too_large = [0xff_u8; 9].iter().copied().chain([0x02]).collect::<Vec<_>>();
        for bytes in [&[][..], &[0x80], &[0x81, 0x00], &too_large, &[0xff; 11]] {
            assert_eq!(Fields::new(bytes).number(), None, "{bytes:02x?}");
        }
    }

    #[test]
    fn a_byte_string_longer_than_what_is_there_is_refused() {
        let mut bytes = Vec::new();
        put_bytes(&mut bytes, b"abc");
        assert_eq!(Fields::new(&bytes).bytes(), Some(&b"abc"[..]));
        assert_eq!(Fields::new(&bytes[..3]).bytes(), None);
    }
}
