//! What reaches a member: who may say it, in which epoch, and what it does to the log
//! (rules C1, C3, C11).

use weald_core::{Epoch, LogIndex};

use super::{
    AckRefusal, Contradiction, Effect, Envelope, Evidence, Health, Heartbeat, LogEntry, Message,
    Point, RefusedReason, ReplicateAck, ReplicateWrite, RoleState, Run, State, Stop,
    effects::Effects,
};
use crate::{configuration::Member, mutation::Mutation};

impl State {
    /// Checks who speaks and in which epoch, once and first, and hands the message on.
    pub(super) fn handle_envelope(&mut self, envelope: Envelope) {
        let (from, partition) = (envelope.from, envelope.partition);
        if let Message::Recovered { recoveries } = envelope.message {
            // It proves itself, whoever says it and in whatever generation this member is.
            return self.handle_recovered((from, partition), recoveries);
        }
        if let Err(reason) = self.admit(&envelope) {
            self.report_refused(from, reason);
            return;
        }
        let message = envelope.message;
        if let Some(epoch) = message.epoch() {
            if epoch.campaigner != Some(from.peer) {
                return self.report_refused(from, RefusedReason::ForeignEpoch);
            }
            let is_behind = epoch < self.promised;
            if is_behind && !self.config.breaks(Mutation::ServeLowerEpochs) {
                self.report_refused(from, RefusedReason::LowerEpoch);
                let promised = self.promised;
                return self.send(from, Message::Refuse { promised });
            }
            if !matches!(message, Message::Prepare { .. }) && !self.follow(from, epoch) {
                return;
            }
        }
        self.handle_message(from, message);
    }

    fn handle_message(&mut self, from: Member, message: Message) {
        match message {
            Message::PreVote { number, last } => self.handle_pre_vote(from, number, last),
            Message::PreVoteReply { number, is_granted, promised } => {
                self.handle_pre_vote_reply(from, (number, is_granted), promised);
            }
            Message::Prepare { epoch, last, releasing } => {
                self.handle_prepare(from, epoch, (last, releasing));
            }
            Message::Promise { epoch } => self.handle_promise(from, epoch),
            Message::Refuse { promised } => self.handle_refuse(promised),
            Message::ReplicateWrite(write) => self.handle_write(from, write),
            Message::ReplicateAck(ack) => self.handle_ack(from, ack),
            Message::ConfirmTransaction { watermark, .. } => self.confirm(watermark),
            Message::Heartbeat(heartbeat) => self.handle_heartbeat(&heartbeat),
            Message::TransferCoordinator { epoch } => self.handle_transfer_to_me(epoch),
            Message::ReadIndex { ids } => self.handle_read_index(from, ids),
            Message::ReadIndexReply { run, ids, index } => {
                self.handle_read_index_reply(run, ids, index);
            }
            Message::NeedConfiguration { have } => self.handle_need_configuration(from, have),
            Message::Configurations { chain } => self.handle_configurations(from, chain),
            Message::SnapshotOffer { point, .. } => self.handle_snapshot_offer(from, point),
            Message::Attest { index, .. } => self.handle_attest(index),
            Message::Attested(attestation) => self.handle_attested(attestation),
            Message::Amnesiac { nonce } => self.handle_amnesiac(from, nonce),
            Message::Welcome { member, nonce, chain } => {
                self.handle_welcome(from, (member, nonce), chain);
            }
            Message::Outlived { refused } => self.handle_outlived(refused),
            Message::Recovered { recoveries } => {
                self.handle_recovered((from, self.partition), recoveries);
            }
        }
    }

