//! What the log knows of one partition: where its entries are, its promises, and what is missing.
//! The log thread and recovery feed it the same records in the same order.

use std::collections::VecDeque;

use bytes::Bytes;
use weald_core::{Epoch, LogIndex, PartitionHealth, RecoveredPartition};

use super::{
    batch::{Place, Section},
    record::{Record, Summary},
};

/// The index of one partition's part of the log.
#[derive(Clone, Debug)]
pub(crate) struct PartitionLog {
    sections: u64,
    states: u64,
    state: Option<Bytes>,
    floor: LogIndex,
    last: LogIndex,
    epochs: VecDeque<(LogIndex, Epoch)>,
    stretches: VecDeque<Stretch>,
    partial: Option<Partial>,
    flaws: Flaws,
}

/// Neighbouring entries whose records are in the same place: one section, or several that hold the
/// parts of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) first: LogIndex,
    pub(crate) last: LogIndex,
    pub(crate) place: Place,
    /// The places of an entry's other parts.
    pub(crate) more: Vec<Place>,
}

/// An entry of which not all parts have come.
#[derive(Clone, Debug)]
struct Partial {
    index: LogIndex,
    total: u32,
    received: u32,
    places: Vec<Place>,
}

/// What recovery found wrong.
#[derive(Clone, Copy, Debug, Default)]
struct Flaws {
    /// Sections before an intact one are missing.
    hole: bool,
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
    /// Synced bytes are missing or damaged, or may be. The log is read-only.
    Lost,
}

impl Default for PartitionLog {
    fn default() -> Self {
        Self {
            sections: 0,
            states: 0,
            state: None,
            floor: LogIndex(1),
            last: LogIndex::ZERO,
            epochs: VecDeque::new(),
            stretches: VecDeque::new(),
            partial: None,
            flaws: Flaws::default(),
        }
    }
}

impl PartitionLog {
    /// A partition as a summary tells it, when what came before is not needed any more.
    pub(crate) fn from_summary(section: &Section) -> Self {
        let mut log = Self::default();
        log.adopt_summary(section);
        log
    }

    /// Takes in the records of a section that is durable at `place`.
    pub(crate) fn absorb(&mut self, section: &Section, place: Place) {
        if let [Record::Summary(_)] = section.records.as_slice() {
            return self.check_summary(section);
        }
        self.check_numbers(section);
        for record in &section.records {
            match record {
                Record::Entry { index, epoch, .. } => {
                    self.append(*index, *epoch, place, Vec::new());
                }
                Record::Part { index, epoch, total, offset, bytes } => {
                    let count = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                    self.add_part(
                        *index,
                        *epoch,
                        PartSpan { total: *total, offset: *offset, count },
                        place,
                    );
                }
                Record::Cut { from } => self.cut(*from),
                Record::Release { below } => self.release(*below),
                Record::State { bytes } => {
                    self.state = Some(bytes.clone());
                    self.flaws.state_missing = false;
                }
                Record::Summary(_) => {}
            }
        }
    }

    /// Something of this partition may be missing after what was absorbed.
    pub(crate) fn cast_doubt(&mut self) {
        self.flaws.doubt = true;
    }

    /// The records before this partition's first known section are missing.
    pub(crate) fn mark_hole(&mut self) {
        self.flaws.hole = true;
    }

    /// The number that the next section gets, and its count of states if it holds `states` more.
    pub(crate) fn next_numbers(&self, states: u64) -> (u64, u64) {
        (self.sections + 1, self.states + states)
    }

    /// The section that repeats this partition at the start of a segment.
    pub(crate) fn summary(&self) -> (u64, u64, Summary) {
        let summary = Summary {
            floor: self.floor,
            last: self.last,
            last_epoch: self.last_epoch(),
            state: self.state.clone(),
        };
        (self.sections, self.states, summary)
    }

    /// The first segment that this partition needs.
    pub(crate) fn first_segment(&self) -> Option<u64> {
        let entries = self.stretches.front().map(|stretch| stretch.place.segment);
        let partial = self.partial.as_ref().and_then(|partial| partial.places.first());
        entries.into_iter().chain(partial.map(|place| place.segment)).min()
    }

    /// The first index that is wanted, and the last that is held.
    pub(crate) fn bounds(&self) -> (LogIndex, LogIndex) {
        (self.floor, self.last)
    }

    /// The stretch that holds `index`.
    pub(crate) fn stretch(&self, index: LogIndex) -> Option<&Stretch> {
        let at = self.stretches.partition_point(|stretch| stretch.last < index);
        self.stretches.get(at).filter(|stretch| stretch.first <= index)
    }

    /// What recovery reports.
    pub(crate) fn recovered(&self, end: LogEnd) -> RecoveredPartition {
        RecoveredPartition {
            health: self.health(end),
            state: self.state.clone(),
            first: self.floor,
            last: self.last,
            last_epoch: self.last_epoch(),
        }
    }

