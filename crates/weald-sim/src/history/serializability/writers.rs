//! Who wrote which value, and which transactions of unknown outcome took effect.

use std::collections::BTreeMap;

use super::super::{History, Object, Operation, Seen, Step, Value};

/// Who may have written a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Writer {
    /// Nobody.
    Nobody,
    /// Rejected transactions only; this is one.
    Rejected(usize),
    /// This transaction.
    One(usize),
    /// Several transactions; which is not told.
    Several,
}

/// The writers of an object's values.
type OfObject = BTreeMap<Option<Value>, Writer>;

/// The writers of all values.
pub(super) struct Writers<'a> {
    writers: BTreeMap<Object<'a>, OfObject>,
    /// By place: whether the transaction took effect.
    effective: Vec<bool>,
}

impl<'a> Writers<'a> {
    pub(super) fn new(history: &'a History) -> Self {
        let mut writers: BTreeMap<Object<'a>, OfObject> = BTreeMap::new();
        for (place, operation) in history.operations().iter().enumerate() {
            for (object, value) in operation.steps.iter().filter_map(written) {
                let of_object = writers.entry(object).or_default();
                let writer = of_object.entry(value).or_insert(Writer::Nobody);
                *writer = writer.and(place, operation);
            }
        }
        let effective = vec![false; history.operations().len()];
        let mut all = Self { writers, effective };
        all.find_effective(history);
        all
    }

    /// Who wrote `value` into `object`. The absence at the beginning is nobody's.
    pub(super) fn of(&self, object: Object<'a>, value: Option<Value>) -> Writer {
        let writer = self.writers.get(&object).and_then(|of_object| of_object.get(&value));
        writer.copied().unwrap_or(Writer::Nobody)
    }

    /// Whether the transaction took effect: it is committed, or one that took effect saw its writes.
    pub(super) fn is_effective(&self, place: usize) -> bool {
        self.effective[place]
    }

    pub(super) fn effective_count(&self) -> usize {
        self.effective.iter().filter(|is_effective| **is_effective).count()
    }

    fn find_effective(&mut self, history: &'a History) {
        let operations = history.operations();
        let is_committed = |place: &usize| operations[*place].completed().is_some();
        let mut fresh: Vec<usize> = (0..operations.len()).filter(is_committed).collect();
        while let Some(place) = fresh.pop() {
            if self.effective[place] {
                continue;
            }
            self.effective[place] = true;
            for step in &operations[place].steps {
                let Some(of_object) = self.writers.get(&step.object()) else { continue };
                let writers = shown(step).filter_map(|value| of_object.get(&Some(value)));
                fresh.extend(writers.filter_map(|writer| match writer {
                    Writer::One(writer) if !self.effective[*writer] => Some(*writer),
                    _ => None,
                }));
            }
        }
    }
}

impl Writer {
    fn and(self, place: usize, operation: &Operation) -> Self {
        let is_rejected = operation.is_rejected();
        match self {
            Self::One(writer) if writer == place || is_rejected => self,
            Self::One(_) | Self::Several => Self::Several,
            Self::Rejected(_) | Self::Nobody if is_rejected => Self::Rejected(place),
            Self::Rejected(_) | Self::Nobody => Self::One(place),
        }
    }
}

fn written(step: &Step) -> Option<(Object<'_>, Option<Value>)> {
    match step {
        Step::Write { value, .. } => Some((step.object(), *value)),
        Step::Append { value, .. } => Some((step.object(), Some(*value))),
        Step::Read { .. } | Step::ReadRange { .. } => None,
    }
}

/// The values that a step shows to be there.
fn shown(step: &Step) -> impl Iterator<Item = Value> {
    let (one, several): (Option<Value>, &[Value]) = match step {
        Step::Read { seen: Seen::Is(value), .. } => (*value, &[]),
        Step::ReadRange { values: Some(values), .. } => (None, values),
        Step::Read { .. } | Step::ReadRange { .. } | Step::Write { .. } | Step::Append { .. } => {
            (None, &[])
        }
    };
    one.into_iter().chain(several.iter().copied())
}
