//! What a history says about one object.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{History, Object, Operation, Seen, Step, Value};

/// The operations on one object, and what their answers say about it in advance.
pub(super) struct Projection<'a> {
    pub(super) object: Object<'a>,
    /// In the order of the history.
    pub(super) parts: Vec<Part<'a>>,
    /// Values that an answer or a condition names. All others look alike.
    pub(super) named: BTreeSet<Option<Value>>,
    /// What committed answers say stands at each sequence of a diary.
    pub(super) positions: BTreeMap<u64, Value>,
    /// By value that a register gets at most once: the committed operations that begin by seeing it.
    pub(super) readers: BTreeMap<Option<Value>, BTreeSet<usize>>,
}

/// The steps of one operation on one object.
pub(super) struct Part<'a> {
    pub(super) operation: &'a Operation,
    pub(super) steps: Vec<&'a Step>,
    pub(super) role: Role,
}

/// How the search treats a part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    /// Committed, changes nothing.
    Read,
    /// Committed, changes the object.
    Change,
    /// Of unknown outcome. Operations of one class can stand for each other.
    Optional {
        /// The class.
        class: usize,
    },
}

/// Operations whose steps are the same but for values that no answer names.
type Classes = BTreeMap<Vec<(Step, bool)>, usize>;

/// An end of a part's interval. Invocations are before completions of the same tick.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum End {
    Invocation,
    Completion,
}

impl<'a> Projection<'a> {
    /// Projects the operations at `places` on `object`.
    pub(super) fn new(history: &'a History, object: Object<'a>, places: &[usize]) -> Self {
        let mut parts: Vec<Part<'a>> = places
            .iter()
            .map(|place| Part::new(&history.operations()[*place], object))
            .filter(|part| part.is_committed() || part.is_changing())
            .collect();
        let named = named_in(&parts);
        let mut classes = BTreeMap::new();
        for part in &mut parts {
            part.role = part.role_among(&named, &mut classes);
        }
        let positions = positions_of(&parts);
        let readers = readers_of(&parts);
        Self { object, parts, named, positions, readers }
    }

    /// All ends of intervals in the order of time.
    pub(super) fn ends(&self) -> Vec<(u64, End, usize)> {
        let mut ends = Vec::with_capacity(self.parts.len() * 2);
        for (index, part) in self.parts.iter().enumerate() {
            ends.push((part.operation.invoked, End::Invocation, index));
            if let Some(completed) = part.operation.completed() {
                ends.push((completed, End::Completion, index));
            }
        }
        ends.sort_unstable();
        ends
    }
}

impl<'a> Part<'a> {
    fn new(operation: &'a Operation, object: Object<'a>) -> Self {
        let steps = operation.steps.iter().filter(|step| step.object() == object).collect();
        Self { operation, steps, role: Role::Read }
    }

    fn is_committed(&self) -> bool {
        self.operation.completed().is_some()
    }

    pub(super) fn is_changing(&self) -> bool {
        self.steps.iter().any(|step| step.is_change())
    }

    fn role_among(&self, named: &BTreeSet<Option<Value>>, classes: &mut Classes) -> Role {
        match (self.is_committed(), self.is_changing()) {
            (true, false) => Role::Read,
            (true, true) => Role::Change,
            (false, _) => {
                let alike = self.steps.iter().map(|step| without_unnamed(step, named)).collect();
                let next = classes.len();
                Role::Optional { class: *classes.entry(alike).or_insert(next) }
            }
        }
    }

    pub(super) fn named_values(&self) -> Vec<Option<Value>> {
        self.steps.iter().flat_map(|step| named_by(step)).collect()
    }

    /// Whether the part writes `value` at one of its steps.
    pub(super) fn is_writer_of(&self, value: Option<Value>) -> bool {
        self.steps.iter().any(|step| written(step) == Some(value))
    }

    /// The value that the register must hold when the operation takes effect, if it says so.
    pub(super) fn first_seen(&self) -> Option<Option<Value>> {
        match self.steps.first() {
            Some(Step::Read { seen: Seen::Is(value), .. }) => Some(*value),
            _ => None,
        }
    }
}

