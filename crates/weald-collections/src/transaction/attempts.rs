//! When a closure is run again, and when that ends.

use std::time::Duration;

use weald_core::{
    Commit, Entropy, Outcome, PlacementKey, Rejection, Time, TransactionId, UnknownCause,
};

/// Bounds of the reruns of one closure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Runs, the first included. Default: 32.
    pub attempts_max: u32,
    /// From the first run on; no run begins after it. Default: 10 s.
    pub deadline: Duration,
    /// The wait before the first rerun, at most; it doubles with each. Default: 1 ms.
    pub backoff_first: Duration,
    /// The wait before any rerun, at most. Default: 250 ms.
    pub backoff_max: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts_max: 32,
            deadline: Duration::from_secs(10),
            backoff_first: Duration::from_millis(1),
            backoff_max: Duration::from_millis(250),
        }
    }
}

/// The runs of one closure, as the facade drives them: [`Attempts::begin`] gives the id of a run,
/// [`Attempts::settle`] says what its outcome means. A fresh id is given only after a definite
/// rejection: an unknown outcome ends the runs, because the transaction may have happened.
#[derive(Clone, Debug)]
pub struct Attempts {
    policy: RetryPolicy,
    begun: Time,
    count: u32,
    is_aborted: bool,
    running: Option<TransactionId>,
    /// The last conflict, which names what this lost to; kept when later refusals do not.
    lost_to: Option<Rejection>,
}

/// What an outcome means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is committed.
    Committed(Commit),
    /// It was refused for a reason that a rerun would meet again.
    Refused(Rejection),
    /// It may have happened; ask by its id.
    Unknown(TransactionId, UnknownCause),
    /// Run again after this wait.
    Rerun(Duration),
    /// Enough was tried.
    GaveUp(GaveUp),
}

/// Why the runs ended without a result. Nothing was committed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the transaction was given up: {cause} attempts={attempts}{}", lost(.lost_to.as_ref()))]
pub struct GaveUp {
    /// What ended them.
    pub cause: GiveUpCause,
    /// Runs made.
    pub attempts: u32,
    /// What the last run that knew it lost to.
    pub lost_to: Option<Rejection>,
}

/// What ended the runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GiveUpCause {
    /// All runs lost.
    #[error("every attempt lost")]
    Attempts,
    /// The deadline passed.
    #[error("the deadline passed")]
    Deadline,
    /// The caller called it off.
    #[error("called off by the caller")]
    Aborted,
}

fn lost(to: Option<&Rejection>) -> String {
    to.map_or_else(String::new, |rejection| format!(" last={rejection}"))
}

impl Attempts {
    /// No run yet.
    pub const fn new(policy: RetryPolicy, now: Time) -> Self {
        let (count, is_aborted, running, lost_to) = (0, false, None, None);
        Self { policy, begun: now, count, is_aborted, running, lost_to }
    }

    /// Runs begun.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Begins a run under a fresh id.
    ///
    /// # Errors
    /// [`GaveUp`] when no further run is allowed.
    ///
    /// # Panics
    /// When the run before has no outcome yet: its id could still commit.
    pub fn begin(
        &mut self,
        now: Time,
        home: PlacementKey,
        entropy: &mut impl Entropy,
    ) -> Result<TransactionId, GaveUp> {
        assert!(self.running.is_none(), "a run begins only after the one before was settled");
        if let Some(cause) = self.end(now) {
            return Err(self.given_up(cause));
        }
        self.count += 1;
        let id = TransactionId::random(home, entropy);
        self.running = Some(id);
        Ok(id)
    }

    /// What `outcome` means for the run under way.
    ///
    /// # Panics
    /// When no run is under way.
    pub fn settle(&mut self, now: Time, outcome: Outcome, entropy: &mut impl Entropy) -> Verdict {
        let id = self.running.take().expect("an outcome belongs to a run");
        let rejection = match outcome {
            Outcome::Committed(commit) => return Verdict::Committed(commit),
            Outcome::Unknown(cause) => return Verdict::Unknown(id, cause),
            Outcome::Rejected(rejection) => rejection,
        };
        if !rejection.is_retryable() {
            return Verdict::Refused(rejection);
        }
        if matches!(rejection, Rejection::Conflict { .. }) || self.lost_to.is_none() {
            self.lost_to = Some(rejection);
        }
        let wait = self.backoff(entropy);
        match self.end(now.after(wait)) {
            Some(cause) => Verdict::GaveUp(self.given_up(cause)),
            None => Verdict::Rerun(wait),
        }
    }

    /// The run under way ended before anything was sent: it settles nothing and may begin again.
    pub fn withdraw(&mut self) {
        self.running = None;
    }

    /// The caller calls it off: no further run begins. The outcome of one under way still counts.
    pub fn abort(&mut self) {
        self.is_aborted = true;
    }

    fn end(&self, at: Time) -> Option<GiveUpCause> {
        if self.is_aborted {
            return Some(GiveUpCause::Aborted);
        }
        if self.count >= self.policy.attempts_max {
            return Some(GiveUpCause::Attempts);
        }
        let is_late = self.count > 0 && at.since(self.begun) > self.policy.deadline;
        is_late.then_some(GiveUpCause::Deadline)
    }

    fn given_up(&self, cause: GiveUpCause) -> GaveUp {
        GaveUp { cause, attempts: self.count, lost_to: self.lost_to.clone() }
    }

    /// Between half of the doubled wait and all of it, so that those who lost together part.
    fn backoff(&self, entropy: &mut impl Entropy) -> Duration {
        let doublings = self.count.saturating_sub(1).min(20);
        let wait = self.policy.backoff_first.saturating_mul(1 << doublings);
        let wait = wait.min(self.policy.backoff_max);
        let [jitter] = entropy.draw::<1>();
        wait / 2 + wait * u32::from(jitter) / 510
    }
}
