//! Processes killed with SIGKILL while they write: what was acknowledged is there, transactions are
//! whole, sequences have no gap, revisions never go back. 108 kills in all.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![expect(clippy::print_stdout, reason = "seeds are printed, so that a run can be repeated")]

use weald_tests::crash::{Plan, Tally, run_rounds};

async fn survives(name: &str, kills: u32, change: impl FnOnce(&mut Plan)) -> Tally {
    let folder = tempfile::tempdir().unwrap();
    let mut plan = Plan {
        writer: env!("CARGO_BIN_EXE_crash-writer").into(),
        seed: fresh_seed(),
        kills,
        callers: 8,
        value_bytes: 100,
        restless: true,
    };
    change(&mut plan);
    println!("{name}: {plan:?}");
    let tally = run_rounds(&plan, &folder.path().join("data")).await;
    let tally = tally.unwrap_or_else(|error| panic!("{name}: {plan:?}: {error:#}"));
    println!("{name}: {tally:?}");
    assert_eq!(tally.kills, kills);
    assert!(tally.acked > u64::from(kills), "writers must get to write: {tally:?}");
    tally
}

/// Other moments in each run; `WEALD_TEST_SEED` repeats one.
fn fresh_seed() -> u64 {
    let given = std::env::var("WEALD_TEST_SEED").ok().and_then(|text| text.parse().ok());
    given.unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        u64::from(now.subsec_nanos()) << 16 | u64::from(std::process::id()) | 1
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_survive_kills_among_checkpoints_and_new_segments() {
    survives("many callers", 40, |plan| plan.callers = 16).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_caller_survives_kills() {
    survives("one caller", 28, |plan| plan.callers = 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_values_survive_kills() {
    survives("large values", 20, |plan| plan.value_bytes = 20_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_default_settings_survive_kills() {
    survives("default settings", 20, |plan| plan.restless = false).await;
}
