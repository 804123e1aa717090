//! What the log knows of one partition: where its entries are, its promises, and what is missing.
//! The log thread and recovery feed it the same records in the same order.

use std::ops::{Range, RangeInclusive};

use bytes::Bytes;
use weald_core::{
    Epoch, LogIndex, PartitionHealth, PartitionStatus, RecoveredPartition, SyncTicket,
};

use super::{
    batch::{Place, Section},
    record::Record,
    standing::{Counts, Projection, Standing},
    stretches::{Stretch, Stretches},
};

/// The index of one partition's part of the log.
#[derive(Clone, Debug, Default)]
pub(crate) struct PartitionLog {
    standing: Standing,
    state: Option<Bytes>,
    /// Entries between base and last; one that is in none of them is missing.
    stretches: Stretches,
    partial: Option<Partial>,
    flaws: Flaws,
    /// Every batch of this run up to here is durable.
    synced: SyncTicket,
}

/// An entry of which not all parts have come.
#[derive(Clone, Debug)]
struct Partial {
    index: LogIndex,
    received: usize,
    places: Vec<Place>,
}

/// What recovery found wrong.
#[derive(Clone, Copy, Debug, Default)]
struct Flaws {
    /// Something after the last intact section may be missing.
    doubt: bool,
    /// A state record is missing, with none after it.
    state_missing: bool,
}

/// How the whole log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogEnd {
    /// Every batch is whole and nothing follows.
    Whole,
    /// The last batch was never synced; it was dropped.
    Torn,
    /// Synced bytes are missing or damaged, or may be. The log takes nothing until the first new life
    /// begins, and goes on behind what is lost then.
    Lost,
}

impl PartitionLog {
    /// A partition of which nothing is left.
    pub(crate) fn forgotten() -> Self {
        let mut forgotten = Self::default();
        forgotten.forget();
        forgotten
    }

    /// Takes in the records of a section that is durable at `place`.
    pub(crate) fn absorb(&mut self, section: &Section, place: Place) {
        let own = Counts::of(&section.records);
        self.miss(&section.standing, own);
        for record in &section.records {
            self.take(record, place);
        }
        self.settle(&section.standing, own);
    }

    /// Takes note of a section whose records cannot be read any more.
    pub(crate) fn lose(&mut self, standing: &Standing) {
        let own = Counts::default();
        self.partial = None;
        self.miss(standing, own);
        self.settle(standing, own);
    }

    /// Something of this partition may be missing after what was absorbed.
    pub(crate) fn cast_doubt(&mut self) {
        self.flaws.doubt = true;
    }

    /// Remembers an amnesia in all that is written from here on, so that no restart forgets it.
    pub(crate) fn keep_verdict(&mut self) {
        self.standing.is_amnesiac |= self.flaws.doubt || self.flaws.state_missing;
    }

    /// What was promised is lost; all that is written from here on says so, until a new life begins.
    pub(crate) fn forget(&mut self) {
        self.standing.is_amnesiac = true;
    }

    /// Notes that every batch of this run up to `ticket` is durable.
    pub(crate) fn note_synced(&mut self, ticket: SyncTicket) {
        self.synced = ticket;
    }

    /// Holds entries no more of which something is in the damaged `span` of `segment`. Returns them.
    pub(crate) fn damage(
        &mut self,
        segment: u64,
        span: &Range<u64>,
    ) -> Vec<RangeInclusive<LogIndex>> {
        let hit = self.stretches.within(segment, span);
        hit.iter().for_each(|range| self.stretches.remove(range.clone()));
        hit
    }

    /// How the partition will stand after a section of `records`.
    pub(crate) fn standing_after(&self, records: &[Record]) -> Standing {
        let epoch_of = |index| self.epoch_of(index);
        Projection::new(self.standing, &epoch_of).after(records)
    }

    /// The section that repeats this partition at the start of a segment.
    pub(crate) fn summary(&self) -> (Standing, Record) {
        (self.standing, Record::Summary { state: self.state.clone() })
    }

    /// The first segment that this partition needs.
    pub(crate) fn first_segment(&self) -> Option<u64> {
        let partial = self.partial.as_ref().and_then(|partial| partial.places.first());
        let partial = partial.map(|place| place.segment);
        self.stretches.first_segment().into_iter().chain(partial).min()
    }

    /// The index below which entries must be released for `segment` to be needed no more.
    pub(crate) fn release_from(&self, segment: u64) -> Option<LogIndex> {
        let last = self.stretches.last_in(segment)?;
        Some(LogIndex(last.0.saturating_add(1)))
    }

    /// The first index that is wanted, and the last that is known.
    pub(crate) fn bounds(&self) -> (LogIndex, LogIndex) {
        (self.first(), self.standing.last.index)
    }

    /// The stretch that holds `index`.
    pub(crate) fn stretch(&self, index: LogIndex) -> Option<&Stretch> {
        self.stretches.at(index)
    }

    /// Entries that are wanted but not held.
    pub(crate) fn missing(&self) -> Vec<RangeInclusive<LogIndex>> {
        self.stretches.missing(self.first()..=self.standing.last.index)
    }

    /// What recovery reports.
    pub(crate) fn recovered(&self, end: LogEnd) -> RecoveredPartition {
        let (first, last) = self.bounds();
        RecoveredPartition {
            health: self.health(end),
            state: self.state.clone(),
            first,
            last,
            last_epoch: self.standing.last.epoch,
        }
    }

