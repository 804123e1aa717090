//! Versions and dependencies of one diary. An entry's sequence is its place in the order, known
//! from the answer to its append or from any read.

use std::collections::BTreeMap;

use super::super::{Object, Step, Value};
use super::graph::{Dependency, Edge};
use super::writers::Writer;
use super::{AnomalyKind, Inference, Part};

/// Adds what the transactions tell about the diary.
pub(super) fn infer<'a>(inference: &mut Inference<'a>, object: Object<'a>, parts: &[Part<'a>]) {
    let mut diary = Diary {
        inference,
        object,
        appends: parts.iter().map(|part| (part.place, appended_by(part))).collect(),
        positions: BTreeMap::new(),
        readers: BTreeMap::new(),
        last_whole_read: None,
    };
    for part in parts {
        diary.learn(part);
    }
    diary.check_values();
    diary.check_repeats();
    diary.check_lost(parts);
    diary.connect_appends();
    for part in parts {
        let mut own = Vec::new();
        for step in &part.steps {
            match step {
                Step::Append { value, .. } => own.push(*value),
                Step::ReadRange { from, limit, values: Some(values), .. } => {
                    let read = Read::new(*from, *limit, values);
                    diary.check_internal(part, &own, &read);
                    diary.connect_read(part.place, own.is_empty(), &read);
                }
                _ => {}
            }
        }
    }
    diary.connect_unplaced(parts);
}

/// The answer to a read.
struct Read<'s> {
    from: u64,
    values: &'s [Value],
    /// The sequence behind the last value.
    end: u64,
    /// Whether the diary ended there: it was `end` long, or not longer if there are no values.
    is_to_end: bool,
}

impl<'s> Read<'s> {
    fn new(from: u64, limit: Option<u64>, values: &'s [Value]) -> Self {
        let count = u64::try_from(values.len()).expect("a length fits into 64 bits");
        let is_to_end = limit.is_none_or(|limit| count < limit);
        Self { from, values, end: from.saturating_add(count), is_to_end }
    }
}

/// Where an entry stands and who told it.
#[derive(Clone, Copy)]
struct Position {
    value: Value,
    teller: usize,
}

struct Diary<'i, 'a> {
    inference: &'i mut Inference<'a>,
    object: Object<'a>,
    /// What each transaction appended.
    appends: BTreeMap<usize, Vec<Value>>,
    positions: BTreeMap<u64, Position>,
    /// By value: a transaction that read it.
    readers: BTreeMap<Value, usize>,
    /// The committed read of everything that was invoked last: when, and whose.
    last_whole_read: Option<(u64, usize)>,
}

