//! One member of a partition's replicated log, as a state machine without I/O.
//!
//! A coordinator takes proposals, gives them places in the log, sends them to all members at once
//! and calls them committed when a majority has them on disk. When it falls silent another member
//! campaigns under a higher epoch; only one whose log is as complete as a majority's can win, so
//! what was acknowledged is in the winner's log, and the winner's log is the log. The rules are
//! numbered in `docs/protocol.md`; the method is that of viewstamped replication (Oki and Liskov
//! 1988) and Raft (Ongaro and Ousterhout 2014), with epochs that name their campaigner and entries
//! that are chained by hash.
//!
//! # The driver's loop
//!
//! ```text
//! loop {
//!     wait for a peer's message, a finished sync, a proposal, or State::poll_timeout();
//!     state.handle(now, input)            // or propose, read, transfer, reconfigure
//!     while let Some(output) = state.poll_output() { carry it out, in order }
//! }
//! ```
//!
//! Calls that say nothing new are harmless. Promises and acknowledgements come out only after
//! [`Input::Persisted`] has covered what they speak of; a coordinator's entries come out before
//! they are synced here. Everything up to the last [`Output::Committed`] may be applied, from
//! [`State::entry`] or, where that has none, from the log on the disk.

mod append;
mod attestation;
mod buffer;
mod campaign;
mod config;
mod configurations;
mod coordinator;
mod effects;
mod entry;
mod feed;
mod following;
mod freshness;
mod generation;
mod input;
mod log;
mod membership;
mod message;
mod output;
mod progress;
mod read;
mod rebirth;
mod run;
mod stored;
#[cfg(test)]
mod tests;
mod timers;
mod transfer;
mod view;

use std::collections::{BTreeMap, VecDeque};

use weald_core::{Entropy, Epoch, LogIndex, PartitionId, SeededEntropy, Time};

use self::{
    campaign::Campaign, configurations::Configurations, coordinator::Coordinator, effects::Effects,
    following::Following, log::Log,
};
use crate::{LogTime, configuration::Member, recovery::Recovery};

pub use attestation::{
    Attestation, Attested, Certificate, CertifiedConfiguration, Contradiction, Evidence,
};
pub use config::{BufferLimits, Config};
pub use coordinator::ProposeError;
pub use entry::{ENTRY_HEAD_LEN, EntryError, EntryKind, LogEntry, Point};
pub use input::{Input, Now, PersistTicket, ReadId, Standing};
pub use membership::{Change, ChangeError};
pub use message::{
    AckRefusal, Effect, Envelope, Heard, Heartbeat, LogEnd, Message, ReplicateAck, ReplicateWrite,
    Run,
};
pub use output::{Output, Persist, RefusedReason, Report, Role, SnapshotMeta, Stop};
pub use stored::{Health, Restart, Stored, StoredConfigurations};
pub use transfer::TransferError;

/// One member of a partition's log. See the module's page for the contract.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct State {
    config: Config,
    partition: PartitionId,
    generation: u32,
    /// The forced recoveries by which it was reached, oldest first (rule C16).
    recoveries: Vec<Recovery>,
    /// What this member keeps is of a generation that is over.
    is_left_behind: bool,
    me: Member,
    run: Run,
    standing: Standing,
    now: Now,
    entropy: SeededEntropy,
    /// Nobody of a lower epoch is followed; durable before anything is said in it.
    promised: Epoch,
    /// What was promised when the run began.
    promised_at_start: Epoch,
    /// The highest epoch number heard of; campaigns go above it.
    highest_number: u64,
    log: Log,
    log_time: LogTime,
    /// The same at the watermark: what a cut goes back to.
    settled_time: LogTime,
    /// Where the log began when it was founded or last restarted by a snapshot.
    base: Point,
    watermark: LogIndex,
    /// What was applied, and what came of it.
    effects: Effects,
    configurations: Configurations,
    role: RoleState,
    following: Following,
    health: Health,
    stop: Option<Stop>,
    /// The last run heard of each member, and what is known of it.
    peers: BTreeMap<Member, Peer>,
    /// Up to here a snapshot of this member covers the log; the log holds what comes after.
    snapshot: Option<Point>,
    /// From here to its end the log holds only what this member has made in this run, and it has
    /// followed nobody since: where it coordinates, its watermark says exactly what of that is
    /// committed. Beyond every index where there is nothing of the kind.
    own_from: LogIndex,
    attesting: attestation::Attesting,
    rebirth: rebirth::Rebirth,
    outputs: VecDeque<Output>,
}

