//! Checkpoints of the state, snapshots of it for others, and snapshots from others in its place
//! (rule C15).

use std::{sync::Arc, time::Duration};

use weald_cluster::{
    configuration::Member,
    partition::Partition,
    replica::{Input, Point, SnapshotMeta, Stop},
};
use weald_core::{Digest, LogIndex, StateError, StateStore, SyncTicket, Time};
use weald_storage::state::{PartitionStore, StateInstall};

use super::{Loading, Replica};
use crate::{
    members::{Caller, clerk::Job, figures::count, limits::FIRST_CHECKPOINT_AFTER, office::Office},
    upkeep,
};

/// How long a checkpoint waits until a quorum is known to have the same; then a later one is tried.
const AWAITED_FOR: Duration = Duration::from_secs(1);

/// How long a member that closes waits to hear from somebody who coordinates.
const SUCCESSOR_WITHIN: Duration = Duration::from_secs(1);

/// Which checkpoints there are and what is under way.
pub(super) struct Checkpoints {
    /// Bytes of entries applied since the last.
    log_bytes: u64,
    /// When the next one is due at the latest, by the steady clock.
    due: Time,
    /// What the next one is to cover, until it is known to be right, and since when.
    awaited: Option<(Mark, Time)>,
    running: Option<Mark>,
    /// What the last one covers.
    last: Option<Mark>,
    /// Somebody asks for one.
    is_wanted: bool,
    /// What was applied when closing began, which the last checkpoint is to cover, and when.
    closing: Option<(LogIndex, Time)>,
    callers: Vec<Caller<Result<(), StateError>>>,
    switch: Switch,
}

/// Where the state machine stood.
#[derive(Clone, Copy)]
struct Mark {
    point: Point,
    time: Time,
    effect: Digest,
}

/// Another state is to take the place of this one.
#[derive(Default)]
enum Switch {
    /// None.
    #[default]
    No,
    /// It is being fetched.
    Fetching,
    /// It is here; that it is about to be switched in becomes durable with this ticket.
    Noting(SyncTicket, Box<(SnapshotMeta, StateInstall)>),
    /// It is being switched in.
    Switching(Option<Box<SnapshotMeta>>),
}

impl Checkpoints {
    pub(super) fn new(now: Time) -> Self {
        Self {
            log_bytes: 0,
            due: now.after(FIRST_CHECKPOINT_AFTER),
            awaited: None,
            running: None,
            last: None,
            is_wanted: false,
            closing: None,
            callers: Vec::new(),
            switch: Switch::No,
        }
    }

    /// Notes that an entry was applied.
    pub(super) fn note_log(&mut self, bytes: usize) {
        self.log_bytes += u64::try_from(bytes).unwrap_or(u64::MAX);
    }

    /// Whether nothing may be applied: another state is about to take the place of this one.
    pub(super) fn is_installing(&self) -> bool {
        matches!(self.switch, Switch::Noting(..) | Switch::Switching(_))
    }

    /// Whether a new life begins with nothing, and what an earlier one had is still there.
    pub(super) fn is_emptying(&self) -> bool {
        matches!(self.switch, Switch::Switching(None))
    }

    fn answer(&mut self, result: &Result<(), StateError>) {
        self.callers.drain(..).for_each(|caller| caller.tell(result.clone()));
    }
}

/// Checkpoints.
impl Replica {
    /// Bytes in memory that only a checkpoint can free.
    pub(in crate::members) fn dirty_bytes(&self) -> usize {
        self.store.dirty_bytes()
    }

    /// Wants a checkpoint of everything that is applied.
    pub(in crate::members) fn want_checkpoint(&mut self, caller: Caller<Result<(), StateError>>) {
        self.checkpoints.is_wanted = true;
        self.checkpoints.callers.push(caller);
    }

