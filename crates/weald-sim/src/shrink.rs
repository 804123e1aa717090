//! Makes a failing plan short: leaves out steps, one half, one quarter and so on, as long as the
//! same invariant is still violated (Zeller and Hildebrandt 2002).

use crate::{invariants::Violation, plan::Plan, run};

/// Runs that are tried, at most.
const TRIES_MAX: usize = 400;

/// The shortest plan that is found.
pub(crate) fn shrink(plan: &Plan) -> Plan {
    let Some(violation) = run::run(plan).violation else { return plan.clone() };
    shrink_while(plan, |candidate| is_same(&violation, run::run(candidate).violation.as_ref()))
}

fn is_same(wanted: &Violation, found: Option<&Violation>) -> bool {
    found.is_some_and(|found| found.invariant == wanted.invariant)
}

/// The shortest plan that is found for which `fails` holds, given one.
fn shrink_while(plan: &Plan, mut fails: impl FnMut(&Plan) -> bool) -> Plan {
    let mut best = plan.clone();
    let (mut size, mut tries) = (best.steps.len(), 0);
    while size > 0 {
        let mut from = 0;
        while from < best.steps.len() && tries < TRIES_MAX {
            tries += 1;
            let mut candidate = best.clone();
            let upto = (from + size).min(candidate.steps.len());
            candidate.steps.drain(from..upto);
            if fails(&candidate) {
                best = candidate;
            } else {
                from += size;
            }
        }
        size /= 2;
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_needed_to_fail_is_left() {
        let plan = Plan::draw(7, None);
        let needed = [plan.steps[1].clone(), plan.steps[plan.steps.len() - 1].clone()];
        let fails = |plan: &Plan| needed.iter().all(|step| plan.steps.contains(step));
        assert!(plan.steps.len() > 3, "there is something to leave out");
        assert_eq!(shrink_while(&plan, fails).steps, needed);
    }
}
