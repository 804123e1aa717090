//! A random run: what a world is made of and what is done to it when, all drawn from a seed. A plan
//! is a list of commands, so that a failing one can be shortened and read.

use std::{fmt, time::Duration};

use weald_cluster::{
    mutation::Mutation,
    replica::{BufferLimits, Config},
};

use crate::{
    command::{Command, DiskState, Dropping},
    disk::LogKind,
    machine::MachineKind,
    name::Name,
    network::Weather,
    random::Random,
    schedule::Instant,
    topics::TopicMutation,
    world::Settings,
};

/// Who votes, one set after the other, where a lone `A` is followed by others.
const JOURNEY: [&[u8]; 3] = [&[0, 1, 2], &[0, 1, 2, 3, 4], &[3, 4, 5]];
/// Nodes that take part in it.
const JOURNEY_NODES: u8 = 6;

/// How far a clock jumps where a topic is simulated, ms.
const CLOCK_JUMP_MAX: i64 = 120_000;

/// How long faults go on, ms.
pub(crate) const FAULTY_MILLIS: u64 = 10_000;

/// What a plan is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PlanKind {
    /// One partition.
    Single,
    /// Three partitions of the same nodes, and a bank whose accounts lie in all of them.
    Bank,
    /// One partition with a topic, and whoever publishes and subscribes; a rule may be left out.
    Topics(Option<TopicMutation>),
}

/// See the module's page.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) settings: Settings,
    /// What is simulated.
    pub(crate) kind: PlanKind,
    /// What is done, and when.
    pub(crate) steps: Vec<(Instant, Command)>,
    /// Who is to vote, one set after the other, none before its time.
    pub(crate) journey: Vec<(Instant, Vec<Name>)>,
}

impl Plan {
    /// The plan of a seed, with a rule left out if one is named.
    pub(crate) fn draw(seed: u64, mutation: Option<Mutation>) -> Self {
        let mut random = Random::new(seed ^ 0xfa57);
        let mut settings = draw_settings(&mut random, mutation);
        (settings.log, settings.machine) = parts_of(seed);
        let mut steps = vec![(Instant(0), Command::Load(between(&mut random, 1, 4)))];
        let is_growing = random.one_in(4);
        let count = if is_growing { settings.voters + 2 } else { settings.voters };
        let voters = settings.voters;
        let mut draw = Drawing { random, voters, count, steps: Vec::new() };
        draw.faults();
        if is_growing {
            draw.growth();
        }
        steps.append(&mut draw.steps);
        steps.sort_by_key(|(at, _)| *at);
        Self { seed, settings, kind: PlanKind::Single, steps, journey: Vec::new() }
    }

    /// The plan of a seed for a cluster that grows from one voter to three and five and shrinks to
    /// three others: every member that there was is replaced, under load and faults.
    pub(crate) fn draw_reconfiguration(seed: u64, mutation: Option<Mutation>) -> Self {
        let mut random = Random::new(seed ^ 0x1353);
        let mut settings = draw_settings(&mut random, mutation);
        settings.voters = 1;
        (settings.log, settings.machine) = parts_of(seed);
        let mut steps = vec![(Instant(0), Command::Load(between(&mut random, 2, 4)))];
        let mut journey = Vec::new();
        let mut at = 0;
        for (number, voters) in JOURNEY.iter().enumerate() {
            at += random.between(500, 2_500);
            let joins = Instant::from_millis(at);
            let before = number.checked_sub(1).map_or(&[0][..], |last| JOURNEY[last]);
            let fresh = voters.iter().filter(|name| !before.contains(name));
            steps.extend(fresh.map(|name| (joins, Command::Add(Name(*name)))));
            journey.push((joins, voters.iter().copied().map(Name).collect()));
        }
        let count = JOURNEY_NODES;
        let mut draw = Drawing { random, voters: count, count, steps: Vec::new() };
        draw.faults();
        steps.append(&mut draw.steps);
        steps.sort_by_key(|(at, _)| *at);
        Self { seed, settings, kind: PlanKind::Single, steps, journey }
    }

