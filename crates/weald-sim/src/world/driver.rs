//! The driver of a member: it hands inputs in and carries outputs out, in order, and decides
//! nothing about the protocol.

use weald_cluster::replica::{
    Envelope, Health, Input, Message, Output, Persist, RefusedReason, Report, Role, Run, State,
    Stop,
};
use weald_core::{LogIndex, identity::KeyStore};

use super::{Event, World};
use crate::{
    client::Reply,
    command::DiskState,
    coverage::Rare,
    disk::SyncFailed,
    invariants::Seen,
    machine::MemberMachine,
    name::Name,
    node::{identity, name_of},
};

impl World {
    /// Hands an input to a node, if it runs, and carries out what follows.
    pub(super) fn handle(&mut self, node: Name, input: Input) {
        self.step(node, |state, now| state.handle(now, input));
    }

    /// Does something with a node's state and carries out what follows.
    pub(super) fn step<T>(
        &mut self,
        name: Name,
        act: impl FnOnce(&mut State, weald_cluster::replica::Now) -> T,
    ) -> Option<T> {
        let node = self.nodes.get_mut(&name)?;
        let now = node.clock.at(self.now);
        let result = act(&mut node.process.as_mut()?.state, now);
        self.carry_out(name);
        Some(result)
    }

    /// Carries out everything that a node's state asks for.
    pub(super) fn carry_out(&mut self, name: Name) {
        while self.violation.is_none() {
            let process = self.nodes.get_mut(&name).and_then(|node| node.process.as_mut());
            let Some(output) = process.and_then(|process| process.state.poll_output()) else {
                break;
            };
            self.output(name, output);
        }
        self.arrange_wake(name);
        self.begin_sync(name);
        if let Some(process) = self.nodes.get(&name).and_then(|node| node.process.as_ref()) {
            let config = &self.settings.config;
            let (state, recovered_bytes) = (&process.state, process.recovered_bytes);
            let seen = Seen::Stepped { node: name, state, config, recovered_bytes };
            if let Err(violation) = self.oracle.see(self.now, &seen) {
                self.violation.get_or_insert(violation);
            }
        }
    }

    fn output(&mut self, name: Name, output: Output) {
        match output {
            Output::Persist(persist) => self.persist(name, *persist),
            Output::Send(envelope) => self.send(name, *envelope),
            Output::Committed { .. } => self.apply(name),
            Output::Cut { from } => self.cut(name, from),
            Output::Fetch { to, from, max_bytes } => {
                self.coverage.reach(Rare::Fetched);
                let entries = self.nodes[&name].disk.log.read(from, max_bytes);
                self.hand_in(name, Input::Entries { to, entries });
            }
            Output::Install { from, at_least } => self.install(name, from, at_least),
            Output::ReadReady { ids, index } => self.reads_ready(name, &ids, index),
            Output::ReadFailed { ids } => self.reads_failed(name, &ids),
            Output::Became { role, .. } => self.became(name, role),
            Output::Configured { configuration, is_committed: true } => {
                let is_joint = configuration.is_joint();
                self.coverage.reach(if is_joint { Rare::JointEntered } else { Rare::JointLeft });
                let voters = super::names_of(&configuration.voters);
                self.trace
                    .line(self.now, || format!("{name} has voters {voters:?} joint={is_joint}"));
            }
            Output::Configured { .. } => {}
            Output::Sign { index, attested } => {
                let domain = weald_cluster::replica::Attestation::DOMAIN;
                let identity = identity(name);
                let signature = identity.sign(domain, &attested).expect("the key is in memory");
                self.hand_in(name, Input::Signed { index, key: identity.public(), signature });
            }
            Output::Certified(_) => self.coverage.reach(Rare::Certified),
            Output::Reborn { member } => {
                self.reborn(name);
                self.trace.line(self.now, || format!("{name} lives again as {member}"));
            }
            Output::Recovered { recovery, held } => self.left_behind(name, &recovery, held.index),
            Output::Stopped(stop) => self.stopped(name, &stop),
            Output::Report(report) => self.report(name, &report),
        }
    }

    /// Hands an input in while outputs are being carried out.
    fn hand_in(&mut self, name: Name, input: Input) {
        let Some(node) = self.nodes.get_mut(&name) else { return };
        let now = node.clock.at(self.now);
        if let Some(process) = &mut node.process {
            process.state.handle(now, input);
        }
    }

    fn persist(&mut self, name: Name, persist: Persist) {
        for entry in &persist.entries {
            self.see_of(name, &Seen::Appended { entry });
        }
        let Some(node) = self.nodes.get_mut(&name) else { return };
        if node.process.as_ref().is_some_and(|process| !process.has_log_failed) {
            node.disk.log.submit(persist);
        }
    }