/// What is known of another member.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
struct Peer {
    run: Run,
    standing: Option<Standing>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum RoleState {
    Follower,
    PreCandidate(Campaign),
    Candidate(Campaign),
    Coordinator(Box<Coordinator>),
}

impl State {
    /// A member that begins a run with what recovery found.
    ///
    /// # Panics
    /// When the entries do not form a chain after `restart.before`: a driver verifies what it
    /// reads.
    pub fn new(
        config: Config,
        partition: PartitionId,
        restart: Restart,
        clock: (Now, u64),
    ) -> Self {
        let (now, seed) = clock;
        let Restart { stored, entries, before, .. } = restart;
        let mut last = before;
        for entry in &entries {
            assert!(entry.continues(&last), "recovered entries form a chain");
            last = *entry.point();
        }
        let time = entries.last().map_or(Time::ZERO, LogEntry::time).max(restart.applied_time);
        let of = (partition, stored.generation);
        let mut configurations = Configurations::new(of, stored.configurations);
        let watermark = stored.watermark.max(restart.applied).min(last.index);
        let heard = |(member, run)| (member, Peer { run, standing: None });
        let peers = stored.runs.into_iter().map(heard).collect();
        configurations.scan(&entries);
        let health = if stored.is_left_behind { Health::Amnesiac } else { restart.health };
        configurations.commit(watermark);
        let log = Log::new((before, restart.applied_time), entries, stored.promised);
        let settled = log.time_at(watermark).unwrap_or_default().max(restart.applied_time);
        let mut state = Self {
            partition,
            generation: stored.generation,
            recoveries: stored.recoveries,
            me: restart.member,
            run: Run { incarnation: restart.incarnation, nonce: 0 },
            standing: Standing { started: restart.started, is_healthy: true },
            now,
            entropy: SeededEntropy::new(seed),
            promised: stored.promised,
            promised_at_start: stored.promised,
            highest_number: stored.promised.number,
            log,
            log_time: LogTime::new(time, now),
            settled_time: LogTime::new(settled, now),
            base: stored.base,
            watermark,
            effects: Effects::new(restart.applied),
            configurations,
            role: RoleState::Follower,
            following: Following::new(watermark),
            health,
            is_left_behind: stored.is_left_behind,
            stop: None,
            peers,
            snapshot: None,
            own_from: LogIndex(u64::MAX),
            attesting: attestation::Attesting::default(),
            rebirth: rebirth::Rebirth::default(),
            outputs: VecDeque::new(),
            config,
        };
        state.run.nonce = state.draw(u64::MAX);
        state.begin();
        state
    }

    /// Takes in what happened. Afterwards [`State::poll_output`] and [`State::poll_timeout`] may
    /// have changed.
    pub fn handle(&mut self, now: Now, input: Input) {
        self.advance_clock(now);
        match input {
            Input::Message(envelope) => self.handle_envelope(envelope),
            Input::Timeout => {}
            Input::Persisted(ticket) => self.handle_persisted(ticket),
            Input::PersistFailed => self.become_stopped(Stop::SyncFailed),
            Input::Applied { index, effect } => self.handle_applied(Effect { index, hash: effect }),
            Input::Entries { to, entries } => self.handle_entries(to, entries),
            Input::SnapshotReady(point) => self.snapshot = Some(point),
            Input::Installed(meta) => self.handle_installed(meta),
            Input::InstallFailed => self.following.is_installing = false,
            Input::Repaired => self.handle_repaired(),
            Input::Standing(member, standing) => {
                if self.configurations.knows(&member) {
                    self.peers.entry(member).or_default().standing = Some(standing);
                }
            }
            Input::Signed { index, key, signature } => self.handle_signed(index, key, signature),
            Input::Health { is_healthy } => self.handle_health(is_healthy),
        }
        self.settle();
    }

    /// The next thing to do, in order; `None` when there is nothing.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn advance_clock(&mut self, now: Now) {
        let steady = self.now.steady.max(now.steady);
        self.now = Now { steady, wall: now.wall };
    }

    /// What follows from whatever was just taken in: due timers, then what is to be sent and kept.
    fn settle(&mut self) {
        self.run_timers();
        match &self.role {
            RoleState::Coordinator(_) => self.send_to_members(),
            _ => {
                self.note_repair();
                self.answer_coordinator();
            }
        }
        self.persist();
    }

    fn persist(&mut self) {
        let stored = || Stored {
            member: self.me,
            generation: self.generation,
            promised: self.promised,
            watermark: self.watermark,
            base: self.base,
            configurations: self.configurations.stored(),
            runs: self.peers.iter().map(|(member, peer)| (*member, peer.run)).collect(),
            recoveries: self.recoveries.clone(),
            is_left_behind: self.is_left_behind,
        };
        let bytes_a_state = self.config.tail_bytes_max.max(self.config.append_bytes_max);
        if let Some(persist) = self.log.persist(bytes_a_state, stored) {
            self.outputs.push_back(Output::Persist(Box::new(persist)));
        }
    }

