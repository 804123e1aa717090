//! A bank whose accounts lie in three partitions of the same nodes. Each partition is a world of its
//! own; all have one time, and what is done to a node or a link is done in each. Tellers move money
//! between accounts of several partitions and count it.
//!
//! What must hold: the sum is the same in every count, the history is strictly serializable, and no
//! lock outlives its deadline by more than a second while primary and participant are served.

mod judge;
mod teller;

use std::collections::BTreeMap;

use weald_core::{
    CollectionName, FeatureLevel, LogIndex, PartitionId, PlacementKey, SettingsChange,
    SettingsEntry, Time,
};

use crate::{
    clock::Clock,
    command::Command,
    coverage::Coverage,
    history::{self, Recorder},
    invariants::Violation,
    machine::MachineKind,
    name::Name,
    plan::{FAULTY_MILLIS, Plan},
    random::Random,
    run::Verdict,
    schedule::{Instant, Schedule},
    world::{Ask, Outgoing, Ticket, Told, World},
};
use teller::Teller;

/// Partitions of the bank.
const PARTITIONS: u32 = 3;
/// Accounts in each.
const ACCOUNTS: usize = 2;
/// What all accounts hold together.
const TOTAL: i64 = 600;
/// How often locks are looked at, us.
const WATCH: u64 = 50_000;
/// How long tellers, locks and members may take once there are no faults, us.
const AGREEMENT: u64 = 30_000_000;
/// What a question or an answer takes between a teller and a node, us.
const DELAY: (u64, u64) = (100, 500);

/// See the module's page.
#[derive(Debug)]
pub(crate) struct Bank {
    worlds: Vec<World>,
    now: Instant,
    random: Random,
    schedule: Schedule<Event>,
    tellers: BTreeMap<u8, Teller>,
    accounts: Vec<CollectionName>,
    recorder: Recorder,
    judge: judge::Judge,
    is_founded: bool,
    is_open: bool,
    violation: Option<Violation>,
    /// Transfers that were committed, and counts.
    answered: (u64, u64),
}

#[derive(Debug)]
enum Event {
    /// A teller has waited long enough.
    Due(u8, u32),
    Told(Ticket, Told),
    /// Locks are looked at.
    Watch,
}

/// Runs the plan of a bank.
pub(crate) fn run(plan: &Plan) -> Verdict {
    let mut bank = Bank::new(plan);
    bank.boot();
    for (at, command) in &plan.steps {
        bank.run_until(*at);
        bank.command(command);
    }
    bank.run_until(Instant::from_millis(FAULTY_MILLIS));
    bank.close();
    bank.verdict()
}

/// The partition of a key: a third of all keys each.
fn partition_of(key: PlacementKey) -> PartitionId {
    let third = u64::MAX / u64::from(PARTITIONS) + 1;
    PartitionId(u32::try_from(key.as_u64() / third).unwrap_or(0))
}

fn place(partition: PartitionId) -> usize {
    usize::try_from(partition.0).unwrap_or(0)
}

/// As many names as there are to be accounts, the same number in each partition.
fn accounts() -> Vec<CollectionName> {
    let names = (0..).map(|number| format!("account{number}"));
    let names = names.map(|name| name.parse::<CollectionName>().expect("a name"));
    let mut left = [ACCOUNTS; PARTITIONS as usize];
    let mut found = Vec::new();
    for name in names {
        let left = &mut left[place(partition_of(PlacementKey::of(&name)))];
        if *left > 0 {
            *left -= 1;
            found.push(name);
        }
        if found.len() == ACCOUNTS * PARTITIONS as usize {
            break;
        }
    }
    found
}

impl Bank {
    fn new(plan: &Plan) -> Self {
        let world = |number: u32| {
            let mut settings = plan.settings.clone();
            settings.machine = MachineKind::Partition(PartitionId(number));
            World::new(settings, plan.seed ^ (u64::from(number + 1) << 56))
        };
        Self {
            worlds: (0..PARTITIONS).map(world).collect(),
            now: Instant(0),
            random: Random::new(plan.seed ^ 0x7e11),
            schedule: Schedule::new(),
            tellers: BTreeMap::new(),
            accounts: accounts(),
            recorder: Recorder::default(),
            judge: judge::Judge::default(),
            is_founded: false,
            is_open: true,
            violation: None,
            answered: (0, 0),
        }
    }

    fn boot(&mut self) {
        for world in &mut self.worlds {
            world.boot();
            self.now = self.now.max(world.now);
        }
        self.schedule.add(self.now, Event::Watch);
    }

    fn run_until(&mut self, until: Instant) {
        self.run_while(until, |_| true);
    }