    /// The plan of a seed for a bank. Clocks jump by seconds only: partitions whose log times are
    /// further apart than an expiry may be ahead have no transactions in common.
    pub(crate) fn draw_bank(seed: u64, mutation: Option<Mutation>) -> Self {
        let mut random = Random::new(seed ^ 0xba2c);
        let mut settings = draw_settings(&mut random, mutation);
        settings.log = parts_of(seed).0;
        let tellers = between(&mut random, 2, 5);
        let (voters, count) = (settings.voters, settings.voters);
        let mut draw = Drawing { random, voters, count, steps: Vec::new() };
        draw.faults();
        let mut steps = vec![(Instant(0), Command::Load(tellers))];
        steps.append(&mut draw.steps);
        steps.retain(
            |(_, command)| !matches!(command, Command::Clock(_, jump) if jump.abs() > 60_000),
        );
        steps.sort_by_key(|(at, _)| *at);
        Self { seed, settings, kind: PlanKind::Bank, steps, journey: Vec::new() }
    }

    /// The plan of a seed for a topic. A clock jumps by two minutes at most, which is less than signed
    /// requests may be old. Nobody damages a state machine: what it says before the others notice is
    /// wrong.
    pub(crate) fn draw_topics(seed: u64, mutation: Option<TopicMutation>) -> Self {
        let mut random = Random::new(seed ^ 0x0070_91c5);
        let mut settings = draw_settings(&mut random, None);
        settings.log = parts_of(seed).0;
        let publishers = between(&mut random, 1, 3);
        let (voters, count) = (settings.voters, settings.voters);
        let mut draw = Drawing { random, voters, count, steps: Vec::new() };
        draw.faults();
        let mut steps = vec![(Instant(0), Command::Load(publishers))];
        steps.append(&mut draw.steps);
        steps.retain(|(_, command)| !matches!(command, Command::Corrupt(_)));
        for (_, command) in &mut steps {
            if let Command::Clock(_, jump) = command {
                *jump = (*jump).clamp(-CLOCK_JUMP_MAX, CLOCK_JUMP_MAX);
            }
        }
        steps.sort_by_key(|(at, _)| *at);
        let kind = PlanKind::Topics(mutation);
        Self { seed, settings, kind, steps, journey: Vec::new() }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps
            .iter()
            .try_for_each(|(at, command)| writeln!(f, "at {}ms {command}", at.as_millis()))
    }
}

/// Every fourth seed has the real log, every fourth the real state machine, every eighth both.
const fn parts_of(seed: u64) -> (LogKind, MachineKind) {
    match seed % 8 {
        1 => (LogKind::Real, MachineKind::Model),
        3 => (LogKind::Model, MachineKind::Real),
        5 => (LogKind::Real, MachineKind::Real),
        _ => (LogKind::Model, MachineKind::Model),
    }
}

fn draw_settings(random: &mut Random, mutation: Option<Mutation>) -> Settings {
    let sync_min = random.between(100, 1_000);
    Settings {
        voters: *random.pick(&[3, 3, 3, 3, 3, 5, 5, 1]),
        config: draw_config(random, mutation),
        weather: Weather::draw(random),
        sync: (sync_min, sync_min + *random.pick(&[500, 5_000, 5_000, 50_000])),
        stagger: random.below(50),
        think: *random.pick(&[5_000, 20_000, 100_000]),
        drift: *random.pick(&[0, 100, 10_000]),
        checkpoint_every: *random.pick(&[0, 20, 100]),
        log_kept: *random.pick(&[0, 5, 50]),
        log: LogKind::Model,
        machine: MachineKind::Model,
        is_encoded: random.one_in(8),
        is_traced: false,
        is_verbose: false,
    }
}

fn draw_config(random: &mut Random, mutation: Option<Mutation>) -> Config {
    let mut config = Config { mutation, ..Config::default() };
    if random.one_in(3) {
        config.append_bytes_max = 2_000;
        config.window_bytes_max = 8_000;
        config.uncommitted_bytes_max = 20_000;
        config.tail_bytes_max = 2_000;
        config.buffer =
            BufferLimits { entries_max: 4, bytes_max: 4_000, age_max: Duration::from_millis(300) };
    }
    if random.one_in(3) {
        config.tail_bytes_max = 0;
    }
    config
}

struct Drawing {
    random: Random,
    voters: u8,
    /// Nodes to which something may happen.
    count: u8,
    steps: Vec<(Instant, Command)>,
}

