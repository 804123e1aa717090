//! Effect hashes: what members compare to find out whose state is not what the log says, and what
//! a state has to agree with before it is kept and handed on (rule C15).
//!
//! The hash after an entry covers all effects before it. Members that have one hash at one index
//! have had the same effects up to there, so what a quorum confirms at an index it confirms for every
//! earlier one.

use std::collections::{BTreeMap, VecDeque};

use weald_core::{Digest, LogIndex};

use super::{Effect, Output, Report, RoleState, State, Stop};
use crate::{configuration::Member, mutation::Mutation};

/// Effect hashes that are remembered, the newest ones.
const RECENT_MAX: usize = 256;
/// Indexes at which members compare that are remembered until this member has applied them: with
/// one in a round, a member whose apply lags by as many rounds still compares.
const MARKS_MAX: usize = 32;
/// Rounds in which members are asked for one index before another is chosen.
const ROUNDS_MAX: u64 = 10;

/// What a member knows of the effects of what it has applied.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Effects {
    /// The last applied entry.
    applied: LogIndex,
    recent: VecDeque<Effect>,
    /// In order.
    marks: VecDeque<Mark>,
    /// Up to here this member's effects are a quorum's.
    confirmed: LogIndex,
}

/// An index at which members compare.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Mark {
    index: LogIndex,
    own: Option<Digest>,
    /// What a quorum has.
    settled: Option<Digest>,
}

impl Effects {
    /// Of a member whose state covers everything up to `applied`: a checkpoint, which covers only what
    /// was confirmed.
    pub(super) fn new(applied: LogIndex) -> Self {
        let (recent, marks) = (VecDeque::new(), VecDeque::new());
        Self { applied, recent, marks, confirmed: applied }
    }

    /// Of a member whose state is another one's checkpoint.
    pub(super) fn installed(effect: Effect) -> Self {
        let mut effects = Self::new(effect.index);
        effects.recent.push_back(effect);
        effects
    }

    pub(super) fn applied(&self) -> LogIndex {
        self.applied
    }

    /// Up to here what was applied is what a quorum has applied.
    pub(super) fn confirmed(&self) -> LogIndex {
        self.confirmed
    }

    /// Notes what came of entries up to `effect`. The hash that has shown to be another one than a
    /// quorum's, if it has.
    pub(super) fn note_applied(&mut self, effect: Effect) -> Option<Effect> {
        if effect.index <= self.applied && !self.recent.is_empty() {
            return None;
        }
        self.applied = self.applied.max(effect.index);
        self.recent.push_back(effect);
        if self.recent.len() > RECENT_MAX {
            self.recent.pop_front();
        }
        let mark = self.marks.iter_mut().find(|mark| mark.index == effect.index)?;
        mark.own = Some(effect.hash);
        self.compare(effect.index)
    }

    /// What came of the entry at `index`, if it is remembered.
    pub(super) fn at(&self, index: LogIndex) -> Option<Effect> {
        let own = |mark: &Mark| Some(Effect { index, hash: mark.own? });
        let marked = self.marks.iter().find(|mark| mark.index == index).and_then(own);
        marked.or_else(|| self.recent.iter().rev().find(|effect| effect.index == index).copied())
    }

    /// What came of the last applied entry.
    pub(super) fn last(&self) -> Option<Effect> {
        self.recent.back().copied()
    }

    /// Members compare at `index`: what comes of it is remembered.
    pub(super) fn mark(&mut self, index: LogIndex) {
        if self.marks.iter().any(|mark| mark.index == index) {
            return;
        }
        let own = self.at(index).map(|effect| effect.hash);
        let later = self.marks.iter().position(|mark| mark.index > index);
        let place = later.unwrap_or(self.marks.len());
        self.marks.insert(place, Mark { index, own, settled: None });
        if self.marks.len() > MARKS_MAX {
            self.marks.pop_front();
        }
    }

    /// A quorum has this effect. The own one, if it is another.
    pub(super) fn settle(&mut self, settled: Effect) -> Option<Effect> {
        self.mark(settled.index);
        let mark = self.marks.iter_mut().find(|mark| mark.index == settled.index)?;
        mark.settled = Some(settled.hash);
        self.compare(settled.index)
    }

    /// Nobody else has to agree.
    pub(super) fn confirm_all(&mut self) {
        self.confirmed = self.applied;
    }

    fn compare(&mut self, index: LogIndex) -> Option<Effect> {
        let mark = self.marks.iter().find(|mark| mark.index == index)?;
        let (own, settled) = (mark.own?, mark.settled?);
        if own != settled {
            return Some(Effect { index, hash: own });
        }
        self.confirmed = self.confirmed.max(index);
        None
    }
}

/// What a coordinator asks members about their effects, and what they answer. Between its end and
/// the next one members remember what was confirmed.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Comparison {
    /// What the coordinator has at the index that it asks for.
    asked: Option<Effect>,
    /// The round in which it began to.
    since: u64,
    answers: BTreeMap<Member, Digest>,
    /// What a quorum has, at the last index where one agrees.
    settled: Option<Effect>,
}

impl Comparison {
    pub(super) fn settled(&self) -> Option<Effect> {
        self.settled
    }

