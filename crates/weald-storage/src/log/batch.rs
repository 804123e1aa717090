//! Batches: what one sync writes. A header, a table with one line per partition, then each
//! partition's records, each with its own checksum, so that damage is told apart by partition.

use std::ops::Range;

use bytes::{BufMut, Bytes};
use weald_core::PartitionId;

use super::{
    cursor::Cursor,
    fill::FillPattern,
    record::{self, Record},
    segment::SECTOR,
    standing::Standing,
};

const MAGIC: u32 = u32::from_le_bytes(*b"WBAT");
/// Bytes of a batch's header.
pub(crate) const BATCH_HEADER_BYTES: usize = 48;
/// Bytes of one line of a batch's table.
pub(crate) const SECTION_LINE_BYTES: usize = 3 * 4 + Standing::BYTES;

/// What a batch is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BatchKind {
    /// Submitted records.
    Records,
    /// The first of a segment: a summary of every partition.
    Summary,
    /// A summary of a log that may have forgotten partitions altogether.
    PartialSummary,
    /// The last of a segment: the log goes on in the next one, which is prepared.
    Seal,
}

/// A batch's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    pub(crate) kind: BatchKind,
    /// One more than the batch before.
    pub(crate) sequence: u64,
    /// The first segment that is still needed.
    pub(crate) head: u64,
    /// Bytes, header included, without the padding to a whole sector.
    pub(crate) length: u32,
    pub(crate) section_count: u32,
    pub(crate) table_crc: u32,
}

/// The records of one partition in one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) partition: PartitionId,
    /// How the partition stands after the section.
    pub(crate) standing: Standing,
    pub(crate) records: Vec<Record>,
}

/// Where a section's body is and how to check it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) length: u32,
    pub(crate) crc: u32,
    pub(crate) cookie: u64,
}

/// A section as found on disk: with its records, or only its line of the table when they are damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FoundSection {
    Whole(Section, Place),
    Damaged(SectionLine),
}

/// A line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SectionLine {
    pub(crate) partition: PartitionId,
    pub(crate) standing: Standing,
    pub(crate) place: Place,
}

/// Where a batch goes: its place and what is derived from it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchSite {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) cookie: u64,
}

impl BatchSite {
    pub(crate) fn new(segment: u64, offset: u64, pattern: &FillPattern) -> Self {
        Self { segment, offset, cookie: pattern.cookie(offset) }
    }
}

/// Encodes a batch into `out`, which is cleared first and padded to whole sectors. Returns the place
/// of each section.
pub(crate) fn encode(
    site: BatchSite,
    mut header: BatchHeader,
    sections: &[Section],
    out: &mut Vec<u8>,
) -> Vec<Place> {
    out.clear();
    out.resize(BATCH_HEADER_BYTES + sections.len() * SECTION_LINE_BYTES, 0);
    let mut places = Vec::with_capacity(sections.len());
    let mut table = Vec::with_capacity(sections.len() * SECTION_LINE_BYTES);
    for section in sections {
        let start = out.len();
        record::encode(&section.records, out);
        let body = &out[start..];
        let place = Place {
            segment: site.segment,
            offset: site.offset + start as u64,
            length: length_of(body),
            crc: checksum(site.cookie, body),
            cookie: site.cookie,
        };
        put_line(&mut table, section, &place);
        places.push(place);
    }
    header.length = length_of(out);
    header.section_count = u32::try_from(sections.len()).expect("a batch is small");
    header.table_crc = checksum(site.cookie, &table);
    out[..BATCH_HEADER_BYTES].copy_from_slice(&header.encode(site.cookie));
    out[BATCH_HEADER_BYTES..][..table.len()].copy_from_slice(&table);
    out.resize(out.len().next_multiple_of(SECTOR), 0);
    places
}

fn put_line(table: &mut Vec<u8>, section: &Section, place: &Place) {
    table.put_u32_le(section.partition.0);
    table.put_u32_le(place.length);
    table.put_u32_le(place.crc);
    section.standing.put(table);
}

fn length_of(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("a batch is smaller than a segment")
}

