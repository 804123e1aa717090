//! What a correct register and a correct diary do.

use std::collections::BTreeMap;

use super::super::operation::{Shown, ShownList};
use super::super::{Object, Seen, Step, Value};
use super::projection::Projection;

/// One value in an object.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Cell {
    /// A value that some answer or condition names.
    Named(Option<Value>),
    /// Any other.
    Unnamed,
}

/// The state of one object. Equal states are equal values.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum State {
    Register(Cell),
    Diary(ListId),
}

/// A list, as the place of its last entry in a tree of all lists that were met.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct ListId(usize);

/// Runs steps on states.
pub(super) struct Model<'a> {
    projection: &'a Projection<'a>,
    lists: Lists,
}

impl<'a> Model<'a> {
    pub(super) fn new(projection: &'a Projection<'a>) -> Self {
        Self { projection, lists: Lists::new() }
    }

    /// The state before the first operation.
    pub(super) fn initial(&self) -> State {
        match self.projection.object {
            Object::Register(_) => State::Register(self.cell(None)),
            Object::Diary(_) => State::Diary(ListId(0)),
        }
    }

    /// The state after the operation of part `index`, if its answers are those it gets at `state`.
    pub(super) fn apply(&mut self, state: State, index: usize) -> Option<State> {
        let projection = self.projection;
        projection.parts[index].steps.iter().try_fold(state, |state, step| match state {
            State::Register(cell) => self.apply_to_register(cell, step).map(State::Register),
            State::Diary(list) => self.apply_to_diary(list, step).map(State::Diary),
        })
    }

    /// The state as text.
    pub(super) fn describe(&self, state: State) -> String {
        match state {
            State::Register(Cell::Named(value)) => Shown(value).to_string(),
            State::Register(Cell::Unnamed) => String::from("a value that no answer names"),
            State::Diary(list) => {
                let values = self.lists.values(list);
                let shown: Vec<Value> = values.iter().copied().flatten().collect();
                let unnamed_count = values.len() - shown.len();
                let more = match unnamed_count {
                    0 => String::new(),
                    count => format!(" and {count} that no answer names"),
                };
                format!("{}{more}", ShownList(&shown))
            }
        }
    }

    fn cell(&self, value: Option<Value>) -> Cell {
        if self.projection.named.contains(&value) { Cell::Named(value) } else { Cell::Unnamed }
    }

    fn apply_to_register(&self, cell: Cell, step: &Step) -> Option<Cell> {
        match step {
            Step::Write { value, .. } => Some(self.cell(*value)),
            Step::Read { seen, .. } => {
                let holds = match seen {
                    Seen::Nothing => true,
                    Seen::Is(value) => cell == Cell::Named(*value),
                    Seen::IsNot(value) => cell != Cell::Named(*value),
                };
                holds.then_some(cell)
            }
            Step::Append { .. } | Step::ReadRange { .. } => {
                unreachable!("a projection holds one object")
            }
        }
    }

    fn apply_to_diary(&mut self, list: ListId, step: &Step) -> Option<ListId> {
        match step {
            Step::Append { value, sequence, .. } => {
                let next = self.lists.length(list);
                let is_due = sequence.is_none_or(|sequence| sequence == next);
                let known = self.projection.positions.get(&next);
                let is_known = known.is_none_or(|known| known == value);
                (is_due && is_known).then(|| self.lists.append(list, self.cell(Some(*value))))
            }
            Step::ReadRange { values: None, .. } => Some(list),
            Step::ReadRange { from, limit, values: Some(values), .. } => {
                self.lists.has(list, *from, *limit, values).then_some(list)
            }
            Step::Read { .. } | Step::Write { .. } => {
                unreachable!("a projection holds one object")
            }
        }
    }
}

/// All lists that were met, sharing their beginnings. Each entry has a second link further back
/// (Myers, An applicative random-access stack, 1983), so any place is found in O(log n) steps.
struct Lists {
    entries: Vec<Entry>,
    continuations: BTreeMap<(ListId, Cell), ListId>,
}

#[derive(Clone, Copy)]
struct Entry {
    length: u64,
    cell: Cell,
    before: ListId,
    far_before: ListId,
}

impl Lists {
    fn new() -> Self {
        let empty =
            Entry { length: 0, cell: Cell::Unnamed, before: ListId(0), far_before: ListId(0) };
        Self { entries: vec![empty], continuations: BTreeMap::new() }
    }

    fn length(&self, list: ListId) -> u64 {
        self.entries[list.0].length
    }

    fn append(&mut self, list: ListId, cell: Cell) -> ListId {
        let next = ListId(self.entries.len());
        let id = *self.continuations.entry((list, cell)).or_insert(next);
        if id == next {
            let far_before = self.far_link_after(list);
            let length = self.length(list) + 1;
            self.entries.push(Entry { length, cell, before: list, far_before });
        }
        id
    }

    fn far_link_after(&self, list: ListId) -> ListId {
        let near = self.entries[list.0].far_before;
        let far = self.entries[near.0].far_before;
        let is_even = self.length(list) - self.length(near) == self.length(near) - self.length(far);
        if is_even { far } else { list }
    }

    /// The beginning of `list` that is `length` long.
    fn beginning(&self, mut list: ListId, length: u64) -> ListId {
        while self.length(list) > length {
            let entry = &self.entries[list.0];
            let is_too_far = self.length(entry.far_before) < length;
            list = if is_too_far { entry.before } else { entry.far_before };
        }
        list
    }

    /// Whether a read of at most `limit` entries from `from` gives `values`.
    fn has(&self, list: ListId, from: u64, limit: Option<u64>, values: &[Value]) -> bool {
        let rest = self.length(list).saturating_sub(from);
        let count = limit.map_or(rest, |limit| limit.min(rest));
        if u64::try_from(values.len()) != Ok(count) {
            return false;
        }
        let mut at = self.beginning(list, from.saturating_add(count));
        values.iter().rev().all(|value| {
            let entry = &self.entries[at.0];
            at = entry.before;
            entry.cell == Cell::Named(Some(*value))
        })
    }

    /// The entries; none for those that no answer names.
    fn values(&self, mut list: ListId) -> Vec<Option<Value>> {
        let mut values = Vec::new();
        while self.length(list) > 0 {
            let entry = &self.entries[list.0];
            values.push(match entry.cell {
                Cell::Named(value) => value,
                Cell::Unnamed => None,
            });
            list = entry.before;
        }
        values.reverse();
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_a_long_list_is_found_at_every_place() {
        let mut lists = Lists::new();
        let mut list = ListId(0);
        for value in 0..100 {
            list = lists.append(list, Cell::Named(Some(value)));
        }
        for length in 0..=100 {
            assert_eq!(lists.length(lists.beginning(list, length)), length);
        }
        assert!(lists.has(list, 30, Some(2), &[30, 31]));
        assert!(!lists.has(list, 30, Some(2), &[30, 32]));
        assert!(lists.has(list, 99, Some(2), &[99]));
        assert!(lists.has(list, 99, None, &[99]));
        assert!(!lists.has(list, 98, None, &[98]));
        assert!(lists.has(list, 200, None, &[]));
        assert!(lists.has(list, 7, Some(0), &[]));
    }

    #[test]
    fn lists_of_equal_entries_are_one_list() {
        let mut lists = Lists::new();
        let first = lists.append(ListId(0), Cell::Named(Some(1)));
        assert_eq!(lists.append(ListId(0), Cell::Named(Some(1))), first);
        assert_ne!(lists.append(ListId(0), Cell::Unnamed), first);
    }
}