    fn handle_persisted(&mut self, ticket: PersistTicket) {
        // What a member has stopped for may be mended; what is durable is so nevertheless.
        self.log.handle_persisted(ticket);
        if self.stop.is_some() {
            return;
        }
        match &self.role {
            RoleState::Candidate(_) => self.campaign_persisted(),
            RoleState::Coordinator(_) => self.advance_commit(),
            _ => self.promise_persisted(),
        }
        self.trim();
    }

    fn handle_applied(&mut self, effect: Effect) {
        if let Some(wrong) = self.effects.note_applied(effect) {
            self.become_stopped(Stop::Diverged(wrong));
        }
        let is_alone = self.coordinating().is_some() && self.is_quorum(|member| *member == self.me);
        if is_alone {
            self.effects.confirm_all();
        }
        self.trim();
    }

    fn trim(&mut self) {
        let upto = self.effects.applied().min(self.watermark);
        self.log.trim(upto, self.config.tail_bytes_max);
        // Where apply lags, what is durable is read back from the log.
        let kept = self.config.tail_bytes_max.saturating_add(self.config.uncommitted_bytes_max);
        self.log.trim(self.watermark, kept);
    }

    /// Moves the watermark, never back; what becomes committed is announced once.
    fn advance_watermark(&mut self, watermark: LogIndex) {
        if watermark <= self.watermark {
            return;
        }
        self.watermark = watermark;
        if let Some(time) = self.log.time_at(watermark) {
            self.settled_time.follow(time, self.now);
        }
        self.outputs.push_back(Output::Committed { watermark });
        for configuration in self.configurations.commit(watermark) {
            self.log.want_state();
            self.outputs.push_back(Output::Configured { configuration, is_committed: true });
            self.peers.retain(|member, _| self.configurations.knows(member));
        }
    }

    /// Adds an entry to the log; a configuration in it counts from now on.
    fn append(&mut self, entry: LogEntry) {
        self.log_time.follow(entry.time(), self.now);
        if self.configurations.add(&entry) {
            let configuration = self.configurations.current().clone();
            self.outputs.push_back(Output::Configured { configuration, is_committed: false });
        }
        self.log.push(entry);
    }

    /// What is in the log is not this member's own any more, or may have been committed by others.
    fn disown(&mut self) {
        self.own_from = LogIndex(u64::MAX);
    }

    /// Cuts the log; a configuration that goes with it counts no more.
    fn cut(&mut self, from: LogIndex) {
        assert!(from > self.watermark, "what is committed is never cut");
        self.log.cut(from);
        if from <= self.own_from {
            self.disown();
        }
        self.rewind_log_time();
        if self.configurations.cut(from) {
            let configuration = self.configurations.current().clone();
            self.outputs.push_back(Output::Configured { configuration, is_committed: false });
        }
        self.outputs.push_back(Output::Cut { from });
    }

    /// Log time is that of the log's last entry again: one far ahead in time that goes takes its time
    /// with it. What has passed since the one that is left counts (rule C14).
    fn rewind_log_time(&mut self) {
        self.log_time = self.settled_time;
        self.log_time.follow(self.log.last_time(), self.now);
    }

    fn become_stopped(&mut self, stop: Stop) {
        if self.stop.is_some() {
            return;
        }
        self.become_follower(None);
        self.outputs.push_back(Output::Stopped(stop.clone()));
        self.stop = Some(stop);
    }

    fn send(&mut self, to: Member, message: Message) {
        let envelope = Envelope {
            partition: self.partition,
            generation: self.generation,
            from: self.me,
            run: self.run,
            to,
            configuration: self.configurations.current().id,
            message,
        };
        self.outputs.push_back(Output::Send(Box::new(envelope)));
    }

    fn report_refused(&mut self, from: Member, reason: RefusedReason) {
        self.outputs.push_back(Output::Report(Report::Refused { from, reason }));
    }

    fn announce_role(&mut self) {
        let (role, coordinator) = (self.role(), self.coordinator());
        self.outputs.push_back(Output::Became { role, epoch: self.promised, coordinator });
    }

    /// Draws a number below `bound`; zero where nothing is to be drawn.
    fn draw(&mut self, bound: u64) -> u64 {
        if bound == 0 {
            return 0;
        }
        u64::from_le_bytes(self.entropy.draw()) % bound
    }
}
