//! Scrubbing, in steps of bounded size: every byte of every segment is part of a whole batch, its zero
//! padding, a header, or the fill pattern. Anything else is reported, and the entries that were there
//! are missing from then on, so that they are repaired from peers.

use std::{
    io,
    ops::{Range, RangeInclusive},
};

use bytes::Bytes;
use weald_core::{LogError, LogIndex, PartitionId};

use super::{
    batch::{BATCH_HEADER_BYTES, BatchHeader, BatchKind, FoundSection},
    depot::fill,
    disk::DiskFile,
    image::{SEGMENT_BYTES_MIN, Segment},
    log_core::LogCore,
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
    /// Entries that were held until now and are missing from now on.
    pub entries: Vec<(PartitionId, RangeInclusive<LogIndex>)>,
    /// What is wrong.
    pub what: &'static str,
}

/// Where a scrub goes on. The default is the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScrubCursor {
    segment: u64,
    offset: u64,
    /// The end of the last whole batch in the segment.
    whole_end: u64,
    /// The number of the next batch.
    sequence: Option<u64>,
    /// The last batch ends the segment.
    is_sealed: bool,
    /// How far the segment was written when it was being written; beyond, what comes may be newer than
    /// what the cursor has passed.
    written: Option<u64>,
}

/// One step of a scrub.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrubStep {
    /// Where to go on; `None` at the end of the log.
    pub next: Option<ScrubCursor>,
    /// What this step found.
    pub report: LogReport,
}

impl LogReport {
    pub(crate) fn join(&mut self, other: Self) {
        self.segments += other.segments;
        self.batches += other.batches;
        self.bytes += other.bytes;
        self.damages.extend(other.damages);
    }
}

/// Reads on from `cursor`: `bytes_max`, or one batch if that is larger, of one segment.
pub(super) fn scrub(
    core: &LogCore,
    cursor: ScrubCursor,
    bytes_max: usize,
) -> Result<ScrubStep, LogError> {
    let mut step = Step { core, cursor, report: LogReport::default() };
    let numbers = step.numbers()?;
    let Some(number) = numbers.iter().copied().find(|number| *number >= step.cursor.segment) else {
        return Ok(ScrubStep { next: None, report: step.finish() });
    };
    step.enter(number);
    let is_done = step.segment(number, bytes_max)?;
    if is_done {
        // What was written behind the cursor is left for the next scrub.
        let sequence = step.cursor.sequence.filter(|_| step.cursor.is_sealed);
        step.cursor = ScrubCursor { segment: number + 1, sequence, ..ScrubCursor::default() };
    }
    let is_end = is_done && numbers.last() == Some(&number);
    let next = (!is_end).then_some(step.cursor);
    Ok(ScrubStep { next, report: step.finish() })
}

struct Step<'a> {
    core: &'a LogCore,
    cursor: ScrubCursor,
    report: LogReport,
}

/// Bytes of a segment, from `offset` on.
struct Window<'a> {
    segment: &'a Segment,
    offset: u64,
    bytes: Bytes,
}

