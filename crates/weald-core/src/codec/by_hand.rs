//! Encoding and decoding by hand, for what is read and written so often that the way through serde costs more than
//! all the rest. The bytes are those that [`encode`](super::encode) makes; a test beside each use says so.

use bytes::Bytes;

use super::{CodecError, FORMAT_VERSION, Kind, content};

/// Numbers up to this take one byte; each of the markers behind it tells how many bytes follow.
const SINGLE_MAX: u8 = 250;
const TWO: u8 = 251;
const FOUR: u8 = 252;
const EIGHT: u8 = 253;

/// Writes an envelope and what is in it.
#[derive(Debug)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// An envelope of `kind` that takes about so many bytes.
    pub fn new(kind: Kind, expected: usize) -> Self {
        let mut bytes = Vec::with_capacity(expected);
        bytes.extend([FORMAT_VERSION, kind.0]);
        Self(bytes)
    }

    /// A `u8`.
    pub fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    /// A `u16`, `u32` or `u64`, the number of an enum's variant, the length of a sequence.
    pub fn number(&mut self, number: u64) {
        if let Ok(single @ 0..=SINGLE_MAX) = u8::try_from(number) {
            self.0.push(single);
        } else if let Ok(two) = u16::try_from(number) {
            self.0.push(TWO);
            self.0.extend(two.to_le_bytes());
        } else if let Ok(four) = u32::try_from(number) {
            self.0.push(FOUR);
            self.0.extend(four.to_le_bytes());
        } else {
            self.0.push(EIGHT);
            self.0.extend(number.to_le_bytes());
        }
    }

    /// An array of bytes.
    pub fn array(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The length of a sequence, whose items follow.
    pub fn len(&mut self, len: usize) {
        self.number(len as u64);
    }

    /// What was written.
    pub fn finish(self) -> Bytes {
        self.0.into()
    }
}

/// Reads what is in an envelope.
#[derive(Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Opens an envelope.
    ///
    /// # Errors
    /// When it is not one of this version and kind.
    pub fn open(kind: Kind, bytes: &'a [u8]) -> Result<Self, CodecError> {
        content(kind, bytes).map(Self)
    }

    /// An array of bytes.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let (array, left) = self.0.split_first_chunk().ok_or_else(ended)?;
        self.0 = left;
        Ok(*array)
    }

    /// A `u8`.
    ///
    /// # Errors
    /// When nothing is left.
    pub fn byte(&mut self) -> Result<u8, CodecError> {
        self.array().map(|[byte]| byte)
    }

    /// A `u64`, the number of an enum's variant, the length of a sequence.
    ///
    /// # Errors
    /// When there is none.
    pub fn number(&mut self) -> Result<u64, CodecError> {
        Ok(match self.byte()? {
            single @ 0..=SINGLE_MAX => single.into(),
            TWO => u16::from_le_bytes(self.array()?).into(),
            FOUR => u32::from_le_bytes(self.array()?).into(),
            EIGHT => u64::from_le_bytes(self.array()?),
            _ => return Err(CodecError::Malformed("no number of 64 bits".to_owned())),
        })
    }

    /// The length of a sequence whose items take at least `least` bytes each, so that nobody makes room for
    /// items that cannot be there.
    ///
    /// # Errors
    /// When there is none, or there are not so many bytes.
    pub fn len(&mut self, least: usize) -> Result<usize, CodecError> {
        let len = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        if len.saturating_mul(least) > self.0.len() { Err(ended()) } else { Ok(len) }
    }

    /// Ends reading.
    ///
    /// # Errors
    /// When bytes are left over.
    pub fn end(self) -> Result<(), CodecError> {
        match self.0.len() {
            0 => Ok(()),
            left => Err(CodecError::Trailing(left)),
        }
    }
}

fn ended() -> CodecError {
    CodecError::Malformed("it ends early".to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::{decode, encode};

    const KIND: Kind = Kind(9);

    fn check(byte: u8, small: u32, number: u64, list: &[u64]) {
        let value = (byte, small, number, list.to_vec(), [byte; 3]);
        let mut writer = Writer::new(KIND, 0);
        writer.byte(byte);
        writer.number(small.into());
        writer.number(number);
        writer.len(list.len());
        list.iter().for_each(|one| writer.number(*one));
        writer.array(&[byte; 3]);
        let bytes = writer.finish();
        assert_eq!(bytes, encode(KIND, &value));
        assert_eq!(decode(KIND, &bytes), Ok(value));

        let mut reader = Reader::open(KIND, &bytes).unwrap();
        assert_eq!(reader.byte(), Ok(byte));
        assert_eq!(reader.number(), Ok(small.into()));
        assert_eq!(reader.number(), Ok(number));
        let len = reader.len(1).unwrap();
        let read: Vec<u64> = (0..len).map(|_| reader.number().unwrap()).collect();
        assert_eq!(read, list);
        assert_eq!(reader.array(), Ok([byte; 3]));
        assert_eq!(reader.end(), Ok(()));
    }

    #[test]
    fn numbers_at_the_edges_of_their_sizes_are_encoded_as_serde_does() {
        let edges = [0, 250, 251, 255, 256, 65_535, 65_536, u64::from(u32::MAX), 1 << 32, u64::MAX];
        for number in edges {
            check(7, u32::try_from(number).unwrap_or(0), number, &edges);
        }
    }

    #[test]
    fn what_is_no_envelope_of_the_kind_is_refused() {
        assert_eq!(Reader::open(KIND, &[1]).err(), Some(CodecError::Short(1)));
        assert_eq!(Reader::open(KIND, &[9, 9]).err(), Some(CodecError::Version { found: 9 }));
        let other = Reader::open(KIND, &[FORMAT_VERSION, 8]).err();
        assert_eq!(other, Some(CodecError::Kind { found: 8, expected: 9 }));
    }

    #[test]
    fn what_ends_early_or_late_or_promises_more_is_refused() {
        let envelope = |content: &[u8]| [&[FORMAT_VERSION, KIND.0][..], content].concat();
        let number = |content: &[u8]| Reader::open(KIND, &envelope(content)).unwrap().number();
        for wrong in [&[][..], &[TWO, 1], &[FOUR, 1, 1, 1], &[EIGHT, 0], &[254], &[255]] {
            assert!(matches!(number(wrong), Err(CodecError::Malformed(_))), "{wrong:?}");
        }
        let promise = envelope(&[FOUR, 255, 255, 255, 255, 1]);
        assert!(Reader::open(KIND, &promise).unwrap().len(1).is_err());
        let longer = envelope(&[1, 2]);
        let mut reader = Reader::open(KIND, &longer).unwrap();
        assert_eq!(reader.byte(), Ok(1));
        assert_eq!(reader.end(), Err(CodecError::Trailing(1)));
    }

    proptest! {
        #[test]
        fn anything_is_encoded_as_serde_does(
            byte: u8, small: u32, number: u64, list in prop::collection::vec(any::<u64>(), 0..300),
        ) {
            check(byte, small, number, &list);
        }
    }
}