impl<'a> Diary<'_, 'a> {
    fn learn(&mut self, part: &Part<'a>) {
        for step in &part.steps {
            match step {
                Step::Append { value, sequence: Some(sequence), .. } => {
                    self.put(*sequence, *value, part.place);
                }
                Step::ReadRange { from, limit, values: Some(values), .. } => {
                    for (sequence, value) in (*from..).zip(values) {
                        self.put(sequence, *value, part.place);
                        self.readers.entry(*value).or_insert(part.place);
                    }
                    let is_whole = *from == 0 && Read::new(*from, *limit, values).is_to_end;
                    if is_whole && part.operation.completed().is_some() {
                        let read = Some((part.operation.invoked, part.place));
                        self.last_whole_read = self.last_whole_read.max(read);
                    }
                }
                _ => {}
            }
        }
    }

    fn put(&mut self, sequence: u64, value: Value, teller: usize) {
        let known = *self.positions.entry(sequence).or_insert(Position { value, teller });
        if known.value != value {
            let text =
                format!("{} has {} and {value} at sequence {sequence}", self.object, known.value);
            self.report(AnomalyKind::IncompatibleOrders, &[known.teller, teller], &text);
        }
    }

    /// Every value that was read must be one that a transaction which took effect appended.
    fn check_values(&mut self) {
        for (value, reader) in self.readers.clone() {
            match self.inference.writers.of(self.object, Some(value)) {
                Writer::Nobody => {
                    let text = format!("{} has {value}, never appended", self.object);
                    self.report(AnomalyKind::UnwrittenRead, &[reader], &text);
                }
                Writer::Rejected(writer) => {
                    let text = format!("{} has {value}, whose append was rejected", self.object);
                    self.report(AnomalyKind::AbortedRead, &[writer, reader], &text);
                }
                Writer::One(_) | Writer::Several => {}
            }
        }
    }

    /// No entry may stand more often than its one transaction appended it.
    fn check_repeats(&mut self) {
        let mut tellers: BTreeMap<Value, Vec<usize>> = BTreeMap::new();
        for position in self.positions.values() {
            tellers.entry(position.value).or_default().push(position.teller);
        }
        for (value, tellers) in tellers {
            let Some(writer) = self.writer(value) else { continue };
            let appended = &self.appends[&writer];
            if tellers.len() > appended.iter().filter(|other| **other == value).count() {
                let text = format!("{} has {value} {} times", self.object, tellers.len());
                self.report(AnomalyKind::DuplicateAppend, &[writer, tellers[0]], &text);
            }
        }
    }

    fn check_lost(&mut self, parts: &[Part<'a>]) {
        let Some((invoked, reader)) = self.last_whole_read else { return };
        for part in parts {
            let is_before = part.operation.completed().is_some_and(|at| at < invoked);
            let lost = self.appends[&part.place]
                .iter()
                .find(|value| is_before && !self.readers.contains_key(value));
            if let Some(value) = lost {
                let text = format!("no read of {} has {value}", self.object);
                self.report(AnomalyKind::LostAppend, &[part.place, reader], &text);
            }
        }
    }

    /// A transaction sees what it appended, at the end, and nothing that it has not appended yet.
    fn check_internal(&mut self, part: &Part<'a>, own: &[Value], read: &Read<'_>) {
        let coming = &self.appends[&part.place][own.len()..];
        let is_early = coming.iter().any(|value| {
            let is_only_here = self.writer(*value) == Some(part.place) && !own.contains(value);
            is_only_here && read.values.contains(value)
        });
        let shared = own.len().min(read.values.len());
        let is_own_last = own[own.len() - shared..] == read.values[read.values.len() - shared..];
        let is_own_missing = read.from == 0 && read.values.len() < own.len();
        let is_wrong_end = read.is_to_end && (!is_own_last || is_own_missing);
        if is_early || is_wrong_end {
            let text = format!("{} contradicts the transaction itself", self.object);
            self.report(AnomalyKind::InternalInconsistency, &[part.place], &text);
        }
    }

    fn connect_appends(&mut self) {
        let values: Vec<Value> = self.positions.values().map(|position| position.value).collect();
        let owners: Vec<usize> =
            values.into_iter().filter_map(|value| self.writer(value)).collect();
        for pair in owners.windows(2) {
            self.add(pair[0], pair[1], Dependency::WriteWrite);
        }
    }

    fn connect_read(&mut self, reader: usize, is_outside: bool, read: &Read<'_>) {
        let last = read.values.iter().rev().find_map(|value| {
            self.writer(*value).filter(|writer| *writer != reader).map(|writer| (writer, *value))
        });
        if let Some((writer, value)) = last {
            self.add(writer, reader, Dependency::WriteRead);
            let is_end = read.is_to_end && read.values.last() == Some(&value);
            if is_end && is_outside && self.appends[&writer].last() != Some(&value) {
                let text = format!("{} ends within the appends of one transaction", self.object);
                self.report(AnomalyKind::IntermediateRead, &[writer, reader], &text);
            }
        }
        if read.is_to_end {
            let next = self.positions.range(read.end..).next().map(|(_, next)| next.value);
            if let Some(writer) = next.and_then(|value| self.writer(value)) {
                self.add(reader, writer, Dependency::ReadWrite);
            }
        }
    }

    /// Appends that have no place among the known ones come after all that are known without a gap.
    fn connect_unplaced(&mut self, parts: &[Part<'a>]) {
        let known_end = (0..).zip(self.positions.keys()).take_while(|(at, key)| at == *key).count();
        let known_end = u64::try_from(known_end).expect("a length fits into 64 bits");
        let last = known_end.checked_sub(1).and_then(|last| self.positions.get(&last));
        let mut earlier: Vec<(usize, Dependency)> = Vec::new();
        if let Some(writer) = last.and_then(|last| self.writer(last.value)) {
            earlier.push((writer, Dependency::WriteWrite));
        }
        for part in parts.iter().filter(|part| is_reading_until(part, known_end)) {
            earlier.push((part.place, Dependency::ReadWrite));
        }
        for target in self.unplaced() {
            for (source, dependency) in &earlier {
                self.add(*source, target, *dependency);
            }
        }
    }

    /// The transactions with an append whose place nothing tells.
    fn unplaced(&self) -> Vec<usize> {
        let mut placed: Vec<Value> =
            self.positions.values().map(|position| position.value).collect();
        placed.sort_unstable();
        let is_unplaced = |value: &Value| placed.binary_search(value).is_err();
        self.appends
            .iter()
            .filter(|(_, values)| values.iter().any(is_unplaced))
            .map(|(place, _)| *place)
            .collect()
    }

    /// The transaction that took effect and appended `value`, if it is the only one.
    fn writer(&self, value: Value) -> Option<usize> {
        match self.inference.writers.of(self.object, Some(value)) {
            Writer::One(writer) if self.inference.writers.is_effective(writer) => Some(writer),
            _ => None,
        }
    }

    fn add(&mut self, source: usize, target: usize, dependency: Dependency) {
        let object = Some(self.object);
        self.inference.graph.add(source, Edge { target, dependency, object });
    }

    fn report(&mut self, kind: AnomalyKind, places: &[usize], text: &str) {
        self.inference.report(kind, places, text.to_owned());
    }
}

fn appended_by(part: &Part<'_>) -> Vec<Value> {
    let appended = part.steps.iter().filter_map(|step| match step {
        Step::Append { value, .. } => Some(*value),
        _ => None,
    });
    appended.collect()
}

/// Whether a read of the part says that the diary was no longer than `end`, and is about as long.
fn is_reading_until(part: &Part<'_>, end: u64) -> bool {
    part.steps.iter().any(|step| match step {
        Step::ReadRange { from, limit, values: Some(values), .. } => {
            let read = Read::new(*from, *limit, values);
            read.is_to_end && read.end == end
        }
        _ => false,
    })
}
