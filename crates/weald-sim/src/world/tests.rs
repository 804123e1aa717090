//! Worlds under load: what clients get out of them, and what that costs in messages.

use crate::{
    client::{Client, What},
    command::Command,
    machine::{Action, Shown},
    name::Name,
    network::Weather,
    script,
    world::World,
};

/// How long a load is measured, us.
const MEASURED: u64 = 2_000_000;
/// How long a world may take to agree afterwards, us.
const AGREEMENT: u64 = 20_000_000;

/// Three nodes with a coordinator, on a network where every message takes `delay` us; clients
/// begin the next operation when they are told of the last.
fn led(delay: u64) -> World {
    let weather = Weather { delay_min: delay, delay_max: delay, ..Weather::CALM };
    let settings = crate::world::Settings { weather, think: 0, ..script::settings(3) };
    let mut world = World::new(settings, 1);
    world.boot();
    let soon = world.now.after(2_000_000);
    world.run_while(soon, |world| world.coordinator().is_none());
    world
}

/// How many writes so many clients are told of meanwhile.
fn written(world: &mut World, clients: u8) -> u64 {
    let before = world.answered().0;
    world.command(&Command::Load(clients));
    world.run_until(world.now.after(MEASURED));
    world.answered().0 - before
}

/// Ends the load and all faults: everybody agrees, and the clients' history is judged.
fn judge(world: &mut World) {
    world.mend_all();
    world.expect_progress(AGREEMENT);
    world.judge_history();
    assert_eq!(world.violation, None);
}

#[test]
fn w150_w154_with_25_ms_between_nodes_64_writes_under_way_are_twenty_times_as_many_as_one() {
    let (one, many) = (written(&mut led(25_000), 1), written(&mut led(25_000), 64));
    assert!(one > 3 && many >= 20 * one, "{one} writes one by one, {many} by 64 clients");
}

#[test]
fn w153_writes_under_way_together_stay_in_order_where_a_hundredth_of_messages_is_lost() {
    let mut world = led(25_000);
    world.command(&Command::Loss(1));
    let many = written(&mut world, 64);
    assert!(many > 100, "{many} writes");
    judge(&mut world);
}

#[test]
fn w169_w170_w171_under_load_the_watermark_rides_on_appends_and_heartbeats() {
    let mut world = led(1_000);
    world.settings.is_verbose = true;
    let before = world.trace.lines().len();
    let many = written(&mut world, 64);
    let lines = &world.trace.lines()[before..];
    let count = |message: &str| lines.iter().filter(|line| line.contains(message)).count() as u64;
    let (notices, appends) = (count("ConfirmTransaction"), count("ReplicateWrite"));
    assert!(many > 1_000 && appends > 0, "{many} writes in {appends} appends");
    let to_each = notices / 2;
    assert!(to_each * 1_000 <= 50 * many, "{to_each} notices to each member, {many} writes");
}

#[test]
fn w194_a_coordinator_that_dies_every_two_seconds_costs_no_write() {
    let mut world = led(1_000);
    world.settings.think = 20_000;
    world.command(&Command::Load(2));
    for _ in 0..30 {
        world.run_until(world.now.after(1_500_000));
        let Some(name) = world.coordinator() else { continue };
        world.command(&Command::Crash(name));
        world.run_until(world.now.after(500_000));
        world.command(&Command::Restart(name));
    }
    assert!(world.elections.len() >= 25, "{} coordinations", world.elections.len());
    assert!(world.answered().0 > 1_000, "{} writes", world.answered().0);
    judge(&mut world);
}

#[test]
fn w133_five_members_have_one_state_after_crashes_and_cut_links() {
    let mut settings = script::settings(5);
    settings.machine = crate::machine::MachineKind::Real;
    let mut world = World::new(settings, 7);
    world.boot();
    world.command(&Command::Load(4));
    for round in 0..6 {
        let (one, other) = (Name(round % 5), Name((round + 2) % 5));
        world.run_until(world.now.after(1_000_000));
        world.command(&Command::Crash(one));
        world.command(&Command::Cut(other, Name((round + 3) % 5)));
        world.run_until(world.now.after(700_000));
        world.command(&Command::Restart(one));
        world.command(&Command::Heal);
    }
    judge(&mut world);
    let digests: Vec<_> = world
        .nodes
        .values()
        .filter_map(|node| Some(node.process.as_ref()?.machine.digest()))
        .collect();
    assert_eq!(digests.len(), 5);
    assert!(digests.windows(2).all(|pair| pair[0] == pair[1]), "{digests:?}");
}

/// A world whose only client has written 7 and been shown this.
fn shown(value: u32) -> World {
    let mut world = led(1_000);
    let mut client = Client::new(1);
    client.is_active = false;
    let write = What::Write(client.write(Action::Set { key: 0, value: 7 }, 0));
    world.clients.insert(1, client);
    world.begin(1, write);
    let soon = world.now.after(2_000_000);
    world.run_while(soon, |world| world.clients[&1].doing.is_some());
    assert_eq!(world.clients[&1].written, 1);
    // Later than the answer: operations that meet at a moment overlap.
    world.histories.begin(1, world.now.after(1_000), &What::Read { key: 0 });
    let told = Shown { value, list: Vec::new() };
    world.histories.read(world.now.after(2_000), (1, 0), &told);
    world.judge_history();
    world
}

#[test]
fn a_world_whose_client_was_shown_what_it_did_not_write_is_not_well() {
    assert_eq!(shown(7).violation, None);
    for other in [0, 8] {
        let violation = shown(other).violation.expect("the judge of the history notices");
        assert_eq!(violation.invariant, "history linearizable");
    }
}
