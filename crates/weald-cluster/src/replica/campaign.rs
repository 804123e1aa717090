//! Takeover: pre-vote, campaign, promise (rules C1, C2).

use std::{collections::BTreeSet, time::Duration};

use weald_core::{Epoch, Time};

use super::{
    EntryKind, Health, LogEnd, LogEntry, Message, RoleState, State, coordinator::Coordinator,
};
use crate::{configuration::Member, mutation::Mutation};

/// A campaign, before (who would promise) or after its epoch is fixed (who has promised).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Campaign {
    number: u64,
    agreed: BTreeSet<Member>,
    /// The coordination that was handed over to this member, if one was.
    releasing: Option<Epoch>,
    /// When it is given up.
    due: Time,
}

impl Campaign {
    pub(super) fn due(&self) -> Time {
        self.due
    }
}

impl State {
    /// The first step of a run.
    pub(super) fn begin(&mut self) {
        if self.health == Health::Amnesiac && !self.config.breaks(Mutation::ForgetAmnesia) {
            return self.become_amnesiac();
        }
        if self.health == Health::Amnesiac {
            self.health = Health::Whole;
        }
        self.following.jitter = self.draw_jitter();
        self.schedule_campaign();
        if self.may_campaign() && self.configurations.current().is_quorum(|m| *m == self.me) {
            self.following.set_campaign_due(Some(self.now.steady));
        }
    }

    /// Begins to follow `coordinator`, or nobody.
    pub(super) fn become_follower(&mut self, coordinator: Option<Member>) {
        let before = std::mem::replace(&mut self.role, RoleState::Follower);
        if let RoleState::Coordinator(coordinator) = before {
            self.fail_reads(coordinator.reads);
        }
        if coordinator.is_some() {
            self.disown();
        }
        self.following.follow(coordinator, self.promised, self.watermark);
        self.following.jitter = self.draw_jitter();
        self.schedule_campaign();
        self.announce_role();
    }

    /// Sets when to campaign if nothing is heard: the member of rank r is r steps later.
    pub(super) fn schedule_campaign(&mut self) {
        if !self.may_campaign() {
            return self.following.set_campaign_due(None);
        }
        let wait = self.config.election_timeout + self.following.jitter;
        let wait = wait + self.config.rank_step * self.rank();
        self.following.set_campaign_due(Some(self.now.steady.after(wait)));
    }

    /// Chance keeps members of one rank apart; it is drawn once for each wait, not for each sign of
    /// life that prolongs it.
    fn draw_jitter(&mut self) -> Duration {
        let most = u64::try_from(self.config.election_jitter.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.draw(most))
    }

    /// Whether this member may take over. One that has lost its vote may as long as that is not known to
    /// be committed: if it alone of the voters before has the entry that takes the vote, nobody else can
    /// win (rule C8; Ongaro, "Consensus: Bridging Theory and Practice", 4.2.2). Its own vote does not count.
    pub(super) fn may_campaign(&self) -> bool {
        self.configurations.may_need(&self.me)
            && self.health == Health::Whole
            && self.stop.is_none()
    }

    /// How many healthy voters are preferred to this one: those that run longer, by peer where
    /// they began at once. The coordinator that fell silent does not count (rule C2).
    fn rank(&self) -> u32 {
        let own = (!self.standing.is_healthy, self.standing.started, self.me.peer);
        let is_preferred = |member: &Member| {
            let standing = self.peers.get(member).and_then(|peer| peer.standing);
            standing.is_some_and(|s| (!s.is_healthy, s.started, member.peer) < own)
        };
        let others = self.configurations.current().all_voters();
        let preferred = others
            .filter(|m| *m != self.me && Some(*m) != self.following.coordinator)
            .filter(is_preferred);
        u32::try_from(preferred.count()).unwrap_or(u32::MAX)
    }

    /// Nobody was heard for long enough: asks whether a campaign would be promised.
    pub(super) fn handle_silence(&mut self) {
        self.following.jitter = self.draw_jitter();
        self.schedule_campaign();
        if !self.may_campaign() {
            return;
        }
        let number = self.next_number();
        let campaign = self.campaign(number, None);
        self.role = RoleState::PreCandidate(campaign);
        let last = self.log.end();
        self.send_to_voters(&Message::PreVote { number, last });
        self.count_pre_votes();
    }

    /// Too few have answered in time: it begins again.
    pub(super) fn give_up_campaign(&mut self) {
        self.become_follower(None);
        self.handle_silence();
    }

    fn campaign(&mut self, number: u64, releasing: Option<Epoch>) -> Campaign {
        let wait = self.config.election_timeout + self.draw_jitter();
        let due = self.now.steady.after(wait);
        Campaign { number, agreed: [self.me].into(), releasing, due }
    }

    /// Above everything that was promised, used, stored or heard of.
    fn next_number(&self) -> u64 {
        let stored = self.log.last().epoch.number;
        if self.config.breaks(Mutation::ReuseEpochNumber) {
            return stored + 1;
        }
        self.promised.number.max(stored).max(self.highest_number) + 1
    }

    fn send_to_voters(&mut self, message: &Message) {
        let others = self.configurations.current().all_voters().filter(|voter| *voter != self.me);
        for voter in others.collect::<Vec<_>>() {
            self.send(voter, message.clone());
        }
    }

    pub(super) fn handle_pre_vote(&mut self, from: Member, number: u64, last: LogEnd) {
        let is_granted = number > self.promised.number && self.would_promise(last, None, from);
        let promised = self.promised;
        self.send(from, Message::PreVoteReply { number, is_granted, promised });
    }

