//! One member with its disk, and what it does in one step.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use weald_cluster::{
    configuration::{Configuration, Member},
    replica::{
        Attestation, Config, Envelope, Health, Input, LogEntry, Message, Now, Output, Persist,
        Point, Report, Restart, State, Stop, Stored,
    },
};
use weald_core::{
    Epoch, LogIndex, PartitionId, SeededEntropy, StoreId, Time,
    identity::{Identity, KeyStore},
};

use super::{Bounds, memo::Did};

/// The one moment of an exploration.
const NOW: Now = Now { steady: Time::ZERO, wall: Time::ZERO };
/// The time of day at members whose clocks are fast.
const FAST: Time = Time::from_millis(3_600_000);

/// The key of a member; the same in every exploration.
pub(super) fn identity(number: usize) -> Identity {
    let seed = u64::try_from(number).unwrap_or(u64::MAX);
    Identity::generate(&mut SeededEntropy::new(seed))
}

/// The member of this number in its first life.
pub(super) fn member(number: usize) -> Member {
    let store = StoreId([u8::try_from(number).unwrap_or(u8::MAX); 16]);
    Member { peer: identity(number).public().peer_id(), store, life: 0 }
}

/// What is synced.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Disk {
    pub(super) stored: Stored,
    before: Point,
    entries: Vec<LogEntry>,
}

impl Disk {
    fn empty(me: Member, configuration: Configuration) -> Self {
        let stored = Stored::founding(me, configuration);
        Self { stored, before: Point::default(), entries: Vec::new() }
    }

    fn write(&mut self, persist: &Persist) {
        if let Some(point) = persist.restart_at {
            self.entries.clear();
            self.before = point;
        }
        if let Some(from) = persist.cut_from {
            self.entries.retain(|entry| entry.index() < from);
        }
        self.entries.extend(persist.entries.iter().cloned());
        if let Some(stored) = &persist.state {
            self.stored = stored.clone();
        }
    }

    pub(super) fn holds(&self, point: &Point) -> bool {
        self.entries.iter().any(|entry| entry.point() == point)
    }

    fn last(&self) -> LogIndex {
        self.entries.last().map_or(self.before.index, LogEntry::index)
    }

    /// Whether a promise or an acknowledgement is covered by what is synced.
    fn covers(&self, message: &Message) -> bool {
        let has_promised = |epoch: &Epoch| self.stored.promised >= *epoch;
        match message {
            Message::Prepare { epoch, .. } | Message::Promise { epoch } => has_promised(epoch),
            Message::ReplicateAck(ack) => has_promised(&ack.epoch) && self.last() >= ack.matched,
            _ => true,
        }
    }
}

/// A member, its disk, and what is on the way there.
#[derive(Clone)]
pub(super) struct Node {
    number: usize,
    pub(super) incarnation: u64,
    pub(super) state: State,
    pub(super) disk: Disk,
    waiting: Vec<Persist>,
    now: Now,
    print: u64,
}

/// What a member did in one step.
#[derive(Default)]
pub(super) struct Turn {
    pub(super) sent: Vec<Envelope>,
    pub(super) did: Did,
}

impl Node {
    /// A member of a network that was just founded.
    pub(super) fn founded(number: usize, configuration: &Configuration, bounds: &Bounds) -> Self {
        let disk = Disk::empty(member(number), configuration.clone());
        Self::begun(number, 1, (disk, Health::Whole), bounds)
    }

    fn begun(number: usize, run: u64, found: (Disk, Health), bounds: &Bounds) -> Self {
        let (disk, health) = found;
        let restart = Restart {
            member: disk.stored.member,
            incarnation: run,
            started: Time::ZERO,
            health,
            stored: disk.stored.clone(),
            applied: disk.before.index,
            applied_time: Time::ZERO,
            before: disk.before,
            entries: disk.entries.clone(),
        };
        let config = Config {
            election_jitter: Duration::ZERO,
            silence: Duration::ZERO,
            mutation: bounds.mutation,
            append_bytes_max: if bounds.has_single_entries { 1 } else { usize::MAX },
            ..Config::default()
        };
        let state = State::new(config, PartitionId(0), restart, (NOW, 0));
        Self { number, incarnation: run, state, disk, waiting: Vec::new(), now: NOW, print: 0 }
    }

