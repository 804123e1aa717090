//! Which nodes hold which keys: pure functions of what the system partition has committed.
//!
//! [`Ranges`] cuts the key space into partitions, [`Nodes`] lists the nodes, and [`place`] is the one
//! function that says who should hold a partition. Routers, storage and the policy that changes
//! configurations all call it; there is no second one. It answers what *should* be: a partition's
//! own log stays the authority on who its members *are*, and [`membership`] proposes, one step at a
//! time, how to get from the one to the other.
//!
//! **Invariant:** equal node lists give equal placements on every machine, in whatever order they
//! were built: integers only, and ties are broken by peer id.

pub mod limits;
pub mod membership;
mod nodes;
pub mod preference;
mod ranges;
mod score;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use weald_core::{PartitionId, PeerId};

use score::Cost;

pub use nodes::{Capacity, Domain, Node, NodeState, Nodes, NodesError, Weight};
pub use ranges::{KeyRange, Ranges, RangesError};

/// Voters that the policy never goes below by itself, once they are there.
const SAFE_VOTERS: usize = 3;

/// How many voters a partition should have: 1, 3 or 5; default 3 (rule C8).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct ResponsibilityK(u8);

/// A number of voters that is not 1, 3 or 5.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a partition has 1, 3 or 5 voters: asked={0}")]
pub struct ResponsibilityKError(pub u8);

impl ResponsibilityK {
    /// The number of voters wanted.
    pub fn count(self) -> usize {
        usize::from(self.0)
    }
}

impl Default for ResponsibilityK {
    fn default() -> Self {
        Self(3)
    }
}

impl TryFrom<u8> for ResponsibilityK {
    type Error = ResponsibilityKError;

    fn try_from(count: u8) -> Result<Self, ResponsibilityKError> {
        if matches!(count, 1 | 3 | 5) { Ok(Self(count)) } else { Err(ResponsibilityKError(count)) }
    }
}

impl From<ResponsibilityK> for u8 {
    fn from(k: ResponsibilityK) -> Self {
        k.0
    }
}

/// Who should hold a partition, the first choice first.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Placement {
    /// Voters: none when there is no node, otherwise 1, 3 or 5.
    pub voters: Vec<PeerId>,
    /// Learners: copies that do not vote, since the number of voters is odd.
    pub learners: Vec<PeerId>,
}

impl Placement {
    /// Voters and learners, the voters first.
    pub fn iter(&self) -> impl Iterator<Item = PeerId> {
        self.voters.iter().chain(&self.learners).copied()
    }

    /// The same as sets.
    pub fn members(&self) -> Members {
        Members {
            voters: self.voters.iter().copied().collect(),
            learners: self.learners.iter().copied().collect(),
        }
    }
}

/// Members of a partition: who votes and who only learns.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Members {
    /// Those whose acknowledgements and promises count.
    pub voters: BTreeSet<PeerId>,
    /// Those that hold a copy and do not count.
    pub learners: BTreeSet<PeerId>,
}

impl Members {
    /// Whether `peer` is a voter or a learner.
    pub fn contains(&self, peer: &PeerId) -> bool {
        self.voters.contains(peer) || self.learners.contains(peer)
    }

    /// Voters and learners.
    pub fn count(&self) -> usize {
        self.voters.len() + self.learners.len()
    }
}

/// Who should hold `partition`: the placement function, the only one.
///
/// Nodes are ordered by a weighted rendezvous hash. The best of each failure domain come first, then
/// the second of each, and so on; the first `k` are taken, an odd number of them as voters. So:
///
/// - copies are spread over as many domains as there are;
/// - a node that joins, leaves, is drained or changes its weight moves at most one member of a
///   partition, and moves nothing between two other nodes unless the number of voters changes;
/// - with equal weights and domains, shares are equal up to chance: with a mean share of `m`
///   partitions, a node's is within `5 * sqrt(m)` of it, which is at least five standard deviations.
///
/// A draining node is taken only to have three voters where fewer nodes are up.
pub fn place(
    nodes: &Nodes,
    partition: PartitionId,
    responsibility_k: ResponsibilityK,
) -> Placement {
    let wanted = responsibility_k.count();
    let mut order = ranked(nodes, partition, NodeState::Up);
    let up_count = order.len();
    order.extend(ranked(nodes, partition, NodeState::Draining));
    let voter_count =
        odd_part(wanted.min(up_count)).max(odd_part(wanted.min(order.len()).min(SAFE_VOTERS)));
    let learners_end = wanted.min(up_count).max(voter_count);
    Placement {
        voters: order[..voter_count].to_vec(),
        learners: order[voter_count..learners_end].to_vec(),
    }
}

/// The nodes in one state, the best choice for `partition` first.
fn ranked(nodes: &Nodes, partition: PartitionId, state: NodeState) -> Vec<PeerId> {
    let in_state = nodes.iter().filter(|(_, node)| node.state == state);
    let mut by_cost: Vec<_> = in_state
        .map(|(peer, node)| (Cost::of(peer, node.weight, partition), *peer, &node.domain))
        .collect();
    by_cost.sort_unstable();
    let mut taken = BTreeMap::new();
    let mut by_round: Vec<_> = by_cost
        .into_iter()
        .map(|(cost, peer, domain)| {
            let round: &mut usize = taken.entry(domain).or_default();
            *round += 1;
            (*round, cost, peer)
        })
        .collect();
    by_round.sort_unstable();
    by_round.into_iter().map(|(_, _, peer)| peer).collect()
}

/// The largest odd number that is not larger; 0 for 0.
fn odd_part(count: usize) -> usize {
    if count.is_multiple_of(2) { count.saturating_sub(1) } else { count }
}

#[cfg(test)]
mod tests;