    /// Whether a campaigner whose log ends at `last` would be promised now.
    fn would_promise(&self, last: LogEnd, releasing: Option<Epoch>, from: Member) -> bool {
        let may_promise = self.stop.is_none() && self.health != Health::Amnesiac;
        // What is missing of a damaged log counts as if it were there.
        let is_complete = last >= self.log.end().max(self.known_end())
            || self.config.breaks(Mutation::PromiseToStaleLogs);
        let is_uncoordinated = match &self.role {
            RoleState::Coordinator(coordinator) => {
                coordinator.is_released_to(from) && releasing == Some(self.promised)
            }
            _ => {
                let timeout = self.config.silence;
                let is_released = releasing.is_some() && releasing == Some(self.following.epoch);
                is_released || self.following.is_silent(self.now.steady, timeout)
            }
        };
        let is_uncoordinated =
            is_uncoordinated || self.config.breaks(Mutation::PromiseWhileCoordinated);
        may_promise && is_complete && is_uncoordinated
    }

    pub(super) fn handle_pre_vote_reply(
        &mut self,
        from: Member,
        answer: (u64, bool),
        promised: Epoch,
    ) {
        self.highest_number = self.highest_number.max(promised.number);
        let (number, is_granted) = answer;
        if let RoleState::PreCandidate(campaign) = &mut self.role
            && campaign.number == number
            && is_granted
        {
            campaign.agreed.insert(from);
            self.count_pre_votes();
        }
    }

    fn count_pre_votes(&mut self) {
        let RoleState::PreCandidate(campaign) = &self.role else { return };
        if self.is_election_quorum(campaign) {
            self.become_candidate(None);
        }
    }

    fn is_election_quorum(&self, campaign: &Campaign) -> bool {
        if self.config.breaks(Mutation::CoordinateByMinority) {
            return true;
        }
        self.is_quorum(|member| campaign.agreed.contains(member))
    }

    /// Fixes the epoch of a campaign. It is durable before anybody is asked (rule C1).
    pub(super) fn become_candidate(&mut self, releasing: Option<Epoch>) {
        let number = self.next_number();
        self.promised = Epoch { number, campaigner: Some(self.me.peer) };
        self.log.want_state();
        let campaign = self.campaign(number, releasing);
        self.following.follow(None, self.promised, self.watermark);
        self.following.promise_owed = None;
        self.role = RoleState::Candidate(campaign);
        self.announce_role();
    }

    /// The campaign's epoch may be durable: then the others are asked.
    pub(super) fn campaign_persisted(&mut self) {
        let RoleState::Candidate(campaign) = &self.role else { return };
        if self.log.durable_promise() != self.promised {
            return;
        }
        let (epoch, releasing, last) = (self.promised, campaign.releasing, self.log.end());
        self.send_to_voters(&Message::Prepare { epoch, last, releasing });
        self.count_promises();
    }

    pub(super) fn handle_prepare(
        &mut self,
        from: Member,
        epoch: Epoch,
        campaign: (LogEnd, Option<Epoch>),
    ) {
        let (last, releasing) = campaign;
        let is_new = epoch > self.promised;
        let is_repeated = epoch == self.promised
            && self.following.epoch != epoch
            && matches!(self.role, RoleState::Follower);
        if !is_new && !is_repeated {
            return;
        }
        if is_new && !self.would_promise(last, releasing, from) {
            return;
        }
        if is_new {
            self.promised = epoch;
            self.log.want_state();
            self.become_follower(None);
        }
        self.following.promise_owed = Some((from, epoch));
        self.promise_persisted();
    }

    /// Gives the promise that is owed, once it is durable.
    pub(super) fn promise_persisted(&mut self) {
        let Some((to, epoch)) = self.following.promise_owed else { return };
        let is_durable = self.log.durable_promise() >= epoch
            || self.config.breaks(Mutation::AnswerBeforePromiseIsDurable);
        if is_durable {
            self.following.promise_owed = None;
            if self.promised == epoch {
                self.send(to, Message::Promise { epoch });
            }
        }
    }

    pub(super) fn handle_promise(&mut self, from: Member, epoch: Epoch) {
        if let RoleState::Candidate(campaign) = &mut self.role
            && epoch == self.promised
        {
            campaign.agreed.insert(from);
            self.count_promises();
        }
    }

    fn count_promises(&mut self) {
        let RoleState::Candidate(campaign) = &self.role else { return };
        let is_durable = self.log.durable_promise() == self.promised;
        if is_durable && self.is_election_quorum(campaign) {
            self.become_coordinator();
        }
    }

    /// Somebody has promised a higher epoch: it is above that one that the next campaign begins.
    pub(super) fn handle_refuse(&mut self, promised: Epoch) {
        self.highest_number = self.highest_number.max(promised.number);
        let speaks = matches!(self.role, RoleState::Candidate(_) | RoleState::Coordinator(_));
        if speaks && promised > self.promised {
            self.become_follower(None);
        }
    }

    /// The winner's log is the log. Its first entry is its own, so that what came before can be
    /// committed with it (rule C4).
    fn become_coordinator(&mut self) {
        let first = self.log.last_index().next();
        let coordinator = Coordinator::new(self.now.steady, first);
        self.role = RoleState::Coordinator(Box::new(coordinator));
        self.following.set_campaign_due(None);
        let time = self.log_time.stamp(self.now);
        let noop = LogEntry::new(self.log.last(), self.promised, time, (EntryKind::Noop, &[]));
        self.own_from = self.own_from.min(noop.index());
        self.append(noop);
        self.announce_role();
        self.begin_round();
    }
}
