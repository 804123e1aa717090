//! Reading the log after a restart: what is there, what was torn, what is damaged (rule C11).
//!
//! At most one batch is ever unsynced, and a segment is sealed, synced, before the next one is
//! begun. So whatever precedes an intact batch was synced, and a bad last batch is either torn, when
//! a unit of it was never written, or lost.

use std::collections::BTreeMap;

use weald_core::{PartitionId, StoreId};

use super::{
    LogOpenError,
    batch::{BatchKind, BatchSite, FoundSection},
    disk::Disk,
    image::{FoundBatch, Rest, Segment, SegmentImage},
    partition::{LogEnd, PartitionLog},
    segment::{SECTOR, segment_number, spare_number},
};

/// The log as it was found.
pub(crate) struct Recovery {
    pub(crate) end: LogEnd,
    pub(crate) partitions: BTreeMap<PartitionId, PartitionLog>,
    /// Partitions may have been there that nothing names any more.
    pub(crate) is_forgetful: bool,
    /// Segments that hold batches still needed, and the one to write next, last.
    pub(crate) live: Vec<Segment>,
    /// Prepared segments after the live ones.
    pub(crate) stock: Vec<Segment>,
    /// Numbers of segment files that hold nothing needed.
    pub(crate) obsolete: Vec<u64>,
    /// Numbers of files that are spare already.
    pub(crate) spare: Vec<u64>,
    /// The first segment that is still needed.
    pub(crate) head: u64,
    /// The sequence number of the next batch.
    pub(crate) next_sequence: u64,
    /// Where the next batch goes in the last live segment.
    pub(crate) position: u64,
    /// Whether what follows there must be filled anew.
    pub(crate) needs_fill: bool,
    /// The last batch: it may be in memory of the operating system only.
    pub(crate) last_batch: Option<(BatchSite, usize)>,
}

impl Recovery {
    /// The highest number of any file.
    pub(crate) fn last_number(&self) -> u64 {
        let segments = self.live.iter().chain(&self.stock).map(|segment| segment.header.number);
        let others = self.obsolete.iter().chain(&self.spare).copied();
        segments.chain(others).max().unwrap_or(0)
    }
}

/// How one segment ends.
struct SegmentEnd {
    segment: Segment,
    has_batches: bool,
    is_sealed: bool,
    position: u64,
    rest: Rest,
}

/// Reads the whole log. Writes nothing.
pub(crate) fn recover(disk: &dyn Disk, store: StoreId) -> Result<Recovery, LogOpenError> {
    let names = disk.list()?;
    let mut numbers: Vec<_> = names.iter().filter_map(|name| segment_number(name)).collect();
    numbers.sort_unstable();
    let spare = names.iter().filter_map(|name| spare_number(name)).collect();
    let head = find_head(disk, store, &numbers)?;
    let mut replay = Replay::new(head);
    let mut ends = Vec::new();
    for &number in numbers.iter().filter(|number| **number >= head) {
        if let Some(image) = SegmentImage::load(disk, store, number)? {
            ends.push(replay.segment(image));
        }
    }
    let mut recovery = replay.finish(ends);
    recovery.spare = spare;
    let is_kept = |number: &u64| {
        let mut kept = recovery.live.iter().chain(&recovery.stock);
        kept.any(|segment| segment.header.number == *number)
    };
    recovery.obsolete = numbers.into_iter().filter(|number| !is_kept(number)).collect();
    Ok(recovery)
}

/// The first segment still needed, as the last intact batch names it.
fn find_head(disk: &dyn Disk, store: StoreId, numbers: &[u64]) -> Result<u64, LogOpenError> {
    for &number in numbers.iter().rev() {
        let Some(image) = SegmentImage::load(disk, store, number)? else { continue };
        if let Some(batch) = image.batches().filter(FoundBatch::is_whole).last() {
            return Ok(batch.header.head.min(number));
        }
    }
    Ok(1)
}

/// Takes in batch after batch.
struct Replay {
    partitions: BTreeMap<PartitionId, PartitionLog>,
    is_forgetful: bool,
    head: u64,
    /// The segment after the last one seen, and whether that one was sealed.
    next_segment: u64,
    is_sealed: bool,
    next_sequence: Option<u64>,
    /// A batch that is not whole, until it is known whether it is the last.
    bad: Option<FoundBatch>,
    last_batch: Option<(BatchSite, usize)>,
}

impl Replay {
    fn new(head: u64) -> Self {
        Self {
            partitions: BTreeMap::new(),
            is_forgetful: false,
            head,
            next_segment: head,
            is_sealed: true,
            next_sequence: None,
            bad: None,
            last_batch: None,
        }
    }

