//! How a partition stands after a section. Each line of a batch's table says it, so that one intact
//! line tells exactly what the damaged ones before it have held.

use bytes::BufMut;
use weald_core::{Digest, Epoch, LogIndex, LogPoint, PeerId};

use super::{cursor::Cursor, record::Record};

const BASE_HAS_CAMPAIGNER: u32 = 1;
const LAST_HAS_CAMPAIGNER: u32 = 2;
const IS_AMNESIAC: u32 = 4;

/// The sums of a partition's sections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Counts the partition's sections; summaries repeat the count.
    pub(crate) number: u64,
    /// Counts the partition's state records.
    pub(crate) states: u64,
    /// Counts cuts and restarts.
    pub(crate) cuts: u64,
    /// Where the latest cut was; zero for a restart.
    pub(crate) cut_from: LogIndex,
    /// The point before the first entry that is wanted.
    pub(crate) base: LogPoint,
    /// The last entry.
    pub(crate) last: LogPoint,
    /// The partition had forgotten something, and no new life has begun.
    pub(crate) is_amnesiac: bool,
}

/// How many records of the kinds that are counted a section holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) states: u64,
    pub(crate) cuts: u64,
    /// The latest state is among the records, be it in a summary.
    pub(crate) has_state: bool,
}

impl Counts {
    pub(crate) fn of(records: &[Record]) -> Self {
        let count = |is: fn(&Record) -> bool| records.iter().filter(|record| is(record)).count();
        let states = count(|record| matches!(record, Record::State { .. })) as u64;
        Self {
            states,
            has_state: states > 0 || matches!(records, [Record::Summary { .. }]),
            cuts: count(|record| matches!(record, Record::Cut { .. } | Record::Restart { .. }))
                as u64,
        }
    }
}

impl Standing {
    /// Bytes that [`Standing::put`] writes, flags included.
    pub(crate) const BYTES: usize = 4 + 4 * 8 + 2 * POINT_BYTES;

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        let flag = |is_set: bool, flag: u32| if is_set { flag } else { 0 };
        out.put_u32_le(
            flag(self.base.epoch.campaigner.is_some(), BASE_HAS_CAMPAIGNER)
                | flag(self.last.epoch.campaigner.is_some(), LAST_HAS_CAMPAIGNER)
                | flag(self.is_amnesiac, IS_AMNESIAC),
        );
        for number in [self.number, self.states, self.cuts, self.cut_from.0] {
            out.put_u64_le(number);
        }
        put_point(out, &self.base);
        put_point(out, &self.last);
    }

    pub(crate) fn take(cursor: &mut Cursor<'_>) -> Option<Self> {
        let flags = cursor.u32()?;
        Some(Self {
            number: cursor.u64()?,
            states: cursor.u64()?,
            cuts: cursor.u64()?,
            cut_from: LogIndex(cursor.u64()?),
            base: take_point(cursor, flags & BASE_HAS_CAMPAIGNER != 0)?,
            last: take_point(cursor, flags & LAST_HAS_CAMPAIGNER != 0)?,
            is_amnesiac: flags & IS_AMNESIAC != 0,
        })
    }
}

const POINT_BYTES: usize = 8 + 8 + 32;

fn put_point(out: &mut Vec<u8>, point: &LogPoint) {
    out.put_u64_le(point.index.0);
    out.put_u64_le(point.epoch.number);
    put_campaigner(out, &point.epoch);
}

fn take_point(cursor: &mut Cursor<'_>, has_campaigner: bool) -> Option<LogPoint> {
    let index = LogIndex(cursor.u64()?);
    let number = cursor.u64()?;
    Some(LogPoint { index, epoch: take_campaigner(cursor, number, has_campaigner)? })
}

/// Writes who campaigned, or zeros.
pub(crate) fn put_campaigner(out: &mut Vec<u8>, epoch: &Epoch) {
    out.put_slice(epoch.campaigner.map_or([0; 32], |peer| *peer.digest().as_bytes()).as_slice());
}

