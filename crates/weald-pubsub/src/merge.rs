//! Merging two heads of one topic that have forked: a set operation on what both hold.
//!
//! Messages are a set by id, subscriptions one by id in which the highest signed nonce counts. Pages
//! that both sides share are skipped by their content ids, so the cost follows the difference.
//! Nothing is written: what each side lacks goes into its home's log as [`Union`]s, which give
//! messages positions there.

mod messages;
mod subscribers;

use weald_core::Time;

use crate::{
    Lease, Message, MessageCollection, MessageEntry, PageFault, PageMap, SubscriberCollection,
    Union, limits::BATCH_MAX,
};

pub use subscribers::newer;

/// Bytes of bodies in one union.
const UNION_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// One side of a merge: its roots and the pages below them.
#[derive(Debug)]
pub struct Fork<'p> {
    /// Its pages, or those that were fetched; a missing one is named by the error.
    pub pages: &'p mut PageMap,
    /// Its messages.
    pub messages: MessageCollection,
    /// Its subscriptions.
    pub subscribers: SubscriberCollection,
}

/// What one side lacks of the other.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Missing {
    /// Messages, in the order in which a union publishes them: by publisher, incarnation, sequence.
    pub messages: Vec<MessageEntry>,
    /// Subscriptions that the other side knows and this one not, or with a lower nonce.
    pub leases: Vec<Lease>,
}

/// The result of a merge.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Merge {
    /// What the left side lacks.
    pub left: Missing,
    /// What the right side lacks.
    pub right: Missing,
}

/// Compares two forks. What has expired at `now`, a log time, is not missed by anybody. Swapping the
/// sides swaps the result.
///
/// # Errors
/// [`PageFault`] when a page that differs cannot be read: fetch it and merge again.
pub fn merge(left: &mut Fork<'_>, right: &mut Fork<'_>, now: Time) -> Result<Merge, PageFault> {
    let messages = messages::compare(left, right, now)?;
    let leases = subscribers::compare(left, right, now)?;
    let [left_messages, right_messages] = messages;
    let [left_leases, right_leases] = leases;
    Ok(Merge {
        left: Missing { messages: left_messages, leases: left_leases },
        right: Missing { messages: right_messages, leases: right_leases },
    })
}

impl Missing {
    /// The unions that bring it in, in order, each within the caps of an action. `body` finds a
    /// message; one that it does not find is left out.
    pub fn unions(&self, mut body: impl FnMut(&MessageEntry) -> Option<Message>) -> Vec<Union> {
        let mut unions = vec![Union::default()];
        let mut bytes = 0;
        for entry in &self.messages {
            let Some(message) = body(entry) else { continue };
            let last = unions.last().expect("there is at least one");
            if last.messages.len() >= BATCH_MAX || bytes + u64::from(entry.bytes) > UNION_BYTES_MAX
            {
                unions.push(Union::default());
                bytes = 0;
            }
            bytes += u64::from(entry.bytes);
            unions.last_mut().expect("there is at least one").messages.push(message);
        }
        for lease in &self.leases {
            let last = unions.last().expect("there is at least one");
            if last.messages.len() + last.leases.len() >= BATCH_MAX {
                unions.push(Union::default());
            }
            unions.last_mut().expect("there is at least one").leases.push(*lease);
        }
        unions.retain(|union| *union != Union::default());
        unions
    }
}

#[cfg(test)]
mod tests;
