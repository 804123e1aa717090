//! INV10: a merge of two heads is one of sets: each side lacks what the other has and has not expired,
//! and nothing else, in the order in which a union publishes it; swapped sides swap the result.

use std::collections::{BTreeMap, BTreeSet};

use weald_core::Time;
use weald_pubsub::{MessageId, merge::Missing};

use super::{Invariant, Seen, Truth};

/// See the module's page.
#[derive(Debug)]
pub(super) struct Merged;

impl Invariant for Merged {
    fn name(&self) -> &'static str {
        "INV10 merge laws"
    }

    fn see(&mut self, seen: &Seen<'_>, _: &Truth) -> Result<(), String> {
        let Seen::Compared { sides: [here, there], merged, swapped, now } = seen else {
            return Ok(());
        };
        check((here, there), &merged.left, *now)?;
        check((there, here), &merged.right, *now)?;
        let is_commutative = merged.left == swapped.right && merged.right == swapped.left;
        is_commutative.then_some(()).ok_or_else(|| String::from("swapped sides are another merge"))
    }
}

/// What the first side lacks of the other.
fn check(
    (here, there): (&BTreeMap<MessageId, Time>, &BTreeMap<MessageId, Time>),
    missing: &Missing,
    now: Time,
) -> Result<(), String> {
    let live = there.iter().filter(|(id, expires_at)| **expires_at > now && !here.contains_key(id));
    let expected: BTreeSet<MessageId> = live.map(|(id, _)| *id).collect();
    let found: BTreeSet<MessageId> = missing.messages.iter().map(|entry| entry.id).collect();
    if found != expected || found.len() != missing.messages.len() {
        let (found, expected) = (missing.messages.len(), expected.len());
        return Err(format!("a side is said to lack {found} messages and lacks {expected}"));
    }
    let is_ordered = missing.messages.is_sorted_by_key(|entry| (entry.source, entry.id));
    is_ordered.then_some(()).ok_or_else(|| String::from("what is missing is out of order"))
}
