//! Which members of partitions live here: what the partitions' coordinators say decides.

use weald_core::{PartitionId, PeerId};

use super::{Membership, Output, State};
use crate::configuration::Member;

impl State {
    /// What the partitions that this node coordinates say of a peer's membership. Only of those
    /// whose configuration is committed.
    pub(super) fn memberships_of(&self, peer: PeerId) -> Vec<Membership> {
        let told = self.views.iter().filter(|(_, view)| view.is_coordinator && view.may_change);
        let membership = |(partition, view): (&PartitionId, &super::PartitionView)| {
            let lives = view.configuration.members().filter(|member| member.peer == peer);
            Membership {
                partition: *partition,
                configuration: view.configuration.id,
                member: lives.max_by_key(|member| member.life),
            }
        };
        told.map(membership).collect()
    }

    pub(super) fn follow_memberships(&mut self, memberships: &[Membership]) {
        let genesis = self.pin.genesis.as_ref();
        let count = genesis.map_or(0, |genesis| genesis.partition_count);
        for membership in memberships.iter().filter(|told| told.partition.0 < count) {
            self.follow_membership(membership);
        }
    }

    fn follow_membership(&mut self, told: &Membership) {
        let is_own = |member: &Member| member.peer == self.local && member.store == self.me.store;
        if told.member.is_some_and(|member| !is_own(&member)) {
            // A life that this disk did not live; the coordinator will give another.
            return;
        }
        // Of one id there is one committed configuration, so that what is told of it holds here, too:
        // a member whose log has the entry that removed it is over.
        let ended = self.views.get(&told.partition).map(|view| {
            let is_other = told.member != Some(view.member);
            let asks = view.is_amnesiac && told.member.is_some();
            (view.member, is_other && !asks && told.configuration >= view.configuration.id)
        });
        match ended {
            Some((_, false)) => return,
            Some((member, true)) => self.retire(told.partition, member),
            None => {}
        }
        let floor = self.pin.lived.get(&told.partition).copied();
        if let Some(member) = told.member.filter(|member| floor.is_none_or(|f| member.life > f)) {
            self.outputs.push_back(Output::Host { partition: told.partition, member });
        }
    }

    /// Ends a member that was removed. That it lived is kept, so that it never lives again: what it
    /// promised is forgotten with it.
    fn retire(&mut self, partition: PartitionId, member: Member) {
        let floor = self.pin.lived.entry(partition).or_default();
        *floor = member.life.max(*floor);
        self.views.remove(&partition);
        self.outputs.push_back(Output::Pin(Box::new(self.pin.clone())));
        self.outputs.push_back(Output::Retire(partition));
    }
}
