//! Members, the messages between them, and their disks, moved by hand.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use weald_core::{
    Digest, Epoch, LogIndex, PartitionId, SeededEntropy, StoreId, Time,
    identity::{Identity, KeyStore},
};

use crate::{
    configuration::{Configuration, Member},
    recovery::Remains,
    replica::*,
};

/// A test's members by letter: 'a' is peer 0.
pub(super) struct Rig {
    pub(super) nodes: BTreeMap<char, Node>,
    wire: VecDeque<Envelope>,
    /// Messages that a test has taken off the wire.
    pub(super) drops: Drops,
    /// Who neither hears nor is heard.
    pub(super) cut_off: BTreeSet<char>,
    /// What is asked of the disk is not answered.
    pub(super) holds_fetches: bool,
    pub(super) millis: u64,
    starts: u64,
    config: Config,
    /// How far each node's clock of the day is ahead.
    pub(super) ahead: BTreeMap<char, u64>,
}

/// Whether a message is lost.
type Drops = Box<dyn Fn(&Rig, &Envelope) -> bool>;

pub(super) struct Node {
    pub(super) state: State,
    identity: Identity,
    disk: Disk,
    pub(super) is_disk_slow: bool,
    unsynced: VecDeque<Persist>,
    pub(super) outputs: Vec<Output>,
    incarnation: u64,
    applied: LogIndex,
}

/// A node's disk at an earlier time.
pub(super) struct Copy {
    disk: Disk,
    incarnation: u64,
}

/// What is durable.
#[derive(Clone)]
struct Disk {
    stored: Stored,
    before: Point,
    before_time: Time,
    entries: Vec<LogEntry>,
}

pub(super) fn identity(name: char) -> Identity {
    Identity::generate(&mut SeededEntropy::new(u64::from(name)))
}

pub(super) fn member(name: char) -> Member {
    let peer = identity(name).public().peer_id();
    Member { peer, store: StoreId([name as u8; 16]), life: 1 }
}

/// What comes of everything up to an entry, the same at every member.
pub(super) fn effect_of(index: LogIndex) -> Digest {
    Digest::of("effect", &[&index.0.to_le_bytes()])
}

pub(super) fn members(names: &str) -> BTreeSet<Member> {
    names.chars().map(member).collect()
}

impl Rig {
    /// The settings of every member: a small tail, so that the disk is read.
    pub(super) fn config() -> Config {
        Config { tail_bytes_max: 1_000, ..Config::default() }
    }

    /// `voters` vote; `others` run and are nobody yet.
    pub(super) fn new(voters: &str, others: &str) -> Self {
        Self::with(voters, others, Self::config())
    }

    /// The same with other settings.
    pub(super) fn with(voters: &str, others: &str, config: Config) -> Self {
        let configuration = Configuration::founding(members(voters), []).unwrap();
        let mut rig = Self {
            nodes: BTreeMap::new(),
            wire: VecDeque::new(),
            drops: Box::new(|_, _| false),
            cut_off: BTreeSet::new(),
            holds_fetches: false,
            millis: 1_000_000,
            starts: 0,
            config,
            ahead: BTreeMap::new(),
        };
        for name in voters.chars().chain(others.chars()) {
            let stored = Stored::founding(member(name), configuration.clone());
            let disk = Disk::empty(stored);
            rig.start(name, disk, (0, Health::Whole));
        }
        rig
    }

    /// Three voters, of which `a` coordinates.
    pub(super) fn led() -> Self {
        let mut rig = Self::new("abc", "");
        rig.elect('a');
        rig
    }

    fn start(&mut self, name: char, disk: Disk, how: (u64, Health)) {
        let (incarnation, health) = how;
        let now = self.now(name);
        let restart = Restart {
            member: disk.stored.member,
            incarnation: incarnation + 1,
            started: now.wall,
            health,
            stored: disk.stored.clone(),
            applied: disk.before.index,
            applied_time: disk.before_time,
            before: disk.before,
            entries: disk.entries.clone(),
        };
        self.starts += 1;
        let seed = self.starts;
        let state = State::new(self.config.clone(), PartitionId(1), restart, (now, seed));
        let applied = disk.before.index;
        let node = Node {
            state,
            identity: identity(name),
            disk,
            is_disk_slow: false,
            unsynced: VecDeque::new(),
            outputs: Vec::new(),
            incarnation: incarnation + 1,
            applied,
        };
        self.nodes.insert(name, node);
    }

