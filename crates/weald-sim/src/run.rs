//! Runs of plans: faults, then none, then everybody has to agree.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{
    bank,
    coverage::Coverage,
    invariants::Violation,
    plan::{FAULTY_MILLIS, Plan, PlanKind},
    schedule::Instant,
    topics,
    world::World,
};

/// How long a world without faults may take until all agree, us.
const AGREEMENT: u64 = 20_000_000;

/// What came of a run.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    pub(crate) violation: Option<Violation>,
    pub(crate) coverage: Coverage,
    /// The hash over every event.
    pub(crate) hash: u64,
    /// Virtual time that passed, us.
    pub(crate) passed: u64,
    /// Writes and reads that were answered.
    pub(crate) answered: (u64, u64),
    pub(crate) lines: Vec<String>,
}

/// Runs a plan. A panic in a core is a violation, too.
pub(crate) fn run(plan: &Plan) -> Verdict {
    let ran = catch_unwind(AssertUnwindSafe(|| match plan.kind {
        PlanKind::Single => run_world(plan),
        PlanKind::Bank => bank::run(plan),
        PlanKind::Topics(mutation) => topics::run(plan, mutation),
    }));
    ran.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let detail = text.unwrap_or_default();
        Verdict {
            violation: Some(Violation { invariant: "panic", at: Instant(0), detail }),
            coverage: Coverage::default(),
            hash: 0,
            passed: 0,
            answered: (0, 0),
            lines: Vec::new(),
        }
    })
}

fn run_world(plan: &Plan) -> Verdict {
    let mut world = World::new(plan.settings.clone(), plan.seed);
    let stage = |(at, voters): &(Instant, Vec<_>)| (*at, voters.iter().copied().collect());
    world.journey = plan.journey.iter().map(stage).collect();
    world.must_arrive = !plan.journey.is_empty();
    world.boot();
    for (at, command) in &plan.steps {
        world.run_until(*at);
        if world.violation.is_some() {
            break;
        }
        world.command(command);
    }
    world.run_until(Instant::from_millis(FAULTY_MILLIS));
    if world.violation.is_none() {
        world.mend_all();
        world.expect_progress(AGREEMENT);
        world.judge_history();
    }
    Verdict {
        violation: world.violation.clone(),
        coverage: world.coverage.clone(),
        hash: world.trace.hash(),
        passed: world.now.0,
        answered: world.answered(),
        lines: world.trace.lines().to_vec(),
    }
}

#[cfg(test)]
mod tests;
