//! Where everything durable is: partitions, segments and the cached tail; and reading from it.

use std::{collections::BTreeMap, io};

use bytes::{Bytes, BytesMut};
use weald_core::{LogError, LogIndex, LogRecord, PartitionId};

use super::{
    batch::Place,
    image::Segment,
    partition::{PartitionLog, Stretch},
    record::Record,
    segment::segment_name,
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
            next = stretch.last.next();
            stretches.push((stretch.clone(), self.segments_of(stretch)));
        }
        Ok(Lookup::Stretches(stretches))
    }

    /// The first segment that any partition needs; at most `active`.
    pub(crate) fn head(&self, active: u64) -> u64 {
        let needed = self.partitions.values().filter_map(PartitionLog::first_segment);
        needed.fold(active, u64::min)
    }

    fn segments_of(&self, stretch: &Stretch) -> BTreeMap<u64, Segment> {
        let numbers = stretch.places().map(|place| place.segment);
        numbers.filter_map(|number| Some((number, self.segments.get(&number)?.clone()))).collect()
    }
}

fn missing(partition: PartitionId, index: LogIndex) -> LogError {
    LogError::Damaged(format!("an entry is missing: partition={partition} index={index}"))
}

/// Reads entries from the disk, from `from` on.
pub(crate) fn read_stretches(
    partition: PartitionId,
    from: LogIndex,
    bytes_max: usize,
    stretches: Vec<(Stretch, BTreeMap<u64, Segment>)>,
) -> Result<Vec<LogRecord>, LogError> {
    let mut page = Page::new(bytes_max);
    for (stretch, segments) in stretches {
        let mut entries = Assembly::default();
        for place in stretch.places() {
            let segment = segments.get(&place.segment);
            let segment = segment.ok_or_else(|| missing(partition, stretch.first))?;
            entries.add(read_place(segment, place)?);
        }
        let wanted = stretch.first.max(from)..=stretch.last;
        let records = entries.whole.into_iter().filter(|record| wanted.contains(&record.index));
        let mut next = *wanted.start();
        for record in records {
            if record.index != next {
                return Err(missing(partition, next));
            }
            next = next.next();
            if !page.push(record) {
                return Ok(page.records);
            }
        }
    }
    Ok(page.records)
}

fn read_place(segment: &Segment, place: &Place) -> Result<Vec<Record>, LogError> {
    let name = || segment_name(place.segment);
    let damaged =
        || LogError::Damaged(format!("checksum mismatch: file={} offset={}", name(), place.offset));
    let mut body = vec![0; usize::try_from(place.length).map_err(|_| damaged())?];
    segment.file.read_at(place.offset, &mut body).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => damaged(),
        _ => LogError::Io(format!("{error}: file={} offset={}", name(), place.offset)),
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
                Record::Entry { index, epoch, bytes } => {
                    self.whole.push(LogRecord { index, epoch, bytes });
                }
                Record::Part { index, epoch, total, offset, bytes } => {
                    if offset == 0 {
                        self.parts.clear();
                    }
                    self.parts.extend_from_slice(&bytes);
                    if u32::try_from(self.parts.len()) == Ok(total) {
                        let bytes = self.parts.split().freeze();
                        self.whole.push(LogRecord { index, epoch, bytes });
                    }
                }
                Record::Cut { from } => {
                    self.whole.truncate(self.whole.partition_point(|entry| entry.index < from));
                }
                Record::Release { .. } | Record::State { .. } | Record::Summary(_) => {}
            }
        }
    }
}
