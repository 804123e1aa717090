//! Who of the healthy members campaigns first (rule C2). A preference is a delay and nothing more:
//! the promise rules decide, so a wrong clock costs a preferred coordinator and no data.

use serde::{Deserialize, Serialize};
use weald_core::{PeerId, Time};

/// What a member's preference follows from: the earlier it started the earlier it campaigns; equal
/// times are ordered by peer id, so that no two members ever have one rank.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Seniority {
    /// When the member's process started, by its own clock.
    pub started: Time,
    /// The member.
    pub peer: PeerId,
}

/// The rank of `peer` among the healthy members, 0 for the first; `None` when it is not among them.
/// The order of the members does not matter. Of several stamps for one peer the latest counts: an
/// old identity that is still heard of lends nobody its seniority.
pub fn rank(healthy: impl IntoIterator<Item = Seniority>, peer: &PeerId) -> Option<usize> {
    order(healthy).iter().position(|member| member == peer)
}

/// The healthy members, the most preferred first.
pub fn order(healthy: impl IntoIterator<Item = Seniority>) -> Vec<PeerId> {
    let mut latest = std::collections::BTreeMap::new();
    for member in healthy {
        let started = latest.entry(member.peer).or_insert(member.started);
        *started = member.started.max(*started);
    }
    let mut members: Vec<_> =
        latest.into_iter().map(|(peer, started)| Seniority { started, peer }).collect();
    members.sort_unstable();
    members.into_iter().map(|member| member.peer).collect()
}
