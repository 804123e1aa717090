//! Where a partition's entries are, as far as they are held: stretches in the order of their indexes.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::{Range, RangeInclusive},
};

use weald_core::{Epoch, LogIndex};

use super::batch::Place;

/// Neighbouring entries of one epoch whose records are in the same place: one section, or several
/// that hold the parts of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) first: LogIndex,
    pub(crate) last: LogIndex,
    pub(crate) epoch: Epoch,
    pub(crate) place: Place,
    /// The places of an entry's other parts.
    pub(crate) more: Vec<Place>,
}

/// All stretches of a partition. They do not overlap.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stretches {
    list: VecDeque<Stretch>,
    /// Entries in all stretches.
    count: u64,
    /// How many stretches begin in each segment.
    uses: BTreeMap<u64, u64>,
}

impl Stretch {
    /// A single entry, whose parts are in `places` if it has several.
    pub(crate) fn of_entry(index: LogIndex, epoch: Epoch, place: Place, more: Vec<Place>) -> Self {
        Self { first: index, last: index, epoch, place, more }
    }

    /// All places, in order.
    pub(crate) fn places(&self) -> impl Iterator<Item = &Place> {
        std::iter::once(&self.place).chain(&self.more)
    }

    fn count(&self) -> u64 {
        self.last.0 - self.first.0 + 1
    }

    fn is_continued_by(&self, next: &Self) -> bool {
        let is_next = self.last.0.checked_add(1) == Some(next.first.0);
        let is_together = self.place == next.place && self.epoch == next.epoch;
        is_next && is_together && self.more.is_empty() && next.more.is_empty()
    }

    /// What is left without `range`: before it and after it.
    fn without(&self, range: &RangeInclusive<LogIndex>) -> [Option<Self>; 2] {
        let before = (self.first < *range.start())
            .then(|| Self { last: LogIndex(range.start().0 - 1), ..self.clone() });
        let after = (self.last > *range.end())
            .then(|| Self { first: LogIndex(range.end().0 + 1), ..self.clone() });
        [before, after]
    }
}

impl Stretches {
    /// The stretch that holds `index`.
    pub(crate) fn at(&self, index: LogIndex) -> Option<&Stretch> {
        let at = self.list.partition_point(|stretch| stretch.last < index);
        self.list.get(at).filter(|stretch| stretch.first <= index)
    }

    /// Entries that are held.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The first segment that is needed for them.
    pub(crate) fn first_segment(&self) -> Option<u64> {
        self.uses.first_key_value().map(|(segment, _)| *segment)
    }

    /// The last entry that begins in `segment`.
    pub(crate) fn last_in(&self, segment: u64) -> Option<LogIndex> {
        let mut stretches = self.list.iter().rev();
        stretches.find(|stretch| stretch.place.segment == segment).map(|stretch| stretch.last)
    }

    /// Holds an entry in place of what was held there.
    pub(crate) fn insert(&mut self, stretch: Stretch) {
        if self.list.back().is_some_and(|back| back.last >= stretch.first) {
            self.remove(stretch.first..=stretch.last);
        }
        let at = self.list.partition_point(|known| known.last < stretch.first);
        self.count += stretch.count();
        if let Some(before) = at.checked_sub(1).and_then(|before| self.list.get_mut(before))
            && before.is_continued_by(&stretch)
        {
            before.last = stretch.last;
            return;
        }
        *self.uses.entry(stretch.place.segment).or_default() += 1;
        self.list.insert(at, stretch);
    }

    /// Holds what is in `range` no more.
    pub(crate) fn remove(&mut self, range: RangeInclusive<LogIndex>) {
        let from = self.list.partition_point(|stretch| stretch.last < *range.start());
        let to = self.list.partition_point(|stretch| stretch.first <= *range.end());
        if from >= to {
            return;
        }
        let gone: Vec<_> = self.list.drain(from..to).collect();
        gone.iter().for_each(|stretch| self.forget(stretch));
        let kept = gone.iter().flat_map(|stretch| stretch.without(&range)).flatten();
        for (stretch, at) in kept.zip(from..) {
            self.count += stretch.count();
            *self.uses.entry(stretch.place.segment).or_default() += 1;
            self.list.insert(at, stretch);
        }
    }

    fn forget(&mut self, stretch: &Stretch) {
        self.count -= stretch.count();
        let segment = stretch.place.segment;
        let uses = self.uses.get_mut(&segment).expect("each stretch is counted");
        *uses -= 1;
        if *uses == 0 {
            self.uses.remove(&segment);
        }
    }