    pub(super) fn begin_sync(&mut self, name: Name) {
        let Some(node) = self.nodes.get_mut(&name) else { return };
        let Some(process) = &mut node.process else { return };
        if process.is_syncing || process.has_log_failed || !node.disk.log.begin_sync() {
            return;
        }
        process.is_syncing = true;
        process.sync_began = self.now;
        let (least, most) = self.settings.sync;
        let slow = match node.disk_state {
            DiskState::Slow(millis) => millis * 1000,
            _ => 0,
        };
        let takes = self.random.between(least, most) + slow;
        let event = Event::Synced { node: name, process: process.id };
        self.schedule.add(self.now.after(takes), event);
    }

    pub(super) fn synced(&mut self, name: Name, process: u64) {
        let (now, fails) = (self.now, self.nodes[&name].disk_state == DiskState::Failing);
        let Some(process) = self.process(name, process) else { return };
        process.is_syncing = false;
        let is_slow = now.since(process.sync_began) > super::beat::SLOW_SYNC;
        if !is_slow {
            process.slow_since = None;
        }
        let node = self.nodes.get_mut(&name).expect("it was looked at");
        let synced = if fails {
            node.disk_state = DiskState::Normal;
            node.disk.log.fail_sync(&mut self.random);
            Err(SyncFailed)
        } else {
            node.disk.log.finish_sync()
        };
        if let Some(process) = &mut node.process {
            process.has_log_failed |= synced.is_err();
        }
        self.handle(name, synced.map_or(Input::PersistFailed, Input::Persisted));
    }

    fn send(&mut self, from: Name, envelope: Envelope) {
        let Some(to) = name_of(&envelope.to) else { return };
        self.note_message(&envelope.message);
        let arrivals =
            self.network.route((from, to), envelope.message.name(), self.now, &mut self.random);
        let envelope = match self.settings.is_encoded {
            true => Envelope::decode(&envelope.encode()).expect("what was encoded is decoded"),
            false => envelope,
        };
        if let Some(delay) = arrivals[1] {
            let envelope = Box::new(envelope.clone());
            self.schedule.add(self.now.after(delay), Event::Deliver { to, envelope });
        }
        if let Some(delay) = arrivals[0] {
            let envelope = Box::new(envelope);
            self.schedule.add(self.now.after(delay), Event::Deliver { to, envelope });
        }
    }

    fn note_message(&mut self, message: &Message) {
        let rare = match message {
            Message::PreVoteReply { is_granted: false, .. } => Rare::PreVoteRefused,
            Message::Refuse { .. } => Rare::LowerEpochRefused,
            Message::NeedConfiguration { .. } => Rare::NeedConfiguration,
            Message::Configurations { .. } => Rare::ConfigurationsTold,
            Message::Outlived { .. } => Rare::Outlived,
            Message::ReplicateAck(ack) => match ack.refusal {
                Some(weald_cluster::replica::AckRefusal::Clock) => Rare::ClockRefused,
                Some(weald_cluster::replica::AckRefusal::Evicted) => Rare::Evicted,
                _ => return,
            },
            _ => return,
        };
        self.coverage.reach(rare);
    }

    pub(super) fn deliver(&mut self, to: Name, envelope: Envelope) {
        if self.settings.is_verbose {
            self.trace.line(self.now, || describe(to, &envelope));
        }
        self.handle(to, Input::Message(envelope));
        let buffered = self.state(to).is_some_and(|state| state.buffered_count() > 0);
        if buffered {
            self.coverage.reach(Rare::Buffered);
        }
    }

    /// Applies what is committed, and answers whoever waits for it.
    pub(super) fn apply(&mut self, name: Name) {
        while self.violation.is_none() {
            let Some(node) = self.nodes.get_mut(&name) else { return };
            let Some(process) = &mut node.process else { return };
            let index = process.machine.applied().next();
            if index > process.state.watermark() {
                break;
            }
            let held = process.state.entry(index).cloned();
            let entry = held.or_else(|| node.disk.log.read(index, 1).into_iter().next());
            let Some(entry) = entry else { panic!("{name} has no entry {index} to apply") };
            let applied = process.machine.apply(&entry);
            let done = process.machine.take_applied();
            let (effect, epoch) = (process.machine.effect(), process.state.epoch());
            let now = node.clock.at(self.now);
            process.state.handle(now, Input::Applied { index, effect });
            let outcome = applied.map(|(_, outcome)| outcome);
            self.see_of(name, &Seen::Applied { node: name, entry: &entry, epoch, effect, outcome });
            self.answer_applied(name, &entry, applied);
            self.spanning_applied(name, entry.epoch(), done);
        }
        self.answer_reads(name);
    }

    fn cut(&mut self, name: Name, from: LogIndex) {
        self.coverage.reach(Rare::Cut);
        let Some(process) = self.nodes.get_mut(&name).and_then(|node| node.process.as_mut()) else {
            return;
        };
        for pending in process.pending.split_off(&from).into_values() {
            self.reply((pending.client, pending.serial), Reply::Retry);
        }
        self.trace.line(self.now, || format!("{name} cuts from {from}"));
    }