    /// It crashes and begins again with what was synced.
    pub(super) fn crashed(&self, bounds: &Bounds) -> Self {
        let found = (self.disk.clone(), Health::Whole);
        Self::begun(self.number, self.incarnation + 1, found, bounds)
    }

    /// It begins again and knows only what it was founded with, and that this is not all.
    pub(super) fn wiped(&self, configuration: &Configuration, bounds: &Bounds) -> Self {
        let disk = Disk::empty(member(self.number), configuration.clone());
        Self::begun(self.number, self.incarnation + 1, (disk, Health::Amnesiac), bounds)
    }

    pub(super) fn is_amnesiac(&self) -> bool {
        matches!(self.state.stop(), Some(Stop::Amnesiac))
    }

    /// The moment here, by both clocks.
    pub(super) fn now(&self) -> Now {
        self.now
    }

    /// The clock of this member jumps an hour ahead.
    pub(super) fn jump(&mut self) {
        self.now.wall = FAST;
        self.print = self.fingerprint();
    }

    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Takes something in, and carries out what follows.
    pub(super) fn take(&mut self, input: Input, syncs_at_once: bool) -> Turn {
        self.state.handle(self.now, input);
        self.turn(syncs_at_once)
    }

    /// Everything that waits becomes synced.
    pub(super) fn sync(&mut self, syncs_at_once: bool) -> Turn {
        let waiting = std::mem::take(&mut self.waiting);
        waiting.iter().for_each(|persist| self.disk.write(persist));
        match waiting.last() {
            Some(last) => self.take(Input::Persisted(last.ticket), syncs_at_once),
            None => self.turn(syncs_at_once),
        }
    }

    /// Carries out what the member asks for.
    pub(super) fn turn(&mut self, syncs_at_once: bool) -> Turn {
        let mut turn = Turn::default();
        loop {
            while let Some(output) = self.state.poll_output() {
                self.carry_out(output, &mut turn);
            }
            if !syncs_at_once || self.waiting.is_empty() {
                break;
            }
            let waiting = std::mem::take(&mut self.waiting);
            for persist in waiting {
                self.disk.write(&persist);
                self.state.handle(self.now, Input::Persisted(persist.ticket));
            }
        }
        self.print = self.fingerprint();
        turn
    }

    fn carry_out(&mut self, output: Output, turn: &mut Turn) {
        match output {
            Output::Persist(persist) => self.waiting.push(*persist),
            Output::Send(envelope) => {
                turn.did.is_early |= !self.disk.covers(&envelope.message);
                turn.sent.push(*envelope);
            }
            Output::Committed { watermark } => turn.did.watermark = Some(watermark),
            Output::Cut { .. } => turn.did.has_cut = true,
            Output::Report(Report::Refused { .. }) => turn.did.has_refused = true,
            Output::Sign { index, attested } => {
                let identity = identity(self.number);
                let signature = identity.sign(Attestation::DOMAIN, &attested);
                let signature = signature.expect("a key in memory signs");
                let key = identity.public();
                self.state.handle(self.now, Input::Signed { index, key, signature });
            }
            _ => {}
        }
    }

    pub(super) fn print(&self) -> u64 {
        self.print
    }

    /// What decides what this member does next. Tickets count only against each other.
    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let clock = self.now.wall;
        (&self.state, &self.disk, self.incarnation, clock, self.waiting.len()).hash(&mut hasher);
        for persist in &self.waiting {
            let Persist { restart_at, cut_from, entries, state, .. } = persist;
            (restart_at, cut_from, entries, state).hash(&mut hasher);
        }
        hasher.finish()
    }
}
