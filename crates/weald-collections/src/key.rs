//! Keys as bytes whose order is the order of the values.
//!
//! Byte order is `Ord` for the integers, `bool`, `char`, strings, byte strings, options (`None`
//! first) and tuples of those; for `f64` it is [`f64::total_cmp`]. Parts of a tuple cannot run into
//! each other. The encoding is storekey's; it is named in this module and nowhere else.

use bytes::Bytes;
use storekey::{BorrowReader, DecodeError, EncodeError, Writer};

mod kinds;
#[cfg(test)]
mod tests;

/// Why bytes are not a key of the wanted type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No value of the type has this encoding.
    #[error("the key is not of the wanted type")]
    Malformed,
    /// Bytes follow the key.
    #[error("bytes follow the key")]
    Trailing,
}

/// A value that can be looked up as a key. Types that borrow from each other, such as `String` and
/// `str`, encode to the same bytes.
pub trait EncodeKey {
    /// Appends the encoding.
    fn encode_into(&self, writer: &mut KeyWriter<'_>);

    /// The encoded key.
    fn to_key(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(16);
        self.encode_into(&mut KeyWriter(Writer::new(&mut bytes)));
        bytes.into()
    }
}

/// The type of a tree's keys.
pub trait Key: EncodeKey + Sized {
    /// Reads what [`EncodeKey::encode_into`] wrote.
    ///
    /// # Errors
    /// [`KeyError`] when the bytes do not begin with an encoded key.
    fn decode_from(reader: &mut KeyReader<'_>) -> Result<Self, KeyError>;

    /// The key that `bytes` are.
    ///
    /// # Errors
    /// [`KeyError`] when they are not exactly what [`EncodeKey::to_key`] gives for some key.
    fn from_key(bytes: &[u8]) -> Result<Self, KeyError> {
        let mut reader = KeyReader(BorrowReader::new(bytes));
        let key = Self::decode_from(&mut reader)?;
        if !reader.0.is_empty() {
            return Err(KeyError::Trailing);
        }
        if key.to_key() != bytes {
            return Err(KeyError::Malformed);
        }
        Ok(key)
    }
}

/// Where a key is encoded to.
#[derive(Debug)]
pub struct KeyWriter<'b>(Writer<&'b mut Vec<u8>>);

impl KeyWriter<'_> {
    fn write(&mut self, write: impl FnOnce(&mut Writer<&mut Vec<u8>>) -> Result<(), EncodeError>) {
        write(&mut self.0).expect("a vector takes every byte");
    }

    /// Appends bytes of any length, ended so that what follows cannot run into them.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.write(|writer| writer.write_slice(bytes));
    }

    /// Appends a tag that orders the variants of a type.
    pub fn tag(&mut self, tag: u8) {
        self.write(|writer| writer.write_u8(tag));
    }
}

/// Where a key is decoded from.
pub struct KeyReader<'b>(BorrowReader<'b>);

impl<'b> KeyReader<'b> {
    fn read<T>(
        &mut self,
        read: impl FnOnce(&mut BorrowReader<'b>) -> Result<T, DecodeError>,
    ) -> Result<T, KeyError> {
        read(&mut self.0).map_err(|_| KeyError::Malformed)
    }

    /// Takes bytes that [`KeyWriter::bytes`] wrote.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] when there are none.
    pub fn bytes(&mut self) -> Result<Vec<u8>, KeyError> {
        self.read(BorrowReader::read_vec)
    }

    /// Takes a tag that [`KeyWriter::tag`] wrote.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] when nothing is left.
    pub fn tag(&mut self) -> Result<u8, KeyError> {
        self.read(BorrowReader::read_u8)
    }
}

/// Takes a byte string off the front of `bytes`; returns it with the count of bytes that follow.
pub(crate) fn split_bytes(bytes: &[u8]) -> Result<(Vec<u8>, usize), KeyError> {
    let mut reader = KeyReader(BorrowReader::new(bytes));
    let first = reader.bytes()?;
    Ok((first.clone(), bytes.len() - first.as_slice().to_key().len()))
}

impl std::fmt::Debug for KeyReader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyReader")
    }
}
