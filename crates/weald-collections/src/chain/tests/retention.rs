//! What retention drops.

use std::time::Duration;

use weald_core::Retention;

use super::*;

fn keep(bench: &mut Bench, retention: &Retention, appended: u64) -> bool {
    let (now, mut chain) = (Time::from_millis(bench.now), bench.chain);
    let dropped = retain(bench, &mut chain, retention, now, appended).unwrap();
    bench.chain = chain;
    dropped
}

#[test]
fn d53_count_bytes_and_age_bound_what_is_kept() {
    let count = Retention { entries_max: Some(10), ..Retention::ALL };
    let bytes = Retention { bytes_max: Some(80), ..Retention::ALL };
    let age = Retention { age_max: Some(Duration::from_millis(9)), ..Retention::ALL };
    for retention in [count, bytes, age] {
        let mut bench = Bench::default();
        for n in 0..200 {
            bench.append_numbers(n..n + 1);
            keep(&mut bench, &retention, 1);
            let kept: Vec<u64> = ((n + 1).saturating_sub(10)..=n).collect();
            assert_eq!(bench.all(), kept, "{retention:?}");
            assert!(bench.blocks.len() <= 2);
        }
        assert_eq!(bench.verify().unwrap(), 10);
    }
}

#[test]
fn d53_the_newest_entry_is_always_kept() {
    let nothing =
        Retention { entries_max: Some(0), bytes_max: Some(0), age_max: Some(Duration::ZERO) };
    let mut bench = Bench::default();
    bench.append_numbers(0..50);
    bench.now += 1_000;
    keep(&mut bench, &nothing, 50);
    assert_eq!(bench.all(), vec![49]);
    assert!(!keep(&mut bench, &nothing, 0));
}

#[test]
fn d53_nothing_set_keeps_everything() {
    let mut bench = Bench::default();
    bench.append_numbers(0..50);
    bench.now += 1_000_000;
    assert!(!keep(&mut bench, &Retention::ALL, 1));
    assert_eq!(bench.chain.len(), 50);
}

#[test]
fn d53_a_tightened_policy_takes_effect_in_bounded_steps() {
    let mut bench = Bench::default();
    bench.append_numbers(0..1_000);
    let retention = Retention { entries_max: Some(1), ..Retention::ALL };
    bench.reads = 0;
    keep(&mut bench, &retention, 1);
    let dropped = 1_000 - bench.chain.len();
    assert!((50..100).contains(&dropped), "dropped={dropped}");
    assert!(bench.reads < 10);
    for _ in 0..20 {
        keep(&mut bench, &retention, 1);
    }
    assert_eq!(bench.all(), vec![999]);
}
