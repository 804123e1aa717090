//! A member that has lost what it promised: it takes no part, asks for a new life, and comes back
//! as a learner (rule C11).

use std::collections::{BTreeMap, BTreeSet};

use weald_core::Time;

use super::{
    CertifiedConfiguration, Health, Message, Output, RefusedReason, RoleState, State, Stop,
};
use crate::configuration::Member;

/// Members that are asked beside those of the configuration that is known, at most.
const ASKED_MAX: usize = 16;

/// What an amnesiac member, and a coordinator that is asked by one, remember.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Rebirth {
    nonce: u64,
    /// When to ask (again); `None` for who has lost nothing.
    due: Option<Time>,
    /// Who was heard in this run.
    heard: BTreeSet<Member>,
    /// The lives that this coordinator has given, by the question's nonce.
    given: BTreeMap<Member, u64>,
}

impl Rebirth {
    pub(super) fn due(&self) -> Option<Time> {
        self.due
    }

    /// Notes a member that might answer.
    pub(super) fn note(&mut self, member: Member) {
        if self.heard.len() < ASKED_MAX {
            self.heard.insert(member);
        }
    }
}

impl State {
    /// What this member promised is lost: it promises nothing, campaigns never and counts in no
    /// quorum until it has a new life.
    pub(super) fn become_amnesiac(&mut self) {
        self.health = Health::Amnesiac;
        self.become_stopped(Stop::Amnesiac);
        self.following.set_campaign_due(None);
        self.rebirth.nonce = self.draw(u64::MAX);
        self.rebirth.due = Some(self.now.steady);
    }

    pub(super) fn ask_for_life(&mut self) {
        let mut asked = self.rebirth.heard.clone();
        asked.extend(self.configurations.current().members());
        // Who begins a later generation was a member of one before.
        asked.extend(self.recoveries.last().into_iter().flat_map(|last| last.act.old.members()));
        asked.retain(|member| member.peer != self.me.peer);
        let nonce = self.rebirth.nonce;
        for member in asked {
            self.send(member, Message::Amnesiac { nonce });
        }
        self.rebirth.due = Some(self.now.steady.after(self.config.election_timeout));
    }

    /// A peer has lost what it promised. It becomes a learner under its next life; once that is
    /// committed, the peer is told.
    pub(super) fn handle_amnesiac(&mut self, from: Member, nonce: u64) {
        let current = self.configurations.current();
        let lives = current.members().filter(|member| member.peer == from.peer);
        let lives = lives.chain(self.ended_life(from));
        let Some(latest) = lives.max_by_key(|member| member.life) else {
            return self.report_refused(from, RefusedReason::NotMember);
        };
        if !matches!(self.role, RoleState::Coordinator(_)) {
            return;
        }
        let is_given = self.rebirth.given.get(&latest) == Some(&nonce);
        if is_given {
            if !self.configurations.has_uncommitted() {
                // The member is known by its new life from now on, in whatever run it is.
                self.peers.remove(&latest);
                let chain = self.configurations.chain().to_vec();
                self.send(from, Message::Welcome { member: latest, nonce, chain });
            }
            return;
        }
        let Some(life) = latest.life.checked_add(1) else { return };
        let life = life.max(self.first_life());
        let next = Member { peer: from.peer, store: from.store, life };
        let mut learners = current.learners.clone();
        learners.retain(|learner| learner.peer != from.peer);
        learners.insert(next);
        let configuration = current.with_learners(learners);
        if self.may_reconfigure() && configuration.check().is_ok() {
            self.rebirth.given.retain(|member, _| member.peer != from.peer);
            self.rebirth.given.insert(next, nonce);
            self.append_configuration(&configuration);
        }
    }

    /// The last life of a peer that took part in an earlier generation, which ended with it.
    fn ended_life(&self, from: Member) -> Option<Member> {
        let ended = self.recoveries.iter().flat_map(|recovery| recovery.act.old.members());
        ended.filter(|member| member.peer == from.peer).max_by_key(|member| member.life)
    }

    /// The least life that is given: above all of earlier generations.
    fn first_life(&self) -> u32 {
        self.recoveries.last().map_or(0, |recovery| recovery.act.first_life())
    }

    /// The new life: this member begins with nothing, as a learner.
    pub(super) fn handle_welcome(
        &mut self,
        from: Member,
        answer: (Member, u64),
        chain: Vec<CertifiedConfiguration>,
    ) {
        let (member, nonce) = answer;
        let is_answer = self.health == Health::Amnesiac && nonce == self.rebirth.nonce;
        if !is_answer || member.peer != self.me.peer || member.store != self.me.store {
            return;
        }
        // Who answers shows by certificates that it is a member.
        if !self.configurations.learn(chain) || !self.configurations.knows(&from) {
            return self.report_refused(from, RefusedReason::NotMember);
        }
        self.me = member;
        self.health = Health::Whole;
        self.stop = None;
        self.empty();
        self.rebirth.due = None;
        self.outputs.push_back(Output::Reborn { member });
    }
}