    /// Ends a node's run and begins another; what was not synced is lost.
    pub(super) fn restart(&mut self, name: char, health: Health) {
        let node = self.nodes.remove(&name).unwrap();
        self.wire.retain(|envelope| envelope.from.peer != member(name).peer);
        self.start(name, node.disk, (node.incarnation, health));
        self.settle();
    }

    /// What is left of a node, as its disk says.
    pub(super) fn remains(&self, name: char) -> Remains {
        let disk = &self.nodes[&name].disk;
        Remains::new(disk.stored.clone(), (disk.before, &disk.entries), Health::Whole)
    }

    /// What a node keeps beside its entries.
    pub(super) fn stored(&self, name: char) -> &Stored {
        &self.nodes[&name].disk.stored
    }

    /// Replaces it; the next run begins with it.
    pub(super) fn keep(&mut self, name: char, stored: Stored) {
        self.nodes.get_mut(&name).unwrap().disk.stored = stored;
    }

    /// A copy of a node's disk, with the count of its runs.
    pub(super) fn copy(&self, name: char) -> Copy {
        Copy { disk: self.nodes[&name].disk.clone(), incarnation: self.nodes[&name].incarnation }
    }

    /// Begins a run with a copy of an earlier disk.
    pub(super) fn put_back(&mut self, name: char, copy: Copy) {
        self.start(name, copy.disk, (copy.incarnation, Health::Whole));
        self.settle();
    }

    /// A node begins to live as a member, with nothing.
    pub(super) fn host(&mut self, name: char, member: Member) {
        let founding = self.stored(name).configurations.root.configuration.clone();
        let stored = Stored::founding(member, founding);
        let disk = Disk::empty(stored);
        self.start(name, disk, (0, Health::Whole));
    }

    pub(super) fn now(&self, name: char) -> Now {
        let wall = self.millis + self.ahead.get(&name).copied().unwrap_or(0);
        Now { steady: Time::from_millis(self.millis), wall: Time::from_millis(wall) }
    }

    pub(super) fn state(&self, name: char) -> &State {
        &self.nodes[&name].state
    }

    /// Feeds one input and carries out what comes of it.
    pub(super) fn input(&mut self, name: char, input: Input) {
        let now = self.now(name);
        self.nodes.get_mut(&name).unwrap().state.handle(now, input);
        self.drain(name);
    }

    /// Lets time pass in steps of 10 ms, with everything that follows.
    pub(super) fn run(&mut self, millis: u64) {
        let until = self.millis + millis;
        while self.millis < until {
            self.millis += 10;
            for name in self.names() {
                let due = self.state(name).poll_timeout();
                if due.is_some_and(|due| due <= self.now(name).steady) {
                    self.input(name, Input::Timeout);
                }
            }
            self.settle();
        }
    }

    /// Delivers messages and syncs until nothing happens any more.
    pub(super) fn settle(&mut self) {
        for name in self.names() {
            self.sync(name);
        }
        while let Some(envelope) = self.wire.pop_front() {
            let Some(to) = self.name_of(&envelope.to) else { continue };
            let from = self.name_of(&envelope.from).unwrap();
            let is_cut = self.cut_off.contains(&to) || self.cut_off.contains(&from);
            let drops = std::mem::replace(&mut self.drops, Box::new(|_, _| false));
            let is_dropped = drops(self, &envelope);
            self.drops = drops;
            if !is_cut && !is_dropped {
                // What travels is bytes.
                let envelope = Envelope::decode(&envelope.encode()).unwrap();
                self.input(to, Input::Message(envelope));
            }
            for name in self.names() {
                self.sync(name);
            }
        }
    }

    fn sync(&mut self, name: char) {
        if !self.nodes[&name].is_disk_slow {
            self.sync_all(name);
        }
    }