/// CRC-32 over the batch's cookie, which stands for store, segment, use and offset, and `bytes`.
pub(crate) fn checksum(cookie: u64, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&cookie.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

impl BatchHeader {
    pub(crate) fn new(kind: BatchKind, sequence: u64, head: u64) -> Self {
        Self { kind, sequence, head, length: 0, section_count: 0, table_crc: 0 }
    }

    fn encode(&self, cookie: u64) -> [u8; BATCH_HEADER_BYTES] {
        let mut bytes = Vec::with_capacity(BATCH_HEADER_BYTES);
        bytes.put_u32_le(MAGIC);
        bytes.put_u32_le(0);
        bytes.put_u64_le(cookie);
        bytes.put_u64_le(self.sequence);
        bytes.put_u64_le(self.head);
        bytes.put_u32_le(self.length);
        bytes.put_u32_le(self.section_count);
        bytes.put_u32_le(self.table_crc);
        bytes.put_u32_le(match self.kind {
            BatchKind::Records => 0,
            BatchKind::Summary => 1,
            BatchKind::Seal => 2,
            BatchKind::PartialSummary => 3,
        });
        let crc = crc32fast::hash(&bytes[8..]).to_le_bytes();
        bytes[4..8].copy_from_slice(&crc);
        bytes.try_into().expect("the fields take as many bytes as the header")
    }

    /// Reads a header. `None` unless it is whole and was written for exactly this place.
    pub(crate) fn decode(bytes: &[u8], cookie: u64) -> Option<Self> {
        let bytes = bytes.get(..BATCH_HEADER_BYTES)?;
        let mut cursor = Cursor::new(bytes);
        let is_header = cursor.u32()? == MAGIC
            && cursor.u32()? == crc32fast::hash(&bytes[8..])
            && cursor.u64()? == cookie;
        if !is_header {
            return None;
        }
        Some(Self {
            sequence: cursor.u64()?,
            head: cursor.u64()?,
            length: cursor.u32()?,
            section_count: cursor.u32()?,
            table_crc: cursor.u32()?,
            kind: match cursor.u32()? {
                0 => BatchKind::Records,
                1 => BatchKind::Summary,
                2 => BatchKind::Seal,
                3 => BatchKind::PartialSummary,
                _ => return None,
            },
        })
    }

    /// Bytes that the batch takes on disk.
    pub(crate) fn extent(&self) -> usize {
        usize::try_from(self.length).map_or(usize::MAX, |length| length.next_multiple_of(SECTOR))
    }

    /// Reads the sections of the batch whose extent is `batch`. `None` when its table is damaged.
    pub(crate) fn sections(&self, site: BatchSite, batch: &Bytes) -> Option<Vec<FoundSection>> {
        let length = usize::try_from(self.length).ok()?;
        let count = usize::try_from(self.section_count).ok()?;
        let table_end = count.checked_mul(SECTION_LINE_BYTES)?.checked_add(BATCH_HEADER_BYTES)?;
        let table = batch.get(BATCH_HEADER_BYTES..table_end)?;
        if checksum(site.cookie, table) != self.table_crc {
            return None;
        }
        let mut start = table_end;
        let mut sections = Vec::with_capacity(count);
        for line in table.chunks_exact(SECTION_LINE_BYTES) {
            let line = SectionLine::decode(line, site, start)?;
            let end = start.checked_add(usize::try_from(line.place.length).ok()?)?;
            if end > length.min(batch.len()) {
                return None;
            }
            sections.push(line.section(&batch.slice(start..end)));
            start = end;
        }
        (start == length).then_some(sections)
    }
}

impl SectionLine {
    /// Reads a line whose body begins at `start` in the batch.
    fn decode(bytes: &[u8], site: BatchSite, start: usize) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let partition = PartitionId(cursor.u32()?);
        let (length, crc) = (cursor.u32()?, cursor.u32()?);
        let standing = Standing::take(&mut cursor)?;
        let BatchSite { segment, offset, cookie } = site;
        let place = Place { segment, offset: offset + start as u64, length, crc, cookie };
        Some(Self { partition, standing, place })
    }

    fn section(self, body: &Bytes) -> FoundSection {
        let Self { partition, standing, place } = self;
        match place.records(body) {
            Some(records) => FoundSection::Whole(Section { partition, standing, records }, place),
            None => FoundSection::Damaged(self),
        }
    }
}

