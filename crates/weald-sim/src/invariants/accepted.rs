//! INV12: nothing unverified is accepted: what strangers, other lives and earlier runs say, and
//! what no certificate proves, changes nothing.

use super::{Invariant, Ledger, Seen};
use crate::schedule::Instant;

/// See the module's page. The world compares a member before and after.
#[derive(Debug)]
pub(super) struct Accepted;

impl Invariant for Accepted {
    fn name(&self) -> &'static str {
        "INV12 nothing unverified accepted"
    }

    fn see(&mut self, _: Instant, seen: &Seen<'_>, _: &Ledger) -> Result<(), String> {
        match seen {
            Seen::Misled { node, by } => Err(format!("{node} was changed by {by}")),
            _ => Ok(()),
        }
    }
}
