//! INV11: heads stay small, histories short, and a subscriber is sent no more than its application
//! allows.

use weald_pubsub::limits::{HEAD_BYTES_MAX, HISTORY_MAX};

use super::{Invariant, Seen, Truth};

/// See the module's page.
#[derive(Debug)]
pub(super) struct Bounded;

impl Invariant for Bounded {
    fn name(&self) -> &'static str {
        "INV11 bounded"
    }

    fn see(&mut self, seen: &Seen<'_>, truth: &Truth) -> Result<(), String> {
        match seen {
            Seen::Head { head } => {
                let bytes = head.encode().len();
                let history = head.message_history.len().max(head.subscriber_history.len());
                let count = head.messages.count;
                let is_small = bytes <= HEAD_BYTES_MAX && history <= HISTORY_MAX;
                let is_bounded = is_small && count <= truth.retained_max;
                let large =
                    || format!("a head has {bytes} bytes, {history} versions, {count} messages");
                is_bounded.then_some(()).ok_or_else(large)
            }
            Seen::Sent { until, taken, window } => {
                let most = taken.next().0.saturating_add(*window);
                let much = || format!("{until} was sent to whom {most} is allowed");
                (until.0 <= most).then_some(()).ok_or_else(much)
            }
            _ => Ok(()),
        }
    }
}