    fn segment(&mut self, image: SegmentImage) -> SegmentEnd {
        let mut batches = image.batches();
        let mut has_batches = false;
        let number = image.segment.header.number;
        let continues = self.is_sealed && number == self.next_segment;
        for batch in batches.by_ref() {
            if !has_batches && !continues {
                self.doubt_all();
            }
            has_batches = true;
            self.batch(batch);
        }
        let position = batches.offset();
        if has_batches {
            self.next_segment = number.saturating_add(1);
        }
        SegmentEnd {
            has_batches,
            is_sealed: has_batches && self.is_sealed,
            position,
            rest: image.rest(position),
            segment: image.segment,
        }
    }

    fn batch(&mut self, batch: FoundBatch) {
        if let Some(bad) = self.bad.take() {
            self.absorb_damaged(bad);
        }
        let is_next = self.next_sequence.is_none_or(|next| next == batch.header.sequence);
        if batch.after_gap || !is_next {
            self.doubt_all();
        }
        self.next_sequence = Some(batch.header.sequence.saturating_add(1));
        self.is_sealed = batch.is_seal();
        if !batch.is_whole() {
            self.bad = Some(batch);
            return;
        }
        self.last_batch = Some((batch.site, batch.header.extent()));
        match batch.header.kind {
            // Whoever wrote it knew every partition, or that some may be forgotten.
            BatchKind::Summary => self.is_forgetful = false,
            BatchKind::PartialSummary => self.is_forgetful = true,
            BatchKind::Records | BatchKind::Seal => {}
        }
        self.absorb(batch.sections.unwrap_or_default());
    }

    /// A batch that is not whole but followed by an intact one was synced once.
    fn absorb_damaged(&mut self, bad: FoundBatch) {
        match bad.sections {
            Some(sections) => self.absorb(sections),
            None => self.doubt_all(),
        }
    }

    fn absorb(&mut self, sections: Vec<FoundSection>) {
        for section in sections {
            match section {
                FoundSection::Whole(section, place) => {
                    self.partitions.entry(section.partition).or_default().absorb(&section, place);
                }
                FoundSection::Damaged(line) => {
                    self.partitions.entry(line.partition).or_default().lose(&line.standing);
                }
            }
        }
    }

    /// Nobody knows whose records are missing here.
    fn doubt_all(&mut self) {
        self.is_forgetful = true;
        self.partitions.values_mut().for_each(PartitionLog::cast_doubt);
    }

    fn finish(mut self, mut ends: Vec<SegmentEnd>) -> Recovery {
        let last_used = ends.iter().rposition(|end| end.has_batches);
        let is_sealed = last_used.is_some_and(|at| ends[at].is_sealed);
        let writable = match last_used {
            Some(at) if is_sealed => {
                let next =
                    ends.get(at + 1).filter(|end| end.segment.header.number == self.next_segment);
                next.map(|_| at + 1)
            }
            Some(at) => Some(at),
            None => ends.first().filter(|end| end.segment.header.number == 1).map(|_| 0),
        };
        let (end, position, needs_fill) = match writable {
            Some(at) => self.judge(&ends[at], &ends[at + 1..]),
            None => (LogEnd::Lost, 0, false),
        };
        match self.bad.take() {
            Some(torn) if end == LogEnd::Torn => self.next_sequence = Some(torn.header.sequence),
            Some(bad) => self.absorb_damaged(bad),
            None => {}
        }
        let kept = writable.map_or(ends.len(), |at| at + 1);
        let stock = ends.split_off(kept);
        let stock = stock.into_iter().zip(1..).take_while(|(after, distance)| {
            let expected = ends.last().map(|end| end.segment.header.number + distance);
            after.rest == Rest::Clean && expected == Some(after.segment.header.number)
        });
        Recovery {
            end,
            stock: stock.map(|(end, _)| end.segment).collect(),
            live: ends.into_iter().map(|end| end.segment).collect(),
            partitions: self.partitions,
            is_forgetful: self.is_forgetful,
            obsolete: Vec::new(),
            spare: Vec::new(),
            head: self.head,
            next_sequence: self.next_sequence.unwrap_or(1),
            position,
            needs_fill,
            last_batch: self.last_batch,
        }
    }

    /// Decides how the log ends: in segment `last`, with only prepared segments `after` it.
    fn judge(&self, last: &SegmentEnd, after: &[SegmentEnd]) -> (LogEnd, u64, bool) {
        let lost = (LogEnd::Lost, last.position, false);
        if after.iter().any(|end| matches!(end.rest, Rest::Written { .. })) {
            return lost;
        }
        if let Some(bad) = &self.bad {
            let is_torn = bad.has_unwritten && !matches!(last.rest, Rest::Written { .. });
            return if is_torn { (LogEnd::Torn, bad.site.offset, true) } else { lost };
        }
        match last.rest {
            Rest::Clean => (LogEnd::Whole, last.position, false),
            Rest::Rotted => (LogEnd::Whole, last.position, false),
            Rest::Written { begins_unwritten: true } => (LogEnd::Torn, last.position, true),
            Rest::Written { begins_unwritten: false } => lost,
        }
    }
}

/// Where the first batch of a segment goes.
pub(crate) const FIRST_POSITION: u64 = SECTOR as u64;
