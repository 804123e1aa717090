//! How the members of a partition become what placement wants: the next change of its log's
//! configuration, or none. Called at the coordinator, again and again.

use std::collections::{BTreeMap, BTreeSet};

use weald_core::{NodeStanding, PartitionId, PeerId, Time};

use super::{Map, PartitionView};
use crate::{
    configuration::{Configuration, Member},
    placement::{
        Members, Nodes, Placement, ResponsibilityK,
        membership::{self, Health, Liveness, Policy, Situation, Step},
        place,
    },
    replica::Change,
};

/// What a change is chosen from, besides the partition.
#[derive(Clone, Debug)]
pub(super) struct Outlook<'a> {
    map: &'a Map,
    /// The nodes of the map, and how many of them should vote.
    placed: (Nodes, ResponsibilityK),
    liveness: &'a BTreeMap<PeerId, Liveness>,
    policy: &'a Policy,
    now: Time,
}

impl<'a> Outlook<'a> {
    /// A network, who of it is heard, and when the policy acts, by one clock.
    pub(super) fn new(
        map: &'a Map,
        liveness: &'a BTreeMap<PeerId, Liveness>,
        policy: &'a Policy,
        now: Time,
    ) -> Self {
        Self { map, placed: (map.nodes(), map.responsibility_k()), liveness, policy, now }
    }

    /// The next change of a partition that this node coordinates.
    pub(super) fn next_change(
        &self,
        partition: PartitionId,
        view: &PartitionView,
    ) -> Option<Change> {
        let configuration = &view.configuration;
        if !view.is_coordinator || !view.may_change || configuration.is_joint() {
            return None;
        }
        if let Some(change) = self.repair(configuration) {
            return change;
        }
        let members = Members {
            voters: configuration.voters.iter().map(|member| member.peer).collect(),
            learners: configuration.learners.iter().map(|member| member.peer).collect(),
        };
        let health = self.health(view);
        let situation = Situation {
            members: &members,
            target: &self.target(partition, &members),
            health: &health,
            is_changing: false,
            now: self.now,
        };
        let step = membership::propose(self.policy, &situation)?;
        self.change(configuration, &step)
    }

    /// What comes before placement: peers that stand in the configuration with two lives, and
    /// members whose disk is another one by now. `Some(None)`: wait.
    fn repair(&self, configuration: &Configuration) -> Option<Option<Change>> {
        let of_peer = |peer: PeerId| configuration.members().filter(move |m| m.peer == peer);
        let is_twin = |learner: &&Member| of_peer(learner.peer).count() > 1;
        if let Some(twin) = configuration.learners.iter().find(is_twin) {
            // The coordinator swaps it for the earlier life once it has caught up.
            let is_given_up = self.is_dead(twin.peer) || self.is_wiped(twin);
            return Some(is_given_up.then_some(Change::RemoveLearner(*twin)));
        }
        let wiped = configuration.members().find(|member| self.is_wiped(member))?;
        if configuration.learners.contains(&wiped) {
            return Some(Some(Change::RemoveLearner(wiped)));
        }
        let next = self.member(configuration, wiped.peer)?;
        Some(Some(Change::AddLearner(next)))
    }

    /// Whether a node has come back, and is here, with another disk than a member has.
    fn is_wiped(&self, member: &Member) -> bool {
        let record = self.map.system.nodes.get(&member.peer);
        let is_other = record.is_some_and(|record| {
            record.store != member.store && record.standing != NodeStanding::Gone
        });
        let is_here = matches!(self.liveness.get(&member.peer), Some(Liveness::AliveSince(_)));
        is_other && is_here
    }

    fn is_dead(&self, peer: PeerId) -> bool {
        match self.liveness.get(&peer) {
            Some(Liveness::GoneSince(since)) => self.now.since(*since) > self.policy.grace,
            _ => false,
        }
    }

    /// Who should hold the partition. Where more voters are wanted than there are nodes for, a sole
    /// vote stays where it is as long as its holder takes part: with two nodes, the second one's
    /// end must not stop the first.
    fn target(&self, partition: PartitionId, members: &Members) -> Placement {
        let (nodes, k) = &self.placed;
        let mut target = place(nodes, partition, *k);
        let is_sole = members.voters.len() == 1 && k.count() > 1;
        let sole = members.voters.first().copied().filter(|_| is_sole);
        let is_up = |peer: &PeerId| {
            let record = self.map.system.nodes.get(peer);
            record.is_some_and(|record| record.standing == NodeStanding::Up)
        };
        let Some(sole) = sole.filter(is_up) else { return target };
        match target.voters.as_slice() {
            [other] if *other != sole => {
                let learner = std::mem::replace(&mut target.voters[0], sole);
                target.learners.retain(|peer| *peer != sole);
                target.learners.insert(0, learner);
                target
            }
            _ => target,
        }
    }

    fn health(&self, view: &PartitionView) -> BTreeMap<PeerId, Health> {
        let caught_up: BTreeSet<_> = view.caught_up.iter().map(|member| member.peer).collect();
        let health = |(peer, liveness): (&PeerId, &Liveness)| {
            (*peer, Health { liveness: *liveness, is_caught_up: caught_up.contains(peer) })
        };
        self.liveness.iter().map(health).collect()
    }

    /// A step on peers as a change of members.
    fn change(&self, configuration: &Configuration, step: &Step) -> Option<Change> {
        let learner = |peer: &PeerId| {
            configuration.learners.iter().find(|member| member.peer == *peer).copied()
        };
        let mut voters = configuration.voters.clone();
        match step {
            Step::AddLearner(peer) => {
                return Some(Change::AddLearner(self.member(configuration, *peer)?));
            }
            Step::Remove(peer) => return Some(Change::RemoveLearner(learner(peer)?)),
            Step::Promote(peers) => {
                for peer in peers {
                    voters.insert(learner(peer)?);
                }
            }
            Step::Shrink(peers) => voters.retain(|member| !peers.contains(&member.peer)),
            Step::Replace { old, new } => {
                voters.retain(|member| member.peer != *old);
                voters.insert(learner(new)?);
            }
        }
        Some(Change::SetVoters(voters))
    }

    /// A node as a new member. Its life is above all that this partition has given: ids of
    /// configurations only rise, and no life is above the id of the one that gave it.
    fn member(&self, configuration: &Configuration, peer: PeerId) -> Option<Member> {
        let store = self.map.system.nodes.get(&peer)?.store;
        let life = u32::try_from(configuration.id.0 + 1).unwrap_or(u32::MAX);
        Some(Member { peer, store, life })
    }
}

#[cfg(test)]
mod tests;