    /// Lets time pass while `goes_on`.
    fn run_while(&mut self, until: Instant, goes_on: impl Fn(&Self) -> bool) {
        while self.violation.is_none() {
            if !goes_on(self) {
                return;
            }
            let next = self.worlds.iter().map(World::next_at).enumerate();
            let next = next.filter_map(|(number, at)| Some((at?, number))).min();
            let own = self.schedule.next_at();
            let at = own.into_iter().chain(next.map(|(at, _)| at)).min();
            let Some(at) = at.filter(|at| *at <= until) else { break };
            self.now = self.now.max(at);
            match next {
                Some((first, number)) if own.is_none_or(|own| first < own) => {
                    self.worlds[number].step_once(until);
                    self.violation = self.worlds[number].violation.clone();
                }
                _ => self.happen(until),
            }
            self.deliver();
        }
        self.now = self.now.max(until);
        self.worlds.iter_mut().for_each(|world| world.now = world.now.max(until));
    }

    fn happen(&mut self, until: Instant) {
        match self.schedule.pop(until) {
            Some((_, Event::Due(teller, serial))) => self.due(teller, serial),
            Some((_, Event::Told(ticket, told))) => self.told(ticket, told),
            Some((_, Event::Watch)) => {
                self.found();
                self.watch();
                self.schedule.add(self.now.after(WATCH), Event::Watch);
            }
            None => {}
        }
    }

    /// Carries what leaves one world to another, and to tellers.
    fn deliver(&mut self) {
        for number in 0..self.worlds.len() {
            for outgoing in std::mem::take(&mut self.worlds[number].outgoing) {
                match outgoing {
                    Outgoing::Message { from, key, message } => {
                        let target = place(partition_of(key));
                        let to = self.guess(target);
                        self.worlds[target].post((from, to), self.now, &message);
                    }
                    Outgoing::Told { ticket, told } => {
                        let delay = self.random.between(DELAY.0, DELAY.1);
                        self.schedule.add(self.now.after(delay), Event::Told(ticket, told));
                    }
                }
            }
        }
    }

    /// Who coordinates a partition, as far as others know; they are wrong now and then.
    fn guess(&mut self, partition: usize) -> Name {
        let world = &self.worlds[partition];
        let names: Vec<Name> = world.nodes.keys().copied().collect();
        let coordinator = world.coordinator().filter(|_| !self.random.one_in(10));
        coordinator.unwrap_or_else(|| *self.random.pick(&names))
    }

    fn ask(&mut self, partition: usize, node: Option<Name>, question: (Ticket, Ask)) {
        let node = match node {
            Some(node) => node,
            None => self.guess(partition),
        };
        let at = self.now.after(self.random.between(DELAY.0, DELAY.1));
        self.worlds[partition].ask_spanning(node, at, question);
    }

    fn command(&mut self, command: &Command) {
        if let Command::Load(tellers) = command {
            for id in 0..*tellers {
                self.tellers.insert(id, Teller::new(id));
            }
            return;
        }
        for world in &mut self.worlds {
            world.command(command);
        }
        self.deliver();
    }

    /// Brings the partitions to the feature level that the bank needs, then lets the first teller
    /// open the accounts, and then all of them work.
    fn found(&mut self) {
        if self.is_founded || self.tellers.is_empty() {
            return;
        }
        let level = FeatureLevel::SPANNING;
        let mut is_ready = true;
        for partition in 0..self.worlds.len() {
            if self.judge.level_of(&self.worlds[partition]) < Some(level) {
                is_ready = false;
                let changes = vec![SettingsChange::Level(level)];
                let entry = SettingsEntry { decided: LogIndex::ZERO, changes };
                self.ask(partition, None, (Ticket::default(), Ask::Settings(entry)));
            }
        }
        if is_ready {
            self.is_founded = true;
            self.begin_founding();
        }
    }

    /// The log time that tellers know of: the latest of any partition.
    fn time(&self) -> Time {
        let times = self.worlds.iter().map(|world| world.oracle.ledger.machine().time);
        times.max().filter(|time| *time > Time::ZERO).unwrap_or(Clock::default().at(self.now).wall)
    }

    fn fail(&mut self, invariant: &'static str, detail: String) {
        let at = self.now;
        self.violation.get_or_insert(Violation { invariant, at, detail });
    }

    fn bank(&self) -> history::Bank {
        history::Bank::new(self.accounts.iter().map(ToString::to_string).collect(), TOTAL)
    }

    fn verdict(mut self) -> Verdict {
        let mut coverage = Coverage::default();
        let mut hash = 0_u64;
        let mut lines = Vec::new();
        for world in &mut self.worlds {
            coverage.add(&world.coverage);
            hash = hash.rotate_left(7) ^ world.trace.hash();
            lines.extend(world.trace.lines().iter().cloned());
        }
        let passed = self.now.0 * u64::from(PARTITIONS);
        let (violation, answered) = (self.violation, self.answered);
        Verdict { violation, coverage, hash, passed, answered, lines }
    }
}
