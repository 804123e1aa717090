//! INV7: at most one member coordinates an epoch of a generation, in one run of it.

use std::collections::BTreeMap;

use weald_cluster::{configuration::Member, replica::Run};
use weald_core::Epoch;

use super::{Invariant, Ledger, Seen};
use crate::schedule::Instant;

/// See the module's page.
#[derive(Debug, Default)]
pub(super) struct Fenced(BTreeMap<Epoch, (Member, Run)>);

impl Invariant for Fenced {
    fn name(&self) -> &'static str {
        "INV7 one coordinator per epoch"
    }

    fn see(&mut self, _: Instant, seen: &Seen<'_>, _: &Ledger) -> Result<(), String> {
        if let Seen::Recovered { .. } = seen {
            self.0.clear();
        }
        let Seen::Coordinates { member, run, epoch, .. } = *seen else { return Ok(()) };
        match self.0.insert(epoch, (member, run)) {
            None => Ok(()),
            Some((other, _)) => {
                Err(format!("epoch {} of {other} is coordinated again by {member}", epoch.number))
            }
        }
    }
}