impl Drawing {
    fn faults(&mut self) {
        let count = self.random.between(2, 14);
        for _ in 0..count {
            let at = self.random.between(200, FAULTY_MILLIS - 500);
            let lasts = *self.random.pick(&[50, 300, 800, 2_000, 4_000]);
            let until = (at + 1 + self.random.below(lasts)).min(FAULTY_MILLIS);
            let (begins, ends) = self.fault(until - at);
            self.steps.push((Instant::from_millis(at), begins));
            self.steps.extend(ends.map(|ends| (Instant::from_millis(until), ends)));
        }
    }

    fn node(&mut self) -> Name {
        Name(u8::try_from(self.random.below(self.count.into())).unwrap_or(0))
    }

    fn two_nodes(&mut self) -> (Name, Name) {
        let (one, other) = (self.node(), self.node());
        let next = Name((other.0 + 1) % self.voters.max(2));
        if one == other { (one, next) } else { (one, other) }
    }

    /// A fault, and what ends it.
    fn fault(&mut self, millis: u64) -> (Command, Option<Command>) {
        let node = self.node();
        match self.random.below(24) {
            0..=4 => (Command::Crash(node), Some(Command::Restart(node))),
            5..=6 => (Command::Pause(node), Some(Command::Resume(node))),
            7..=8 => (Command::Isolate(node), Some(Command::Heal)),
            9..=10 => {
                let (from, to) = self.two_nodes();
                (Command::Cut(from, to), Some(Command::Mend(from, to)))
            }
            11 => {
                let (one, other) = self.two_nodes();
                (Command::Partition(vec![one, other]), Some(Command::Heal))
            }
            12..=13 => (Command::Drop(self.dropping(millis)), None),
            14..=15 => self.disk_fault(node),
            16 => (Command::Disk(node, DiskState::Failing), Some(Command::Crash(node))),
            17 => (Command::Wipe(node), Some(Command::Restart(node))),
            18 => {
                let back = *self.random.pick(&[0, 0, 1, 5, 20]);
                (Command::Rot(node, back), Some(Command::Restart(node)))
            }
            19 => {
                let jump = *self.random.pick(&[-3_600_000, -5_000, 5_000, 3_600_000]);
                (Command::Clock(node, jump), Some(Command::Clock(node, -jump)))
            }
            20..=21 => (Command::Transfer(node), None),
            22 => (Command::Forge(node), None),
            _ if self.random.one_in(4) => (Command::Corrupt(node), None),
            _ => (Command::Checkpoint(node, self.random.below(10)), None),
        }
    }

    fn disk_fault(&mut self, node: Name) -> (Command, Option<Command>) {
        let slow = *self.random.pick(&[50, 300, 1_000]);
        let state = *self.random.pick(&[DiskState::Slow(slow), DiskState::Full]);
        (Command::Disk(node, state), Some(Command::Disk(node, DiskState::Normal)))
    }

    fn dropping(&mut self, millis: u64) -> Dropping {
        const MESSAGES: [&str; 9] = [
            "ConfirmTransaction",
            "ReplicateWrite",
            "ReplicateAck",
            "Heartbeat",
            "Promise",
            "Prepare",
            "Configurations",
            "Attested",
            "ReadIndexReply",
        ];
        let message = Some((*self.random.pick(&MESSAGES)).to_owned());
        let to = if self.random.one_in(2) { Some(self.node()) } else { None };
        let count = self.random.one_in(2).then_some(1 + u32::from(between(&mut self.random, 0, 5)));
        Dropping { message, from: None, to, count, millis }
    }

    /// Nodes join and get votes, others lose theirs.
    fn growth(&mut self) {
        let all = Name::first(self.voters + 2);
        let joins = self.random.between(100, 3_000);
        for name in &all[usize::from(self.voters)..] {
            self.steps.push((Instant::from_millis(joins), Command::Add(*name)));
        }
        let mut at = joins;
        while at < FAULTY_MILLIS - 1_000 {
            at += self.random.between(200, 3_000);
            let count = *self.random.pick(&[1, 3, 3, 3, 5]).min(&all.len());
            let mut voters = all.clone();
            while voters.len() > count {
                voters.remove(self.random.index(voters.len()));
            }
            self.steps.push((Instant::from_millis(at), Command::Voters(voters)));
        }
    }
}

fn between(random: &mut Random, low: u64, high: u64) -> u8 {
    u8::try_from(random.between(low, high)).unwrap_or(1)
}
