//! Batches: what one sync writes. A header, a table with one line per partition, then each
//! partition's records, each with its own checksum, so that damage is told apart by partition.

use bytes::{BufMut, Bytes};
use weald_core::PartitionId;

use super::{
    cursor::Cursor,
    fill::FillPattern,
    record::{self, Record},
    segment::SECTOR,
};

const MAGIC: u32 = u32::from_le_bytes(*b"WBAT");
/// Bytes of a batch's header.
pub(crate) const BATCH_HEADER_BYTES: usize = 48;
/// Bytes of one line of a batch's table.
pub(crate) const SECTION_LINE_BYTES: usize = 32;

/// What a batch is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BatchKind {
    /// Submitted records.
    Records,
    /// The first of a segment: a summary of every partition.
    Summary,
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
    /// Counts the partition's sections; summaries repeat the count.
    pub(crate) number: u64,
    /// Counts the partition's state records, those in this section included.
    pub(crate) states: u64,
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

/// A line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SectionLine {
    partition: PartitionId,
    number: u64,
    states: u64,
    length: u32,
    crc: u32,
}

/// A section as found on disk: its records, or only the name of the partition when they are damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FoundSection {
    Whole(Section, Place),
    Damaged(PartitionId),
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
    table.put_u64_le(section.number);
    table.put_u64_le(section.states);
    table.put_u32_le(place.crc);
    table.put_u32_le(0);
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
            let line = SectionLine::decode(line)?;
            let end = start.checked_add(usize::try_from(line.length).ok()?)?;
            if end > length.min(batch.len()) {
                return None;
            }
            sections.push(line.section(site, start, batch.slice(start..end)));
            start = end;
        }
        (start == length).then_some(sections)
    }
}

impl SectionLine {
    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let partition = PartitionId(cursor.u32()?);
        let length = cursor.u32()?;
        let (number, states) = (cursor.u64()?, cursor.u64()?);
        let crc = cursor.u32()?;
        Some(Self { partition, number, states, length, crc })
    }

    fn section(&self, site: BatchSite, start: usize, body: Bytes) -> FoundSection {
        let place = Place {
            segment: site.segment,
            offset: site.offset + start as u64,
            length: self.length,
            crc: self.crc,
            cookie: site.cookie,
        };
        let Some(records) = place.records(&body) else {
            return FoundSection::Damaged(self.partition);
        };
        let Self { partition, number, states, .. } = *self;
        FoundSection::Whole(Section { partition, number, states, records }, place)
    }
}

impl Place {
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
    use weald_core::{Epoch, LogIndex, StoreId};

    use super::*;

    fn site() -> BatchSite {
        BatchSite::new(4, 8192, &FillPattern::new(StoreId([1; 16]), 4, &[2; 16]))
    }

    fn sections() -> Vec<Section> {
        let section = |partition, number| Section {
            partition: PartitionId(partition),
            number,
            states: 0,
            records: vec![Record::Entry {
                index: LogIndex(number),
                epoch: Epoch::default(),
                bytes: Bytes::from_static(b"entry"),
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
            let holder = places.iter().position(|place| {
                (place.offset..place.offset + u64::from(place.length)).contains(&byte)
            });
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
