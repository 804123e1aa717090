//! Lines of a diary.

use std::collections::VecDeque;

use weald::{ExpectedVersion, RawDiaryEntry, Retention, Sequence};

use super::{Counts, line};
use crate::cli::{
    database::{Database, DiaryRange, Kind},
    failure::{Class, Failure},
};

/// Entries of one transaction, and of one page that is compared.
const BATCH_COUNT_MAX: usize = 256;
/// Bytes of one transaction, unless a single entry has more.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// Appends entries to a diary, comparing those that are there.
///
/// Entries keep their sequences, unless the export begins behind what the diary has (its first
/// entries were no longer kept when it was exported): then they are numbered anew from where the
/// diary ends, or compared with what an earlier import of the same lines numbered so.
pub(super) struct DiaryImport<'d> {
    database: &'d Database,
    name: String,
    /// The sequence that the next appended entry has.
    end: u64,
    /// What is taken from exported sequences; `None` before the first.
    shift: Option<u64>,
    /// The sequence here of the next line.
    next: u64,
    page: VecDeque<RawDiaryEntry>,
    waiting: Vec<Vec<u8>>,
    waiting_bytes: usize,
    counts: Counts,
}

impl<'d> DiaryImport<'d> {
    pub(super) async fn begin(
        database: &'d Database,
        name: &str,
        retention: Retention,
    ) -> Result<Self, Failure> {
        database.make(name, Kind::Diary, retention).await?;
        let newest = DiaryRange { from: None, is_reverse: true, limit: 1 };
        let newest = database.read(name, newest).await?;
        let end = newest.first().map_or(0, |newest| newest.sequence.0 + 1);
        Ok(Self {
            database,
            name: name.to_owned(),
            end,
            shift: None,
            next: 0,
            page: VecDeque::new(),
            waiting: Vec::new(),
            waiting_bytes: 0,
            counts: Counts::default(),
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) async fn append(
        &mut self,
        sequence: u64,
        entry: Vec<u8>,
        number: u64,
    ) -> Result<(), Failure> {
        let shift = match self.shift {
            Some(shift) => shift,
            None => self.begin_at(sequence, &entry).await?,
        };
        if sequence.checked_sub(shift) != Some(self.next) {
            return Err(line::wrong(number, "sequences of a diary follow each other"));
        }
        self.next += 1;
        if self.next <= self.end {
            return self.compare(self.next - 1, &entry, number).await;
        }
        self.queue(entry).await
    }

    pub(super) async fn finish(&mut self) -> Result<Counts, Failure> {
        self.write().await?;
        Ok(self.counts)
    }

    /// Decides where the first line's entry belongs.
    async fn begin_at(&mut self, sequence: u64, entry: &[u8]) -> Result<u64, Failure> {
        let keeps_sequence = sequence == self.end || self.holds(sequence, entry).await?;
        let shift = if keeps_sequence {
            0
        } else if self.holds(0, entry).await? {
            sequence
        } else {
            // Behind the end: numbered anew. Before it: the comparison tells what differs.
            sequence.saturating_sub(self.end)
        };
        self.shift = Some(shift);
        self.next = sequence - shift;
        Ok(shift)
    }

    async fn holds(&self, sequence: u64, entry: &[u8]) -> Result<bool, Failure> {
        if sequence >= self.end {
            return Ok(false);
        }
        Ok(self.page_at(sequence, 1).await?.first().is_some_and(|there| there.entry == entry))
    }

    /// A page, empty where entries are no longer kept.
    async fn page_at(&self, sequence: u64, limit: usize) -> Result<Vec<RawDiaryEntry>, Failure> {
        let range = DiaryRange { from: Some(Sequence(sequence)), is_reverse: false, limit };
        Ok(self.database.kept(&self.name, range).await?.unwrap_or_default())
    }

    async fn compare(&mut self, sequence: u64, entry: &[u8], number: u64) -> Result<(), Failure> {
        if self.page.is_empty() {
            self.page = self.page_at(sequence, BATCH_COUNT_MAX).await?.into();
        }
        match self.page.pop_front() {
            Some(there) if there.sequence.0 == sequence && there.entry != entry => {
                let name = self.name();
                Err(Failure::new(
                    Class::Rejected,
                    format_args!(
                        "line {number} of the import: {name} has another entry {sequence}; \
                         a diary is not rewritten, import into another directory"
                    ),
                ))
            }
            // An entry that is no longer kept was there.
            _ => {
                self.counts.same += 1;
                Ok(())
            }
        }
    }

    async fn queue(&mut self, entry: Vec<u8>) -> Result<(), Failure> {
        let is_full = self.waiting.len() >= BATCH_COUNT_MAX
            || self.waiting_bytes + entry.len() > BATCH_BYTES_MAX;
        if is_full {
            self.write().await?;
        }
        self.counts.added += 1;
        self.waiting_bytes += entry.len();
        self.waiting.push(entry);
        Ok(())
    }

    async fn write(&mut self) -> Result<(), Failure> {
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        let Some(count) = u64::try_from(waiting.len()).ok().filter(|count| *count > 0) else {
            return Ok(());
        };
        let expected = match self.end {
            0 => ExpectedVersion::Empty,
            end => ExpectedVersion::Exact(Sequence(end - 1)),
        };
        self.database.append(&self.name, expected, waiting).await?;
        self.end += count;
        Ok(())
    }
}