    /// Syncs what waits, on a slow disk too.
    pub(super) fn sync_all(&mut self, name: char) {
        while let Some(persist) = self.nodes.get_mut(&name).unwrap().unsynced.pop_front() {
            self.nodes.get_mut(&name).unwrap().disk.write(&persist);
            self.input(name, Input::Persisted(persist.ticket));
        }
    }

    fn drain(&mut self, name: char) {
        while let Some(output) = self.nodes.get_mut(&name).unwrap().state.poll_output() {
            self.carry_out(name, output);
        }
    }

    fn carry_out(&mut self, name: char, output: Output) {
        let node = self.nodes.get_mut(&name).unwrap();
        node.outputs.push(output.clone());
        match output {
            Output::Persist(persist) => node.unsynced.push_back(*persist),
            Output::Send(envelope) => self.wire.push_back(*envelope),
            Output::Committed { watermark } => {
                node.applied = watermark;
                let effect = effect_of(watermark);
                self.input(name, Input::Applied { index: watermark, effect });
            }
            Output::Fetch { .. } if self.holds_fetches => {}
            Output::Fetch { to, from, .. } => {
                let held = node.disk.entries.iter().filter(|entry| entry.index() >= from);
                let is_held = from > node.disk.before.index;
                let entries = if is_held { held.take(20).cloned().collect() } else { Vec::new() };
                self.input(name, Input::Entries { to, entries });
            }
            Output::Install { from, at_least } => {
                let source = self.name_of(&from).unwrap();
                let held = self.nodes[&source].disk.entries.iter();
                let held =
                    held.map(|entry| *entry.point()).chain([self.nodes[&source].disk.before]);
                let confirmed = self.state(source).confirmed();
                let may_have = |point: &Point| point.index >= at_least && point.index <= confirmed;
                let Some(point) = held.filter(may_have).min_by_key(|p| p.index) else {
                    return self.input(name, Input::InstallFailed);
                };
                let effect = effect_of(point.index);
                let meta = self.state(source).snapshot_meta(point, Time::ZERO, effect).unwrap();
                self.input(name, Input::Installed(meta));
            }
            Output::Sign { index, attested } => {
                let signature = node.identity.sign(Attestation::DOMAIN, &attested).unwrap();
                let key = node.identity.public();
                self.input(name, Input::Signed { index, key, signature });
            }
            _ => {}
        }
    }

    pub(super) fn names(&self) -> Vec<char> {
        self.nodes.keys().copied().collect()
    }

    pub(super) fn name_of(&self, member: &Member) -> Option<char> {
        self.names().into_iter().find(|name| self::member(*name).peer == member.peer)
    }

    /// Everybody but `name` is kept from campaigning until it coordinates.
    pub(super) fn elect(&mut self, name: char) {
        for _ in 0..400 {
            self.millis += 10;
            let due = self.state(name).poll_timeout();
            if due.is_some_and(|due| due <= self.now(name).steady) {
                self.input(name, Input::Timeout);
            }
            self.settle();
            if self.state(name).role() == Role::Coordinator {
                self.run(200);
                return;
            }
        }
        panic!("{name} does not coordinate: {:?}", self.state(name));
    }

    pub(super) fn leader(&self) -> Option<char> {
        let leads = |name: &char| {
            self.state(*name).role() == Role::Coordinator && !self.cut_off.contains(name)
        };
        self.names().into_iter().find(leads)
    }

    /// Proposes without delivering anything.
    pub(super) fn propose(&mut self, name: char, command: &str) -> Result<LogIndex, ProposeError> {
        let now = self.now(name);
        let commands = [Bytes::copy_from_slice(command.as_bytes())];
        let result = self.nodes.get_mut(&name).unwrap().state.propose(now, &commands);
        self.drain(name);
        result
    }

    /// Proposes and lets it take its way.
    pub(super) fn write(&mut self, name: char, command: &str) -> LogIndex {
        let index = self.propose(name, command).unwrap();
        self.settle();
        index
    }

    pub(super) fn read(&mut self, name: char, id: u64) {
        let now = self.now(name);
        self.nodes.get_mut(&name).unwrap().state.read(now, ReadId(id));
        self.drain(name);
    }