    /// Whether the message is for this member and from one of its log, in a run that is not over.
    fn admit(&mut self, envelope: &Envelope) -> Result<(), RefusedReason> {
        let (from, message) = (envelope.from, &envelope.message);
        let is_here = envelope.partition == self.partition;
        if !is_here || envelope.to.peer != self.me.peer || from.peer == self.me.peer {
            return Err(RefusedReason::NotForMe);
        }
        if !message.is_in_range() {
            return Err(RefusedReason::OutOfRange);
        }
        let is_welcome = matches!(message, Message::Welcome { .. });
        if matches!(self.stop, Some(Stop::SyncFailed | Stop::Equivocation(_))) {
            return Err(RefusedReason::Stopped);
        }
        self.admit_generation(envelope)?;
        if self.health == Health::Amnesiac && !is_welcome {
            self.rebirth.note(from);
            return Err(RefusedReason::NotForMe);
        }
        if envelope.to != self.me && !is_welcome && !matches!(message, Message::Outlived { .. }) {
            return Err(RefusedReason::NotForMe);
        }
        // A chain proves itself, and who asks for a new life is not known by it yet.
        let is_open = matches!(message, Message::Configurations { .. } | Message::Amnesiac { .. });
        if is_open || is_welcome {
            return Ok(());
        }
        if !self.configurations.knows(&from) {
            if envelope.configuration > self.configurations.known_id() {
                let have = self.configurations.certified_id();
                self.send(from, Message::NeedConfiguration { have });
            }
            return Err(RefusedReason::NotMember);
        }
        self.admit_run(from, envelope.run)
    }

    fn admit_run(&mut self, from: Member, run: Run) -> Result<(), RefusedReason> {
        let heard = &mut self.peers.entry(from).or_default().run;
        if run != *heard && run.incarnation <= heard.incarnation {
            self.send(from, Message::Outlived { refused: run });
            return Err(RefusedReason::EarlierRun);
        }
        if run != *heard {
            *heard = run;
            self.log.want_state();
        }
        Ok(())
    }

    /// Follows a coordinator of an epoch that is not below what was promised. Its epoch becomes
    /// the promised one before anything is answered (rule C1). Whether its messages are taken.
    fn follow(&mut self, from: Member, epoch: Epoch) -> bool {
        if matches!(self.role, RoleState::Coordinator(_)) && epoch == self.promised {
            return false;
        }
        if epoch > self.promised {
            self.promised = epoch;
            self.log.want_state();
        }
        let is_new = self.following.coordinator != Some(from) || self.following.epoch != epoch;
        if is_new || !matches!(self.role, RoleState::Follower) {
            self.become_follower(Some(from));
        }
        self.following.heard = Some(self.now.steady);
        self.schedule_campaign();
        true
    }

    fn handle_write(&mut self, from: Member, write: ReplicateWrite) {
        if self.health == Health::Amnesiac {
            return;
        }
        self.following.round = self.following.round.max(write.round);
        if !is_chain(&write) {
            return self.report_refused(from, RefusedReason::BrokenChain);
        }
        let last = self.log.last_index();
        if write.before.index > last {
            self.buffer(write.entries);
            self.confirm(write.watermark);
            return self.following.owe_refusal(AckRefusal::Gap);
        }
        match self.compare(&write) {
            Ok(fresh) => self.take(from, &write, fresh),
            Err(Mismatch::Uncommitted) => {
                self.following.owe_refusal(AckRefusal::Gap);
                self.following.is_tail_foreign = true;
            }
            Err(Mismatch::Committed(points)) => self.stop_for(from, points.0, points.1),
        }
    }

    /// How many of the entries are at or below what this member has let go of, all committed.
    fn compare(&self, write: &ReplicateWrite) -> Result<usize, Mismatch> {
        let before = self.log.before();
        let skipped = before.index.0.saturating_sub(write.before.index.0);
        let skipped = usize::try_from(skipped).unwrap_or(usize::MAX).min(write.entries.len());
        let meets = match skipped {
            0 => write.before,
            some => *write.entries[some - 1].point(),
        };
        match self.log.point(meets.index) {
            // It ends below what is in memory: committed here, so it agrees.
            None => Ok(write.entries.len()),
            Some(held) if *held == meets => Ok(skipped),
            Some(held) if meets.index <= self.watermark => {
                Err(Mismatch::Committed(Box::new((*held, meets))))
            }
            Some(_) => Err(Mismatch::Uncommitted),
        }
    }

    /// Takes the entries after the first `skipped`, whose beginning agrees with the log.
    fn take(&mut self, from: Member, write: &ReplicateWrite, skipped: usize) {
        let agreed = match skipped {
            0 => write.before.index,
            some => write.entries[some - 1].index(),
        };
        self.following.agree(agreed);
        let last_before = self.log.last_index();
        for entry in &write.entries[skipped..] {
            if !self.take_entry(from, entry, write) {
                break;
            }
        }
        self.take_buffered(from, write);
        if self.log.last_index() == last_before {
            // Nothing new, so no sync will answer.
            self.following.is_answer_owed = true;
        }
        self.confirm(write.watermark);
    }

