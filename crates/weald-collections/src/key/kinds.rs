//! The types that can be keys.

use bytes::Bytes;

use super::{EncodeKey, Key, KeyError, KeyReader, KeyWriter};

/// Numbers, by the pair of functions that storekey has for each.
macro_rules! number {
    ($($ty:ident $write:ident $read:ident),* $(,)?) => {$(
        impl EncodeKey for $ty {
            fn encode_into(&self, writer: &mut KeyWriter<'_>) {
                writer.write(|writer| writer.$write(*self));
            }
        }

        impl Key for $ty {
            fn decode_from(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
                reader.read(|reader| reader.$read())
            }
        }
    )*};
}

number! {
    u8 write_u8 read_u8,
    u16 write_u16 read_u16,
    u32 write_u32 read_u32,
    u64 write_u64 read_u64,
    u128 write_u128 read_u128,
    i8 write_i8 read_i8,
    i16 write_i16 read_i16,
    i32 write_i32 read_i32,
    i64 write_i64 read_i64,
    i128 write_i128 read_i128,
    f64 write_f64 read_f64,
}

/// Tuples: their parts one after the other.
macro_rules! tuple {
    ($($part:ident $at:tt),*) => {
        impl<$($part: EncodeKey),*> EncodeKey for ($($part,)*) {
            fn encode_into(&self, writer: &mut KeyWriter<'_>) {
                $(self.$at.encode_into(writer);)*
            }
        }

        impl<$($part: Key),*> Key for ($($part,)*) {
            fn decode_from(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
                Ok(($($part::decode_from(reader)?,)*))
            }
        }
    };
}

tuple!(A 0);
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
tuple!(A 0, B 1, C 2, D 3, E 4);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5);

/// Byte strings in their owned and borrowed forms.
macro_rules! byte_string {
    ($($ty:ty),*) => {$(
        impl EncodeKey for $ty {
            fn encode_into(&self, writer: &mut KeyWriter<'_>) {
                writer.bytes(self.as_ref());
            }
        }
    )*};
}

byte_string!([u8], Vec<u8>, Bytes, str, String);

impl Key for Vec<u8> {
    fn decode_from(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        reader.bytes()
    }
}

impl Key for Bytes {
    fn decode_from(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        reader.bytes().map(Self::from)
    }
}

impl Key for String {
    fn decode_from(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        Self::from_utf8(reader.bytes()?).map_err(|_| KeyError::Malformed)
    }
}

impl EncodeKey for bool {
    fn encode_into(&self, writer: &mut KeyWriter<'_>) {
        writer.tag(u8::from(*self));
    }
}

impl Key for bool {
    fn decode_from(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        match reader.tag()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(KeyError::Malformed),
        }
    }
}

impl EncodeKey for char {
    fn encode_into(&self, writer: &mut KeyWriter<'_>) {
        u32::from(*self).encode_into(writer);
    }
}

impl Key for char {
    fn decode_from(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        Self::from_u32(u32::decode_from(reader)?).ok_or(KeyError::Malformed)
    }
}

impl<T: EncodeKey> EncodeKey for Option<T> {
    fn encode_into(&self, writer: &mut KeyWriter<'_>) {
        writer.tag(u8::from(self.is_some()));
        if let Some(value) = self {
            value.encode_into(writer);
        }
    }
}

impl<T: Key> Key for Option<T> {
    fn decode_from(reader: &mut KeyReader<'_>) -> Result<Self, KeyError> {
        match reader.tag()? {
            0 => Ok(None),
            1 => T::decode_from(reader).map(Some),
            _ => Err(KeyError::Malformed),
        }
    }
}

impl<T: EncodeKey + ?Sized> EncodeKey for &T {
    fn encode_into(&self, writer: &mut KeyWriter<'_>) {
        (**self).encode_into(writer);
    }
}
