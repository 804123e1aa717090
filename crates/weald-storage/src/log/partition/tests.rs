//! What one partition knows after any sections, with others lost between them.

use weald_core::LogPoint;

use super::*;

fn place(offset: u64) -> Place {
    Place { segment: 1 + offset / 100, offset, length: 1, crc: 0, cookie: 0 }
}

fn entry(index: u64) -> Record {
    let epoch = Epoch { number: index / 10, campaigner: None };
    Record::Entry { index: LogIndex(index), epoch, bytes: Bytes::new(), is_fill: false }
}

fn fill(index: u64) -> Record {
    let epoch = Epoch { number: index / 10, campaigner: None };
    Record::Entry { index: LogIndex(index), epoch, bytes: Bytes::new(), is_fill: true }
}

fn state(text: &'static str) -> Record {
    Record::State { bytes: Bytes::from_static(text.as_bytes()) }
}

fn cut(from: u64) -> Record {
    Record::Cut { from: LogIndex(from) }
}

fn release(below: u64) -> Record {
    Record::Release { below: LogIndex(below) }
}

/// A partition as the log thread writes it and as recovery finds it, with sections lost between.
#[derive(Default)]
struct Pair {
    written: PartitionLog,
    found: PartitionLog,
    sections: u64,
}

impl Pair {
    fn write(&mut self, records: Vec<Record>) -> (Section, Place) {
        let standing = self.written.standing_after(&records);
        let section = Section { partition: Default::default(), standing, records };
        let place = place(self.sections * 10);
        self.sections += 1;
        self.written.absorb(&section, place);
        (section, place)
    }

    /// Writes a section that recovery finds.
    fn keep(&mut self, records: Vec<Record>) {
        let (section, place) = self.write(records);
        self.found.absorb(&section, place);
    }

    /// Writes a section of which recovery finds nothing.
    fn vanish(&mut self, records: Vec<Record>) {
        self.write(records);
    }

    /// Writes a section of which recovery finds the line of the table.
    fn damage(&mut self, records: Vec<Record>) {
        let (section, _) = self.write(records);
        self.found.lose(&section.standing);
    }

    fn summarize(&mut self) {
        let (standing, record) = self.written.summary();
        let section = Section { partition: Default::default(), standing, records: vec![record] };
        self.found.absorb(&section, place(self.sections * 10));
    }

    fn health(&self) -> PartitionHealth {
        assert_eq!(self.written.health(LogEnd::Whole), PartitionHealth::Intact);
        self.found.health(LogEnd::Whole)
    }

    fn missing(&self) -> Vec<(u64, u64)> {
        let missing = self.found.missing();
        missing.into_iter().map(|range| (range.start().0, range.end().0)).collect()
    }
}

fn entries(indexes: RangeInclusive<u64>) -> Vec<Record> {
    indexes.map(entry).collect()
}

fn held(log: &PartitionLog) -> Vec<u64> {
    (0..200).filter(|&index| log.stretch(LogIndex(index)).is_some()).collect()
}

#[test]
fn a_cut_and_a_new_suffix_replace_the_old_one() {
    let mut pair = Pair::default();
    pair.keep(entries(1..=8));
    pair.keep(vec![cut(5), entry(5), entry(6)]);
    assert_eq!(held(&pair.found), [1, 2, 3, 4, 5, 6]);
    assert_eq!(pair.found.stretch(LogIndex(5)).unwrap().place, place(10));
    assert_eq!(pair.health(), PartitionHealth::Intact);
}

#[test]
fn the_epoch_of_the_last_entry_is_known_after_a_cut_behind_what_is_filled_in_with_it() {
    let mut pair = Pair::default();
    pair.keep(entries(1..=13));
    pair.vanish(entries(14..=24));
    pair.keep(vec![entry(25)]);
    // Written anew, and read again.
    pair.written = pair.found.clone();
    pair.keep((14..=19).map(fill).chain([cut(20)]).collect());
    for log in [&pair.written, &pair.found] {
        let status = log.status();
        assert_eq!((status.last.index.0, status.last.epoch.number), (19, 1));
        assert_eq!(log.health(LogEnd::Whole), PartitionHealth::Intact);
    }
}

#[test]
fn releasing_lets_go_of_segments() {
    let mut pair = Pair::default();
    for index in 1..=5 {
        pair.sections = index * 10;
        pair.keep(vec![entry(index)]);
    }
    assert_eq!(pair.found.first_segment(), Some(2));
    pair.keep(vec![release(4)]);
    assert_eq!(pair.found.first_segment(), Some(5));
    assert_eq!(pair.found.release_from(5), Some(LogIndex(5)));
    pair.keep(vec![release(50)]);
    let bounds = (LogIndex(50), LogIndex(49));
    assert_eq!((pair.found.first_segment(), pair.found.bounds()), (None, bounds));
}

#[test]
fn missing_sections_are_told_exactly_by_the_next_intact_one() {
    let known_end = |index| PartitionHealth::Damaged { known_end: LogIndex(index) };
    let mut pair = Pair::default();
    pair.keep(entries(1..=3));
    pair.vanish(entries(4..=6));
    pair.keep(vec![entry(7)]);
    assert_eq!((pair.health(), pair.missing()), (known_end(7), vec![(4, 6)]));
    pair.damage(vec![entry(8)]);
    assert_eq!((pair.health(), pair.missing()), (known_end(8), vec![(4, 6), (8, 8)]));
    pair.vanish(vec![release(6)]);
    pair.keep(vec![state("promise")]);
    assert_eq!((pair.health(), pair.missing()), (known_end(8), vec![(6, 6), (8, 8)]));
    pair.keep(vec![fill(6), fill(7)]);
    pair.keep(vec![fill(8)]);
    assert_eq!((pair.health(), pair.missing()), (PartitionHealth::Intact, vec![]));
    assert_eq!(pair.found.stretch(LogIndex(7)).unwrap().place, place(20), "it was held");
}

