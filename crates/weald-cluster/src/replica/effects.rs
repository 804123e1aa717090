//! Effect hashes: what members compare to find out whose state is not what the log says, and what
//! a snapshot has to agree with before it is handed on (rules C15, G6).
//!
//! The hash after an entry covers all effects before it. Members that have one hash at one index
//! have had the same effects up to there, so what a quorum confirms at an index it confirms for every
//! earlier one.

use std::collections::VecDeque;

use weald_core::{Digest, LogIndex};

use super::Effect;

/// Effect hashes that are remembered, the newest ones.
const RECENT_MAX: usize = 256;
/// Indexes at which members compare that are remembered until this member has applied them: with
/// one in a round, a member whose apply lags by as many rounds still compares.
const MARKS_MAX: usize = 32;

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
    /// Of a member that has applied everything up to `applied` and does not know what came of it.
    pub(super) fn new(applied: LogIndex) -> Self {
        let (recent, marks) = (VecDeque::new(), VecDeque::new());
        Self { applied, recent, marks, confirmed: LogIndex::ZERO }
    }

    /// Of a member whose state is another one's, which a quorum has confirmed.
    pub(super) fn installed(effect: Effect) -> Self {
        let mut effects = Self::new(effect.index);
        effects.recent.push_back(effect);
        effects.confirmed = effect.index;
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
        assert_eq!(effects.confirmed(), LogIndex::ZERO);
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
    fn who_has_installed_what_a_quorum_has_may_hand_it_on() {
        let effects = Effects::installed(effect(7, "right"));
        assert_eq!((effects.applied(), effects.confirmed()), (LogIndex(7), LogIndex(7)));
    }
}