    /// Chooses what to ask for in a round: one index until a quorum agrees, so that members whose
    /// apply lags are waited for, but not without end.
    fn begin(&mut self, round: u64, last: Option<Effect>) -> Option<Effect> {
        let is_open = self.asked.is_some()
            && self.asked.map(|asked| asked.index) != self.settled.map(|settled| settled.index)
            && round < self.since + ROUNDS_MAX;
        if !is_open && self.asked != last {
            (self.asked, self.since) = (last, round);
            self.answers.clear();
        }
        self.asked
    }
}

impl State {
    /// Chooses at which index members compare their effects in the round that begins.
    pub(super) fn begin_comparison(&mut self) -> Option<Effect> {
        let last = self.effects.last();
        let RoleState::Coordinator(coordinator) = &mut self.role else { return None };
        let asked = coordinator.comparison.begin(coordinator.round, last)?;
        self.effects.mark(asked.index);
        self.settle_effects();
        Some(asked)
    }

    /// A member answers what it has.
    pub(super) fn compare_effect(&mut self, from: Member, effect: Effect) {
        let RoleState::Coordinator(coordinator) = &mut self.role else { return };
        let comparison = &mut coordinator.comparison;
        if comparison.asked.is_some_and(|asked| asked.index == effect.index) {
            comparison.answers.insert(from, effect.hash);
            self.settle_effects();
        }
    }

    /// Looks whether a quorum agrees; who differs from one has diverged.
    fn settle_effects(&mut self) {
        let RoleState::Coordinator(coordinator) = &self.role else { return };
        let Some(asked) = coordinator.comparison.asked else { return };
        let answers = coordinator.comparison.answers.clone();
        let of = |member: &Member| match *member == self.me {
            true => Some(asked.hash),
            false => answers.get(member).copied(),
        };
        let mut candidates = answers.values().copied().chain([asked.hash]);
        let agreed = candidates.find(|hash| self.is_quorum(|member| of(member) == Some(*hash)));
        let Some(hash) = agreed else { return };
        let settled = Effect { index: asked.index, hash };
        for (member, _) in answers.iter().filter(|(_, other)| **other != hash) {
            let report = Report::Diverged { member: *member, settled };
            self.outputs.push_back(Output::Report(report));
        }
        if let RoleState::Coordinator(coordinator) = &mut self.role {
            coordinator.comparison.settled = Some(settled);
        }
        if let Some(wrong) = self.effects.settle(settled) {
            self.become_stopped(Stop::Diverged(wrong));
        }
    }

    /// Up to here what this member has applied is what a quorum has applied. A checkpoint of the state
    /// covers no more (rule C15): a damaged state is neither kept nor handed to others, and a restart
    /// begins before the damage.
    pub fn confirmed(&self) -> LogIndex {
        match self.config.breaks(Mutation::KeepUnconfirmed) {
            true => self.effects.applied(),
            false => self.effects.confirmed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effect(index: u64, state: &str) -> Effect {
        let hash = Digest::of("effect", &[state.as_bytes(), &index.to_le_bytes()]);
        Effect { index: LogIndex(index), hash }
    }

    #[test]
    fn what_a_quorum_has_at_an_index_confirms_all_before() {
        let mut effects = Effects::new(LogIndex(3));
        for index in 4..=9 {
            assert_eq!(effects.note_applied(effect(index, "right")), None);
        }
        assert_eq!(effects.confirmed(), LogIndex(3));
        assert_eq!(effects.settle(effect(7, "right")), None);
        assert_eq!(effects.confirmed(), LogIndex(7));
        assert_eq!(effects.settle(effect(9, "other")), Some(effect(9, "right")));
        assert_eq!(effects.confirmed(), LogIndex(7), "what was confirmed stays so");
    }

    #[test]
    fn a_member_whose_apply_lags_compares_once_it_has_applied() {
        let mut effects = Effects::new(LogIndex::ZERO);
        effects.mark(LogIndex(5));
        effects.settle(effect(5, "right"));
        effects.mark(LogIndex(9));
        for index in 1..=4 {
            assert_eq!(effects.note_applied(effect(index, "wrong")), None);
        }
        assert_eq!(effects.note_applied(effect(5, "wrong")), Some(effect(5, "wrong")));
        assert_eq!(effects.confirmed(), LogIndex::ZERO);
    }

    #[test]
    fn what_is_compared_is_remembered_longer_than_the_rest_but_not_without_end() {
        let mut effects = Effects::new(LogIndex::ZERO);
        effects.mark(LogIndex(1));
        for index in 1..=1_000 {
            effects.note_applied(effect(index, "right"));
        }
        assert_eq!(effects.at(LogIndex(1)), Some(effect(1, "right")));
        assert_eq!(effects.at(LogIndex(2)), None);
        for index in 0..100 {
            effects.mark(LogIndex(2_000 + index));
        }
        assert!(effects.marks.len() == MARKS_MAX && effects.recent.len() == RECENT_MAX);
        assert_eq!(effects.at(LogIndex(1)), None);
    }

    #[test]
    fn a_state_that_was_installed_is_confirmed() {
        let effects = Effects::installed(effect(7, "right"));
        assert_eq!((effects.applied(), effects.confirmed()), (LogIndex(7), LogIndex(7)));
    }
}