impl Place {
    /// The bytes of the segment that the body takes.
    pub(crate) fn span(&self) -> Range<u64> {
        self.offset..self.offset + u64::from(self.length)
    }

    /// The records in a section's body, if the body is what was written here.
    pub(crate) fn records(&self, body: &Bytes) -> Option<Vec<Record>> {
        if checksum(self.cookie, body) != self.crc {
            return None;
        }
        record::decode(body)
    }
}

#[cfg(test)]
mod tests {
    use weald_core::{Digest, Epoch, LogIndex, LogPoint, PeerId, StoreId};

    use super::*;

    fn site() -> BatchSite {
        BatchSite::new(4, 8192, &FillPattern::new(StoreId([1; 16]), 4, &[2; 16]))
    }

    fn standing(number: u64) -> Standing {
        let campaigner =
            Some(PeerId::from_digest(Digest::from_bytes([u8::try_from(number).unwrap(); 32])));
        let last = LogPoint { index: LogIndex(number), epoch: Epoch { number: 4, campaigner } };
        let base = LogPoint { index: LogIndex(1), ..LogPoint::default() };
        let cut_from = LogIndex(7);
        Standing { number, states: 3, cuts: 2, cut_from, base, last, is_amnesiac: number == 2 }
    }

    fn sections() -> Vec<Section> {
        let section = |partition, number| Section {
            partition: PartitionId(partition),
            standing: standing(number),
            records: vec![Record::Entry {
                index: LogIndex(number),
                epoch: Epoch::default(),
                bytes: Bytes::from_static(b"entry"),
                is_fill: false,
            }],
        };
        vec![section(0, 10), section(7, 2)]
    }

    fn encoded() -> (Vec<u8>, Vec<Place>) {
        let mut out = Vec::new();
        let header = BatchHeader::new(BatchKind::Records, 33, 2);
        let places = encode(site(), header, &sections(), &mut out);
        (out, places)
    }

    #[test]
    fn a_batch_round_trips() {
        let (out, places) = encoded();
        assert_eq!(out.len(), SECTOR);
        let header = BatchHeader::decode(&out, site().cookie).unwrap();
        assert_eq!((header.sequence, header.head, header.kind), (33, 2, BatchKind::Records));
        let found = header.sections(site(), &Bytes::from(out)).unwrap();
        let expected = sections().into_iter().zip(places);
        let expected: Vec<_> = expected.map(|(s, p)| FoundSection::Whole(s, p)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_batch_is_no_batch_at_another_place_or_use() {
        let (out, _) = encoded();
        for (segment, offset, salt) in [(4, 4096, 2), (5, 8192, 2), (4, 8192, 3)] {
            let pattern = FillPattern::new(StoreId([1; 16]), segment, &[salt; 16]);
            let other = BatchSite::new(segment, offset, &pattern);
            assert_eq!(BatchHeader::decode(&out, other.cookie), None);
        }
    }

    #[test]
    fn a_flipped_bit_damages_only_the_section_that_holds_it() {
        let (out, places) = encoded();
        let length = BatchHeader::decode(&out, site().cookie).unwrap().length as usize;
        for bit in 0..length * 8 {
            let mut flipped = out.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let header = BatchHeader::decode(&flipped, site().cookie);
            let found = header.and_then(|header| header.sections(site(), &Bytes::from(flipped)));
            let byte = 8192 + (bit / 8) as u64;
            let holder = places.iter().position(|place| place.span().contains(&byte));
            let Some(holder) = holder else {
                assert_eq!(found, None, "header or table, bit={bit}");
                continue;
            };
            let found = found.unwrap();
            let damaged = |section: &FoundSection| matches!(section, FoundSection::Damaged(_));
            assert_eq!(found.iter().position(damaged), Some(holder), "bit={bit}");
            assert_eq!(found.iter().filter(|section| damaged(section)).count(), 1);
        }
    }
}
