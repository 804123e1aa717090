//! INV4: what a node has shown of its state never goes back, over restarts too, and at the survivor of
//! a forced recovery.

use std::collections::BTreeMap;

use weald_core::{LogIndex, StoreId};

use super::{Invariant, Ledger, Seen};
use crate::{name::Name, schedule::Instant};

/// See the module's page.
#[derive(Debug, Default)]
pub(super) struct Watermark(BTreeMap<(Name, StoreId), LogIndex>);

impl Invariant for Watermark {
    fn name(&self) -> &'static str {
        "INV4 what was exposed stays"
    }

    fn see(&mut self, _: Instant, seen: &Seen<'_>, _: &Ledger) -> Result<(), String> {
        if let Seen::Recovered { node: survivor, .. } = seen {
            // The others begin with nothing.
            self.0.retain(|(node, _), _| node == survivor);
        }
        let Seen::Exposed { node, store, index, .. } = seen else { return Ok(()) };
        let shown = self.0.entry((*node, *store)).or_default();
        if *index < *shown {
            return Err(format!("{node} shows {index} after it has shown {shown}"));
        }
        *shown = *index;
        Ok(())
    }
}
