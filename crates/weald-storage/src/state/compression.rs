//! Compression of stored records, with a flag in each: records of several kinds live side by side,
//! so changing the setting needs no rewriting.

/// How the content of a record may be compressed. What does not get smaller is stored raw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Nothing is compressed.
    Off,
    /// LZ4 in its block format: fast both ways, about half the bytes of JSON-like data.
    #[default]
    Lz4,
}

/// Content below this length is stored raw, in bytes: what there is to gain is less than the cost.
const COMPRESS_BYTES_MIN: usize = 128;

/// The form that content was stored in: bits of a record's flags, part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Raw,
    Lz4,
}

impl Form {
    pub(crate) const MASK: u8 = 0b11;

    pub(crate) fn bits(self) -> u8 {
        match self {
            Self::Raw => 0,
            Self::Lz4 => 1,
        }
    }

    pub(crate) fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::Raw),
            1 => Some(Self::Lz4),
            _ => None,
        }
    }
}

impl Compression {
    /// The smaller form of `content`; `None` if that is the content itself.
    pub(crate) fn compress(self, content: &[u8]) -> Option<(Form, Vec<u8>)> {
        if self == Self::Off || content.len() < COMPRESS_BYTES_MIN {
            return None;
        }
        let compressed = lz4_flex::block::compress(content);
        // A sixteenth must be saved, or reading pays for nothing.
        let worth_it = compressed.len() < content.len() - content.len() / 16;
        worth_it.then_some((Form::Lz4, compressed))
    }
}

/// Undoes [`Compression::compress`]. `length` is what the content must come to, checked by the
/// caller against the most that a record may hold: nothing larger is ever allocated.
pub(crate) fn decompress(form: Form, bytes: &[u8], length: usize) -> Result<Vec<u8>, &'static str> {
    let mut content = vec![0; length];
    let written = match form {
        Form::Raw if bytes.len() == length => {
            content.copy_from_slice(bytes);
            length
        }
        Form::Raw => return Err("the content has another length"),
        Form::Lz4 => lz4_flex::block::decompress_into(bytes, &mut content)
            .map_err(|_| "the content does not decompress")?,
    };
    if written != length {
        return Err("the content decompresses to another length");
    }
    Ok(content)
}
