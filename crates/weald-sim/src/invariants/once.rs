//! INV8: a request is applied once at most, whoever asks how often, and everybody who asks is told
//! the same.

use std::collections::BTreeMap;

use super::{Invariant, Ledger, Seen};
use crate::{
    machine::{Outcome, RequestId},
    schedule::Instant,
};

/// See the module's page.
#[derive(Debug, Default)]
pub(super) struct Once {
    outcomes: BTreeMap<RequestId, Outcome>,
    seen: usize,
}

impl Invariant for Once {
    fn name(&self) -> &'static str {
        "INV8 exactly once"
    }

    fn see(&mut self, _: Instant, seen: &Seen<'_>, ledger: &Ledger) -> Result<(), String> {
        match *seen {
            Seen::Applied { .. } => self.read(ledger),
            Seen::Recovered { .. } => {
                // What was dropped may be asked for again.
                *self = Self::default();
                self.read(ledger)
            }
            Seen::Answered { id, outcome } => self.note(id, outcome),
            _ => Ok(()),
        }
    }
}

impl Once {
    fn read(&mut self, ledger: &Ledger) -> Result<(), String> {
        let fresh = ledger.entries()[self.seen..].iter().filter_map(|committed| committed.request);
        let fresh: Vec<_> = fresh.collect();
        self.seen = ledger.len();
        fresh.into_iter().try_for_each(|(request, outcome)| self.note(request.id, outcome))
    }

    fn note(&mut self, id: RequestId, outcome: Outcome) -> Result<(), String> {
        if matches!(outcome, Outcome::Forgotten | Outcome::Early) {
            return Ok(());
        }
        let first = *self.outcomes.entry(id).or_insert(outcome);
        if first == outcome {
            return Ok(());
        }
        Err(format!("{id:?} is {first:?} and {outcome:?}"))
    }
}
