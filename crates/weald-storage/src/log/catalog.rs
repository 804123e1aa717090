//! Where everything durable is: partitions, segments and the cached tail; and reading from it.

use std::{
    collections::BTreeMap,
    io,
    ops::{Range, RangeInclusive},
};

use bytes::{Bytes, BytesMut};
use weald_core::{LogError, LogIndex, LogRecord, PartitionId};

use super::{
    batch::Place,
    image::Segment,
    partition::PartitionLog,
    record::Record,
    segment::segment_name,
    stretches::Stretch,
    tail::{Page, TailCache},
};

/// The durable log as readers see it.
pub(crate) struct Catalog {
    pub(crate) partitions: BTreeMap<PartitionId, PartitionLog>,
    pub(crate) segments: BTreeMap<u64, Segment>,
    pub(crate) tail: TailCache,
}

/// What a read finds without touching the disk.
pub(crate) enum Lookup {
    /// The answer.
    Records(Vec<LogRecord>),
    /// Where the answer is.
    Stretches(Vec<(Stretch, BTreeMap<u64, Segment>)>),
}

impl Catalog {
    pub(crate) fn lookup(
        &self,
        partition: PartitionId,
        from: LogIndex,
        bytes_max: usize,
    ) -> Result<Lookup, LogError> {
        let known = self.partitions.get(&partition);
        let (first, last) = known.map_or((LogIndex(1), LogIndex::ZERO), PartitionLog::bounds);
        if from < first {
            return Err(LogError::NotHeld { partition, index: from });
        }
        if let Some(records) = self.tail.read(partition, from, bytes_max) {
            return Ok(Lookup::Records(records));
        }
        let mut stretches = Vec::new();
        let (mut next, mut bytes) = (from, 0_usize);
        while let Some(known) = known.filter(|_| next <= last && bytes <= bytes_max) {
            let Some(stretch) = known.stretch(next) else {
                if stretches.is_empty() {
                    return Err(missing(partition, next));
                }
                break;
            };
            let lengths = stretch.places().map(|place| usize::try_from(place.length).unwrap_or(0));
            bytes = bytes.saturating_add(lengths.sum());
            next = LogIndex(stretch.last.0.saturating_add(1));
            stretches.push((stretch.clone(), self.segments_of(stretch)));
        }
        Ok(Lookup::Stretches(stretches))
    }

    /// The first segment that any partition needs; at most `active`.
    pub(crate) fn head(&self, active: u64) -> u64 {
        let needed = self.partitions.values().filter_map(PartitionLog::first_segment);
        needed.fold(active, u64::min)
    }

    /// Holds entries no more that have something in the damaged `span` of `segment`. Returns them.
    pub(crate) fn damage(
        &mut self,
        segment: u64,
        span: &Range<u64>,
    ) -> Vec<(PartitionId, RangeInclusive<LogIndex>)> {
        let partitions = self.partitions.iter_mut();
        let hit = partitions.map(|(partition, known)| (*partition, known.damage(segment, span)));
        hit.flat_map(|(partition, ranges)| ranges.into_iter().map(move |range| (partition, range)))
            .collect()
    }

    fn segments_of(&self, stretch: &Stretch) -> BTreeMap<u64, Segment> {
        let numbers = stretch.places().map(|place| place.segment);
        numbers.filter_map(|number| Some((number, self.segments.get(&number)?.clone()))).collect()
    }
}

fn missing(partition: PartitionId, index: LogIndex) -> LogError {
    LogError::Damaged(format!("an entry is missing: partition={partition} index={index}"))
}

/// Why entries could not be read, and where, if bytes there are not what was written.
pub(crate) struct ReadFault {
    pub(crate) error: LogError,
    pub(crate) place: Option<Place>,
}

/// Reads entries from the disk, from `from` on.
pub(crate) fn read_stretches(
    partition: PartitionId,
    from: LogIndex,
    bytes_max: usize,
    stretches: Vec<(Stretch, BTreeMap<u64, Segment>)>,
) -> Result<Vec<LogRecord>, ReadFault> {
    let gone = |index| ReadFault { error: missing(partition, index), place: None };
    let mut page = Page::new(bytes_max);
    for (stretch, segments) in stretches {
        let mut entries = Assembly::default();
        for place in stretch.places() {
            let segment = segments.get(&place.segment).ok_or_else(|| gone(stretch.first))?;
            entries.add(read_place(segment, place)?);
        }
        let wanted = stretch.first.max(from)..=stretch.last;
        let records = entries.whole.into_iter().filter(|record| wanted.contains(&record.index));
        let mut next = *wanted.start();
        for record in records {
            if record.index != next {
                return Err(gone(next));
            }
            next = LogIndex(next.0.saturating_add(1));
            if !page.push(record) {
                return Ok(page.records);
            }
        }
    }
    Ok(page.records)
}

fn read_place(segment: &Segment, place: &Place) -> Result<Vec<Record>, ReadFault> {
    let at = || format!("file={} offset={}", segment_name(place.segment), place.offset);
    let damaged = || ReadFault {
        error: LogError::Damaged(format!("checksum mismatch: {}", at())),
        place: Some(*place),
    };
    let mut body = vec![0; usize::try_from(place.length).map_err(|_| damaged())?];
    segment.file.read_at(place.offset, &mut body).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => damaged(),
        _ => ReadFault { error: LogError::Io(format!("{error}: {}", at())), place: None },
    })?;
    place.records(&Bytes::from(body)).ok_or_else(damaged)
}

/// Puts entries together from the records of one or more sections.
#[derive(Default)]
struct Assembly {
    whole: Vec<LogRecord>,
    parts: BytesMut,
}

impl Assembly {
    fn add(&mut self, records: Vec<Record>) {
        for record in records {
            match record {
                Record::Entry { index, epoch, bytes, is_fill } => {
                    self.push(LogRecord { index, epoch, bytes }, is_fill);
                }
                Record::Part { index, epoch, total, offset, bytes, is_fill } => {
                    if offset == 0 {
                        self.parts.clear();
                    }
                    self.parts.extend_from_slice(&bytes);
                    if u32::try_from(self.parts.len()) == Ok(total) {
                        let bytes = self.parts.split().freeze();
                        self.push(LogRecord { index, epoch, bytes }, is_fill);
                    }
                }
                Record::Cut { from } => self.whole.retain(|entry| entry.index < from),
                Record::Restart { .. } => self.whole.clear(),
                Record::Release { .. } | Record::State { .. } | Record::Summary { .. } => {}
            }
        }
    }

    /// Adds an entry. Of two that fill one place the first counts.
    fn push(&mut self, entry: LogRecord, is_fill: bool) {
        if !is_fill || self.whole.iter().all(|known| known.index != entry.index) {
            self.whole.push(entry);
        }
    }
}
