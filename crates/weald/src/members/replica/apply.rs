//! Applying what is committed, and telling whoever waits for it.

use std::sync::Arc;

use weald_cluster::{
    partition::{Applied, Speculation},
    replica::{Effect, EntryKind, Input, LogEntry},
};
use weald_core::{
    At, Entry, Fault, Halt, LogIndex, Outcome, Payload, Position, StateError, StateStore, StateView,
};

use super::{Loading, Replica};
use crate::{
    members::{
        Answer, Caller, Logged, ReadRefused,
        clerk::Job,
        figures::{add, count},
        limits::APPLY_STEP,
        office::Office,
        proposal,
        waiting::Pending,
    },
    telling,
};

impl Replica {
    /// The last applied entry with the digest of everything applied.
    pub(super) fn effect(&self) -> Effect {
        Effect { index: self.partition.applied(), hash: self.partition.effect_hash() }
    }

    /// Applies some of what is committed and answers the readers that waited for it. Whether more
    /// is left that can be applied now.
    pub(in crate::members) fn apply(&mut self, office: &mut Office) -> bool {
        let mut left = APPLY_STEP;
        while left > 0 && self.can_apply() {
            if !self.apply_next(office) {
                break;
            }
            left -= 1;
        }
        self.watch.apply(self.partition.applied(), &office.counters.phases);
        self.settle_settings(office);
        self.answer_readers(office);
        left == 0 && self.can_apply()
    }

    fn can_apply(&self) -> bool {
        let is_held = matches!(self.loading, Loading::Asked(_) | Loading::Recalling);
        let is_due = self.partition.applied() < self.state.watermark();
        is_due && !is_held && self.fault.is_none() && !self.checkpoints.is_installing()
    }

    /// Applies the next entry. Whether the one after it may be.
    fn apply_next(&mut self, office: &mut Office) -> bool {
        let index = self.partition.applied().next();
        let Some(logged) = self.logged(index) else {
            // A state that was put in the place of a later one goes on from the log.
            self.loading = Loading::Recalling;
            office.reader.ask(Job::Recall { partition: self.id(), from: index });
            return false;
        };
        let mut pending = self.waiting.take(index, logged.epoch());
        let speculation = pending.as_mut().and_then(Pending::take_speculation);
        let result = match &pending {
            Some(pending) => self.apply_entry(office, &pending.entry, speculation),
            None => read(&logged).and_then(|entry| {
                let applied = self.apply_entry(office, &entry, None)?;
                self.show_auditor(office, &logged, &entry);
                Ok(applied)
            }),
        };
        match result {
            Ok(applied) => {
                let caller = pending.map_or_else(Caller::nobody, Pending::into_caller);
                self.applied(office, &logged, (applied, caller));
                true
            }
            Err(halt) => {
                if let Some(pending) = pending {
                    self.waiting.put_back(index, pending);
                }
                self.halt(office, halt);
                false
            }
        }
    }

    /// The entry at `index`, from memory.
    fn logged(&mut self, index: LogIndex) -> Option<LogEntry> {
        if let Some(logged) = self.state.entry(index) {
            return Some(logged.clone());
        }
        while self.recalled.front().is_some_and(|first| first.index() < index) {
            self.recalled.pop_front();
        }
        self.recalled.front().filter(|first| first.index() == index).cloned()
    }

    /// Entries to be applied have come from the log.
    pub(in crate::members) fn recalled(&mut self, office: &mut Office, entries: Vec<LogEntry>) {
        if !matches!(self.loading, Loading::Recalling) {
            return;
        }
        self.loading = Loading::No;
        if entries.is_empty() {
            return self.fail("the log no longer holds what is to be applied".to_owned());
        }
        self.recalled = entries.into();
        office.to_apply.insert(self.id());
    }

    fn apply_entry(
        &mut self,
        office: &Office,
        entry: &Entry,
        speculation: Option<Speculation>,
    ) -> Result<Applied, Halt> {
        let index = self.partition.applied().next();
        let speculation =
            speculation.and_then(|speculation| self.partition.apply_speculation(speculation));
        let mut applied = match speculation {
            Some(applied) => {
                count(&office.counters.applied_speculated);
                applied
            }
            None => self.execute(office, (index, entry))?,
        };
        let effects = std::mem::take(&mut applied.effects);
        self.store.commit(index, effects).map_err(fault)?;
        telling::tell(self.id(), index, &entry.payload, &applied);
        Ok(applied)
    }

    fn execute(
        &mut self,
        office: &Office,
        (index, entry): (LogIndex, &Entry),
    ) -> Result<Applied, Halt> {
        let view = match std::mem::take(&mut self.loading) {
            Loading::Done(view) => view,
            _ => self.store.view(At::Latest).map_err(fault)?,
        };
        let applied = self.partition.apply(index, entry, &*view, &*office.executor);
        if let Err(Halt::Need(_)) = &applied {
            self.loading = Loading::Asked(view);
        }
        applied
    }

    /// Whether it is worth working out what the next entry comes to: nothing else is on its way here,
    /// and it is not committed.
    pub(in crate::members) fn can_speculate(&self) -> bool {
        let next = self.partition.applied().next();
        let is_free = matches!(self.loading, Loading::No)
            && self.fault.is_none()
            && !self.checkpoints.is_installing();
        is_free && self.state.watermark() < next && self.waiting.lone(next).is_some()
    }