    fn health(&self, end: LogEnd) -> PartitionHealth {
        let Flaws { hole, doubt, state_missing } = self.flaws;
        if end == LogEnd::Lost || doubt || state_missing {
            PartitionHealth::Amnesiac
        } else if hole || !self.is_dense() {
            PartitionHealth::Damaged { known_end: self.last }
        } else if end == LogEnd::Torn {
            PartitionHealth::Torn
        } else {
            PartitionHealth::Intact
        }
    }

    /// Whether every index from the floor to the last is held.
    fn is_dense(&self) -> bool {
        let mut next = self.floor.0;
        for stretch in &self.stretches {
            if stretch.first.0 > next {
                return false;
            }
            next = stretch.last.0 + 1;
        }
        next == self.last.0 + 1
    }

    fn last_epoch(&self) -> Epoch {
        self.epochs.back().map(|(_, epoch)| *epoch).unwrap_or_default()
    }

    fn check_numbers(&mut self, section: &Section) {
        let states = section.records.iter().filter(|record| matches!(record, Record::State { .. }));
        let expected = self.next_numbers(states.count() as u64);
        self.flaws.hole |= section.number != expected.0;
        self.flaws.state_missing |= section.states != expected.1;
        self.flaws.doubt = false;
        (self.sections, self.states) = (section.number, section.states);
    }

    /// A summary says nothing new unless something before it is missing.
    fn check_summary(&mut self, section: &Section) {
        if (section.number, section.states) != (self.sections, self.states) {
            self.flaws.hole = true;
            self.adopt_summary(section);
        }
        self.flaws.doubt = false;
    }

    fn adopt_summary(&mut self, section: &Section) {
        let [Record::Summary(summary)] = section.records.as_slice() else { return };
        (self.sections, self.states) = (section.number, section.states);
        self.state.clone_from(&summary.state);
        self.flaws.state_missing = false;
        self.release(summary.floor);
        self.cut(LogIndex(summary.last.0.saturating_add(1)));
        self.last = summary.last;
        if self.epochs.back().is_none_or(|(_, epoch)| *epoch != summary.last_epoch) {
            self.epochs.push_back((summary.last, summary.last_epoch));
        }
    }

    fn append(&mut self, index: LogIndex, epoch: Epoch, place: Place, more: Vec<Place>) {
        if index <= self.last {
            self.flaws.hole = true;
            self.cut(index);
        }
        if self.epochs.back().is_none_or(|(_, last)| *last != epoch) {
            self.epochs.push_back((index, epoch));
        }
        self.last = index;
        if index < self.floor {
            return;
        }
        match self.stretches.back_mut() {
            Some(back) if back.extends_to(index, &place) && more.is_empty() => back.last = index,
            _ => self.stretches.push_back(Stretch { first: index, last: index, place, more }),
        }
    }

    fn add_part(&mut self, index: LogIndex, epoch: Epoch, span: PartSpan, place: Place) {
        if span.offset == 0 {
            let PartSpan { total, .. } = span;
            self.partial = Some(Partial { index, total, received: 0, places: Vec::new() });
        }
        let Some(partial) = &mut self.partial else { return };
        if (partial.index, partial.total, partial.received) != (index, span.total, span.offset) {
            self.partial = None;
            return;
        }
        partial.received = partial.received.saturating_add(span.count);
        partial.places.push(place);
        if partial.received < partial.total {
            return;
        }
        let mut places = self.partial.take().map(|partial| partial.places).unwrap_or_default();
        let first = places.remove(0);
        self.append(index, epoch, first, places);
    }

    fn cut(&mut self, from: LogIndex) {
        if from > self.last {
            return;
        }
        self.last = LogIndex(from.0.saturating_sub(1));
        self.stretches.truncate(self.stretches.partition_point(|stretch| stretch.first < from));
        if let Some(back) = self.stretches.back_mut() {
            back.last = back.last.min(self.last);
        }
        self.epochs.truncate(self.epochs.partition_point(|(first, _)| *first < from));
        self.partial = None;
    }

    fn release(&mut self, below: LogIndex) {
        self.floor = self.floor.max(below);
        let gone = self.stretches.partition_point(|stretch| stretch.last < self.floor);
        self.stretches.drain(..gone);
        let before_floor = LogIndex(self.floor.0.saturating_sub(1));
        if self.last < before_floor {
            self.last = before_floor;
            self.epochs.clear();
            self.partial = None;
        }
        while self.epochs.get(1).is_some_and(|(first, _)| *first <= before_floor) {
            self.epochs.pop_front();
        }
    }
}

/// Which bytes of an entry a part holds.
#[derive(Clone, Copy)]
struct PartSpan {
    total: u32,
    offset: u32,
    count: u32,
}

