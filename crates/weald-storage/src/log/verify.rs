//! Scrubbing: every byte of every segment is either part of a whole batch, its zero padding, a
//! header, or the fill pattern. Anything else is reported.

use std::{collections::BTreeSet, io, ops::RangeInclusive};

use weald_core::{LogError, PartitionId, StoreId};

use super::{
    LogOpenError,
    batch::{FoundSection, Section},
    disk::Disk,
    image::{FoundBatch, SegmentImage},
    segment::{SECTOR, SegmentHeader, segment_name, segment_number},
};

/// What a scrub found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogReport {
    /// Segment files read.
    pub segments: usize,
    /// Whole batches in them.
    pub batches: usize,
    /// Bytes read.
    pub bytes: u64,
    /// Everything that is not as it was written.
    pub damages: Vec<LogDamage>,
}

/// A damaged place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDamage {
    /// The file, in the log's folder.
    pub file: String,
    /// Where the damage begins, or the batch that holds it.
    pub offset: u64,
    /// Partitions that lost something; empty when none did or when it is not known.
    pub partitions: Vec<PartitionId>,
    /// What is wrong.
    pub what: &'static str,
}

impl LogReport {
    /// Drops what concerns segments below `head`: they are not needed, and may be in use anew.
    pub(crate) fn forget_below(&mut self, head: u64) {
        let is_needed = |damage: &LogDamage| segment_number(&damage.file) >= Some(head);
        self.damages.retain(is_needed);
    }

    pub(crate) fn join(&mut self, other: Self) {
        self.segments += other.segments;
        self.batches += other.batches;
        self.bytes += other.bytes;
        self.damages.extend(other.damages);
    }
}

/// Reads the segments whose numbers are in `range`; the first must be there, and the last unless the
/// range has no end.
pub(crate) fn verify(
    disk: &dyn Disk,
    store: StoreId,
    range: RangeInclusive<u64>,
) -> Result<LogReport, LogError> {
    let io_error = |error: io::Error| LogError::Io(error.to_string());
    let names = disk.list().map_err(io_error)?;
    let numbers: BTreeSet<_> = names.iter().filter_map(|name| segment_number(name)).collect();
    let mut scrub = Scrub::default();
    let mut next = *range.start();
    for number in numbers.iter().filter(|number| range.contains(number)) {
        scrub.file = segment_name(*number);
        if next != *number {
            scrub.add(0, "a segment before this one is missing");
        }
        next = number.saturating_add(1);
        match SegmentImage::load(disk, store, *number) {
            Ok(Some(image)) => scrub.segment(&image),
            Ok(None) => scrub.add(0, "neither copy of the header can be read"),
            Err(LogOpenError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                scrub.add(0, "the segment is missing");
            }
            Err(LogOpenError::Io(error)) => return Err(io_error(error)),
            Err(_) => scrub.add(0, "the header names another store or a newer format"),
        }
    }
    if *range.end() != u64::MAX && next <= *range.end() {
        scrub.file = segment_name(next);
        scrub.add(0, "the segment is missing");
    }
    Ok(scrub.report)
}

#[derive(Default)]
struct Scrub {
    report: LogReport,
    file: String,
    next_sequence: Option<u64>,
}

impl Scrub {
    fn segment(&mut self, image: &SegmentImage) {
        self.report.segments += 1;
        self.report.bytes += image.segment.header.size();
        self.headers(image);
        let mut batches = image.batches();
        let mut offset = SECTOR as u64;
        while let Some(batch) = batches.next() {
            if batch.after_gap {
                self.add(offset, "bytes that make no batch");
            }
            offset = batches.offset();
            self.batch(image, &batch);
        }
        self.rest(image, offset);
    }

    fn headers(&mut self, image: &SegmentImage) {
        let expected = image.segment.header.encode();
        let foot = image.bytes.len() - SECTOR;
        for at in [0, foot] {
            if image.bytes.get(at..at + SECTOR) != Some(expected.as_slice()) {
                let is_read = SegmentHeader::decode(&image.bytes[at..]).is_ok();
                let what = if is_read { "padding of a header" } else { "a copy of the header" };
                self.add(at as u64, what);
            }
        }
    }

    fn batch(&mut self, image: &SegmentImage, batch: &FoundBatch) {
        let (begin, length) = (batch.site.offset, u64::from(batch.header.length));
        let is_next = self.next_sequence.is_none_or(|next| next == batch.header.sequence);
        if !is_next && !batch.after_gap {
            self.add(begin, "a batch before this one is missing");
        }
        self.next_sequence = Some(batch.header.sequence.saturating_add(1));
        let Some(sections) = &batch.sections else {
            return self.add(begin, "the table of a batch");
        };
        let partitions: Vec<_> = sections.iter().filter_map(damaged_partition).collect();
        if partitions.is_empty() {
            self.report.batches += 1;
        } else {
            self.add(begin, "records of a batch");
            if let Some(damage) = self.report.damages.last_mut() {
                damage.partitions = partitions;
            }
        }
        let end = begin + batch.header.extent() as u64;
        let padding = image.slice(begin + length, end).unwrap_or_default();
        if padding.iter().any(|byte| *byte != 0) {
            self.add(begin + length, "padding of a batch");
        }
    }

    fn rest(&mut self, image: &SegmentImage, offset: u64) {
        let rest = image.slice(offset, image.segment.header.body_end()).unwrap_or_default();
        let pattern = &image.segment.pattern;
        let sectors = rest.chunks(SECTOR).zip(0..);
        let mut sectors = sectors.map(|(sector, at)| (offset + at * SECTOR as u64, sector));
        if let Some((at, _)) = sectors.find(|(at, sector)| !pattern.matches(*at, sector)) {
            self.add(at, "bytes where nothing was written");
        }
    }

    fn add(&mut self, offset: u64, what: &'static str) {
        let file = self.file.clone();
        self.report.damages.push(LogDamage { file, offset, partitions: Vec::new(), what });
    }
}

fn damaged_partition(section: &FoundSection) -> Option<PartitionId> {
    match section {
        FoundSection::Whole(Section { .. }, _) => None,
        FoundSection::Damaged(partition) => Some(*partition),
    }
}
