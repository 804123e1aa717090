//! Segment files: their names and their header, which is kept twice.

use weald_core::StoreId;

use super::{cursor::Cursor, fill::FillPattern};

/// Batches begin on multiples of it, and head and foot of a segment take one each: 4096 bytes.
pub(crate) const SECTOR: usize = 4096;

/// The version that this code writes, and the only one that it reads.
pub(crate) const FORMAT_VERSION: u32 = 2;

const MAGIC: [u8; 8] = *b"WEALDLOG";
const HEADER_BYTES: usize = 60;
const SUFFIX: &str = ".seg";
const SPARE_SUFFIX: &str = ".new";

/// The head of a segment: the first sector, repeated as the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// The store that the segment belongs to.
    pub(crate) store: StoreId,
    /// Counts every use of every file of this log; the file is named after it.
    pub(crate) number: u64,
    /// Sectors in the file, head and foot included.
    pub(crate) sectors: u32,
    /// Drawn for this use.
    pub(crate) salt: [u8; 16],
}

/// Why a header is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderError {
    /// The bytes are no header.
    Damaged,
    /// The header is whole; another version of Weald wrote the file.
    Version(u32),
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; SECTOR] {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.sectors.to_le_bytes());
        bytes.extend_from_slice(&self.store.0);
        bytes.extend_from_slice(&self.number.to_le_bytes());
        bytes.extend_from_slice(&self.salt);
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        let mut sector = [0; SECTOR];
        sector[..HEADER_BYTES].copy_from_slice(&bytes);
        sector
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        Self::parse(bytes).unwrap_or(Err(HeaderError::Damaged))
    }

    fn parse(bytes: &[u8]) -> Option<Result<Self, HeaderError>> {
        let mut cursor = Cursor::new(bytes.get(..HEADER_BYTES)?);
        let magic: [u8; 8] = cursor.array()?;
        let version = cursor.u32()?;
        let sectors = cursor.u32()?;
        let store = StoreId(cursor.array()?);
        let number = cursor.u64()?;
        let salt = cursor.array()?;
        if magic != MAGIC || cursor.u32()? != crc32fast::hash(&bytes[..HEADER_BYTES - 4]) {
            return None;
        }
        if version != FORMAT_VERSION {
            return Some(Err(HeaderError::Version(version)));
        }
        Some(Ok(Self { store, number, sectors, salt }))
    }

    pub(crate) fn pattern(&self) -> FillPattern {
        FillPattern::new(self.store, self.number, &self.salt)
    }

    /// Where batches may be: between head and foot.
    pub(crate) fn body_end(&self) -> u64 {
        (u64::from(self.sectors) - 1) * SECTOR as u64
    }

    /// Bytes in the file.
    pub(crate) fn size(&self) -> u64 {
        u64::from(self.sectors) * SECTOR as u64
    }
}

/// The file name of a segment in use or prepared for it.
pub(crate) fn segment_name(number: u64) -> String {
    format!("{number:08}{SUFFIX}")
}

/// The file name of a segment that is being prepared, or spare.
pub(crate) fn spare_name(number: u64) -> String {
    format!("{number:08}{SPARE_SUFFIX}")
}

/// The number in a segment's file name.
pub(crate) fn segment_number(name: &str) -> Option<u64> {
    number_before(name, SUFFIX)
}

/// The number in a spare file's name.
pub(crate) fn spare_number(name: &str) -> Option<u64> {
    number_before(name, SPARE_SUFFIX)
}

fn number_before(name: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_suffix(suffix)?;
    let is_number = digits.len() >= 8 && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        SegmentHeader { store: StoreId([7; 16]), number: 12, sectors: 16, salt: [9; 16] }
    }

    #[test]
    fn a_header_round_trips_and_any_flipped_bit_of_it_is_found() {
        let sector = header().encode();
        assert_eq!(SegmentHeader::decode(&sector), Ok(header()));
        for bit in 0..HEADER_BYTES * 8 {
            let mut flipped = sector;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&flipped), Err(HeaderError::Damaged), "bit={bit}");
        }
        assert_eq!(SegmentHeader::decode(&sector[..20]), Err(HeaderError::Damaged));
    }

    #[test]
    fn another_version_is_told_from_damage() {
        for version in [1, FORMAT_VERSION + 1] {
            let mut sector = header().encode();
            sector[8..12].copy_from_slice(&version.to_le_bytes());
            let crc = crc32fast::hash(&sector[..HEADER_BYTES - 4]).to_le_bytes();
            sector[HEADER_BYTES - 4..HEADER_BYTES].copy_from_slice(&crc);
            assert_eq!(SegmentHeader::decode(&sector), Err(HeaderError::Version(version)));
        }
    }

    #[test]
    fn names_round_trip() {
        assert_eq!(segment_number(&segment_name(7)), Some(7));
        assert_eq!(segment_number(&segment_name(1 << 40)), Some(1 << 40));
        assert_eq!(spare_number("00000003.new"), Some(3));
        for name in ["3.seg", "0000000x.seg", "00000003.new", "+0000003.seg"] {
            assert_eq!(segment_number(name), None, "{name}");
        }
    }
}
