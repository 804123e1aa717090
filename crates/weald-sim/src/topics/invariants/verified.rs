//! INV12: nothing unverified is accepted: each message of the topic was made by one of those who may,
//! and what a stranger forges is refused.

use std::collections::BTreeSet;

use weald_pubsub::MessageId;

use super::{Invariant, Seen, Truth, address};

/// See the module's page.
#[derive(Debug, Default)]
pub(super) struct Verified {
    made: BTreeSet<MessageId>,
}

impl Invariant for Verified {
    fn name(&self) -> &'static str {
        "INV12 nothing unverified accepted"
    }

    fn see(&mut self, seen: &Seen<'_>, _: &Truth) -> Result<(), String> {
        match seen {
            Seen::Made { id } => {
                self.made.insert(*id);
            }
            Seen::Accepted { position, message } => {
                let id = message.id(&address());
                if !self.made.contains(&id) {
                    return Err(format!("{id} at {position} was made by nobody who may"));
                }
            }
            Seen::Forged { what, is_taken: true } => return Err(format!("{what} is taken")),
            _ => {}
        }
        Ok(())
    }
}