    /// Whether the entry is in the log afterwards.
    fn take_entry(&mut self, from: Member, entry: &LogEntry, write: &ReplicateWrite) -> bool {
        let index = entry.index();
        if let Some(held) = self.log.point(index).copied() {
            if held == *entry.point() {
                self.following.agree(index);
                return true;
            }
            let may_cut = held.epoch < write.epoch || self.config.breaks(Mutation::CutEqualEpochs);
            if index <= self.watermark || !may_cut {
                self.stop_for(from, held, *entry.point());
                return false;
            }
            self.cut(index);
        }
        let is_committed = index <= write.watermark;
        if !is_committed && !self.log_time.allows(entry.time(), self.now, self.config.clock_bound) {
            self.following.owe_standing_refusal(AckRefusal::Clock);
            return false;
        }
        if self.log.bytes() >= self.config.held_bytes_max() {
            self.following.owe_standing_refusal(AckRefusal::Full);
            return false;
        }
        self.append(entry.clone());
        self.disown();
        self.following.standing_refusal = None;
        self.following.agree(index);
        true
    }

    fn take_buffered(&mut self, from: Member, write: &ReplicateWrite) {
        while self.following.agreed == self.log.last_index() {
            let last = *self.log.last();
            let Some(entry) = self.following.buffer.next_after(&last) else { return };
            if !self.take_entry(from, &entry, write) {
                return;
            }
        }
    }

    fn buffer(&mut self, entries: Vec<LogEntry>) {
        let (now, limits) = (self.now.steady, self.config.buffer);
        for entry in entries {
            self.following.buffer.insert(entry, now, &limits);
        }
    }

    /// Takes the coordinator's word for what is committed, as far as the logs agree.
    fn confirm(&mut self, watermark: LogIndex) {
        let upto = match self.config.breaks(Mutation::CommitWithoutAgreement) {
            true => watermark.min(self.log.last_index()),
            false => watermark.min(self.following.agreed),
        };
        self.advance_watermark(upto);
        self.trim();
    }

    fn handle_heartbeat(&mut self, heartbeat: &Heartbeat) {
        self.following.round = self.following.round.max(heartbeat.round);
        self.following.is_answer_owed = true;
        self.following.effect_wanted = heartbeat.effect.map(|effect| effect.index);
        self.following.effect_wanted.into_iter().for_each(|index| self.effects.mark(index));
        let heard = (heartbeat.heard, heartbeat.watermark);
        self.following.answers.hear(heartbeat.epoch, heard, self.run);
        self.confirm(heartbeat.watermark);
        if let Some(wrong) = heartbeat.settled.and_then(|settled| self.effects.settle(settled)) {
            self.become_stopped(Stop::Diverged(wrong));
        }
    }

    /// Answers what was heard from the coordinator, as far as it is durable.
    pub(super) fn answer_coordinator(&mut self) {
        let Some(coordinator) = self.following.coordinator else { return };
        let is_durable = self.log.durable_promise() >= self.promised
            || self.config.breaks(Mutation::AnswerBeforePromiseIsDurable);
        if !is_durable || self.stop.is_some() || self.health == Health::Amnesiac {
            return;
        }
        let durable = match self.config.breaks(Mutation::AcknowledgeUnsynced) {
            true => self.log.last_index(),
            false => self.log.synced(),
        };
        // A damaged member says what it lacks and acknowledges nothing.
        let matched = match self.health {
            Health::Whole => self.following.agreed.min(durable),
            _ => LogIndex::ZERO,
        };
        if !self.following.is_answer_owed && matched <= self.following.matched_sent {
            return;
        }
        let last = self.log.last_index();
        let known = if self.following.is_tail_foreign { self.following.agreed } else { last };
        // What is not applied yet is told with a later answer: under load it seldom is at once.
        let effect = self.following.effect_wanted.and_then(|index| self.effects.at(index));
        if effect.is_some() {
            self.following.effect_wanted = None;
        }
        let ack = ReplicateAck {
            epoch: self.promised,
            matched,
            wants: known.next(),
            round: self.following.round,
            refusal: self.following.take_refusal(),
            effect,
        };
        self.following.is_answer_owed = false;
        self.following.is_tail_foreign = false;
        self.following.answers.note(ack.epoch, ack.round, self.now.steady);
        self.following.matched_sent = matched.max(self.following.matched_sent);
        self.send(coordinator, Message::ReplicateAck(ack));
    }

