//! INV6: every node applies every entry, one after the other, and positions of a list have no gap.

use std::collections::BTreeMap;

use weald_core::LogIndex;

use super::{Invariant, Ledger, Seen};
use crate::{machine::Outcome, name::Name, schedule::Instant};

/// See the module's page.
#[derive(Debug, Default)]
pub(super) struct Gapless {
    applied: BTreeMap<Name, LogIndex>,
    lists: BTreeMap<u8, u64>,
    seen: usize,
}

impl Invariant for Gapless {
    fn name(&self) -> &'static str {
        "INV6 gapless"
    }

    fn see(&mut self, _: Instant, seen: &Seen<'_>, ledger: &Ledger) -> Result<(), String> {
        match *seen {
            Seen::Placed { node, index, .. } => {
                self.applied.insert(node, index);
            }
            Seen::Applied { node, entry, .. } => {
                let before = self.applied.insert(node, entry.index()).unwrap_or_default();
                if entry.index() != before.next() {
                    return Err(format!("{node} applies {} after {before}", entry.index()));
                }
                return self.lists(ledger);
            }
            Seen::Recovered { .. } => {
                *self = Self { applied: std::mem::take(&mut self.applied), ..Self::default() };
                return self.lists(ledger);
            }
            _ => {}
        }
        Ok(())
    }
}

impl Gapless {
    fn lists(&mut self, ledger: &Ledger) -> Result<(), String> {
        for committed in &ledger.entries()[self.seen..] {
            let Some((request, outcome)) = committed.request else { continue };
            let (Some((list, _)), Outcome::Applied { position, .. }) =
                (request.action.list(), outcome)
            else {
                continue;
            };
            let last = self.lists.entry(list).or_default();
            // A retry is told the position of the first copy.
            if position > *last + 1 {
                return Err(format!("list {list} goes from {last} to {position}"));
            }
            *last = (*last).max(position);
        }
        self.seen = ledger.len();
        Ok(())
    }
}