/// Reads what [`put_campaigner`] wrote.
pub(crate) fn take_campaigner(
    cursor: &mut Cursor<'_>,
    number: u64,
    has_campaigner: bool,
) -> Option<Epoch> {
    let peer = PeerId::from_digest(Digest::from_bytes(cursor.array()?));
    Some(Epoch { number, campaigner: has_campaigner.then_some(peer) })
}

/// Sums up records that are not durable yet: how the partition will stand after them.
pub(crate) struct Projection<'a> {
    standing: Standing,
    /// The epoch of an entry that was held before.
    epoch_before: &'a dyn Fn(LogIndex) -> Option<Epoch>,
    /// Entries among the records that continue the log.
    own: Vec<LogPoint>,
    /// Those that fill gaps; where an entry is held already it stays.
    fills: Vec<LogPoint>,
}

impl<'a> Projection<'a> {
    pub(crate) fn new(
        standing: Standing,
        epoch_before: &'a dyn Fn(LogIndex) -> Option<Epoch>,
    ) -> Self {
        Self { standing, epoch_before, own: Vec::new(), fills: Vec::new() }
    }

    /// How the partition stands after `records`, which go into one section.
    pub(crate) fn after(mut self, records: &[Record]) -> Standing {
        self.standing.number += 1;
        let Counts { states, cuts, .. } = Counts::of(records);
        self.standing.states += states;
        self.standing.cuts += cuts;
        records.iter().for_each(|record| self.add(record));
        self.standing
    }

    fn add(&mut self, record: &Record) {
        match record {
            Record::Entry { index, epoch, is_fill, .. } => self.add_entry(*index, *epoch, *is_fill),
            Record::Part { index, epoch, is_fill, .. } if record.is_last_part() => {
                self.add_entry(*index, *epoch, *is_fill);
            }
            Record::Cut { from } => self.cut(*from),
            Record::Release { below } => self.release(*below),
            Record::Restart { base } => {
                self.own.clear();
                self.fills.clear();
                (self.standing.base, self.standing.last) = (*base, *base);
                self.standing.cut_from = LogIndex::ZERO;
                self.standing.is_amnesiac = false;
            }
            Record::Part { .. } | Record::State { .. } | Record::Summary { .. } => {}
        }
    }

    fn add_entry(&mut self, index: LogIndex, epoch: Epoch, is_fill: bool) {
        let point = LogPoint { index, epoch };
        if !is_fill || index == self.standing.last.index {
            self.standing.last = point;
        }
        if is_fill {
            self.fills.push(point);
        } else {
            self.own.push(point);
        }
    }

    fn cut(&mut self, from: LogIndex) {
        self.standing.cut_from = from;
        if from > self.standing.last.index {
            return;
        }
        self.own.retain(|point| point.index < from);
        self.fills.retain(|point| point.index < from);
        self.standing.last = self.point(LogIndex(from.0.saturating_sub(1)));
    }

    fn release(&mut self, below: LogIndex) {
        let before = LogIndex(below.0.saturating_sub(1));
        if before <= self.standing.base.index {
            return;
        }
        self.standing.base = match before > self.standing.last.index {
            true => LogPoint { index: before, epoch: Epoch::default() },
            false => self.point(before),
        };
        if self.standing.last.index < before {
            self.standing.last = self.standing.base;
        }
    }

    fn point(&self, index: LogIndex) -> LogPoint {
        let Standing { base, last, .. } = self.standing;
        let known = self.own.iter().rev().chain([&base, &last]);
        let known = known.copied().find(|point| point.index == index);
        known.unwrap_or_else(|| {
            let filled = || self.fills.iter().find(|point| point.index == index);
            let filled = || filled().map(|point| point.epoch);
            let epoch = (self.epoch_before)(index).or_else(filled);
            LogPoint { index, epoch: epoch.unwrap_or_default() }
        })
    }
}