    /// A coordinator contradicts what is committed, or itself: this member stops (rule C3).
    fn stop_for(&mut self, coordinator: Member, held: Point, sent: Point) {
        let evidence = Evidence::Entries(Box::new(Contradiction { coordinator, held, sent }));
        self.become_stopped(Stop::Equivocation(evidence));
    }

    /// A damaged member is whole again when its log agrees with a coordinator's, durably, up to the
    /// known end, or beyond everything that it can have acknowledged before: up to an entry of an
    /// epoch above what it had promised when it began (rule C11).
    pub(super) fn note_repair(&mut self) {
        let Health::Damaged { known_end } = self.health else { return };
        let repaired = self.following.agreed.min(self.log.synced());
        let is_later = self.log.point(repaired).is_some_and(|p| p.epoch > self.promised_at_start);
        if self.following.coordinator.is_some() && (repaired >= known_end.index || is_later) {
            self.following.is_answer_owed = true;
            self.handle_repaired();
        }
    }

    pub(super) fn handle_repaired(&mut self) {
        if matches!(self.health, Health::Damaged { .. }) {
            self.health = Health::Whole;
            self.schedule_campaign();
        }
    }

    fn handle_outlived(&mut self, refused: Run) {
        if refused == self.run && self.health != Health::Amnesiac {
            self.become_amnesiac();
        }
    }

    fn handle_snapshot_offer(&mut self, from: Member, point: Point) {
        if self.log.point(point.index) == Some(&point) {
            // The coordinator names an entry that is held: the logs agree up to it.
            self.following.agree(point.index);
        } else if point.index > self.watermark && !self.following.is_installing {
            // Beyond the log's end, or on another history than its uncommitted end.
            self.following.is_installing = true;
            let at_least = point.index.max(self.snapshot_least());
            self.outputs.push_back(super::Output::Install { from, at_least });
        }
        self.following.is_answer_owed = true;
    }

    /// A snapshot stands for the log up to its point: the log begins anew after it (rule C15).
    pub(super) fn handle_installed(&mut self, meta: super::SnapshotMeta) {
        self.following.is_installing = false;
        // What it has installed it can hand on.
        self.snapshot = Some(meta.point);
        let has_diverged = matches!(self.stop, Some(Stop::Diverged(_)));
        if meta.point.index <= self.watermark && !has_diverged {
            return;
        }
        let is_beyond = meta.point.index > self.watermark
            && self.log.point(meta.point.index) != Some(&meta.point);
        if is_beyond && meta.point.index < self.snapshot_least() {
            // The log would forget that there was more. Another offer will come.
            return;
        }
        if is_beyond {
            self.log.restart(meta.point, meta.time);
            self.disown();
            self.following.standing_refusal = None;
            self.base = meta.point;
            self.configurations.install(meta.configuration, meta.configurations);
            self.rewind_log_time();
        }
        let effect = Effect { index: meta.point.index, hash: meta.effect };
        self.effects = Effects::installed(effect);
        self.following.agree(meta.point.index);
        self.following.is_answer_owed = true;
        self.advance_watermark(meta.point.index);
        if has_diverged {
            self.stop = None;
            self.schedule_campaign();
        }
    }
}

/// Why entries do not agree with the log.
enum Mismatch {
    /// They begin on another history than the uncommitted end of the log.
    Uncommitted,
    /// They contradict what is committed.
    Committed(Box<(Point, Point)>),
}

fn is_chain(write: &ReplicateWrite) -> bool {
    let mut last = &write.before;
    write.entries.iter().all(|entry| {
        let continues = entry.continues(last);
        last = entry.point();
        continues
    })
}
