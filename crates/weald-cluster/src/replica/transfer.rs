//! Handing the coordination over, by wish or because this member is unwell (rules C2, C9).

use std::time::Duration;

use weald_core::{Epoch, LogIndex, Time};

use super::{Message, Now, RoleState, State};
use crate::{configuration::Member, mutation::Mutation};

/// A handover under way. Proposals wait for the next coordinator.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Transfer {
    to: Member,
    /// Whether the member was told: from then on a campaign of it is promised.
    is_released: bool,
    /// When this member goes on coordinating.
    due: Time,
}

/// Why the coordination cannot be handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// Another member coordinates, as far as this one knows.
    #[error("this member does not coordinate the partition: coordinator={coordinator:?}")]
    NotCoordinator {
        /// Who does, if it is known.
        coordinator: Option<Member>,
    },
    /// The member has no vote, or is this one.
    #[error("only another voter can take over: member={member}")]
    NotVoter {
        /// The member.
        member: Member,
    },
    /// A handover is under way.
    #[error("the coordination is being handed over: to={to}")]
    UnderWay {
        /// To whom.
        to: Member,
    },
}

impl Transfer {
    pub(super) fn to(&self) -> Member {
        self.to
    }

    pub(super) fn due(&self) -> Time {
        self.due
    }

    pub(super) fn is_released_to(&self, member: Member) -> bool {
        self.is_released && self.to == member
    }
}

impl State {
    /// Hands the coordination over to `to`, once its log is complete. Given up after an election
    /// timeout.
    ///
    /// # Errors
    /// [`TransferError`]; then nothing has changed.
    pub fn transfer(&mut self, now: Now, to: Member) -> Result<(), TransferError> {
        self.advance_clock(now);
        let result = self.begin_transfer(to);
        self.settle();
        result
    }

    pub(super) fn begin_transfer(&mut self, to: Member) -> Result<(), TransferError> {
        let due = self.now.steady.after(self.config.election_timeout);
        let is_voter = to != self.me && self.configurations.current().voters.contains(&to);
        let hint = self.following.coordinator;
        let RoleState::Coordinator(coordinator) = &mut self.role else {
            return Err(TransferError::NotCoordinator { coordinator: hint });
        };
        if let Some(transfer) = &coordinator.transfer {
            return Err(TransferError::UnderWay { to: transfer.to });
        }
        if !is_voter {
            return Err(TransferError::NotVoter { member: to });
        }
        coordinator.transfer = Some(Transfer { to, is_released: false, due });
        self.run_transfer();
        Ok(())
    }

    /// Releases the coordination once the other log is complete; goes on when nobody took it.
    pub(super) fn run_transfer(&mut self) {
        let (now, last, epoch) = (self.now.steady, self.log.last_index(), self.promised);
        let RoleState::Coordinator(coordinator) = &mut self.role else { return };
        let Some(transfer) = &mut coordinator.transfer else { return };
        if transfer.due <= now {
            coordinator.transfer = None;
            return;
        }
        let to = transfer.to;
        let is_complete = coordinator.progress.get(&to).is_some_and(|p| p.matched == last);
        if is_complete && !transfer.is_released {
            transfer.is_released = true;
            self.send(to, Message::TransferCoordinator { epoch });
        }
    }

    /// The coordinator of `epoch` has released it to this member.
    pub(super) fn handle_transfer_to_me(&mut self, epoch: Epoch) {
        if self.may_campaign() {
            self.become_candidate(Some(epoch));
        }
    }

    /// An unhealthy coordinator hands over to the healthy voter with the most complete log.
    pub(super) fn handle_health(&mut self, is_healthy: bool) {
        self.standing.is_healthy = is_healthy;
        if !is_healthy {
            self.hand_over();
        }
    }

    /// Hands over to whoever is best, if anybody can be.
    pub(super) fn hand_over(&mut self) {
        let RoleState::Coordinator(coordinator) = &self.role else { return };
        let is_well = |member: &Member| {
            let standing = self.peers.get(member).and_then(|peer| peer.standing);
            standing.is_none_or(|standing| standing.is_healthy)
        };
        let voters = &self.configurations.current().voters;
        let known = coordinator.progress.iter().filter(|(m, _)| voters.contains(m) && is_well(m));
        let best = known.max_by_key(|(_, progress)| progress.matched).map(|(member, _)| *member);
        if let Some(best) = best {
            // A handover that is under way goes on.
            self.begin_transfer(best).ok();
        }
    }

    /// Stops coordinating because the entry at `refused` and those after it cannot be committed
    /// here: the next campaign of this member waits until the others had their turn.
    ///
    /// Its own ones of this run are cut, so that the log does not end in what the others refuse and
    /// keep them from being promised. Only its own coordinations could have committed them, and they
    /// have not: its watermark is exact and moves no more. What was committed under another
    /// coordinator since would have that one's entry after it in this log. All others stay, as
    /// somebody else may have committed them (rule C3).
    pub(super) fn resign(&mut self, refused: LogIndex) {
        if !matches!(self.role, RoleState::Coordinator(_)) {
            return;
        }
        self.become_follower(None);
        let wait = self.config.election_timeout * 3;
        self.following.set_campaign_due(Some(self.now.steady.after(wait)));
        let is_own = refused >= self.own_from || self.config.breaks(Mutation::CutEarlierEpochs);
        if is_own && refused <= self.log.last_index() {
            self.cut(refused);
        }
    }

    /// The first entry that voters refuse for its time, if those who refuse none are no quorum
    /// (rule C9). Who was not heard for `timeout` may refuse as well. A refusal counts once it has
    /// lasted for `timeout`: where a message was a little faster than those before it, a member whose
    /// clock is behind takes the entry when it is sent again (rule C14).
    pub(super) fn refused_for_clock(&self, timeout: Duration) -> Option<LogIndex> {
        let RoleState::Coordinator(coordinator) = &self.role else { return None };
        let now = self.now.steady;
        let refused = |member: &Member| {
            let progress = coordinator.progress.get(member);
            progress.and_then(|progress| progress.refused_above(self.watermark))
        };
        let is_heard = |member: &Member| {
            let heard = coordinator.progress.get(member).and_then(|progress| progress.heard);
            heard.is_some_and(|heard| now.since(heard) < timeout)
        };
        let refuses =
            |member: &Member| refused(member).is_some_and(|(_, since)| now.since(since) >= timeout);
        let takes = |m: &Member| *m == self.me || (is_heard(m) && !refuses(m));
        let mut voters = self.configurations.current().all_voters();
        if self.is_quorum(takes) || !voters.any(|voter| refuses(&voter)) {
            return None;
        }
        let voters = self.configurations.current().all_voters();
        voters.filter_map(|voter| refused(&voter)).map(|(index, _)| index).min()
    }
}
