//! One segment as it is on disk, and a walk over the batches in it.

use std::{io, sync::Arc};

use bytes::Bytes;
use weald_core::StoreId;

use super::{
    LogOpenError,
    batch::{BatchHeader, BatchKind, BatchSite, FoundSection},
    disk::{Disk, DiskFile},
    fill::{FillPattern, UNIT},
    segment::{FORMAT_VERSION, HeaderError, SECTOR, SegmentHeader, segment_name},
};

/// No segment is larger, whatever a header says: 1 GiB.
pub(crate) const SEGMENT_BYTES_MAX: u64 = 1 << 30;
/// Head, two batches and foot.
pub(crate) const SEGMENT_BYTES_MIN: u64 = 4 * SECTOR as u64;

/// A segment that is open.
#[derive(Clone)]
pub(crate) struct Segment {
    pub(crate) header: SegmentHeader,
    pub(crate) pattern: FillPattern,
    pub(crate) file: Arc<dyn DiskFile>,
}

/// A segment with all of its bytes.
pub(crate) struct SegmentImage {
    pub(crate) segment: Segment,
    pub(crate) bytes: Bytes,
}

/// A batch as it was found.
#[derive(Clone, Debug)]
pub(crate) struct FoundBatch {
    pub(crate) site: BatchSite,
    pub(crate) header: BatchHeader,
    /// `None` when the table is damaged.
    pub(crate) sections: Option<Vec<FoundSection>>,
    /// Between the batch before and this one are sectors that make no batch.
    pub(crate) after_gap: bool,
    /// One of its units was never written.
    pub(crate) has_unwritten: bool,
}

/// What follows the last batch of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// The fill pattern.
    Clean,
    /// The fill pattern, with bits rotted.
    Rotted,
    /// Written bytes. `begins_unwritten`: not where the next batch's header would be.
    Written { begins_unwritten: bool },
}

impl Segment {
    pub(crate) fn new(header: SegmentHeader, file: Arc<dyn DiskFile>) -> Self {
        Self { pattern: header.pattern(), header, file }
    }

    pub(crate) fn site(&self, offset: u64) -> BatchSite {
        BatchSite::new(self.header.number, offset, &self.pattern)
    }
}

impl SegmentImage {
    /// Reads segment `number`. `None` when neither copy of its header can be read.
    pub(crate) fn load(
        disk: &dyn Disk,
        store: StoreId,
        number: u64,
    ) -> Result<Option<Self>, LogOpenError> {
        let name = segment_name(number);
        let file = disk.open(&name)?;
        let size = file.size()?;
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&size) {
            return Ok(None);
        }
        let mut bytes = vec![0; usize::try_from(size).map_err(io::Error::other)?];
        file.read_at(0, &mut bytes)?;
        let foot = bytes.len() - SECTOR;
        let header = match (SegmentHeader::decode(&bytes), SegmentHeader::decode(&bytes[foot..])) {
            (Ok(header), _) | (_, Ok(header)) => header,
            (Err(HeaderError::Version(version)), _) | (_, Err(HeaderError::Version(version))) => {
                return Err(other_format(name, version));
            }
            _ => return Ok(None),
        };
        if header.store != store {
            return Err(LogOpenError::ForeignStore { file: name, found: header.store, store });
        }
        if header.number != number || header.size() > SEGMENT_BYTES_MAX {
            return Ok(None);
        }
        bytes.resize(usize::try_from(header.size()).map_err(io::Error::other)?, 0);
        Ok(Some(Self { segment: Segment::new(header, file), bytes: bytes.into() }))
    }

    /// Walks over the batches.
    pub(crate) fn batches(&self) -> Batches<'_> {
        Batches { image: self, offset: SECTOR }
    }

    /// What is between `offset` and the foot.
    pub(crate) fn rest(&self, offset: u64) -> Rest {
        let Some(rest) = self.slice(offset, self.segment.header.body_end()) else {
            return Rest::Clean;
        };
        let pattern = &self.segment.pattern;
        if pattern.matches(offset, rest) {
            return Rest::Clean;
        }
        let mut units = units(offset, rest);
        let begins_unwritten = units.next().is_none_or(|(at, unit)| pattern.is_unwritten(at, unit));
        match begins_unwritten && units.all(|(at, unit)| pattern.is_unwritten(at, unit)) {
            true => Rest::Rotted,
            false => Rest::Written { begins_unwritten },
        }
    }

    pub(crate) fn slice(&self, from: u64, to: u64) -> Option<&[u8]> {
        self.bytes.get(usize::try_from(from).ok()?..usize::try_from(to).ok()?)
    }

    fn batch_at(&self, at: usize) -> Option<FoundBatch> {
        let site = self.segment.site(at as u64);
        let header = BatchHeader::decode(&self.bytes[at..], site.cookie)?;
        let end = at.checked_add(header.extent())?;
        if end as u64 > self.segment.header.body_end() || end == at {
            return None;
        }
        let batch = self.bytes.slice(at..end);
        let sections = header.sections(site, &batch);
        let mut units = units(at as u64, &batch);
        let has_unwritten = units.any(|(at, unit)| self.segment.pattern.is_unwritten(at, unit));
        Some(FoundBatch { site, header, sections, after_gap: false, has_unwritten })
    }
}

fn other_format(file: String, version: u32) -> LogOpenError {
    let supported = FORMAT_VERSION;
    match version > supported {
        true => LogOpenError::NewerFormat { file, version, supported },
        false => LogOpenError::OlderFormat { file, version, supported },
    }
}

fn units(offset: u64, bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    bytes.chunks(UNIT).zip(0..).map(move |(unit, at)| (offset + at * UNIT as u64, unit))
}

impl FoundBatch {
    pub(crate) fn is_whole(&self) -> bool {
        let is_whole = |section: &FoundSection| matches!(section, FoundSection::Whole(..));
        self.sections.as_ref().is_some_and(|sections| sections.iter().all(is_whole))
    }

    pub(crate) fn is_seal(&self) -> bool {
        self.header.kind == BatchKind::Seal
    }
}

/// The batches of a segment in order. Damaged stretches are skipped sector by sector until a batch
/// that was written exactly there.
pub(crate) struct Batches<'a> {
    image: &'a SegmentImage,
    offset: usize,
}

impl Batches<'_> {
    /// Where the batch after the last one found would begin.
    pub(crate) fn offset(&self) -> u64 {
        self.offset as u64
    }
}

impl Iterator for Batches<'_> {
    type Item = FoundBatch;

    fn next(&mut self) -> Option<FoundBatch> {
        let end = self.image.bytes.len() - SECTOR;
        let at = (self.offset..end).step_by(SECTOR);
        let mut found = at.filter_map(|at| self.image.batch_at(at)).next()?;
        let begin = usize::try_from(found.site.offset).ok()?;
        found.after_gap = begin != self.offset;
        self.offset = begin + found.header.extent();
        Some(found)
    }
}
