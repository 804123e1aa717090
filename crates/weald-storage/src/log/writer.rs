//! Writing: one batch, one sync, then the news. At most one batch is ever unsynced.

use std::{io, sync::Arc, time::Instant};

use super::{
    batch::{self, BatchHeader, BatchKind, Place, Section},
    catalog::Catalog,
    fill::UNIT,
    image::Segment,
    partition::PartitionLog,
    plan::{Plan, PlannedSection, TailChange},
    recovery::FIRST_POSITION,
    segment::SECTOR,
};

/// The end of the log.
pub(crate) struct Writer {
    active: Segment,
    position: u64,
    next_sequence: u64,
    /// The first segment needed, as the last synced batch says.
    head: u64,
    /// Partitions may have been there that the catalog does not have; summaries say so.
    is_forgetful: bool,
    buffer: Vec<u8>,
    figures: LogFigures,
}

/// What a log has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogFigures {
    /// Syncs of batches. Preparing segments, which nobody waits for, is not counted.
    pub sync_count: u64,
    /// Bytes of the batches.
    pub written_bytes: u64,
    /// How long writing and syncing them took, in microseconds.
    pub sync_us: u64,
}

/// Where a writer begins.
pub(crate) struct WriterStart {
    pub(crate) active: Segment,
    pub(crate) position: u64,
    pub(crate) next_sequence: u64,
    pub(crate) head: u64,
    pub(crate) is_forgetful: bool,
}

impl Writer {
    pub(crate) fn new(start: WriterStart) -> Self {
        let WriterStart { active, position, next_sequence, head, is_forgetful } = start;
        let (buffer, figures) = (Vec::new(), LogFigures::default());
        Self { active, position, next_sequence, head, is_forgetful, buffer, figures }
    }

    /// What has been written so far.
    pub(crate) fn figures(&self) -> LogFigures {
        self.figures
    }

    /// The number of the segment that is written.
    pub(crate) fn active_number(&self) -> u64 {
        self.active.header.number
    }

    /// Where the next batch goes.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Bytes that a batch may take in this segment; a sector is kept for the seal.
    pub(crate) fn remaining(&self) -> usize {
        let end = self.active.header.body_end() - SECTOR as u64;
        usize::try_from(end.saturating_sub(self.position)).unwrap_or(usize::MAX)
    }

    /// The first segment needed, durably.
    pub(crate) fn head(&self) -> u64 {
        self.head
    }

    /// Whether the segment lacks the summary that must come first in all but the log's first.
    pub(crate) fn needs_summary(&self) -> bool {
        self.position == FIRST_POSITION && self.active.header.number > 1
    }

    /// Seals the segment and goes on in `next`.
    pub(crate) fn begin(&mut self, next: Segment, catalog: &Catalog) -> io::Result<()> {
        self.write(BatchKind::Seal, self.head, &[])?;
        self.active = next;
        self.position = FIRST_POSITION;
        self.write_summary(catalog)
    }

    /// Begins a segment by repeating what earlier ones say of each partition.
    pub(crate) fn write_summary(&mut self, catalog: &Catalog) -> io::Result<()> {
        let partitions = catalog.partitions.iter();
        let sections: Vec<_> = partitions
            .map(|(partition, known)| {
                let (standing, summary) = known.summary();
                Section { partition: *partition, standing, records: vec![summary] }
            })
            .collect();
        let kind = if self.is_forgetful { BatchKind::PartialSummary } else { BatchKind::Summary };
        self.write(kind, self.head, &sections)?;
        Ok(())
    }

    /// Writes and syncs submitted records. Returns where they are.
    pub(crate) fn write_records(
        &mut self,
        head: u64,
        sections: &[Section],
    ) -> io::Result<Vec<Place>> {
        self.write(BatchKind::Records, head, sections)
    }

    fn write(
        &mut self,
        kind: BatchKind,
        head: u64,
        sections: &[Section],
    ) -> io::Result<Vec<Place>> {
        let header = BatchHeader::new(kind, self.next_sequence, head);
        let site = self.active.site(self.position);
        let places = batch::encode(site, header, sections, &mut self.buffer);
        let begun = Instant::now();
        self.active.file.write_at(self.position, &self.buffer)?;
        self.active.file.sync()?;
        self.figures.sync_count += 1;
        self.figures.written_bytes += self.buffer.len() as u64;
        let took_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.figures.sync_us = self.figures.sync_us.saturating_add(took_us);
        self.position += self.buffer.len() as u64;
        self.next_sequence += 1;
        self.head = head;
        Ok(places)
    }
}

/// The sections of a plan, with how their partitions will stand.
pub(crate) fn plan_sections(plan: &mut Plan, catalog: &Catalog) -> Vec<Section> {
    let section = |planned: &mut PlannedSection| {
        let records = std::mem::take(&mut planned.records);
        let standing = match catalog.partitions.get(&planned.partition) {
            Some(known) => known.standing_after(&records),
            None => PartitionLog::default().standing_after(&records),
        };
        Section { partition: planned.partition, standing, records }
    };
    plan.sections.iter_mut().map(section).collect()
}

/// Takes durable sections into the catalog.
pub(crate) fn absorb(catalog: &mut Catalog, sections: &[Section], places: &[Place], plan: Plan) {
    for ((section, place), planned) in sections.iter().zip(places).zip(plan.sections) {
        let known = catalog.partitions.entry(section.partition).or_default();
        known.absorb(section, *place);
        if let Some(ticket) = planned.synced {
            known.note_synced(ticket);
        }
        for change in planned.tail {
            match change {
                TailChange::Push(record) => catalog.tail.push(section.partition, record),
                TailChange::Cut(from) => catalog.tail.cut(section.partition, from),
                TailChange::Release(below) => catalog.tail.release(section.partition, below),
            }
        }
    }
}

/// Makes the end of a recovered log fit to go on from: the last batch may be in the operating
/// system's memory only, or lack padding, and a torn one has left its traces behind it.
pub(crate) fn mend(
    last_batch: Option<(Segment, u64, usize)>,
    torn: Option<(&Segment, u64)>,
) -> io::Result<()> {
    if let Some((segment, offset, extent)) = last_batch {
        let mut bytes = vec![0; extent];
        segment.file.read_at(offset, &mut bytes)?;
        let header = BatchHeader::decode(&bytes, segment.pattern.cookie(offset));
        let length = header.and_then(|header| usize::try_from(header.length).ok());
        let units =
            bytes.chunks_mut(UNIT).zip(0..).skip(length.map_or(0, |length| length.div_ceil(UNIT)));
        for (unit, at) in units {
            if segment.pattern.is_unwritten(offset + at * UNIT as u64, unit) {
                unit.fill(0);
            }
        }
        segment.file.write_at(offset, &bytes)?;
        segment.file.sync()?;
    }
    if let Some((segment, position)) = torn {
        let count = segment.header.body_end().saturating_sub(position);
        let mut bytes = vec![0; usize::try_from(count).map_err(io::Error::other)?];
        segment.pattern.fill(position, &mut bytes);
        segment.file.write_at(position, &bytes)?;
        segment.file.sync()?;
    }
    Ok(())
}

/// What the log tells when more is durable, has failed, or has room again.
pub type Notifier = Arc<dyn Fn() + Send + Sync>;
