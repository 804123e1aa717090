//! Scripts of members that lag, come back, or hear only some of the others.

use super::check;

#[test]
fn r28_damage_of_a_state_is_not_handed_on() {
    check("r28_damage_of_a_state_is_not_handed_on");
}

#[test]
fn w85_writes_during_catch_up() {
    check("w85_writes_during_catch_up");
}

#[test]
fn w137_ten_minutes_away() {
    check("w137_ten_minutes_away");
}

#[test]
fn w216_two_of_five_dead() {
    check("w216_two_of_five_dead");
}

#[test]
fn w195_eight_topologies() {
    check("w195_eight_topologies");
}

#[test]
fn r12_catch_up_by_entries_of_several_events() {
    check("r12_catch_up_by_entries_of_several_events");
}

#[test]
fn w82_restart_on_an_idle_partition() {
    check("w82_restart_on_an_idle_partition");
}
