//! Generations: what another one says is not heard, and a forced recovery that an administrator has
//! signed is followed (rule C16).

use weald_core::{Epoch, LogIndex, PartitionId, Time};

use super::{
    Envelope, Message, Output, Point, RefusedReason, State, Stop, StoredConfigurations,
    attestation::Attesting, configurations::Configurations, effects::Effects, following::Following,
    rebirth::Rebirth,
};
use crate::{
    LogTime,
    configuration::Member,
    recovery::{GENERATIONS_MAX, Recovery},
};

impl State {
    /// Whether a message is of the generation that holds. Whoever is behind is told by which
    /// recoveries it ended; whoever is ahead is asked.
    pub(super) fn admit_generation(&mut self, envelope: &Envelope) -> Result<(), RefusedReason> {
        let (from, named) = (envelope.from, envelope.generation);
        if named == self.generation {
            return Ok(());
        }
        if named > self.generation {
            let is_answer = matches!(envelope.message, Message::NeedConfiguration { .. });
            if !is_answer {
                let have = self.configurations.certified_id();
                self.send(from, Message::NeedConfiguration { have });
            }
        } else {
            let is_later = |recovery: &&Recovery| recovery.act.generation > named;
            let recoveries = self.recoveries.iter().filter(is_later).cloned().collect();
            self.send(from, Message::Recovered { recoveries });
        }
        Err(RefusedReason::OtherGeneration)
    }

    /// Hears by which forced recoveries a later generation was begun. The signatures decide, not who
    /// says it.
    pub(super) fn handle_recovered(
        &mut self,
        (from, partition): (Member, PartitionId),
        recoveries: Vec<Recovery>,
    ) {
        let is_over = matches!(self.stop, Some(Stop::SyncFailed));
        if partition != self.partition || is_over {
            return self.report_refused(from, RefusedReason::NotForMe);
        }
        let before = self.generation;
        for recovery in recoveries.into_iter().take(GENERATIONS_MAX) {
            if self.recoveries.contains(&recovery) {
                continue;
            }
            let checked = recovery.check(&self.config.authority, self.partition, &self.recoveries);
            if checked.is_err() {
                self.report_refused(from, RefusedReason::BadRecovery);
                break;
            }
            self.generation = recovery.act.generation;
            self.recoveries.push(recovery);
        }
        if self.generation > before {
            self.become_recovered();
        }
    }

    /// The generation that this member took part in is over. Its log is evidence of nothing: it
    /// comes back with nothing, as a learner; one that was given its life in the new generation has
    /// that already.
    fn become_recovered(&mut self) {
        let recovery = self.recoveries.last().expect("one was just taken").clone();
        let held = *self.log.last();
        self.become_follower(None);
        // How fresh it was says nothing of what holds.
        self.following = Following::new(self.watermark);
        self.stop = None;
        let root = recovery.act.root();
        let begun = StoredConfigurations::begun(root);
        self.configurations = Configurations::new((self.partition, self.generation), begun);
        self.attesting = Attesting::default();
        self.rebirth = Rebirth::default();
        self.promised = Epoch::default();
        self.log.forget_promises();
        self.log.want_state();
        let has_life = recovery.act.gave_life_to(&self.me);
        self.outputs.push_back(Output::Recovered { recovery: Box::new(recovery), held });
        if has_life {
            self.empty();
        } else {
            self.is_left_behind = true;
            self.become_amnesiac();
        }
    }

    /// Begins again with nothing.
    pub(super) fn empty(&mut self) {
        self.is_left_behind = false;
        self.promised = Epoch::default();
        self.base = Point::default();
        self.log.restart(Point::default(), Time::ZERO);
        self.log_time = LogTime::new(Time::ZERO, self.now);
        self.settled_time = self.log_time;
        self.log.forget_promises();
        self.configurations.forget_log();
        self.watermark = LogIndex::ZERO;
        self.snapshot = None;
        self.disown();
        self.effects = Effects::new(LogIndex::ZERO);
        self.following = Following::new(LogIndex::ZERO);
    }

    /// The forced recoveries by which the generation was reached, oldest first.
    pub fn recoveries(&self) -> &[Recovery] {
        &self.recoveries
    }

    /// The generation of the partition: raised by each forced recovery.
    pub fn generation(&self) -> u32 {
        self.generation
    }
}
