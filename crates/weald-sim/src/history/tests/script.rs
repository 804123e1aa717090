//! Histories in a few words, and what a correct database would have answered.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{History, Operation, Outcome, ProcessId, Seen, Step, Value};

pub(super) fn committed(process: u32, interval: (u64, u64), steps: Vec<Step>) -> Operation {
    let outcome = Outcome::Committed { at: interval.1 };
    Operation { process: ProcessId(process), invoked: interval.0, outcome, steps }
}

pub(super) fn rejected(process: u32, interval: (u64, u64), steps: Vec<Step>) -> Operation {
    let outcome = Outcome::Rejected { at: interval.1 };
    Operation { process: ProcessId(process), invoked: interval.0, outcome, steps }
}

pub(super) fn unknown(process: u32, invoked: u64, steps: Vec<Step>) -> Operation {
    Operation { process: ProcessId(process), invoked, outcome: Outcome::Unknown, steps }
}

/// Operations of one client after the other: each with its steps, `[10 n, 10 n + 5]`.
pub(super) fn serial(operations: Vec<Vec<Step>>) -> History {
    let placed = (0_u32..).zip(operations).map(|(number, steps)| {
        let start = u64::from(number) * 10;
        committed(number, (start, start + 5), steps)
    });
    History::new(placed.collect())
}

/// Operations that all overlap.
pub(super) fn concurrent(operations: Vec<Vec<Step>>) -> History {
    let placed =
        (0_u32..).zip(operations).map(|(number, steps)| committed(number, (0, 100), steps));
    History::new(placed.collect())
}

/// What a register holds.
#[derive(Clone, Copy, Default, PartialEq)]
struct Version {
    value: Option<Value>,
    revision: u64,
    /// Whether the revision is only a bound: the write's client was not told it.
    is_bound: bool,
}

/// A correct database, written as simply as possible.
#[derive(Clone, Default)]
pub(super) struct Truth {
    registers: BTreeMap<String, Version>,
    diaries: BTreeMap<String, Vec<Value>>,
}

impl Truth {
    /// Runs `steps` at `revision`; none if a condition does not hold.
    pub(super) fn run(&mut self, steps: &[Step], revision: u64) -> Option<Vec<Step>> {
        let mut next = self.clone();
        let answered = steps.iter().map(|step| next.answer(step, revision)).collect();
        if next.diaries != self.diaries || next.registers != self.registers {
            *self = next;
        }
        answered
    }

    /// The state after `steps`, if their answers are the true ones.
    pub(super) fn explained(&self, steps: &[Step]) -> Option<Self> {
        let mut next = self.clone();
        let mut own: BTreeSet<&str> = BTreeSet::new();
        for step in steps {
            match step {
                Step::Write { register, value, revision } => {
                    let is_again = !own.insert(register);
                    next.put(register, *value, *revision, is_again)?;
                }
                Step::Read { register, seen: Seen::Is(_), revision: Some(revision) } => {
                    next.answer(step, 0)?;
                    next.learn(register, *revision)?;
                }
                _ => {
                    let truth = next.answer(step, 0)?;
                    is_answer(step, &truth).then_some(())?;
                }
            }
        }
        Some(next)
    }

    /// Writes a register; none if the revision that was told is not above that before. A transaction
    /// that writes again stays at its revision.
    fn put(
        &mut self,
        name: &str,
        value: Option<Value>,
        told: Option<u64>,
        is_again: bool,
    ) -> Option<()> {
        let before = self.register(name);
        let revision = told.unwrap_or(before.revision);
        let is_same = revision == before.revision && (is_again || told.is_none());
        (revision > before.revision || is_same).then_some(())?;
        let version = Version { value, revision, is_bound: told.is_none() };
        self.registers.insert(name.to_owned(), version);
        Some(())
    }

    /// Takes the revision that a reader was told; none if it is not that of the version.
    fn learn(&mut self, name: &str, told: u64) -> Option<()> {
        let mut version = self.register(name);
        let is_possible =
            if version.is_bound { told > version.revision } else { told == version.revision };
        is_possible.then_some(())?;
        (version.revision, version.is_bound) = (told, false);
        self.registers.insert(name.to_owned(), version);
        Some(())
    }

    fn register(&self, name: &str) -> Version {
        self.registers.get(name).copied().unwrap_or_default()
    }

    /// The step with its true answer; none if it states a condition that does not hold.
    fn answer(&mut self, step: &Step, revision: u64) -> Option<Step> {
        match step {
            Step::Read { register, seen, .. } => {
                let Version { value, revision, .. } = self.register(register);
                let holds = match seen {
                    Seen::Nothing => true,
                    Seen::Is(expected) => value == *expected,
                    Seen::IsNot(unexpected) => value != *unexpected,
                };
                let answer = match seen {
                    Seen::IsNot(_) => step.clone(),
                    _ => Step::seen(register, value).at_revision(revision),
                };
                holds.then_some(answer)
            }
            Step::Write { register, value, .. } => {
                let is_again = self.register(register).revision == revision;
                self.put(register, *value, Some(revision), is_again)?;
                Some(step.clone().at_revision(revision))
            }
            Step::Append { diary, value, .. } => {
                let entries = self.diaries.entry(diary.clone()).or_default();
                entries.push(*value);
                Some(Step::appended(diary, *value, entries.len() as u64 - 1))
            }
            Step::ReadRange { diary, from, limit, .. } => {
                let entries = self.diaries.get(diary).cloned().unwrap_or_default();
                let rest = entries.into_iter().skip(usize::try_from(*from).unwrap());
                let count = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap());
                let (diary, from, limit) = (diary.clone(), *from, *limit);
                Some(Step::ReadRange {
                    diary,
                    from,
                    limit,
                    values: Some(rest.take(count).collect()),
                })
            }
        }
    }
}

/// Whether `told` says nothing that `truth` does not.
fn is_answer(told: &Step, truth: &Step) -> bool {
    match (told, truth) {
        (Step::Append { sequence: Some(told), .. }, Step::Append { sequence: Some(truth), .. }) => {
            told == truth
        }
        (
            Step::ReadRange { values: Some(told), .. },
            Step::ReadRange { values: Some(truth), .. },
        ) => told == truth,
        _ => true,
    }
}
