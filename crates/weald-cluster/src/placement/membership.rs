//! How a partition gets from the members it has to those it should have: one safe step at a time.
//!
//! Pure policy. It proposes; the coordinator logs the step as a configuration, and the log decides
//! (rule C8). Learners come first, voters stay an odd number, never fewer than three by the policy's
//! own doing, and a member's silence counts only after a grace time. "Adaptive quorum" is this and
//! nothing else: another configuration, never another fraction.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use weald_core::{PeerId, Time};

use super::{Members, Placement, SAFE_VOTERS};

/// When the policy acts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Policy {
    /// How long a voter must be gone before its vote is taken away; default 10 minutes. Shorter
    /// moves data because of a restart, longer leaves a partition one death from a standstill.
    pub grace: Duration,
    /// How long a node must have been alive before it is made a learner or a voter; default 10
    /// seconds, so that a node that comes and goes is left alone.
    pub settle: Duration,
    /// How long a living learner may be catching up before others stop waiting for it; default 30
    /// minutes. It stays a learner, but no longer holds up a shrink.
    pub patience: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(10 * 60),
            settle: Duration::from_secs(10),
            patience: Duration::from_secs(30 * 60),
        }
    }
}

/// Whether a node is heard.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Liveness {
    /// Heard without a break since then.
    AliveSince(Time),
    /// Not heard since then.
    GoneSince(Time),
}

/// What the coordinator knows of a node.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Health {
    /// Whether it is heard.
    pub liveness: Liveness,
    /// Whether it has what is committed, up to the window of replication.
    pub is_caught_up: bool,
}

/// What a step is chosen from. A node of which no health is known counts neither as alive nor as
/// gone.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The members by the partition's own log.
    pub members: &'a Members,
    /// The members that [`place`](super::place) wants.
    pub target: &'a Placement,
    /// What is known of members and candidates.
    pub health: &'a BTreeMap<PeerId, Health>,
    /// Whether a configuration is uncommitted or joint; then nothing is proposed.
    pub is_changing: bool,
    /// The time, of the same clock as the health's.
    pub now: Time,
}

/// One change of a configuration. A voter that loses its vote stays a learner until a step of its
/// own removes it, so that one that comes back is only behind.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Step {
    /// A node gets a copy and no vote.
    AddLearner(PeerId),
    /// Two learners get votes, in one joint change: 1 voter to 3, or 3 to 5.
    Promote([PeerId; 2]),
    /// A learner gets the vote of a voter, in one joint change.
    Replace {
        /// The voter that becomes a learner.
        old: PeerId,
        /// The learner that becomes a voter.
        new: PeerId,
    },
    /// Two voters become learners, in one joint change: 5 voters to 3.
    Shrink([PeerId; 2]),
    /// A learner loses its copy.
    Remove(PeerId),
}

impl Step {
    /// The members after this step on `members`.
    #[must_use]
    pub fn applied_to(&self, members: &Members) -> Members {
        let mut after = members.clone();
        match self {
            Self::AddLearner(peer) => {
                after.learners.insert(*peer);
            }
            Self::Remove(peer) => {
                after.learners.remove(peer);
            }
            Self::Promote(peers) => peers.iter().for_each(|peer| promote(&mut after, *peer)),
            Self::Shrink(peers) => peers.iter().for_each(|peer| demote(&mut after, *peer)),
            Self::Replace { old, new } => {
                promote(&mut after, *new);
                demote(&mut after, *old);
            }
        }
        after
    }
}

fn promote(members: &mut Members, peer: PeerId) {
    members.learners.remove(&peer);
    members.voters.insert(peer);
}

fn demote(members: &mut Members, peer: PeerId) {
    members.voters.remove(&peer);
    members.learners.insert(peer);
}

/// The next step towards the target, or nothing: while a change is under way, while no majority of
/// the voters is alive (what it would log could not be committed), while there is no target, within
/// the grace time, or when all is as it should be. Repeated with the step's effect it ends, and the order of its inputs does
/// not matter.
///
/// What comes first: a dead voter's vote goes to a learner that is ready; missing learners are
/// added; votes are given up to the wanted number; votes move from nodes that should not hold them;
/// two of five are given up when they are dead and nobody can take their place, or when fewer are
/// wanted; superfluous learners go.
pub fn propose(policy: &Policy, situation: &Situation<'_>) -> Option<Step> {
    let view = View { policy, situation };
    let is_unknown = situation.target.voters.is_empty();
    if situation.is_changing || is_unknown || !view.has_majority(situation.members) {
        return None;
    }
    let step = view
        .replace_dead()
        .or_else(|| view.add_learner())
        .or_else(|| view.promote())
        .or_else(|| view.move_vote())
        .or_else(|| view.shrink())
        .or_else(|| view.remove())?;
    view.is_safe(&step).then_some(step)
}

/// The situation with the policy's times laid on it.
struct View<'a> {
    policy: &'a Policy,
    situation: &'a Situation<'a>,
}

