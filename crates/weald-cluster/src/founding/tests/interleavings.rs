//! Many random orders of few nodes, by seed.

use super::world::{Weather, World};
use crate::founding::{Config, Readiness, Report};

const CALM: Weather = Weather { loss: 0, delay_max: 30, crashes: 0, writes: 0, until: 0 };
const ROUGH: Weather = Weather { loss: 120, delay_max: 900, crashes: 6, writes: 0, until: 12_000 };
const BUSY: Weather = Weather { writes: 12, ..ROUGH };
/// When all is quiet again and everything has had the time to settle.
const END: u64 = 60_000;

fn plain() -> Config {
    Config { partition_count: 2, ..Config::default() }
}

fn seeded(init: bool) -> Config {
    Config { bootstrap: vec!["/memory/0".to_owned()], init, ..plain() }
}

/// Everybody belongs to one network: the one in use if there is one.
fn assert_one(world: &World, seed: u64) {
    let is_ready = |n: &super::world::Node| n.readiness() == Some(Readiness::Ready);
    assert!(world.nodes.iter().all(is_ready), "seed {seed}\n{}", world.describe());
    let networks = world.networks();
    assert_eq!(networks.len(), 1, "seed {seed}\n{}", world.describe());
    let network = networks.first().unwrap();
    let is_elsewhere = |(of, logs): (_, &super::world::Logs)| logs.writes > 0 && of != network;
    assert!(!world.logs.iter().any(is_elsewhere), "seed {seed}: what was written is here");
    let system = world.logs[network].partitions.values().next().unwrap().system();
    for node in &world.nodes {
        assert_eq!(system.nodes[&node.peer()].store, node.me.store, "seed {seed}");
    }
}

/// Runs a world to its end. Where several networks came into use, by a write or by a node that was
/// let in, these stay apart and say so; otherwise there is one.
fn run(seed: u64, weather: Weather, configs: Vec<(Config, u64)>) -> World {
    let mut world = World::new(seed, weather, configs);
    world.run_until(END);
    let is_used = |logs: &super::world::Logs| {
        let system = logs.partitions.values().next().unwrap();
        logs.writes > 0 || system.dissolution().has_company
    };
    let used = world.logs.values().filter(|logs| is_used(logs)).count();
    if used <= 1 || weather.until == 0 {
        assert_one(&world, seed);
        return world;
    }
    let networks = world.networks();
    let stay = |network| !world.logs[network].is_gone && is_used(&world.logs[network]);
    assert!(networks.iter().all(stay), "seed {seed}\n{}", world.describe());
    let said = |report: &Report| matches!(report, Report::OtherNetwork { .. });
    let is_said = world.reports.iter().any(|(_, report)| said(report));
    assert!(networks.len() == 1 || is_said, "seed {seed}: they say so");
    world
}

#[test]
fn r31_three_nodes_started_in_one_instant_end_as_one_network() {
    let (mut met, mut dissolved) = (0, 0);
    for seed in 0..240 {
        let weather = if seed % 2 == 0 { CALM } else { ROUGH };
        let world = run(seed, weather, vec![(plain(), 0), (plain(), 0), (plain(), 0)]);
        met += usize::from(world.logs.len() > 1);
        dissolved += world.logs.values().filter(|logs| logs.is_gone).count();
    }
    assert!(met > 20 && dissolved > 20, "networks met and ended: {met} {dissolved}");
}

#[test]
fn nodes_started_one_after_the_other_join_the_first() {
    for seed in 0..160 {
        let weather = if seed % 2 == 0 { CALM } else { ROUGH };
        let configs = vec![(plain(), 0), (plain(), 5000), (plain(), 9000)];
        let world = run(1000 + seed, weather, configs);
        if seed % 2 == 0 {
            assert_eq!(world.logs.len(), 1, "in calm weather nobody founds a second one");
        }
    }
}

#[test]
fn the_first_without_seeds_and_the_others_with_its_address_are_one_network() {
    for seed in 0..160 {
        let weather = if seed % 2 == 0 { CALM } else { ROUGH };
        let starts = if seed % 4 < 2 { [0, 0, 0] } else { [4000, 0, 9000] };
        let configs = [plain(), seeded(false), seeded(false)].into_iter().zip(starts).collect();
        let world = run(2000 + seed, weather, configs);
        assert_eq!(world.logs.len(), 1, "seed {seed}: who has seeds does not found");
    }
}

#[test]
fn all_seeded_with_init_on_one_are_one_network() {
    for seed in 0..160 {
        let weather = if seed % 2 == 0 { CALM } else { ROUGH };
        let starts = if seed % 4 < 2 { [0, 0, 0] } else { [8000, 0, 3000] };
        let configs = [seeded(true), seeded(false), seeded(false)].into_iter().zip(starts);
        let world = run(3000 + seed, weather, configs.collect());
        assert_eq!(world.logs.len(), 1, "seed {seed}: only that one founds");
    }
}

#[test]
fn w5_three_nodes_that_know_one_address_are_one_network_within_ten_seconds() {
    for seed in 0..40 {
        let configs = vec![(seeded(true), 0), (seeded(false), 0), (seeded(false), 0)];
        let mut world = World::new(5000 + seed, CALM, configs);
        world.run_until(10_000);
        assert_one(&world, seed);
        assert_eq!(world.nodes.len(), 3);
    }
}

#[test]
fn r31_a_write_that_was_taken_is_never_lost_when_networks_meet() {
    let (mut called_off, mut apart, mut refused) = (0, 0, 0);
    for seed in 0..400 {
        let count = 2 + seed % 2;
        let configs = (0..count).map(|node| (plain(), node * (seed % 3) * 1500)).collect();
        let world = run(4000 + seed, BUSY, configs);
        let is = |wanted: fn(&Report) -> bool| {
            usize::from(world.reports.iter().any(|(_, report)| wanted(report)))
        };
        called_off += is(|report| matches!(report, Report::CalledOff { .. }));
        apart += is(|report| matches!(report, Report::OtherNetwork { .. }));
        refused += usize::from(world.logs.values().any(|logs| logs.is_gone));
    }
    assert!(
        called_off > 2 && apart > 5 && refused > 5,
        "rare ways were gone: {called_off} {apart} {refused}"
    );
}

#[test]
fn one_seed_gives_one_history() {
    let history = |seed| {
        let configs = vec![(plain(), 0), (plain(), 0), (plain(), 0)];
        let world = run(seed, BUSY, configs);
        (world.reports.len(), world.networks(), world.describe())
    };
    assert_eq!(history(77), history(77));
}
