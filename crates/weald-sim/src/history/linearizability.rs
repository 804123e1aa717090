//! Linearizability of each register and each diary by itself.

mod model;
mod projection;
mod search;
mod witness;

use std::collections::BTreeMap;

use super::{History, Object};
use projection::Projection;
use search::Search;
pub use witness::Witness;

/// What was judged and found linearizable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Linearized {
    /// Registers and diaries.
    pub object_count: usize,
    /// Operations on them that were put into an order or left open, each counted once for each
    /// object that it touches.
    pub operation_count: usize,
    /// The most configurations that were possible at once on one object: 1 says that the history
    /// left no choice.
    pub configuration_count_max: usize,
}

/// Why a history was not found linearizable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinearizabilityError {
    /// No order explains what was seen of one object.
    #[error("{0}")]
    Impossible(Box<Witness>),
    /// There were too many possible orders to decide: more than
    /// [`CONFIGURATIONS_MAX`](super::limits::CONFIGURATIONS_MAX) at once.
    #[error("undecided, too many orders are possible: object={object}")]
    Undecided {
        /// The object.
        object: String,
    },
}

/// Looks for an order of the operations on each object that explains all answers and keeps real
/// time.
///
/// A transaction over several objects is judged as one operation on each of them.
///
/// # Errors
/// [`LinearizabilityError`] for the first object, in the order of names, that was not found linearizable.
pub fn check_linearizable(history: &History) -> Result<Linearized, LinearizabilityError> {
    let mut judged = Linearized::default();
    for (object, places) in places_of(history) {
        let projection = Projection::new(history, object, &places);
        judged.object_count += 1;
        judged.operation_count += projection.parts.len();
        let configuration_count =
            Search::new(&projection).run().map_err(|error| telling(&projection, error))?;
        judged.configuration_count_max = judged.configuration_count_max.max(configuration_count);
    }
    Ok(judged)
}

/// The search knows what will be read, so it gives up where a value that is read later is lost.
/// People look for the read.
fn telling(projection: &Projection<'_>, error: LinearizabilityError) -> LinearizabilityError {
    if matches!(error, LinearizabilityError::Undecided { .. }) {
        return error;
    }
    match Search::new(projection).without_lookahead().run() {
        Err(later @ LinearizabilityError::Impossible(_)) => later,
        Err(LinearizabilityError::Undecided { .. }) => error,
        Ok(_) => unreachable!("looking ahead drops only what cannot go on"),
    }
}

/// The places of the operations that may have had an effect, by object.
fn places_of(history: &History) -> BTreeMap<Object<'_>, Vec<usize>> {
    let mut places: BTreeMap<Object<'_>, Vec<usize>> = BTreeMap::new();
    for (place, operation) in history.operations().iter().enumerate() {
        if operation.is_rejected() {
            continue;
        }
        for step in &operation.steps {
            let of_object = places.entry(step.object()).or_default();
            if of_object.last() != Some(&place) {
                of_object.push(place);
            }
        }
    }
    places
}
