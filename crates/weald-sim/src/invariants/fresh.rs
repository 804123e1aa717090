//! INV5 for reads of bounded staleness: who says that its state was the latest at a moment has all
//! that was acknowledged before that moment.

use weald_core::LogIndex;

use super::{Invariant, Ledger, Seen};
use crate::{machine::Outcome, schedule::Instant};

/// How much a node's clock shows less than there is, us: it counts whole milliseconds.
const GRAIN: u64 = 2_000;

/// See the module's page. Moments and what was acknowledged by then, both rising.
#[derive(Debug, Default)]
pub(super) struct Fresh(Vec<(Instant, LogIndex)>);

impl Invariant for Fresh {
    fn name(&self) -> &'static str {
        "INV5 bounded staleness"
    }

    fn see(&mut self, now: Instant, seen: &Seen<'_>, ledger: &Ledger) -> Result<(), String> {
        match *seen {
            Seen::Recovered { .. } => {
                self.0.retain(|(_, index)| *index <= ledger.last());
                Ok(())
            }
            Seen::Answered { outcome: Outcome::Applied { index, .. }, .. } => {
                if self.0.last().is_none_or(|(_, last)| *last < index) {
                    self.0.push((now, index));
                }
                Ok(())
            }
            Seen::Exposed { node, index, since, .. } => {
                let before = self.0.partition_point(|(at, _)| at.after(GRAIN) < since);
                let Some((at, owed)) = before.checked_sub(1).map(|last| self.0[last]) else {
                    return Ok(());
                };
                if owed <= index {
                    return Ok(());
                }
                let (since, at) = (since.as_millis(), at.as_millis());
                Err(format!(
                    "{node} says that {index} was the latest at {since}ms; {owed} was \
                     acknowledged at {at}ms"
                ))
            }
            _ => Ok(()),
        }
    }
}