    /// How the partition stands.
    pub(crate) fn status(&self) -> PartitionStatus {
        let Standing { base, last, .. } = self.standing;
        PartitionStatus { health: self.health(LogEnd::Whole), base, last, synced: self.synced }
    }

    /// What the partition is fit for, in a log that ended so when it was opened.
    pub(crate) fn health(&self, end: LogEnd) -> PartitionHealth {
        let Flaws { doubt, state_missing } = self.flaws;
        if doubt || state_missing || self.standing.is_amnesiac {
            PartitionHealth::Amnesiac
        } else if !self.is_dense() {
            PartitionHealth::Damaged { known_end: self.standing.last.index }
        } else if end == LogEnd::Torn {
            PartitionHealth::Torn
        } else {
            PartitionHealth::Intact
        }
    }

    /// Whether every index that is wanted is held.
    pub(crate) fn is_dense(&self) -> bool {
        let Standing { base, last, .. } = self.standing;
        base.index.0.checked_add(self.stretches.count()) == Some(last.index.0)
    }

    fn first(&self) -> LogIndex {
        LogIndex(self.standing.base.index.0.saturating_add(1))
    }

    fn epoch_of(&self, index: LogIndex) -> Option<Epoch> {
        let Standing { base, last, .. } = self.standing;
        let known = [base, last].into_iter().find(|point| point.index == index);
        let held = || self.stretches.at(index).map(|stretch| stretch.epoch);
        known.map(|point| point.epoch).or_else(held)
    }

    /// Sections between what was absorbed and this one may be missing; `to` tells what was in them.
    /// A cut that is missing takes with it what it may have cut: all, unless it is known where it was.
    fn miss(&mut self, to: &Standing, own: Counts) {
        let lost = to.cuts.wrapping_sub(self.standing.cuts).wrapping_sub(own.cuts);
        match lost {
            0 => {}
            1 if own.cuts == 0 => self.cut(to.cut_from),
            _ => self.cut(LogIndex::ZERO),
        }
    }

    /// Makes the sums those of `to`, after a section with `own` records of the kinds that are counted.
    fn settle(&mut self, to: &Standing, own: Counts) {
        let is_state_lost = to.states != self.standing.states.wrapping_add(own.states);
        self.flaws.state_missing |= is_state_lost && !own.has_state;
        self.flaws.doubt = false;
        self.standing = *to;
        self.stretches.remove(LogIndex::ZERO..=to.base.index);
        if let Some(beyond) = to.last.index.0.checked_add(1) {
            self.stretches.remove(LogIndex(beyond)..=LogIndex(u64::MAX));
        }
    }

    fn take(&mut self, record: &Record, place: Place) {
        match record {
            Record::Entry { index, epoch, is_fill, .. } => {
                let entry = Stretch::of_entry(*index, *epoch, place, Vec::new());
                self.hold(entry, *is_fill);
            }
            Record::Part { .. } => self.take_part(record, place),
            Record::Cut { from } => self.cut(*from),
            Record::Release { below } => {
                let before = LogIndex(below.0.saturating_sub(1));
                self.stretches.remove(LogIndex::ZERO..=before);
                self.drop_partial(|index| index <= before);
            }
            Record::Restart { .. } => self.cut(LogIndex::ZERO),
            Record::State { bytes } => {
                self.state = Some(bytes.clone());
                self.flaws.state_missing = false;
            }
            Record::Summary { state } => self.take_summary(state.as_ref()),
        }
    }

    fn take_summary(&mut self, state: Option<&Bytes>) {
        self.state = state.cloned();
        self.flaws.state_missing = false;
    }

    fn take_part(&mut self, record: &Record, place: Place) {
        let Record::Part { index, epoch, offset, bytes, is_fill, .. } = record else { return };
        if *offset == 0 {
            self.partial = Some(Partial { index: *index, received: 0, places: Vec::new() });
        }
        let Some(partial) = &mut self.partial else { return };
        let continues = partial.index == *index && usize::try_from(*offset) == Ok(partial.received);
        if !continues {
            self.partial = None;
            return;
        }
        partial.received += bytes.len();
        if partial.places.last() != Some(&place) {
            partial.places.push(place);
        }
        if !record.is_last_part() {
            return;
        }
        let mut places = self.partial.take().map(|partial| partial.places).unwrap_or_default();
        let first = places.remove(0);
        self.hold(Stretch::of_entry(*index, *epoch, first, places), *is_fill);
    }

    /// Holds an entry; one that fills a gap only where there is one.
    fn hold(&mut self, entry: Stretch, is_fill: bool) {
        if !is_fill || self.stretches.at(entry.first).is_none() {
            self.stretches.insert(entry);
        }
    }

    fn cut(&mut self, from: LogIndex) {
        self.stretches.remove(from..=LogIndex(u64::MAX));
        self.drop_partial(|index| index >= from);
    }

    fn drop_partial(&mut self, is_gone: impl FnOnce(LogIndex) -> bool) {
        if self.partial.as_ref().is_some_and(|partial| is_gone(partial.index)) {
            self.partial = None;
        }
    }
}

#[cfg(test)]
mod tests;