impl Stretch {
    fn extends_to(&self, index: LogIndex, place: &Place) -> bool {
        self.more.is_empty() && self.place == *place && self.last.0 + 1 == index.0
    }

    /// All places, in order.
    pub(crate) fn places(&self) -> impl Iterator<Item = &Place> {
        std::iter::once(&self.place).chain(&self.more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(offset: u64) -> Place {
        Place { segment: 1 + offset / 100, offset, length: 1, crc: 0, cookie: 0 }
    }

    fn entry(index: u64) -> Record {
        let epoch = Epoch { number: index / 10, campaigner: None };
        Record::Entry { index: LogIndex(index), epoch, bytes: Bytes::new() }
    }

    fn section(number: u64, records: Vec<Record>) -> Section {
        let states = records.iter().filter(|record| matches!(record, Record::State { .. })).count();
        Section { partition: Default::default(), number, states: states as u64, records }
    }

    fn held(log: &PartitionLog) -> Vec<u64> {
        (0..200).filter(|&index| log.stretch(LogIndex(index)).is_some()).collect()
    }

    #[test]
    fn a_cut_and_a_new_suffix_replace_the_old_one() {
        let mut log = PartitionLog::default();
        log.absorb(&section(1, (1..=8).map(entry).collect()), place(0));
        log.absorb(
            &section(2, vec![Record::Cut { from: LogIndex(5) }, entry(5), entry(6)]),
            place(10),
        );
        assert_eq!(held(&log), [1, 2, 3, 4, 5, 6]);
        assert_eq!(log.stretch(LogIndex(5)).unwrap().place, place(10));
        assert_eq!(log.recovered(LogEnd::Whole).health, PartitionHealth::Intact);
    }

    #[test]
    fn releasing_lets_go_of_segments() {
        let mut log = PartitionLog::default();
        for at in 0..5 {
            log.absorb(&section(at + 1, vec![entry(at + 1)]), place(at * 100));
        }
        assert_eq!(log.first_segment(), Some(1));
        log.absorb(&section(6, vec![Record::Release { below: LogIndex(4) }]), place(500));
        assert_eq!(log.first_segment(), Some(4));
        log.absorb(&section(7, vec![Record::Release { below: LogIndex(50) }]), place(500));
        assert_eq!((log.first_segment(), log.bounds()), (None, (LogIndex(50), LogIndex(49))));
    }

    #[test]
    fn a_missing_section_is_a_hole_and_a_missing_state_amnesia() {
        let mut log = PartitionLog::default();
        log.absorb(&section(1, vec![entry(1)]), place(0));
        log.absorb(&section(3, vec![entry(3)]), place(10));
        let known_end = LogIndex(3);
        assert_eq!(log.recovered(LogEnd::Whole).health, PartitionHealth::Damaged { known_end });
        let mut later = section(4, vec![entry(4)]);
        later.states = 1;
        log.absorb(&later, place(20));
        assert_eq!(log.recovered(LogEnd::Whole).health, PartitionHealth::Amnesiac);
    }

    #[test]
    fn doubt_lasts_until_an_intact_section_follows() {
        let mut log = PartitionLog::default();
        log.absorb(&section(1, vec![entry(1)]), place(0));
        log.cast_doubt();
        assert_eq!(log.recovered(LogEnd::Whole).health, PartitionHealth::Amnesiac);
        log.absorb(&section(2, vec![entry(2)]), place(10));
        assert_eq!(log.recovered(LogEnd::Whole).health, PartitionHealth::Intact);
    }

    #[test]
    fn an_entry_counts_with_its_last_part() {
        let part = |offset| Record::Part {
            index: LogIndex(2),
            epoch: Epoch::default(),
            total: 6,
            offset,
            bytes: Bytes::from_static(b"abc"),
        };
        let mut log = PartitionLog::default();
        log.absorb(&section(1, vec![entry(1), part(0)]), place(0));
        assert_eq!(log.bounds().1, LogIndex(1));
        log.absorb(&section(2, vec![part(3), entry(3)]), place(100));
        assert_eq!(log.bounds().1, LogIndex(3));
        let stretch = log.stretch(LogIndex(2)).unwrap();
        assert_eq!(stretch.places().copied().collect::<Vec<_>>(), [place(0), place(100)]);
    }

    #[test]
    fn the_epoch_of_the_last_entry_survives_cuts_and_releases() {
        let mut log = PartitionLog::default();
        log.absorb(&section(1, (1..=35).map(entry).collect()), place(0));
        log.absorb(&section(2, vec![Record::Release { below: LogIndex(25) }]), place(1));
        log.absorb(&section(3, vec![Record::Cut { from: LogIndex(25) }]), place(2));
        assert_eq!(log.recovered(LogEnd::Whole).last_epoch.number, 2);
    }
}