    /// Starts a checkpoint if it is time; `is_pressed` tells that memory is short.
    pub(in crate::members) fn start_checkpoint(&mut self, office: &mut Office, is_pressed: bool) {
        let checkpoints = &self.checkpoints;
        if checkpoints.running.is_some() || checkpoints.is_installing() || self.fault.is_some() {
            return;
        }
        let (applied, covered) = (self.partition.applied(), self.store.checkpointed());
        if applied <= covered {
            self.checkpoints.is_wanted = false;
            return self.checkpoints.answer(&Ok(()));
        }
        let config = &office.config;
        let is_late = office.now.steady >= checkpoints.due;
        let is_long = checkpoints.log_bytes >= config.checkpoint_log_bytes;
        if checkpoints.is_wanted || is_late || is_long || is_pressed {
            self.checkpoint_confirmed(office);
        }
    }

    /// Starts a checkpoint of what was applied when it was first due, once a quorum has the same.
    fn checkpoint_confirmed(&mut self, office: &mut Office) {
        let now = office.now.steady;
        let is_young = |since: &Time| now.since(*since) < AWAITED_FOR;
        let awaited = self.checkpoints.awaited.take().filter(|(_, since)| is_young(since));
        // A checkpoint covers only what is durable in the log here.
        let durable = || (self.state.synced() >= self.applied.index).then(|| (self.mark(), now));
        let Some((mark, since)) = awaited.or_else(durable) else { return };
        let upto = mark.point.index;
        if upto > self.state.confirmed() {
            self.checkpoints.awaited = Some((mark, since));
            return;
        }
        self.checkpoints.running = Some(mark);
        self.checkpoints.log_bytes = 0;
        let (partition, store) = (self.id(), Arc::clone(&self.store));
        office.writer.ask(Job::Checkpoint { partition, store, upto });
    }

    fn mark(&self) -> Mark {
        Mark {
            point: self.applied,
            time: self.partition.time(),
            effect: self.partition.effect_hash(),
        }
    }

    /// A checkpoint has ended.
    pub(in crate::members) fn checkpointed(
        &mut self,
        office: &mut Office,
        covered: Result<LogIndex, StateError>,
    ) {
        let mark = self.checkpoints.running.take();
        self.checkpoints.due = office.now.steady.after(office.config.checkpoint_interval);
        match (covered, mark) {
            (Ok(covered), Some(mark)) => {
                count(&office.counters.checkpoints);
                if covered == mark.point.index {
                    self.checkpoints.last = Some(mark);
                    self.offer(office);
                }
                self.checkpoints.answer(&Ok(()));
            }
            (Ok(_), None) => {}
            (Err(error), _) => self.checkpoints.answer(&Err(error)),
        }
        self.checkpoints.is_wanted = false;
    }

    /// Lets members that lag have the last checkpoint, and lets go of the log below it.
    fn offer(&mut self, office: &mut Office) {
        let Some(meta) = self.snapshot_meta() else { return };
        self.state.handle(office.now, Input::SnapshotReady(meta.point));
        let (partition, kept) = (self.id(), office.config.log_entries_kept);
        office.writer.ask(Job::Release { partition, covered: meta.point.index, kept });
    }

    /// What the last checkpoint stands for, if others can make use of it.
    pub(in crate::members) fn snapshot_meta(&self) -> Option<SnapshotMeta> {
        let Mark { point, time, effect } = self.checkpoints.last?;
        self.state.snapshot_meta(point, time, effect)
    }

    /// What a run begins with is covered by a checkpoint.
    pub(in crate::members) fn begin_checkpoints(&mut self, office: &mut Office) {
        if self.partition.applied() > LogIndex::ZERO && self.state.stop().is_none() {
            let mark = self.mark();
            self.checkpoints.last = Some(mark);
            self.offer(office);
            // So that what it begins with is compared, too.
            let applied = Input::Applied { index: mark.point.index, effect: mark.effect };
            self.state.handle(office.now, applied);
        }
    }

    pub(in crate::members) fn store(&self) -> &Arc<PartitionStore> {
        &self.store
    }

    /// Closing begins: what is applied is kept, if a quorum says in time that it is right.
    pub(in crate::members) fn note_closing(&mut self, now: Time) {
        self.checkpoints.closing = Some((self.partition.applied(), now));
    }

