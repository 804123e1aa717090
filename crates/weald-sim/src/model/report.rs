//! Running an exploration, and what came out of it.

use std::{
    collections::BTreeMap,
    fmt,
    hash::Hash,
    time::{Duration, Instant},
};

use stateright::{Checker, Expectation, HasDiscoveries, Model, Path};

use super::{Bounds, Explorer};

/// What an exploration found.
#[derive(Debug)]
pub struct Explored {
    /// States that differ.
    pub unique_count: usize,
    /// States met, again or for the first time.
    pub met_count: usize,
    /// The most steps from the beginning.
    pub depth: usize,
    /// How long it took.
    pub duration: Duration,
    /// Whether every state within the bounds was met.
    pub is_complete: bool,
    /// What does not hold, with the steps that lead there; what was never met, without any.
    pub failures: BTreeMap<&'static str, Vec<String>>,
}

/// Explores everything within `bounds`, on `threads` threads, for at most `limit`, which one thread alone does not
/// look at.
pub fn check(bounds: Bounds, threads: usize, limit: Duration) -> Explored {
    let begin = Instant::now();
    let checker = Explorer::new(bounds)
        .checker()
        .threads(threads)
        .finish_when(HasDiscoveries::AnyFailures)
        .timeout(limit)
        .spawn_dfs()
        .join();
    let duration = begin.elapsed();
    explored(&checker, (duration, duration < limit), super::World::describe)
}

/// Looks for something that does not hold, nearest first; ends with the first that is found, or once `met_max` states
/// were met, give or take a thousand. The same bounds find the same.
pub fn search(bounds: Bounds, met_max: usize) -> Explored {
    let begin = Instant::now();
    let checker = Explorer::new(bounds)
        .checker()
        .finish_when(HasDiscoveries::AnyFailures)
        .target_state_count(met_max)
        .spawn_bfs()
        .join();
    let is_complete = checker.state_count() < met_max;
    explored(&checker, (begin.elapsed(), is_complete), super::World::describe)
}

/// What `checker` found, how long that took, and whether it met everything; `describe` names an action for who reads
/// the steps.
pub(crate) fn explored<M: Model>(
    checker: &impl Checker<M>,
    (duration, is_complete): (Duration, bool),
    describe: impl Fn(&M::State, &M::Action) -> String,
) -> Explored
where
    M::State: Clone + fmt::Debug + Hash + PartialEq,
    M::Action: Clone + PartialEq,
{
    let discoveries = checker.discoveries();
    // What happens on the way, each step with the state after it.
    let steps = |path: &Path<M::State, M::Action>| -> Vec<String> {
        let states = path.clone().into_vec();
        let step = |(state, action): &(M::State, Option<M::Action>)| {
            let action = action.as_ref().map(|action| describe(state, action));
            format!("{state:?}=> {}", action.unwrap_or_default())
        };
        states.iter().map(step).collect()
    };
    let mut failures = BTreeMap::new();
    for property in checker.model().properties() {
        let discovery = discoveries.get(property.name);
        let is_failure = match property.expectation {
            Expectation::Sometimes => discovery.is_none(),
            _ => discovery.is_some(),
        };
        if is_failure {
            let path = discovery.map(&steps);
            failures.insert(property.name, path.unwrap_or_default());
        }
    }
    Explored {
        unique_count: checker.unique_state_count(),
        met_count: checker.state_count(),
        depth: checker.max_depth(),
        duration,
        is_complete,
        failures,
    }
}

impl fmt::Display for Explored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "states={} met={} depth={} time={:.1}s complete={}",
            self.unique_count,
            self.met_count,
            self.depth,
            self.duration.as_secs_f64(),
            self.is_complete,
        )?;
        for (name, steps) in &self.failures {
            write!(f, "\nFAILED: {name}")?;
            steps.iter().try_for_each(|step| write!(f, "\n{step}"))?;
        }
        Ok(())
    }
}