    pub(super) fn change(&mut self, name: char, change: &Change) -> Result<LogIndex, ChangeError> {
        let now = self.now(name);
        let result = self.nodes.get_mut(&name).unwrap().state.reconfigure(now, change);
        self.drain(name);
        self.settle();
        result
    }

    pub(super) fn transfer(&mut self, name: char, to: char) -> Result<(), TransferError> {
        let now = self.now(name);
        let to = self.state(to).me();
        let result = self.nodes.get_mut(&name).unwrap().state.transfer(now, to);
        self.drain(name);
        self.settle();
        result
    }

    /// A node's durable log.
    pub(super) fn entries(&self, name: char) -> &[LogEntry] {
        &self.nodes[&name].disk.entries
    }

    /// The commands in a node's durable log, in order.
    pub(super) fn commands(&self, name: char) -> Vec<String> {
        let entries = &self.nodes[&name].disk.entries;
        let commands = entries.iter().filter(|entry| entry.kind() == EntryKind::Command);
        commands.map(|entry| String::from_utf8(entry.payload().to_vec()).unwrap()).collect()
    }

    /// Cuts a node's durable log: everything up to `upto` is in a snapshot.
    pub(super) fn compact(&mut self, name: char, upto: LogIndex) {
        let disk = &mut self.nodes.get_mut(&name).unwrap().disk;
        let last = disk.entries.iter().find(|e| e.index() == upto).unwrap();
        let (point, time) = (*last.point(), last.time());
        disk.entries.retain(|entry| entry.index() > upto);
        (disk.before, disk.before_time) = (point, time);
        self.input(name, Input::SnapshotReady(point));
    }

    /// A node's durable entries from `from` on can no longer be read.
    pub(super) fn damage(&mut self, name: char, from: LogIndex) {
        let disk = &mut self.nodes.get_mut(&name).unwrap().disk;
        disk.entries.retain(|entry| entry.index() < from);
    }

    /// Where a node's log ends.
    pub(super) fn end(&self, name: char) -> LogEnd {
        let Point { index, epoch, .. } = self.state(name).last();
        LogEnd { epoch, index }
    }

    pub(super) fn reads_ready(&self, name: char) -> Vec<(u64, u64)> {
        let outputs = self.nodes[&name].outputs.iter();
        let ready = outputs.filter_map(|output| match output {
            Output::ReadReady { ids, index } => Some(ids.iter().map(|id| (id.0, index.0))),
            _ => None,
        });
        ready.flatten().collect()
    }

    pub(super) fn refused(&self, name: char, reason: RefusedReason) -> usize {
        let is_it = |output: &&Output| matches!(output, Output::Report(Report::Refused { reason: r, .. }) if *r == reason);
        self.nodes[&name].outputs.iter().filter(is_it).count()
    }

    /// The envelope that `from` would send.
    pub(super) fn envelope(&self, from: Member, to: char, message: Message) -> Envelope {
        Envelope {
            partition: PartitionId(1),
            generation: 0,
            from,
            run: Run { incarnation: 99, nonce: 1 },
            to: self.state(to).me(),
            configuration: self.state(to).configuration().id,
            message,
        }
    }
}

impl Node {
    /// The next run has the incarnation of this one.
    pub(super) fn rewind_incarnation(&mut self) {
        self.incarnation -= 1;
    }
}

impl Disk {
    fn empty(stored: Stored) -> Self {
        Self { stored, before: Point::default(), before_time: Time::ZERO, entries: Vec::new() }
    }

    fn write(&mut self, persist: &Persist) {
        if let Some(point) = persist.restart_at {
            self.before = point;
            self.entries.clear();
        }
        if let Some(from) = persist.cut_from {
            self.entries.retain(|entry| entry.index() < from);
        }
        self.entries.extend(persist.entries.iter().cloned());
        if let Some(stored) = &persist.state {
            self.stored = stored.clone();
        }
    }
}

pub(super) fn epoch(number: u64, name: char) -> Epoch {
    Epoch { number, campaigner: Some(member(name).peer) }
}