impl Step<'_> {
    /// The segments that are needed or prepared.
    fn numbers(&self) -> Result<Vec<u64>, LogError> {
        let names = self.core.disk.list().map_err(|error| LogError::Io(error.to_string()))?;
        let head = self.core.head();
        let mut numbers: Vec<_> = names.iter().filter_map(|name| segment_number(name)).collect();
        numbers.retain(|number| *number >= head);
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Goes to segment `number`, where the cursor is or which is the next there is.
    fn enter(&mut self, number: u64) {
        let expected = self.cursor.segment.max(self.core.head());
        if number == self.cursor.segment && self.cursor.offset > 0 {
            return;
        }
        if number > expected {
            self.add(number, 0..0, "a segment before this one is missing");
        }
        if number != self.cursor.segment {
            self.cursor.sequence = None;
        }
        let sequence = self.cursor.sequence;
        self.cursor = ScrubCursor { segment: number, sequence, ..ScrubCursor::default() };
    }

    /// Reads on in one segment. Returns whether it was the last of it.
    fn segment(&mut self, number: u64, bytes_max: usize) -> Result<bool, LogError> {
        // What is being written is not read meanwhile.
        let writer = self.core.writer.get().map(|writer| writer.lock());
        let writer = writer.filter(|writer| number >= writer.active_number());
        let written = writer
            .as_ref()
            .filter(|writer| number == writer.active_number())
            .map(|writer| writer.position());
        self.follow(written);
        let (is_prepared, damages) = (writer.is_some() && written.is_none(), self.damage_count());
        let loaded = self.load(number);
        let segment = match loaded {
            Ok(Some(segment)) => segment,
            Ok(None) => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.add(number, 0..u64::MAX, "the segment is missing");
                return Ok(true);
            }
            Err(error) => return Err(LogError::Io(error.to_string())),
        };
        let mut read = self.walk(&segment, bytes_max);
        if is_prepared && self.damage_count() > damages {
            // Nothing was written to it yet, and what rotted must not be taken for a batch later.
            read = fill(segment.file.as_ref(), &segment.header).and(read);
        }
        drop(writer);
        read.map_err(|error| LogError::Io(error.to_string()))
    }

    fn damage_count(&self) -> usize {
        self.report.damages.len()
    }

    /// Goes back to where new batches begin if they reach beyond the cursor, which has passed that
    /// place while nothing was there; `written` is where they end in the segment being written.
    fn follow(&mut self, written: Option<u64>) {
        let passed = self.cursor.written.filter(|before| self.cursor.offset > *before);
        match passed {
            Some(before) if written.is_none_or(|position| position > self.cursor.offset) => {
                self.cursor.offset = before;
            }
            Some(_) => return,
            None => {}
        }
        self.cursor.written = written;
    }

    /// Opens a segment and, at its beginning, checks its headers.
    fn load(&mut self, number: u64) -> io::Result<Option<Segment>> {
        let file = self.core.disk.open(&segment_name(number))?;
        let size = file.size()?;
        if size < SEGMENT_BYTES_MIN {
            self.add(number, 0..u64::MAX, "the file is cut short");
            return Ok(None);
        }
        let copies = [0, size - SECTOR as u64].map(|at| read(file.as_ref(), at, SECTOR));
        let [head, foot] = copies;
        let copies = [(0, head?), (size - SECTOR as u64, foot?)];
        let header = copies.iter().find_map(|(_, bytes)| SegmentHeader::decode(bytes).ok());
        let header = header.filter(|header| {
            header.store == self.core.store && header.number == number && header.size() == size
        });
        let Some(header) = header else {
            self.add(number, 0..u64::MAX, "neither copy of the header can be read");
            return Ok(None);
        };
        if self.cursor.offset == 0 {
            self.report.segments += 1;
            self.report.bytes += 2 * SECTOR as u64;
            for (at, bytes) in copies {
                if bytes[..] != header.encode() {
                    self.add(number, at..at, "a copy of the header");
                }
            }
            (self.cursor.offset, self.cursor.whole_end) = (SECTOR as u64, SECTOR as u64);
        }
        Ok(Some(Segment::new(header, file)))
    }

    /// Reads from the cursor on. Returns whether that was the end of the segment.
    fn walk(&mut self, segment: &Segment, bytes_max: usize) -> io::Result<bool> {
        let end = segment.header.body_end();
        let bytes_max = (bytes_max - bytes_max % SECTOR).max(SECTOR);
        let until = self.cursor.offset.saturating_add(bytes_max as u64).min(end);
        let mut window = Window { segment, offset: self.cursor.offset, bytes: Bytes::new() };
        let count = usize::try_from(until - window.offset).map_err(io::Error::other)?;
        window.bytes = read(segment.file.as_ref(), window.offset, count)?;
        let mut bad: Option<Range<u64>> = None;
        while self.cursor.offset < until {
            let at = self.cursor.offset;
            if let Some(header) = window.header(at) {
                let lost = bad.take();
                self.before_batch(&header, at, lost);
                self.batch(&window, &header)?;
            } else if window.is_unwritten(at) {
                self.add_bad(bad.take());
                self.cursor.offset += SECTOR as u64;
            } else {
                let start = bad.map_or(at, |bad| bad.start);
                bad = Some(start..at + SECTOR as u64);
                self.cursor.offset += SECTOR as u64;
            }
        }
        self.add_bad(bad);
        self.report.bytes += self.cursor.offset - window.offset;
        Ok(self.cursor.offset >= end)
    }

    fn add_bad(&mut self, bad: Option<Range<u64>>) {
        if let Some(bad) = bad {
            self.cursor.sequence = None;
            self.add(self.cursor.segment, bad, "bytes that make no batch");
        }
    }

    /// Checks that no batch is missing before the one at `at`.
    fn before_batch(&mut self, header: &BatchHeader, at: u64, bad: Option<Range<u64>>) {
        let is_next = self.cursor.sequence.is_none_or(|next| next == header.sequence);
        if bad.is_some() {
            self.add_bad(bad);
        } else if !is_next {
            let lost = self.cursor.whole_end..at;
            self.add(self.cursor.segment, lost, "a batch before this one is missing");
        }
        self.cursor.sequence = Some(header.sequence.saturating_add(1));
    }

    fn batch(&mut self, window: &Window<'_>, header: &BatchHeader) -> io::Result<()> {
        let begin = self.cursor.offset;
        let end = begin + header.extent() as u64;
        (self.cursor.offset, self.cursor.whole_end) = (end, end);
        self.cursor.is_sealed = header.kind == BatchKind::Seal;
        let batch = window.batch(begin, header)?;
        let number = window.segment.header.number;
        let Some(sections) = header.sections(window.segment.site(begin), &batch) else {
            self.add(number, begin..end, "the table of a batch");
            return Ok(());
        };
        let lines: Vec<_> = sections
            .iter()
            .filter_map(|section| match section {
                FoundSection::Whole(..) => None,
                FoundSection::Damaged(line) => Some(line),
            })
            .collect();
        if lines.is_empty() {
            self.report.batches += 1;
        }
        for (line, is_first) in
            lines.iter().zip(std::iter::once(true).chain(std::iter::repeat(false)))
        {
            let entries = self.core.note_damage(number, &line.place.span());
            if is_first {
                self.push(number, begin, "records of a batch");
            }
            if let Some(damage) = self.report.damages.last_mut() {
                damage.partitions.push(line.partition);
                damage.entries.extend(entries);
            }
        }
        let length = usize::try_from(header.length).unwrap_or(usize::MAX);
        if batch.iter().skip(length).any(|byte| *byte != 0) {
            let at = begin + u64::from(header.length);
            self.add(number, at..at, "padding of a batch");
        }
        Ok(())
    }

    /// Reports damage in `span` of a segment and takes note of what it held.
    fn add(&mut self, segment: u64, span: Range<u64>, what: &'static str) {
        self.push(segment, span.start, what);
        let entries = match span.is_empty() {
            true => Vec::new(),
            false => self.core.note_damage(segment, &span),
        };
        let Some(damage) = self.report.damages.last_mut() else { return };
        damage.partitions.extend(entries.iter().map(|(partition, _)| *partition));
        damage.partitions.dedup();
        damage.entries = entries;
    }

    fn push(&mut self, segment: u64, offset: u64, what: &'static str) {
        let file = segment_name(segment);
        let (partitions, entries) = (Vec::new(), Vec::new());
        self.report.damages.push(LogDamage { file, offset, partitions, entries, what });
    }

    /// The report, without what concerns segments that are not needed any more and may be in use anew.
    fn finish(mut self) -> LogReport {
        let head = self.core.head();
        self.report.damages.retain(|damage| segment_number(&damage.file) >= Some(head));
        self.report
    }
}

