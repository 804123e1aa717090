//! Every script, with everything that happens in it.

use super::*;

mod rows;

fn check(name: &str) {
    let (played, is_expected) = play_named(name).unwrap();
    assert_eq!(played.lines().last(), Some("well"), "{played}");
    assert!(is_expected, "something else happens: `cargo xtask sim {name}`\n{played}");
}

#[test]
fn r10_cut_suffix_stays_cut() {
    check("r10_cut_suffix_stays_cut");
}

#[test]
fn r11_copied_disk_is_noticed() {
    check("r11_copied_disk_is_noticed");
}

#[test]
fn r12_wiped_member_gets_transactions_of_several_events() {
    check("r12_wiped_member_gets_transactions_of_several_events");
}

#[test]
fn r28_damaged_state_is_noticed_and_loaded_again() {
    check("r28_damaged_state_is_noticed_and_loaded_again");
}

#[test]
fn r15_promise_outlives_a_crash() {
    check("r15_promise_outlives_a_crash");
}

#[test]
fn r16_replaced_disk_is_not_counted() {
    check("r16_replaced_disk_is_not_counted");
}

#[test]
fn r17_rot_of_the_last_record() {
    check("r17_rot_of_the_last_record");
}

#[test]
fn r18_old_member_lags() {
    check("r18_old_member_lags");
}

#[test]
fn r19_deposed_coordinator_is_read() {
    check("r19_deposed_coordinator_is_read");
}

#[test]
fn w128_r1_stale_oldest_boot() {
    check("r1_stale_oldest_boot");
}

#[test]
fn r21_late_copy_does_nothing() {
    check("r21_late_copy_does_nothing");
}

#[test]
fn r25_fast_clock() {
    check("r25_fast_clock");
}

#[test]
fn w128_r2_isolated_coordinator_comes_back() {
    check("r2_isolated_coordinator_comes_back");
}

#[test]
fn r33_clock_goes_back() {
    check("r33_clock_goes_back");
}

#[test]
fn r34_full_disk_heals() {
    check("r34_full_disk_heals");
}

#[test]
fn r36_idle_commit_is_told_at_once() {
    check("r36_idle_commit_is_told_at_once");
}

#[test]
fn w128_r3_missing_entry_takeover() {
    check("r3_missing_entry_takeover");
}

#[test]
fn r4_write_without_copies_is_sent_again() {
    check("r4_write_without_copies_is_sent_again");
}

#[test]
fn r5_lost_commit_notices() {
    check("r5_lost_commit_notices");
}

#[test]
fn r6_demoted_coordinator_goes_on() {
    check("r6_demoted_coordinator_goes_on");
}

#[test]
fn r8_power_cuts_under_load() {
    check("r8_power_cuts_under_load");
}

#[test]
fn r9_three_become_five_and_others() {
    check("r9_three_become_five_and_others");
}

#[test]
fn w118_source_dies() {
    check("w118_source_dies");
}

#[test]
fn w124_isolated_coordinator_steps_down() {
    check("w124_isolated_coordinator_steps_down");
}

#[test]
fn w132_partial_write() {
    check("w132_partial_write");
}

#[test]
fn w138_bit_rot() {
    check("w138_bit_rot");
}

#[test]
fn w184_no_quorum_for_a_minute() {
    check("w184_no_quorum_for_a_minute");
}

#[test]
fn w19_old_leader_wakes() {
    check("w19_old_leader_wakes");
}

#[test]
fn w214_shrink_after_two_died() {
    check("w214_shrink_after_two_died");
}

#[test]
fn w43_reorder() {
    check("w43_reorder");
}

#[test]
fn w62_slow_disk() {
    check("w62_slow_disk");
}

#[test]
fn w82_drop_one() {
    check("w82_drop_one");
}

#[test]
fn r11_copied_disk_is_noticed_after_restarts() {
    check("r11_copied_disk_is_noticed_after_restarts");
}

#[test]
fn r25_fast_clock_of_one_of_two() {
    check("r25_fast_clock_of_one_of_two");
}

#[test]
fn r32_two_nodes_the_second_vanishes() {
    check("r32_two_nodes_the_second_vanishes");
}

#[test]
fn w122_crash_pause_and_slow_disk_are_noticed() {
    check("w122_crash_pause_and_slow_disk_are_noticed");
}

#[test]
fn w122_loss_deposes_nobody_for_an_hour() {
    check("w122_loss_deposes_nobody_for_an_hour");
}

#[test]
fn w126_no_answer_before_the_own_entry() {
    check("w126_no_answer_before_the_own_entry");
}

#[test]
fn w64_minority_refuses_majority_serves() {
    check("w64_minority_refuses_majority_serves");
}

#[test]
fn w91_earlier_runs_are_refused() {
    check("w91_earlier_runs_are_refused");
}

#[test]
fn w29_d65_lost_majority() {
    check("w29_lost_majority");
}

#[test]
fn w29_lost_twice() {
    check("w29_lost_twice");
}
