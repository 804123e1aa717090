//! How long a partition is without a coordinator after the last one has crashed, and who follows.

use std::{fmt, ops::Range};

use weald_cluster::replica::Config;

use crate::{
    command::Command,
    disk::LogKind,
    machine::MachineKind,
    name::Name,
    network::Weather,
    random::Random,
    schedule::Instant,
    world::{Settings, World},
};

/// What many crashes showed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Takeovers {
    /// From the crash until an entry of the next coordinator was committed, us, rising.
    pub(crate) gaps: Vec<u64>,
    /// Crashes after which the others' logs were equal.
    pub(crate) equal_count: u64,
    /// Of these, those that the longest-running member has won.
    pub(crate) oldest_count: u64,
}

/// Crashes the coordinator of three under load, once for each seed.
pub(crate) fn measure(seeds: Range<u64>) -> Takeovers {
    let mut all = Takeovers::default();
    for seed in seeds {
        all.crash_once(seed);
    }
    all.gaps.sort_unstable();
    all
}

impl Takeovers {
    fn crash_once(&mut self, seed: u64) {
        let mut random = Random::new(seed);
        let mut world = World::new(settings(), seed);
        world.boot();
        world.command(&Command::Load(3));
        world.run_until(Instant::from_millis(random.between(2_000, 4_000)));
        let crashed = world.coordinator().expect("three nodes without faults have one");
        let before = world.oracle.ledger.len();
        let epoch = world.state(crashed).expect("it runs").epoch();
        world.command(&Command::Crash(crashed));
        let others = || Name::first(3).into_iter().filter(|name| *name != crashed);
        let lasts: Vec<_> =
            others().filter_map(|name| world.state(name)).map(|s| s.last()).collect();
        let began = world.now;
        let is_served = |world: &World| {
            let fresh = &world.oracle.ledger.entries()[before..];
            fresh.iter().any(|committed| committed.epoch > epoch)
        };
        world.run_while(began.after(20_000_000), |world| !is_served(world));
        self.gaps.push(world.now.since(began));
        if lasts.windows(2).all(|pair| pair[0] == pair[1]) {
            self.equal_count += 1;
            let winner = world.elected_since(began).map(|(_, name)| name);
            self.oldest_count += u64::from(winner == others().next());
        }
    }

    /// The gap that `share` of a hundred crashes do not exceed, ms.
    pub(crate) fn percentile(&self, share: usize) -> u64 {
        let place = (self.gaps.len() * share / 100).min(self.gaps.len().saturating_sub(1));
        self.gaps.get(place).map_or(0, |gap| gap / 1000)
    }
}

impl fmt::Display for Takeovers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} crashes of the coordinator of three under load", self.gaps.len())?;
        for share in [1, 50, 90, 95, 99, 100] {
            writeln!(f, "{share:>4} % are over within {} ms", self.percentile(share))?;
        }
        let (oldest, equal) = (self.oldest_count, self.equal_count);
        write!(f, "the longest-running member has won {oldest} of {equal} with equal logs")
    }
}

fn settings() -> Settings {
    Settings {
        voters: 3,
        config: Config::default(),
        weather: Weather { delay_min: 200, delay_max: 2_000, loss: 1_000, ..Weather::CALM },
        sync: (300, 3_000),
        stagger: 200,
        think: 20_000,
        drift: 100,
        checkpoint_every: 100,
        log: LogKind::Model,
        machine: MachineKind::Model,
        log_kept: 50,
        is_encoded: false,
        is_traced: false,
        is_verbose: false,
    }
}
