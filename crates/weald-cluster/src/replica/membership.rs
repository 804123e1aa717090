//! Changing who the members are: through the log, learners first, joint, one at a time, each step
//! certified before the next (rule C8).

use std::collections::BTreeSet;

use weald_core::LogIndex;

use super::{
    CertifiedConfiguration, LogEntry, Message, Now, Output, RefusedReason, RoleState, State,
    coordinator::Coordinator,
};
use crate::configuration::{Configuration, ConfigurationError, ConfigurationId, Member};

/// How many entries a learner may lag behind the watermark when it gets a vote.
const LAG_MAX: u64 = 1024;

/// A change of a partition's members.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Change {
    /// Feed one more member.
    AddLearner(Member),
    /// Feed it no more.
    RemoveLearner(Member),
    /// Let these vote, and no others: 1, 3 or 5, each a voter or a learner that has caught up. Goes
    /// over a joint configuration, which the coordinator leaves by itself.
    SetVoters(BTreeSet<Member>),
}

/// Why a change was not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// Another member coordinates, as far as this one knows.
    #[error("this member does not coordinate the partition: coordinator={coordinator:?}")]
    NotCoordinator {
        /// Who does, if it is known.
        coordinator: Option<Member>,
    },
    /// Another change, or the certificate of the last one, is not complete; retry later.
    #[error("another change is under way; retry")]
    UnderWay,
    /// No entry of this coordination is committed yet; retry later.
    #[error("the coordination has just begun; retry")]
    TooEarly,
    /// A new voter's log is not complete enough; retry when it has caught up.
    #[error("a new voter has to catch up first; retry: member={member}")]
    NotCaughtUp {
        /// The member.
        member: Member,
    },
    /// A majority of the new voters was not heard for an election timeout; retry when it is.
    #[error("a majority of the new voters is silent; retry: member={member}")]
    NotHeard {
        /// One of those that are silent.
        member: Member,
    },
    /// It would change nothing.
    #[error("the change changes nothing")]
    Unchanged,
    /// The outcome is no configuration that may be used.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
}

impl ChangeError {
    /// Whether the same change may be begun later.
    pub const fn is_retryable(&self) -> bool {
        !matches!(self, Self::Unchanged | Self::Configuration(_))
    }
}

impl State {
    /// Begins a change of the members. Returns the place of the configuration's entry; it counts at
    /// once and holds when it is committed.
    ///
    /// # Errors
    /// [`ChangeError`]; then nothing has changed.
    pub fn reconfigure(&mut self, now: Now, change: &Change) -> Result<LogIndex, ChangeError> {
        self.advance_clock(now);
        let result = self.next_configuration(change).map(|next| self.append_configuration(&next));
        self.settle();
        result
    }

    fn next_configuration(&self, change: &Change) -> Result<Configuration, ChangeError> {
        let RoleState::Coordinator(coordinator) = &self.role else {
            return Err(ChangeError::NotCoordinator { coordinator: self.following.coordinator });
        };
        let current = self.configurations.current();
        if !coordinator.has_own_commit {
            return Err(ChangeError::TooEarly);
        }
        if !self.is_settled() {
            return Err(ChangeError::UnderWay);
        }
        let mut learners = current.learners.clone();
        let next = match change {
            Change::AddLearner(member) => {
                let is_new = !current.is_voter(member) && learners.insert(*member);
                is_new.then(|| current.with_learners(learners))
            }
            Change::RemoveLearner(member) => {
                learners.remove(member).then(|| current.with_learners(learners))
            }
            Change::SetVoters(voters) => {
                self.check_caught_up(voters)?;
                self.check_heard(voters)?;
                (*voters != current.voters).then(|| current.joint(voters.clone()))
            }
        };
        let next = next.ok_or(ChangeError::Unchanged)?;
        next.check()?;
        Ok(next)
    }

    /// Whether no change is under way.
    fn is_settled(&self) -> bool {
        let is_joint = self.configurations.current().is_joint();
        !is_joint && !self.configurations.has_uncommitted() && self.configurations.is_certified()
    }

    fn check_caught_up(&self, voters: &BTreeSet<Member>) -> Result<(), ChangeError> {
        let RoleState::Coordinator(coordinator) = &self.role else { return Ok(()) };
        let lags = |member: &&Member| {
            let matched = coordinator.progress.get(member).map_or(0, |p| p.matched.0);
            !self.is_voter_here(member) && matched + LAG_MAX < self.watermark.0.max(LAG_MAX + 1)
        };
        match voters.iter().filter(|member| **member != self.me).find(lags) {
            Some(member) => Err(ChangeError::NotCaughtUp { member: *member }),
            None => Ok(()),
        }
    }

