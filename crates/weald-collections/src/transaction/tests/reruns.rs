//! When a closure is run again.

use std::time::Duration;

use weald_core::{
    Commit, Outcome, PlacementKey, Position, Rejection, SeededEntropy, Time, TransactionId,
    UnknownCause,
};

use crate::transaction::{Attempts, GaveUp, GiveUpCause, RetryPolicy, Verdict};

struct Driver {
    attempts: Attempts,
    now: Time,
    entropy: SeededEntropy,
    ids: Vec<TransactionId>,
    waits: Vec<Duration>,
}

impl Driver {
    fn new(policy: RetryPolicy) -> Self {
        let now = Time::from_millis(5_000);
        let attempts = Attempts::new(policy, now);
        Self { attempts, now, entropy: SeededEntropy::new(1), ids: vec![], waits: vec![] }
    }

    fn begin(&mut self) -> Result<(), GaveUp> {
        let home = PlacementKey::from_u64(7);
        self.ids.push(self.attempts.begin(self.now, home, &mut self.entropy)?);
        Ok(())
    }

    fn settle(&mut self, outcome: Outcome) -> Verdict {
        self.attempts.settle(self.now, outcome, &mut self.entropy)
    }

    /// Runs until there is a verdict other than to run again.
    fn run(&mut self, mut outcome: impl FnMut(u32) -> Outcome) -> Verdict {
        loop {
            if let Err(gave_up) = self.begin() {
                return Verdict::GaveUp(gave_up);
            }
            let outcome = outcome(self.attempts.count());
            match self.settle(outcome) {
                Verdict::Rerun(wait) => {
                    self.now = self.now.after(wait.max(Duration::from_millis(1)));
                    self.waits.push(wait);
                }
                verdict => return verdict,
            }
        }
    }
}

fn conflict() -> Outcome {
    let winner = Some(TransactionId::new(PlacementKey::from_u64(7), [9; 16]));
    Outcome::Rejected(Rejection::Conflict { collection: "c".into(), winner })
}

fn busy() -> Outcome {
    Outcome::Rejected(Rejection::Busy { what: "results".into(), max: 1 })
}

fn committed() -> Outcome {
    let (position, time) = (Position::default(), Time::ZERO);
    Outcome::Committed(Commit { position, time, revisions: vec![], answers: vec![] })
}

#[test]
fn a52_it_gives_up_after_exactly_as_many_attempts_as_allowed() {
    for attempts_max in [1, 2, 7] {
        let mut driver = Driver::new(RetryPolicy { attempts_max, ..RetryPolicy::default() });
        let Verdict::GaveUp(gave_up) = driver.run(|_| conflict()) else { panic!("no end") };
        assert_eq!((gave_up.cause, gave_up.attempts), (GiveUpCause::Attempts, attempts_max));
        assert_eq!(driver.ids.len(), usize::try_from(attempts_max).unwrap());
        assert!(gave_up.to_string().contains(&format!("attempts={attempts_max}")));
    }
}

#[test]
fn a52_losses_within_the_bounds_end_well() {
    let mut driver = Driver::new(RetryPolicy::default());
    let verdict = driver.run(|run| if run < 20 { conflict() } else { committed() });
    assert!(matches!(verdict, Verdict::Committed(_)));
    assert_eq!(driver.attempts.count(), 20);
}

#[test]
fn a52_no_run_begins_after_the_deadline() {
    let policy = RetryPolicy { deadline: Duration::from_millis(300), ..RetryPolicy::default() };
    let mut driver = Driver::new(policy);
    let Verdict::GaveUp(gave_up) = driver.run(|_| conflict()) else { panic!("no end") };
    assert_eq!(gave_up.cause, GiveUpCause::Deadline);
    assert!(driver.now.since(Time::from_millis(5_000)) <= policy.deadline);
    assert!(gave_up.attempts > 3 && gave_up.attempts < policy.attempts_max);
    // A first run is always made.
    let mut driver = Driver::new(RetryPolicy { deadline: Duration::ZERO, ..policy });
    driver.now = driver.now.after(Duration::from_secs(1));
    assert!(matches!(driver.run(|_| committed()), Verdict::Committed(_)));
}