    /// Whether closing waits until a quorum has confirmed what is to be kept. Where nobody
    /// coordinates, none will; whoever has just been handed a partition is heard of soon.
    fn is_confirmation_due(&self, now: Time) -> bool {
        let Some((upto, since)) = self.checkpoints.closing else { return false };
        let is_likely = self.state.coordinator().is_some() || now.since(since) < SUCCESSOR_WITHIN;
        upto > self.state.confirmed() && is_likely
    }

    /// Whether nothing is on its way: what is proposed here is applied, no checkpoint is running.
    pub(in crate::members) fn is_at_rest(&self, now: Time) -> bool {
        let is_done = self.waiting.is_idle() && self.desk.is_idle() && self.spanning.is_idle();
        let is_quiet = self.checkpoints.running.is_none() && !self.checkpoints.is_installing();
        let is_free = self.state.coordinating().is_none() || self.is_alone();
        let is_done = is_done && !self.is_confirmation_due(now);
        (is_done && is_quiet && is_free) || self.fault.is_some() || self.state.stop().is_some()
    }

    /// Whether nobody else can coordinate.
    fn is_alone(&self) -> bool {
        self.state.configuration().voters.len() == 1
    }

    /// Writes a checkpoint and waits for it, as the last thing that is done.
    pub(in crate::members) fn checkpoint_now(&self) -> Result<(), StateError> {
        let upto = self.partition.applied().min(self.state.confirmed()).min(self.state.synced());
        let is_due = upto > self.store.checkpointed();
        if is_due && self.fault.is_none() && self.state.stop().is_none() {
            upkeep::checkpoint(&*self.store, upto)?;
        }
        Ok(())
    }
}

/// Another state in the place of this one.
impl Replica {
    /// Fetches a state from a peer that covers at least this entry.
    pub(super) fn install(&mut self, office: &Office, from: Member, at_least: LogIndex) {
        match self.checkpoints.switch {
            Switch::No => {}
            // A new life is about to begin with nothing. There will be another offer.
            Switch::Switching(None) => {
                return self.state.handle(office.now, Input::InstallFailed);
            }
            _ => return,
        }
        self.checkpoints.switch = Switch::Fetching;
        let partition = self.id();
        office.fetcher.ask(Job::Install { partition, from: from.peer, at_least });
    }

    /// A state has come, or not.
    pub(in crate::members) fn fetched_state(
        &mut self,
        office: &mut Office,
        fetched: Option<(SnapshotMeta, StateInstall)>,
    ) {
        if !matches!(self.checkpoints.switch, Switch::Fetching) {
            // An earlier life had asked for it.
            return;
        }
        self.checkpoints.switch = Switch::No;
        let least = LogIndex(self.state.snapshot_least().0.saturating_sub(1));
        let is_ahead = |meta: &SnapshotMeta| match self.has_diverged() {
            true => meta.point.index >= self.repair_least(),
            false => meta.point.index > self.partition.applied().max(least),
        };
        let Some((meta, install)) = fetched.filter(|(meta, _)| is_ahead(meta)) else {
            return self.state.handle(office.now, Input::InstallFailed);
        };
        // While another state is written, none of this one may be.
        if self.checkpoints.running.is_some() {
            return self.state.handle(office.now, Input::InstallFailed);
        }
        match self.desk.note_installing(&*office.log, &meta) {
            Ok(ticket) => {
                let kept = Box::new((meta, install));
                self.checkpoints.switch = Switch::Noting(ticket, kept);
                self.drive_switch(office);
            }
            Err(error) => {
                tracing::warn!(target: "weald::members", partition = %self.id(), %error, "no snapshot is installed");
                self.state.handle(office.now, Input::InstallFailed);
            }
        }
    }

    /// Goes on once it is durable that another state is about to be switched in.
    pub(in crate::members) fn drive_switch(&mut self, office: &Office) {
        let Switch::Noting(ticket, _) = &self.checkpoints.switch else { return };
        let is_durable = self.desk.is_durable(&*office.log, *ticket);
        if !is_durable {
            return;
        }
        let Switch::Noting(_, kept) = std::mem::take(&mut self.checkpoints.switch) else { return };
        let (meta, install) = *kept;
        self.checkpoints.switch = Switch::Switching(Some(Box::new(meta)));
        self.ask_switch(office, install);
    }