    /// Without a majority of the new voters the joint configuration would commit nothing, and could
    /// not be left.
    fn check_heard(&self, voters: &BTreeSet<Member>) -> Result<(), ChangeError> {
        let RoleState::Coordinator(coordinator) = &self.role else { return Ok(()) };
        let is_silent = |member: &&Member| !self.is_heard(coordinator, member);
        let silent = voters.iter().filter(is_silent);
        match silent.clone().next().filter(|_| silent.count() * 2 >= voters.len()) {
            Some(member) => Err(ChangeError::NotHeard { member: *member }),
            None => Ok(()),
        }
    }

    /// Whether a member, or this one, was heard within an election timeout.
    fn is_heard(&self, coordinator: &Coordinator, member: &Member) -> bool {
        let heard = coordinator.progress.get(member).and_then(|progress| progress.heard);
        let timeout = self.config.election_timeout;
        *member == self.me || heard.is_some_and(|heard| self.now.steady.since(heard) < timeout)
    }

    fn is_voter_here(&self, member: &Member) -> bool {
        self.configurations.current().is_voter(member)
    }

    /// The members that are, but for this one, complete enough to vote, while this one coordinates.
    pub fn caught_up(&self) -> BTreeSet<Member> {
        let RoleState::Coordinator(coordinator) = &self.role else { return BTreeSet::new() };
        let is_complete =
            |member: &Member| self.check_caught_up(&BTreeSet::from([*member])).is_ok();
        coordinator.progress.keys().copied().filter(is_complete).collect()
    }

    /// Whether this member coordinates and a change of the members may be begun: the configuration
    /// is committed, and certified.
    pub fn may_reconfigure(&self) -> bool {
        let has_own = matches!(&self.role, RoleState::Coordinator(c) if c.has_own_commit);
        has_own && self.is_settled()
    }

    pub(super) fn append_configuration(&mut self, next: &Configuration) -> LogIndex {
        let time = self.log_time.stamp(self.now);
        let (last, stamp) = (self.log.last(), (self.promised, time));
        let entry = match self.configurations.last_certificate() {
            Some(certificate) => LogEntry::succession(last, stamp, next, certificate),
            None => LogEntry::configuration(last, stamp.0, stamp.1, next),
        };
        let index = entry.index();
        self.append_own(entry);
        index
    }

    /// What a coordinator does about configurations by itself: it collects certificates, leaves
    /// joint configurations, swaps a member that was reborn for its earlier life, and hands over
    /// once it has no vote any more.
    pub(super) fn drive_membership(&mut self) {
        let RoleState::Coordinator(coordinator) = &self.role else { return };
        if !coordinator.has_own_commit || self.configurations.has_uncommitted() {
            return;
        }
        self.collect_certificate();
        if !self.configurations.is_certified() {
            return;
        }
        let current = self.configurations.current().clone();
        if current.is_joint() {
            self.append_configuration(&current.settled());
        } else if !current.is_voter(&self.me) {
            self.hand_over();
        } else if let Some(voters) = self.reborn_voters(&current) {
            self.append_configuration(&current.joint(voters));
        }
    }

    /// The voters with every reborn member that has caught up in place of its earlier life.
    fn reborn_voters(&self, current: &Configuration) -> Option<BTreeSet<Member>> {
        let RoleState::Coordinator(coordinator) = &self.role else { return None };
        let has_caught_up = |member: &Member| {
            let matched = coordinator.progress.get(member).map(|progress| progress.matched);
            matched.is_some_and(|matched| matched >= coordinator.first())
        };
        let mut voters = current.voters.clone();
        for learner in current.learners.iter().filter(|learner| has_caught_up(learner)) {
            let earlier = voters.iter().find(|v| v.peer == learner.peer && v.life < learner.life);
            if let Some(earlier) = earlier.copied() {
                voters.remove(&earlier);
                voters.insert(*learner);
            }
        }
        (voters != current.voters).then_some(voters)
    }

    pub(super) fn handle_need_configuration(&mut self, from: Member, have: ConfigurationId) {
        let chain = self.configurations.chain_after(have);
        if !chain.is_empty() {
            self.send(from, Message::Configurations { chain });
        }
    }

    pub(super) fn handle_configurations(
        &mut self,
        from: Member,
        chain: Vec<CertifiedConfiguration>,
    ) {
        let before = self.configurations.chain().len();
        if self.configurations.lacks_before(&chain) {
            let have = self.configurations.certified_id();
            return self.send(from, Message::NeedConfiguration { have });
        }
        if !self.configurations.learn(chain) {
            self.report_refused(from, RefusedReason::BadCertificate);
        }
        if self.configurations.chain().len() > before {
            self.log.want_state();
        }
    }

    /// A certificate is complete: every member keeps it, since those who signed may go.
    pub(super) fn certify(&mut self, certified: CertifiedConfiguration) {
        if !self.configurations.certify(certified.clone()) {
            return;
        }
        self.log.want_state();
        let others = self.configurations.current().members().filter(|member| *member != self.me);
        for member in others.collect::<Vec<_>>() {
            let chain = vec![certified.clone()];
            self.send(member, Message::Configurations { chain });
        }
        self.outputs.push_back(Output::Certified(certified));
        self.drive_membership();
    }
}