#[test]
fn a_missing_end_is_known_from_any_later_section() {
    let mut pair = Pair::default();
    pair.keep(entries(1..=3));
    pair.vanish(entries(4..=26));
    pair.keep(vec![state("promise")]);
    let found = pair.found.recovered(LogEnd::Whole);
    assert_eq!((found.last, found.last_epoch.number), (LogIndex(26), 2));
    assert_eq!(pair.missing(), [(4, 26)]);
}

#[test]
fn a_missing_cut_takes_with_it_what_it_cut() {
    let mut pair = Pair::default();
    pair.keep(entries(1..=9));
    pair.damage(vec![cut(5), entry(5)]);
    pair.keep(vec![entry(6)]);
    assert_eq!(pair.missing(), [(5, 5)]);
    pair.vanish(vec![cut(4)]);
    pair.vanish(vec![cut(3), entry(3)]);
    pair.keep(vec![entry(4)]);
    assert_eq!(pair.missing(), [(1, 3)], "nobody knows how far the first cut went");
}

#[test]
fn missing_promises_are_amnesia_until_later_ones_come() {
    let mut pair = Pair::default();
    pair.keep(vec![entry(1), state("a")]);
    pair.damage(vec![state("b")]);
    pair.keep(vec![entry(2)]);
    assert_eq!(pair.health(), PartitionHealth::Amnesiac);
    let mut by_summary = PartitionLog::clone(&pair.found);
    pair.keep(vec![state("c")]);
    assert_eq!(pair.health(), PartitionHealth::Intact);
    by_summary.absorb(
        &Section {
            partition: Default::default(),
            standing: pair.written.summary().0,
            records: vec![pair.written.summary().1],
        },
        place(90),
    );
    assert_eq!(by_summary.state.as_ref().unwrap(), "c");
    assert_eq!(by_summary.health(LogEnd::Whole), PartitionHealth::Intact);
}

#[test]
fn doubt_lasts_until_an_intact_section_follows() {
    let mut pair = Pair::default();
    pair.keep(vec![entry(1)]);
    pair.found.cast_doubt();
    assert_eq!(pair.health(), PartitionHealth::Amnesiac);
    let mut forgetful = pair.found.clone();
    pair.keep(vec![entry(2)]);
    assert_eq!(pair.health(), PartitionHealth::Intact);
    // A run that cannot know says so in what it writes.
    forgetful.keep_verdict();
    let (standing, record) = forgetful.summary();
    let section = Section { partition: Default::default(), standing, records: vec![record] };
    let mut later = PartitionLog::default();
    later.absorb(&section, place(100));
    assert_eq!(later.health(LogEnd::Whole), PartitionHealth::Amnesiac);
}

#[test]
fn a_restart_forgets_entries_and_keeps_the_epoch_of_its_base() {
    let mut pair = Pair::default();
    pair.keep(entries(1..=9));
    let epoch = Epoch { number: 7, campaigner: None };
    pair.keep(vec![Record::Restart { base: LogPoint { index: LogIndex(40), epoch } }]);
    let found = pair.found.recovered(LogEnd::Whole);
    assert_eq!((found.first, found.last), (LogIndex(41), LogIndex(40)));
    assert_eq!((found.last_epoch, pair.health()), (epoch, PartitionHealth::Intact));
    pair.keep(entries(41..=55));
    pair.keep(vec![cut(41)]);
    assert_eq!(pair.found.recovered(LogEnd::Whole).last_epoch, epoch);
    pair.summarize();
    assert_eq!(pair.found.recovered(LogEnd::Whole).last_epoch, epoch);
}

#[test]
fn an_entry_counts_with_its_last_part() {
    let part = |offset| Record::Part {
        index: LogIndex(2),
        epoch: Epoch::default(),
        total: 6,
        offset,
        bytes: Bytes::from_static(b"abc"),
        is_fill: false,
    };
    let mut pair = Pair::default();
    pair.keep(vec![entry(1), part(0)]);
    assert_eq!(pair.found.bounds().1, LogIndex(1));
    pair.keep(vec![part(3), entry(3)]);
    assert_eq!(pair.found.bounds().1, LogIndex(3));
    let stretch = pair.found.stretch(LogIndex(2)).unwrap();
    assert_eq!(stretch.places().copied().collect::<Vec<_>>(), [place(0), place(10)]);
    assert_eq!(pair.health(), PartitionHealth::Intact);
}

#[test]
fn parts_of_one_section_are_one_place() {
    let part = |offset| Record::Part {
        index: LogIndex(1),
        epoch: Epoch::default(),
        total: 6,
        offset,
        bytes: Bytes::from_static(b"ab"),
        is_fill: false,
    };
    let mut pair = Pair::default();
    pair.keep(vec![part(0), part(2)]);
    pair.keep(vec![part(4)]);
    let stretch = pair.found.stretch(LogIndex(1)).unwrap();
    assert_eq!(stretch.places().copied().collect::<Vec<_>>(), [place(0), place(10)]);
}

#[test]
fn the_epoch_of_the_last_entry_survives_cuts_and_releases() {
    let mut pair = Pair::default();
    pair.keep(entries(1..=35));
    pair.keep(vec![release(25)]);
    pair.keep(vec![cut(25)]);
    assert_eq!(pair.found.recovered(LogEnd::Whole).last_epoch.number, 2);
    pair.keep(vec![entry(25), entry(26), entry(30), cut(26), release(26)]);
    let status = pair.found.status();
    assert_eq!((status.base, status.last), (status.last, status.base));
    assert_eq!((status.last.index.0, status.last.epoch.number), (25, 2));
}
