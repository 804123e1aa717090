//! Why no order explains a history, for people.

use std::collections::BTreeSet;
use std::fmt;

use super::super::Operation;
use super::super::limits::{WITNESS_OPERATIONS_MAX, WITNESS_STATES_MAX};
use super::model::{Cell, Model, State};
use super::projection::{Part, Projection};

/// The first completion at which no order is left, with what was possible until then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// The register or diary.
    pub object: String,
    /// The operation that fits nowhere.
    pub misfit: Operation,
    /// The states that the object may have had while it was under way, at most
    /// [`WITNESS_STATES_MAX`].
    pub possible: Vec<String>,
    /// The operations on the object that overlap it, and those that wrote what is possible or what
    /// it saw; the latest, at most [`WITNESS_OPERATIONS_MAX`].
    pub window: Vec<Operation>,
}

impl Witness {
    pub(super) fn new(
        projection: &Projection<'_>,
        misfit: usize,
        states: &BTreeSet<State>,
        model: &Model<'_>,
    ) -> Self {
        let misfit_part = &projection.parts[misfit];
        let mut window: Vec<&Part<'_>> = projection
            .parts
            .iter()
            .enumerate()
            .filter(|(index, part)| *index != misfit && is_relevant(part, misfit_part, states))
            .map(|(_, part)| part)
            .collect();
        window.sort_by_key(|part| part.operation.invoked);
        let hidden_count = window.len().saturating_sub(WITNESS_OPERATIONS_MAX);
        Self {
            object: projection.object.to_string(),
            misfit: on_object(misfit_part),
            possible: states
                .iter()
                .rev()
                .take(WITNESS_STATES_MAX)
                .map(|state| model.describe(*state))
                .collect(),
            window: window[hidden_count..].iter().map(|part| on_object(part)).collect(),
        }
    }
}

/// The operation with its steps on the object only.
fn on_object(part: &Part<'_>) -> Operation {
    let steps = part.steps.iter().map(|step| (*step).clone()).collect();
    let Operation { process, invoked, outcome, .. } = *part.operation;
    Operation { process, invoked, outcome, steps }
}

fn is_relevant(part: &Part<'_>, misfit: &Part<'_>, states: &BTreeSet<State>) -> bool {
    if misfit.operation.precedes(part.operation) {
        return false;
    }
    let is_overlapping = !part.operation.precedes(misfit.operation);
    let is_writer = states.iter().any(|state| match state {
        State::Register(Cell::Named(value)) => part.is_writer_of(*value),
        State::Register(Cell::Unnamed) | State::Diary(_) => false,
    });
    let is_source = misfit.named_values().into_iter().any(|value| part.is_writer_of(value));
    is_overlapping || is_writer || is_source
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} is not linearizable: no order explains", self.object)?;
        writeln!(f, "  {}", self.misfit)?;
        writeln!(f, "the {} may have been: {}", self.object, self.possible.join("; "))?;
        write!(f, "operations around it:")?;
        for operation in &self.window {
            write!(f, "\n  {operation}")?;
        }
        Ok(())
    }
}
