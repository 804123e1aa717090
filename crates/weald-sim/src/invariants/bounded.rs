//! INV11: what a member keeps in memory is bounded by its configuration.

use super::{Invariant, Ledger, Seen};
use crate::schedule::Instant;

/// See the module's page.
#[derive(Debug)]
pub(super) struct Bounded;

impl Invariant for Bounded {
    fn name(&self) -> &'static str {
        "INV11 bounded memory"
    }

    fn see(&mut self, _: Instant, seen: &Seen<'_>, _: &Ledger) -> Result<(), String> {
        let Seen::Stepped { node, state, config, recovered_bytes } = seen else { return Ok(()) };
        let (waiting, max) = (state.buffered_count(), config.buffer.entries_max);
        if waiting > max {
            return Err(format!("{node} buffers {waiting} entries, at most {max}"));
        }
        // What is applied and durable, what waits to be committed, what waits to be durable here.
        let waits = config.uncommitted_bytes_max + config.window_bytes_max;
        let max = config.tail_bytes_max + waits + config.append_bytes_max + LARGEST;
        // What recovery found is let go once it is known to be committed.
        let max = max + recovered_bytes;
        let bytes = state.memory_bytes();
        if bytes > max {
            return Err(format!("{node} keeps {bytes} bytes of entries, at most {max}"));
        }
        Ok(())
    }
}

/// An entry more is taken while there is any room, bytes.
const LARGEST: usize = 128 * 1024;
