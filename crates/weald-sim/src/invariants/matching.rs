//! INV2: entries of one place, epoch and generation are the same at all members, and so is all before
//! them, since an entry's hash covers it.

use std::collections::BTreeMap;

use weald_core::{Digest, Epoch, LogIndex};

use super::{Invariant, Ledger, Seen};
use crate::schedule::Instant;

/// See the module's page.
#[derive(Debug, Default)]
pub(super) struct Matching(BTreeMap<(LogIndex, Epoch), Digest>);

impl Invariant for Matching {
    fn name(&self) -> &'static str {
        "INV2 logs match"
    }

    fn see(&mut self, _: Instant, seen: &Seen<'_>, _: &Ledger) -> Result<(), String> {
        if let Seen::Recovered { .. } = seen {
            self.0.clear();
        }
        let Seen::Appended { entry } = seen else { return Ok(()) };
        let held = *self.0.entry((entry.index(), entry.epoch())).or_insert(entry.hash());
        if held == entry.hash() {
            return Ok(());
        }
        Err(format!("two entries at {} in one epoch", entry.index()))
    }
}
