//! Publishers, home members and a subscriber over a bad network, from a seed: the real state machines
//! over the real executor. One seed gives one run.

mod network;
mod verdict;
mod world;

use weald_core::Digest;

use world::{Faults, World};

/// Runs a seed to its end and checks it; returns a digest of the run.
fn run(seed: u64, faults: Faults) -> Digest {
    let mut world = World::new(seed, faults);
    world.run(600);
    world.settle();
    world.check();
    world.digest()
}

const SEEDS: u64 = 24;

#[test]
fn ps1153_g5_each_message_once_in_order_or_its_exact_gap_without_faults() {
    for seed in 0..4 {
        run(seed, Faults::default());
    }
}

#[test]
fn ps60_ps1544_g5_ps42_ps98_ps99_ps273_loss_duplication_and_reordering_lose_and_repeat_nothing() {
    for seed in 0..SEEDS {
        run(seed, Faults { loss_percent: 20, duplicate_percent: 30, ..Faults::default() });
    }
}

#[test]
fn ps1563_ps94_g5_ps177_ps313_ps348_ps1153_ps1499_ps1714_crashes_of_members_and_applications_lose_and_repeat_nothing()
 {
    let faults = Faults { loss_percent: 10, duplicate_percent: 10, crash_permille: 8 };
    for seed in 100..100 + SEEDS {
        run(seed, faults);
    }
}

#[test]
fn ps30_ps34_g5_a_subscription_goes_on_for_several_times_its_lease_over_reconnections() {
    for seed in 300..304 {
        let mut world = World::new(seed, Faults::default());
        for _ in 0..12 {
            world.run(200);
            world.crash_member();
        }
        world.settle();
        world.check();
        world.check_subscription();
    }
}

#[test]
fn ps60_g5_half_of_all_packets_lost_still_delivers() {
    for seed in 200..204 {
        run(seed, Faults { loss_percent: 50, ..Faults::default() });
    }
}

#[test]
fn one_seed_gives_one_run() {
    let faults = Faults { loss_percent: 20, duplicate_percent: 20, crash_permille: 8 };
    assert_eq!(run(7, faults), run(7, faults));
    assert_ne!(run(7, faults), run(8, faults));
}

#[test]
fn ps1577_a_message_that_the_harness_drops_is_noticed() {
    let mut world = World::new(1, Faults::default());
    world.run(200);
    world.settle();
    world.forget_one_event();
    assert!(!world.is_complete());
}
