//! What is due, and what a member does about it (rules C2, C3, C9, C11).

use std::time::Duration;

use weald_core::Time;

use super::{AckRefusal, RoleState, State};

impl State {
    /// When [`Input::Timeout`](super::Input::Timeout) is due, by the steady clock.
    pub fn poll_timeout(&self) -> Option<Time> {
        if self.stop.is_some() && self.rebirth.due().is_none() {
            return None;
        }
        let due = match &self.role {
            RoleState::Follower => self.following.campaign_due(),
            RoleState::PreCandidate(campaign) | RoleState::Candidate(campaign) => {
                Some(campaign.due())
            }
            RoleState::Coordinator(coordinator) => Some(coordinator.due()),
        };
        let buffered = self.following.buffer.due(&self.config.buffer);
        [due, buffered, self.rebirth.due()].into_iter().flatten().min()
    }

    /// Acts as if the timer of its role were due, without moving the clock: for explorations in which
    /// time does not pass, so that states differ in nothing but what was said. A coordinator gives a
    /// sign of life, or resigns where anybody refuses its entries for their time, anybody else takes its coordinator for silent or its campaign for failed, and
    /// who has lost its promises asks for a new life.
    pub fn expire(&mut self) {
        if self.rebirth.due().is_some() {
            self.ask_for_life();
        }
        if self.stop.is_none() {
            match &self.role {
                RoleState::Follower => self.handle_silence(),
                RoleState::PreCandidate(_) | RoleState::Candidate(_) => self.give_up_campaign(),
                RoleState::Coordinator(_) => match self.refused_for_clock(Duration::ZERO) {
                    Some(refused) => self.resign(refused),
                    None => {
                        self.begin_round();
                        self.drive_membership();
                    }
                },
            }
        }
        self.settle();
    }

    /// Acts on every timer that is due.
    pub(super) fn run_timers(&mut self) {
        let now = self.now.steady;
        if self.following.buffer.expire(now, &self.config.buffer) {
            self.following.owe_refusal(AckRefusal::Evicted);
        }
        if self.rebirth.due().is_some_and(|due| due <= now) {
            self.ask_for_life();
        }
        if self.stop.is_some() {
            return;
        }
        match &self.role {
            RoleState::Follower => {
                if self.following.campaign_due().is_some_and(|due| due <= now) {
                    self.handle_silence();
                }
            }
            RoleState::PreCandidate(campaign) | RoleState::Candidate(campaign) => {
                if campaign.due() <= now {
                    self.give_up_campaign();
                }
            }
            RoleState::Coordinator(coordinator) => {
                if coordinator.due() <= now {
                    self.handle_heartbeat_due();
                }
            }
        }
    }
}