#[test]
fn a52_calling_off_is_prompt_and_an_outcome_under_way_still_counts() {
    let mut driver = Driver::new(RetryPolicy::default());
    driver.begin().unwrap();
    driver.attempts.abort();
    let Verdict::GaveUp(gave_up) = driver.settle(conflict()) else { panic!("a rerun") };
    assert_eq!((gave_up.cause, gave_up.attempts), (GiveUpCause::Aborted, 1));
    assert_eq!(driver.begin().unwrap_err().cause, GiveUpCause::Aborted);
    let mut driver = Driver::new(RetryPolicy::default());
    driver.begin().unwrap();
    driver.attempts.abort();
    assert!(matches!(driver.settle(committed()), Verdict::Committed(_)));
}

#[test]
fn a52_what_it_lost_to_is_told_and_kept_when_later_refusals_do_not_say() {
    let lost_to = |outcomes: &[fn() -> Outcome]| {
        let attempts_max = u32::try_from(outcomes.len()).unwrap();
        let mut driver = Driver::new(RetryPolicy { attempts_max, ..RetryPolicy::default() });
        match driver.run(|run| outcomes[usize::try_from(run).unwrap() - 1]()) {
            Verdict::GaveUp(gave_up) => gave_up,
            verdict => panic!("{verdict:?}"),
        }
    };
    let rejection = |outcome: Outcome| match outcome {
        Outcome::Rejected(rejection) => Some(rejection),
        _ => None,
    };
    assert_eq!(lost_to(&[conflict, busy, busy]).lost_to, rejection(conflict()));
    assert_eq!(lost_to(&[busy, busy]).lost_to, rejection(busy()));
    let none = GaveUp { cause: GiveUpCause::Deadline, attempts: 0, lost_to: None };
    assert!(!none.to_string().contains("last="));
}

#[test]
fn a53_a_fresh_id_is_drawn_only_after_a_definite_rejection() {
    let mut driver = Driver::new(RetryPolicy::default());
    driver.run(|run| if run < 9 { conflict() } else { committed() });
    let mut ids = driver.ids.clone();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 9);
    let mut driver = Driver::new(RetryPolicy::default());
    driver.begin().unwrap();
    let verdict = driver.settle(Outcome::Unknown(UnknownCause::Deadline));
    assert_eq!(verdict, Verdict::Unknown(driver.ids[0], UnknownCause::Deadline));
}

#[test]
fn a53_what_was_never_sent_may_begin_again() {
    let mut driver = Driver::new(RetryPolicy { attempts_max: 2, ..RetryPolicy::default() });
    driver.begin().unwrap();
    driver.attempts.withdraw();
    driver.begin().unwrap();
    assert!(matches!(driver.settle(committed()), Verdict::Committed(_)));
}

#[test]
fn a_refusal_that_a_rerun_would_meet_again_ends_the_runs() {
    let mut driver = Driver::new(RetryPolicy::default());
    let refused = Rejection::Custom { code: 1, detail: "no".into() };
    let verdict = driver.run(|_| Outcome::Rejected(refused.clone()));
    assert_eq!((verdict, driver.attempts.count()), (Verdict::Refused(refused), 1));
}

#[test]
fn waits_double_up_to_their_bound_and_are_spread() {
    let mut driver = Driver::new(RetryPolicy::default());
    driver.run(|_| conflict());
    let policy = RetryPolicy::default();
    for (n, wait) in (0_u32..).zip(&driver.waits) {
        let full = policy.backoff_first.saturating_mul(1 << n.min(20)).min(policy.backoff_max);
        assert!(*wait >= full / 2 && *wait <= full, "n={n} wait={wait:?}");
    }
    let mut last: Vec<_> = driver.waits[20..].to_vec();
    last.dedup();
    assert!(last.len() > 5);
}