    /// Whether something was applied to the state, be it in an earlier life.
    pub(in crate::members) fn has_state(&self) -> bool {
        self.partition.applied() > LogIndex::ZERO
    }

    /// Begins a new life with nothing.
    pub(in crate::members) fn begin_anew(&mut self, office: &Office) {
        self.waiting.abandon();
        (self.checkpoints.running, self.checkpoints.awaited) = (None, None);
        self.checkpoints.switch = Switch::Switching(None);
        self.desk.hold();
        self.publish();
        self.ask_switch(office, StateInstall::of_nothing(self.id()));
    }

    fn ask_switch(&self, office: &Office, install: StateInstall) {
        let (partition, old) = (self.id(), Arc::clone(&self.store));
        let install = Box::new(install);
        office.writer.ask(Job::Switch { partition, old, install });
    }

    /// Another state has taken the place of this one, or could not.
    pub(in crate::members) fn switched(
        &mut self,
        office: &mut Office,
        switched: Result<(Arc<PartitionStore>, Partition), StateError>,
    ) {
        let Switch::Switching(meta) = std::mem::take(&mut self.checkpoints.switch) else { return };
        let (store, partition) = match switched {
            Ok(switched) => switched,
            Err(error) => {
                // What the engine has is not known, and the store that is here is of no use.
                self.is_wrong = true;
                return self.fail(format!("a snapshot cannot be installed: {error}"));
            }
        };
        if meta.is_none() && partition.applied() > LogIndex::ZERO {
            // An earlier life had asked for this one: what this life has asked for comes next.
            self.checkpoints.switch = Switch::Switching(None);
            return;
        }
        self.hosted.replace_store(Arc::clone(&store));
        (self.store, self.partition) = (store, partition);
        (self.loading, self.fault, self.is_wrong) = (Loading::No, None, false);
        (self.checkpoints.last, self.checkpoints.awaited) = (None, None);
        self.applied = meta.as_ref().map_or_else(Point::default, |meta| meta.point);
        match meta {
            Some(meta) => self.installed(office, *meta),
            None => {
                self.desk.release();
                office.to_submit.insert(self.id());
            }
        }
        office.to_apply.insert(self.id());
    }

    fn installed(&mut self, office: &mut Office, meta: SnapshotMeta) {
        let is_it = self.partition.applied() == meta.point.index
            && self.partition.effect_hash() == meta.effect;
        if !is_it {
            self.is_wrong = true;
            return self.fail("a snapshot is not what it was said to be".to_owned());
        }
        count(&office.counters.snapshots_installed);
        tracing::info!(target: "weald::members", partition = %self.id(), index = %meta.point.index, "a snapshot is installed");
        self.waiting.skip(meta.point.index);
        self.checkpoints.last = Some(self.mark());
        let (index, effect) = (meta.point.index, meta.effect);
        self.state.handle(office.now, Input::Installed(meta));
        self.state.handle(office.now, Input::Applied { index, effect });
        self.desk.forget_installing();
    }

    fn has_diverged(&self) -> bool {
        matches!(self.state.stop(), Some(Stop::Diverged(_)))
    }

    /// Who has diverged reloads a state from any other member.
    pub(in crate::members) fn drive_repair(&mut self, office: &mut Office) {
        if !self.has_diverged() {
            return;
        }
        let me = self.state.me();
        let voters = &self.state.configuration().voters;
        let asked = self.state.coordinator().filter(|other| *other != me);
        if let Some(from) = asked.or_else(|| voters.iter().find(|other| **other != me).copied()) {
            self.install(office, from, self.repair_least());
        }
    }

    /// What the state has to cover that takes the place of one that has diverged. The log was let go of
    /// below what is checkpointed, which a quorum has confirmed: a state before that would never be met
    /// by the log.
    fn repair_least(&self) -> LogIndex {
        self.state.snapshot_least().max(self.store.checkpointed())
    }

    /// Keeps, durably, that what was promised is lost.
    pub(super) fn keep_loss(&mut self, office: &mut Office) {
        self.desk.note_loss(&*office.log);
        office.to_submit.insert(self.id());
    }
}