impl View<'_> {
    fn liveness(&self, peer: &PeerId) -> Option<Liveness> {
        self.situation.health.get(peer).map(|health| health.liveness)
    }

    fn is_alive(&self, peer: &PeerId) -> bool {
        matches!(self.liveness(peer), Some(Liveness::AliveSince(_)))
    }

    fn is_settled(&self, peer: &PeerId) -> bool {
        self.liveness(peer).is_some_and(|liveness| match liveness {
            Liveness::AliveSince(since) => self.situation.now.since(since) >= self.policy.settle,
            Liveness::GoneSince(_) => false,
        })
    }

    /// Since when a node is gone, once that is longer than the grace time.
    fn dead_since(&self, peer: &PeerId) -> Option<Time> {
        match self.liveness(peer)? {
            Liveness::GoneSince(since) => {
                (self.situation.now.since(since) > self.policy.grace).then_some(since)
            }
            Liveness::AliveSince(_) => None,
        }
    }

    /// The voters whose votes may be taken away, the longest gone first.
    fn dead_voters(&self) -> Vec<PeerId> {
        let voters = self.situation.members.voters.iter();
        let mut dead: Vec<_> =
            voters.filter_map(|peer| Some((self.dead_since(peer)?, *peer))).collect();
        dead.sort_unstable();
        dead.into_iter().map(|(_, peer)| peer).collect()
    }

    /// Whether a learner can vote at once.
    fn is_ready(&self, peer: &PeerId) -> bool {
        self.situation.members.learners.contains(peer)
            && self.is_settled(peer)
            && self.situation.health.get(peer).is_some_and(|health| health.is_caught_up)
    }

    /// Learners that can vote and should, the first choice first.
    fn ready_voters(&self) -> Vec<PeerId> {
        let wanted = self.situation.target.voters.iter().copied();
        wanted.filter(|peer| self.is_ready(peer)).collect()
    }

    /// Voters that should not be, the longest gone first, then by peer id.
    fn surplus_voters(&self) -> Vec<PeerId> {
        let is_surplus = |peer: &PeerId| !self.situation.target.voters.contains(peer);
        let dead = self.dead_voters();
        let living = self.situation.members.voters.iter().filter(|peer| !dead.contains(peer));
        dead.iter().chain(living).copied().filter(is_surplus).collect()
    }

    fn replace_dead(&self) -> Option<Step> {
        let old = *self.dead_voters().first()?;
        let new = self.situation.target.iter().find(|peer| self.is_ready(peer))?;
        Some(Step::Replace { old, new })
    }

    fn add_learner(&self) -> Option<Step> {
        let members = self.situation.members;
        let is_missing = |peer: &PeerId| !members.contains(peer) && self.is_settled(peer);
        self.situation.target.iter().find(is_missing).map(Step::AddLearner)
    }

    fn promote(&self) -> Option<Step> {
        let wanted = self.situation.target.voters.len();
        let has_room = self.situation.members.voters.len() + 2 <= wanted;
        match self.ready_voters().as_slice() {
            [first, second, ..] if has_room => Some(Step::Promote([*first, *second])),
            _ => None,
        }
    }

    fn move_vote(&self) -> Option<Step> {
        let old = *self.surplus_voters().first()?;
        let new = *self.ready_voters().first()?;
        Some(Step::Replace { old, new })
    }

    fn shrink(&self) -> Option<Step> {
        let (members, target) = (self.situation.members, self.situation.target);
        let is_fewer_wanted = target.voters.len().max(SAFE_VOTERS) < members.voters.len();
        let mut leaving = self.dead_voters();
        if leaving.len() < 2 && is_fewer_wanted {
            leaving = self.surplus_voters();
        }
        if !is_fewer_wanted && self.is_help_coming() {
            return None;
        }
        match leaving.as_slice() {
            [first, second, ..] => Some(Step::Shrink([*first, *second])),
            _ => None,
        }
    }

    /// Whether a learner that could take a vote is catching up.
    fn is_help_coming(&self) -> bool {
        self.situation.target.iter().any(|peer| {
            self.situation.members.learners.contains(&peer)
                && self.liveness(&peer).is_some_and(|liveness| match liveness {
                    Liveness::AliveSince(since) => {
                        self.situation.now.since(since) < self.policy.patience
                    }
                    Liveness::GoneSince(_) => false,
                })
        })
    }

    fn remove(&self) -> Option<Step> {
        let target: Vec<_> = self.situation.target.iter().collect();
        let mut learners = self.situation.members.learners.iter();
        learners.find(|peer| !target.contains(peer)).copied().map(Step::Remove)
    }

    fn has_majority(&self, members: &Members) -> bool {
        let alive = members.voters.iter().filter(|peer| self.is_alive(peer)).count();
        alive > members.voters.len() / 2
    }

    /// The rules that hold for every step, whatever led to it.
    fn is_safe(&self, step: &Step) -> bool {
        let before = self.situation.members;
        let after = step.applied_to(before);
        let is_unchanged = after.voters == before.voters;
        let is_odd = after.voters.len() % 2 == 1;
        let is_enough = after.voters.len() >= before.voters.len().min(SAFE_VOTERS);
        is_unchanged || (is_odd && is_enough && self.has_majority(&after))
    }
}

#[cfg(test)]
mod tests;
