//! How fresh a member's state is, for reads of bounded staleness (rule C7).
//!
//! A coordinator knows it by rounds: when a quorum has confirmed one, nothing had been committed
//! elsewhere when it began. It tells each member which of the member's answers had arrived by then.
//! The member knows when it sent that answer, so no clocks of two machines are compared, and no
//! delay of a message counts as freshness.

use std::collections::VecDeque;

use weald_core::{Epoch, LogIndex, Time};

use super::{Heard, Run};

/// Answers whose sending a member remembers. While more than these are on their way it claims less.
const ANSWERS_MAX: usize = 64;

/// A coordinator's knowledge: one round at a time is watched until a quorum has confirmed it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Contact {
    watched: Option<Round>,
    confirmed: Option<Round>,
}

/// A round, when it began, and what was committed then.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Round {
    round: u64,
    began: Time,
    watermark: LogIndex,
}

impl Contact {
    /// A round begins. Whether it is watched from now on.
    pub(super) fn begin(&mut self, round: u64, began: Time, watermark: LogIndex) -> bool {
        let is_watched = self.watched.is_none();
        if is_watched {
            self.watched = Some(Round { round, began, watermark });
        }
        is_watched
    }

    /// A quorum has answered rounds up to `round`. Whether the watched one is among them.
    pub(super) fn confirm(&mut self, round: u64) -> bool {
        let confirmed = self.watched.take_if(|watched| watched.round <= round);
        self.confirmed = confirmed.or(self.confirmed);
        confirmed.is_some()
    }

    /// When the last confirmed round began, for who has applied what was committed by then.
    pub(super) fn fresh_as_of(&self, applied: LogIndex) -> Option<Time> {
        self.confirmed.filter(|round| round.watermark <= applied).map(|round| round.began)
    }
}

/// A follower's knowledge: when it sent which answer in an epoch, and what that was worth.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct Answers {
    epoch: Epoch,
    /// Rounds with the moment of the first answer to each, both rising.
    sent: VecDeque<(u64, Time)>,
    /// All that was acknowledged before this moment is at or below this index.
    fresh: Option<(LogIndex, Time)>,
}

impl Answers {
    /// Notes that a round of `epoch` is answered now. Only the first answer to a round counts: it
    /// may be the one that arrives.
    pub(super) fn note(&mut self, epoch: Epoch, round: u64, now: Time) {
        self.enter(epoch);
        let is_later = self.sent.back().is_none_or(|(last, _)| *last < round);
        if is_later && self.sent.len() < ANSWERS_MAX {
            self.sent.push_back((round, now));
        }
    }

    /// Takes a coordinator's word in `epoch` for which answer it had when it was fresh.
    pub(super) fn hear(&mut self, epoch: Epoch, heard: (Option<Heard>, LogIndex), run: Run) {
        self.enter(epoch);
        let (Some(heard), watermark) = heard else { return };
        if heard.run != run {
            return;
        }
        let upto = self.sent.partition_point(|(round, _)| *round <= heard.round);
        let Some(last) = upto.checked_sub(1) else { return };
        self.fresh = Some((watermark, self.sent[last].1));
        self.sent.drain(..last);
    }

    /// The moment of which the state is fresh, for who has applied enough.
    pub(super) fn fresh_as_of(&self, applied: LogIndex) -> Option<Time> {
        self.fresh.filter(|(watermark, _)| *watermark <= applied).map(|(_, sent)| sent)
    }

    fn enter(&mut self, epoch: Epoch) {
        if self.epoch != epoch {
            *self = Self { epoch, ..Self::default() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: Run = Run { incarnation: 1, nonce: 7 };

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    fn epoch(number: u64) -> Epoch {
        Epoch { number, campaigner: None }
    }

    fn heard(round: u64) -> Option<Heard> {
        Some(Heard { run: RUN, round })
    }

    #[test]
    fn a_coordinator_is_as_fresh_as_the_begin_of_the_confirmed_round() {
        let mut contact = Contact::default();
        assert!(contact.begin(1, at(100), LogIndex(5)));
        assert!(!contact.begin(2, at(200), LogIndex(6)), "one at a time");
        assert_eq!(contact.fresh_as_of(LogIndex(9)), None);
        assert!(contact.confirm(2));
        assert_eq!(contact.fresh_as_of(LogIndex(5)), Some(at(100)));
        assert_eq!(contact.fresh_as_of(LogIndex(4)), None, "not applied");
        assert!(!contact.confirm(3), "nothing is watched");
        assert!(contact.begin(3, at(300), LogIndex(6)));
        assert_eq!(contact.fresh_as_of(LogIndex(9)), Some(at(100)));
    }

    #[test]
    fn a_follower_is_as_fresh_as_its_first_answer_to_the_round_named() {
        let mut answers = Answers::default();
        for (round, millis) in [(1, 100), (2, 200), (2, 250), (4, 400)] {
            answers.note(epoch(1), round, at(millis));
        }
        answers.hear(epoch(1), (heard(2), LogIndex(7)), RUN);
        assert_eq!(answers.fresh_as_of(LogIndex(7)), Some(at(200)));
        assert_eq!(answers.fresh_as_of(LogIndex(6)), None, "not applied");
        answers.hear(epoch(1), (heard(3), LogIndex(7)), RUN);
        assert_eq!(answers.fresh_as_of(LogIndex(7)), Some(at(200)), "three was not answered");
        answers.hear(epoch(1), (heard(4), LogIndex(7)), Run { nonce: 8, ..RUN });
        assert_eq!(answers.fresh_as_of(LogIndex(7)), Some(at(200)), "another run answered that");
        answers.hear(epoch(2), (heard(4), LogIndex(7)), RUN);
        assert_eq!(answers.fresh_as_of(LogIndex(7)), None, "another epoch's rounds");
    }

    #[test]
    fn answers_that_are_never_heard_of_again_are_bounded() {
        let mut answers = Answers::default();
        for round in 0..1_000 {
            answers.note(epoch(1), round, at(round));
        }
        assert_eq!(answers.sent.len(), ANSWERS_MAX);
        answers.hear(epoch(1), (heard(999), LogIndex(0)), RUN);
        assert_eq!(answers.fresh_as_of(LogIndex(0)), Some(at(63)), "the last one that is known");
        answers.note(epoch(1), 1_000, at(1_000));
        assert_eq!(answers.sent.len(), 2);
    }
}