    /// Works out what the next entry comes to while logs and peers are waited for. What that stops at
    /// is seen to once the entry is applied.
    pub(in crate::members) fn speculate(&mut self, office: &Office) {
        if !self.can_speculate() {
            return;
        }
        let next = self.partition.applied().next();
        let (Some(pending), Ok(view)) = (self.waiting.lone(next), self.store.view(At::Latest))
        else {
            return;
        };
        let speculation = self.partition.speculate(&pending.entry, &*view, &*office.executor).ok();
        count(&office.counters.speculated);
        self.waiting.set_speculation(next, speculation);
    }

    /// Tells of an entry that was applied.
    fn applied(
        &mut self,
        office: &mut Office,
        logged: &LogEntry,
        (applied, caller): (Applied, Caller<Answer>),
    ) {
        count(&office.counters.applied);
        self.applied = *logged.point();
        self.checkpoints.note_log(logged.len());
        self.hosted.watchers().wake(&applied.changed);
        self.note_applied(office, &applied);
        let effect = self.effect();
        let answer = match (applied.settled, applied.refusal) {
            (Some((_, outcome)), _) => Answer::Settled(outcome),
            (None, Some(rejection)) => Answer::Settled(Outcome::Rejected(rejection)),
            (None, None) => Answer::Applied(Position { partition: self.id(), index: effect.index }),
        };
        office.answers.push((caller, answer));
        let input = Input::Applied { index: effect.index, effect: effect.hash };
        self.state.handle(office.now, input);
    }

    /// Lets an entry be looked at that another node gave its place.
    fn show_auditor(&self, office: &Office, entry: &LogEntry, Entry { payload, .. }: &Entry) {
        let others = entry.epoch().campaigner.filter(|campaigner| *campaigner != office.me.peer);
        if let (Some(coordinator), Some(auditor)) = (others, &office.auditor) {
            let (partition, index) = (self.id(), entry.index());
            auditor.audit(Logged { partition, index, coordinator, payload, entry });
        }
    }

    /// An entry cannot be applied now, or at all.
    fn halt(&mut self, office: &Office, halt: Halt) {
        match (halt, &self.loading) {
            (Halt::Need(ids), Loading::Asked(view)) => {
                let job = Job::Load { partition: self.id(), view: Arc::clone(view), ids };
                office.reader.ask(job);
            }
            (halt, _) => self.fail(format!("an entry cannot be applied: {halt}")),
        }
    }

    /// The blocks that an entry waits for are in memory, or cannot be.
    pub(in crate::members) fn loaded(
        &mut self,
        office: &mut Office,
        (view, loaded): (&Arc<dyn StateView>, Result<(), Fault>),
    ) {
        let is_awaited = matches!(&self.loading, Loading::Asked(asked) if Arc::ptr_eq(asked, view));
        if !is_awaited {
            // Of a state whose place another one has taken.
            return;
        }
        self.loading = Loading::No;
        match loaded {
            Ok(()) => {
                self.loading = Loading::Done(Arc::clone(view));
                office.to_apply.insert(self.id());
            }
            // Another state is being put in the place of the view's.
            Err(_) if self.checkpoints.is_installing() => {}
            Err(fault) => self.fail(format!("a block cannot be read: {fault}")),
        }
    }

    /// Nothing more is applied here until this is repaired.
    pub(super) fn fail(&mut self, why: String) {
        tracing::error!(target: "weald::members", partition = %self.id(), why, "apply has stopped");
        self.fault = Some(why);
        self.waiting.abandon();
        self.publish_all();
    }

    fn answer_readers(&mut self, office: &Office) {
        let (applied, now) = (self.partition.applied(), office.now.steady);
        let fresh = self.freshen();
        let has_been = self.has_been_fresh;
        self.waiting.freshen(applied, |ask| ask.is_met(fresh, has_been, now));
        add(&office.counters.reads, self.waiting.answer(applied));
    }

    /// Lets readers go on whose answers may be lost, and those for whom this is fresh enough by now.
    pub(in crate::members) fn drive_readers(&mut self, office: &mut Office) {
        self.waiting.ask_again(office.now.steady);
        self.answer_readers(office);
        if !self.is_member() {
            self.waiting.dismiss(ReadRefused::NotMember);
        }
        self.waiting.expire(office.clocks.instant(office.now.steady), self.state.coordinator());
        self.ask_readers(office);
    }

    /// Asks for the readers of this turn.
    pub(in crate::members) fn ask_readers(&mut self, office: &Office) {
        if let Some(id) = self.waiting.ask(office.now.steady) {
            self.state.read(office.now, id);
        }
    }
}

pub(super) fn fault(error: StateError) -> Fault {
    match error {
        StateError::Fault(fault) => fault,
        other => Fault::Storage(other.to_string()),
    }
}

/// What an entry of the log carries, for the state machine.
fn read(logged: &LogEntry) -> Result<Entry, Halt> {
    let payload = match logged.kind() {
        EntryKind::Command => proposal::decode(&logged.payload())
            .map_err(|error| Fault::Storage(format!("an entry is not understood: {error}")))?,
        EntryKind::Noop | EntryKind::Configuration => Payload::Noop,
    };
    Ok(Entry { time: logged.time(), payload })
}