impl Window<'_> {
    fn slice(&self, at: u64, count: usize) -> Option<Bytes> {
        let from = usize::try_from(at.checked_sub(self.offset)?).ok()?;
        let to = from.checked_add(count)?;
        (to <= self.bytes.len()).then(|| self.bytes.slice(from..to))
    }

    /// The header of a batch that was written at `at`.
    fn header(&self, at: u64) -> Option<BatchHeader> {
        let bytes = self.slice(at, BATCH_HEADER_BYTES)?;
        let header = BatchHeader::decode(&bytes, self.segment.site(at).cookie)?;
        let end = at.checked_add(header.extent() as u64)?;
        (at < end && end <= self.segment.header.body_end()).then_some(header)
    }

    fn is_unwritten(&self, at: u64) -> bool {
        let sector = self.slice(at, SECTOR);
        sector.is_some_and(|sector| self.segment.pattern.matches(at, &sector))
    }

    /// All bytes of the batch at `at`, which may reach beyond the window.
    fn batch(&self, at: u64, header: &BatchHeader) -> io::Result<Bytes> {
        match self.slice(at, header.extent()) {
            Some(batch) => Ok(batch),
            None => read(self.segment.file.as_ref(), at, header.extent()),
        }
    }
}

fn read(file: &dyn DiskFile, at: u64, count: usize) -> io::Result<Bytes> {
    let mut bytes = vec![0; count];
    file.read_at(at, &mut bytes)?;
    Ok(bytes.into())
}