    fn became(&mut self, name: Name, role: Role) {
        let node = self.nodes.get_mut(&name).expect("it has an output");
        let Some(process) = &mut node.process else { return };
        let epoch = process.state.epoch();
        if role == Role::Coordinator {
            process.has_coordinated = true;
            let state = process.state.clone();
            let run = Run { incarnation: node.disk.incarnation, nonce: process.id };
            let member = state.me();
            self.see_of(name, &Seen::Coordinates { member, run, epoch, state: &state });
            if self.last_coordinator.replace(name).is_some_and(|last| last != name) {
                self.coverage.reach(Rare::Takeover);
            }
            self.elections.push((self.now, name));
            self.trace.line(self.now, || format!("{name} coordinates epoch {}", epoch.number));
        } else if std::mem::take(&mut process.has_coordinated) {
            self.spanning_ended(name);
            self.coverage.reach(Rare::SteppedDown);
            self.trace.line(self.now, || format!("{name} steps down"));
        }
    }

    fn stopped(&mut self, name: Name, stop: &Stop) {
        match stop {
            Stop::Amnesiac => {
                self.coverage.reach(Rare::Amnesiac);
                let node = self.nodes.get_mut(&name).expect("it has an output");
                let member = node.process.as_ref().map(|process| process.state.me());
                node.lost_life = node.lost_life.max(member.map(|member| member.life));
            }
            Stop::SyncFailed => self.coverage.reach(Rare::SyncFailed),
            Stop::Diverged(_) => self.coverage.reach(Rare::Diverged),
            Stop::Equivocation(evidence) => {
                self.fail("equivocation", format!("{name} has seen {evidence:?}"));
            }
        }
        let why = format!("{stop:?}");
        let why = why.split(['(', ' ']).next().unwrap_or_default().to_owned();
        self.trace.line(self.now, || format!("{name} stops: {why}"));
    }

    fn report(&mut self, name: Name, report: &Report) {
        match report {
            Report::Refused { reason: RefusedReason::EarlierRun, .. } => {
                self.coverage.reach(Rare::EarlierRun);
            }
            Report::Evidence(evidence) => {
                self.fail("evidence", format!("{name} has {evidence:?}"));
            }
            Report::Diverged { .. } | Report::Refused { .. } | Report::Attested(_) => {}
        }
    }

    pub(super) fn reborn(&mut self, name: Name) {
        self.coverage.reach(Rare::Reborn);
        let node = self.nodes.get_mut(&name).expect("it has an output");
        node.disk.checkpoint = None;
        node.disk.is_damaged = false;
        node.disk.log.note_repaired();
        if let Some(process) = &mut node.process {
            process.machine = MemberMachine::new(self.settings.machine);
            process.draft = None;
            process.pending.clear();
        }
        self.placed(name);
    }

    fn arrange_wake(&mut self, name: Name) {
        let Some(node) = self.nodes.get_mut(&name) else { return };
        let Some(process) = &mut node.process else { return };
        let Some(due) = process.state.poll_timeout() else { return };
        let at = node.clock.when(due).max(self.now);
        if process.wake_at.is_none_or(|wake| wake > at) {
            process.wake_at = Some(at);
            self.schedule.add(at, Event::Wake { node: name, process: process.id });
        }
    }

    pub(super) fn wake(&mut self, name: Name, process: u64) {
        let now = self.now;
        let Some(process) = self.process(name, process) else { return };
        if process.wake_at.is_some_and(|wake| wake <= now) {
            process.wake_at = None;
            self.handle(name, Input::Timeout);
        }
    }

    /// Whether a damaged log is whole again.
    pub(super) fn note_repair(&mut self, name: Name) {
        let Some(node) = self.nodes.get_mut(&name) else { return };
        let Some(process) = &mut node.process else { return };
        if process.was_damaged && process.state.health() == Health::Whole {
            process.was_damaged = false;
            node.disk.is_damaged = false;
            node.disk.log.note_repaired();
            self.coverage.reach(Rare::Repaired);
        }
    }
}

/// One line about a message.
fn describe(to: Name, envelope: &Envelope) -> String {
    let from = name_of(&envelope.from).map_or_else(|| String::from("?"), |name| name.to_string());
    let what = match &envelope.message {
        Message::ReplicateWrite(write) => {
            let (first, count) = (write.before.index.next(), write.entries.len());
            format!("ReplicateWrite {first} +{count} watermark={}", write.watermark)
        }
        Message::ReplicateAck(ack) => {
            let (matched, wants, refusal) = (ack.matched, ack.wants, ack.refusal);
            format!("ReplicateAck matched={matched} wants={wants} refusal={refusal:?}")
        }
        other => other.name().to_owned(),
    };
    format!("{from}->{to} {what}")
}
