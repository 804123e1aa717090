//! INV1: no acknowledged write is lost. Whoever coordinates a later epoch has in its log all that
//! was committed in earlier ones, and an acknowledged write is what is committed at its place.

use weald_cluster::replica::State;
use weald_core::{Epoch, LogIndex};

use super::{Invariant, Ledger, Seen};
use crate::{
    machine::{Outcome, RequestId},
    schedule::Instant,
};

/// See the module's page.
#[derive(Debug)]
pub(super) struct Durable;

impl Invariant for Durable {
    fn name(&self) -> &'static str {
        "INV1 no acknowledged write lost"
    }

    fn see(&mut self, _: Instant, seen: &Seen<'_>, ledger: &Ledger) -> Result<(), String> {
        match seen {
            Seen::Coordinates { epoch, state, .. } => is_complete(*epoch, state, ledger),
            Seen::Answered { id, outcome: Outcome::Applied { index, .. } } => {
                is_in_place(*id, *index, ledger)
            }
            _ => Ok(()),
        }
    }
}

fn is_complete(epoch: Epoch, state: &State, ledger: &Ledger) -> Result<(), String> {
    // An earlier coordinator's campaign may end after a later one's has: it owes less.
    let owed = ledger.entries().iter().rposition(|committed| committed.epoch < epoch);
    let Some(position) = owed else { return Ok(()) };
    let index = LogIndex(u64::try_from(position).unwrap_or(u64::MAX) + 1);
    if state.watermark() >= index {
        return Ok(());
    }
    let held = state.entry(index).map(|entry| entry.hash());
    if held == Some(ledger.entries()[position].hash) {
        return Ok(());
    }
    let last = state.last().index;
    Err(format!("a coordinator lacks {index}, which is committed; its log ends at {last}"))
}

fn is_in_place(id: RequestId, index: LogIndex, ledger: &Ledger) -> Result<(), String> {
    let request = ledger.at(index).and_then(|committed| committed.request);
    if request.is_some_and(|(request, _)| request.id == id) {
        return Ok(());
    }
    Err(format!("{id:?} was acknowledged at {index}, where it is not"))
}