    /// Which indexes of `range` are not held.
    pub(crate) fn missing(&self, range: RangeInclusive<LogIndex>) -> Vec<RangeInclusive<LogIndex>> {
        let mut missing = Vec::new();
        let mut next = *range.start();
        for stretch in &self.list {
            if stretch.first > next {
                missing.push(next..=LogIndex(stretch.first.0 - 1));
            }
            next = next.max(LogIndex(stretch.last.0.saturating_add(1)));
        }
        if next <= *range.end() {
            missing.push(next..=*range.end());
        }
        missing
    }

    /// Entries of which something is in `span` of `segment`.
    pub(crate) fn within(&self, segment: u64, span: &Range<u64>) -> Vec<RangeInclusive<LogIndex>> {
        let is_hit = |place: &Place| {
            let other = place.span();
            place.segment == segment && other.start < span.end && span.start < other.end
        };
        let hit = self.list.iter().filter(|stretch| stretch.places().any(is_hit));
        join(hit.map(|stretch| stretch.first..=stretch.last))
    }
}

/// Joins ranges, given in order, where one begins right after another.
fn join(ranges: impl Iterator<Item = RangeInclusive<LogIndex>>) -> Vec<RangeInclusive<LogIndex>> {
    let mut joined: Vec<RangeInclusive<LogIndex>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if last.end().0.checked_add(1) == Some(range.start().0) => {
                *last = *last.start()..=*range.end();
            }
            _ => joined.push(range),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(segment: u64) -> Place {
        Place { segment, offset: segment * 100, length: 10, crc: 0, cookie: 0 }
    }

    fn entry(index: u64, segment: u64) -> Stretch {
        Stretch::of_entry(LogIndex(index), Epoch::default(), place(segment), Vec::new())
    }

    fn all(first: u64, last: u64) -> RangeInclusive<LogIndex> {
        LogIndex(first)..=LogIndex(last)
    }

    /// Entries 1 to 12, four in each of three segments.
    fn twelve() -> Stretches {
        let mut stretches = Stretches::default();
        (1..=12).for_each(|index| stretches.insert(entry(index, 1 + (index - 1) / 4)));
        stretches
    }

    #[test]
    fn neighbours_of_one_place_and_epoch_are_one_stretch() {
        let mut stretches = twelve();
        assert_eq!((stretches.list.len(), stretches.count()), (3, 12));
        let epoch = Epoch { number: 2, campaigner: None };
        stretches.insert(Stretch { epoch, ..entry(13, 3) });
        assert_eq!((stretches.list.len(), stretches.count()), (4, 13));
    }

    #[test]
    fn what_is_removed_anywhere_is_missing_until_it_is_filled() {
        let mut stretches = twelve();
        stretches.remove(all(3, 3));
        stretches.remove(all(6, 10));
        assert_eq!(stretches.missing(all(1, 14)), [all(3, 3), all(6, 10), all(13, 14)]);
        assert_eq!(stretches.count(), 6);
        (6..=10).for_each(|index| stretches.insert(entry(index, 7)));
        assert_eq!(stretches.missing(all(1, 12)), [all(3, 3)]);
        assert_eq!(stretches.at(LogIndex(8)).unwrap().place, place(7));
        assert_eq!(stretches.at(LogIndex(11)).unwrap().place, place(3));
        assert_eq!(stretches.at(LogIndex(3)), None);
    }

    #[test]
    fn the_first_segment_needed_is_found_whatever_the_order() {
        let mut stretches = twelve();
        stretches.remove(all(1, 4));
        assert_eq!(stretches.first_segment(), Some(2));
        (1..=4).for_each(|index| stretches.insert(entry(index, 9)));
        assert_eq!((stretches.first_segment(), stretches.last_in(9)), (Some(2), Some(LogIndex(4))));
        stretches.remove(all(5, u64::MAX));
        assert_eq!((stretches.first_segment(), stretches.count()), (Some(9), 4));
        stretches.remove(all(0, u64::MAX));
        assert_eq!((stretches.first_segment(), stretches.count()), (None, 0));
    }

    #[test]
    fn damaged_bytes_are_told_as_ranges_of_entries() {
        let stretches = twelve();
        assert_eq!(stretches.within(2, &(205..206)), [all(5, 8)]);
        assert_eq!(stretches.within(2, &(210..300)), []);
        assert_eq!(stretches.within(4, &(0..4000)), []);
    }
}