/// The value that a step writes or appends.
fn written(step: &Step) -> Option<Option<Value>> {
    match step {
        Step::Write { value, .. } => Some(*value),
        Step::Append { value, .. } => Some(Some(*value)),
        Step::Read { .. } | Step::ReadRange { .. } => None,
    }
}

/// The step, without its value if no answer names it, and whether that is so.
fn without_unnamed(step: &Step, named: &BTreeSet<Option<Value>>) -> (Step, bool) {
    let is_unnamed = written(step).is_some_and(|value| !named.contains(&value));
    let mut step = step.clone();
    match &mut step {
        Step::Write { value, .. } if is_unnamed => *value = None,
        Step::Append { value, .. } if is_unnamed => *value = 0,
        _ => {}
    }
    (step, is_unnamed)
}

fn named_by(step: &Step) -> Vec<Option<Value>> {
    match step {
        Step::Read { seen: Seen::Is(value) | Seen::IsNot(value), .. } => vec![*value],
        Step::ReadRange { values: Some(values), .. } => values.iter().copied().map(Some).collect(),
        Step::Read { .. } | Step::ReadRange { .. } | Step::Write { .. } | Step::Append { .. } => {
            Vec::new()
        }
    }
}

/// The values that answers and conditions name.
fn named_in(parts: &[Part<'_>]) -> BTreeSet<Option<Value>> {
    let mut named = BTreeSet::new();
    let mut lists = Lists::default();
    for step in parts.iter().flat_map(|part| &part.steps) {
        match step {
            Step::ReadRange { from, values: Some(values), .. } => {
                named.extend(lists.fresh(*from, values).1.iter().copied().map(Some));
            }
            _ => named.extend(named_by(step)),
        }
    }
    named
}

/// Most lists that are read begin as the one read before does.
#[derive(Default)]
struct Lists<'a> {
    last: (u64, &'a [Value]),
}

impl<'a> Lists<'a> {
    /// The part of a list that was not the same in the last one, and the sequence at which it begins.
    fn fresh(&mut self, from: u64, values: &'a [Value]) -> (u64, &'a [Value]) {
        let (last_from, last) = std::mem::replace(&mut self.last, (from, values));
        if last_from != from {
            return (from, values);
        }
        let common = last.iter().zip(values).take_while(|(one, other)| one == other).count();
        (from + u64::try_from(common).unwrap_or(0), &values[common..])
    }
}

fn positions_of(parts: &[Part<'_>]) -> BTreeMap<u64, Value> {
    let mut positions = BTreeMap::new();
    let mut lists = Lists::default();
    let committed = parts.iter().filter(|part| part.is_committed());
    for step in committed.flat_map(|part| &part.steps) {
        match step {
            Step::Append { value, sequence: Some(sequence), .. } => {
                positions.entry(*sequence).or_insert(*value);
            }
            Step::ReadRange { from, values: Some(values), .. } => {
                let (from, values) = lists.fresh(*from, values);
                for (sequence, value) in (from..).zip(values) {
                    positions.entry(sequence).or_insert(*value);
                }
            }
            _ => {}
        }
    }
    positions
}

fn readers_of(parts: &[Part<'_>]) -> BTreeMap<Option<Value>, BTreeSet<usize>> {
    let mut writer_counts: BTreeMap<Option<Value>, usize> = BTreeMap::from([(None, 1)]);
    for part in parts {
        let values: BTreeSet<_> = part.steps.iter().filter_map(|step| written(step)).collect();
        for value in values {
            *writer_counts.entry(value).or_default() += 1;
        }
    }
    let mut readers: BTreeMap<Option<Value>, BTreeSet<usize>> = BTreeMap::new();
    for (index, part) in parts.iter().enumerate().filter(|(_, part)| part.is_committed()) {
        let seen = part.first_seen();
        let sole = seen.filter(|value| writer_counts.get(value).is_none_or(|count| *count <= 1));
        if let Some(value) = sole {
            readers.entry(value).or_default().insert(index);
        }
    }
    readers
}
