//! Many seeds on a few threads.

use std::{
    fmt,
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{
    coverage::{Coverage, Rare},
    invariants::Violation,
    plan::Plan,
    run,
};

/// What came of a batch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Batch {
    pub(crate) runs: u64,
    /// Seeds whose run violated an invariant, in order.
    pub(crate) failures: Vec<(u64, Violation)>,
    pub(crate) coverage: Coverage,
    /// Virtual time, us.
    pub(crate) passed: u64,
    pub(crate) answered: (u64, u64),
}

/// Runs the plan of every seed of a range.
pub(crate) fn run(seeds: Range<u64>, jobs: usize, plan: impl Fn(u64) -> Plan + Sync) -> Batch {
    let next = AtomicU64::new(seeds.start);
    let batch = Mutex::new(Batch::default());
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let verdict = run::run(&plan(seed));
                    let mut batch = batch.lock().unwrap_or_else(PoisonError::into_inner);
                    batch.add(seed, verdict);
                }
            });
        }
    });
    let mut batch = batch.into_inner().unwrap_or_else(PoisonError::into_inner);
    batch.failures.sort_by_key(|(seed, _)| *seed);
    batch
}

impl Batch {
    fn add(&mut self, seed: u64, verdict: run::Verdict) {
        self.runs += 1;
        self.passed += verdict.passed;
        self.answered.0 += verdict.answered.0;
        self.answered.1 += verdict.answered.1;
        self.coverage.add(&verdict.coverage);
        self.failures.extend(verdict.violation.map(|violation| (seed, violation)));
    }
}

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (written, read) = self.answered;
        let seconds = self.passed / 1_000_000;
        writeln!(
            f,
            "{} runs, {seconds} virtual seconds, {written} writes and {read} reads answered",
            self.runs
        )?;
        for rare in Rare::ALL {
            writeln!(f, "{:>9} {rare:?}", self.coverage.count(rare))?;
        }
        write!(f, "never reached: {:?}", self.coverage.missing())
    }
}
