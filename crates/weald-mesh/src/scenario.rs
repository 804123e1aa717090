//! The scenarios, one file each, and how they are run.

mod catch_up;
mod churn;
mod create_race;
mod dht_down;
mod forced_recovery;
mod form;
mod k1;
mod k3;
mod kill_leader;
mod lost_answers;
mod lost_log;
mod partition;
mod pause;
mod redirect;
mod restart_all;
mod rogue;
mod rolling_restart;
mod soak;
mod topics;
mod trial;
mod two_nodes;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::arguments::TestOptions;
use crate::guard::Guard;
use crate::isolation;
use crate::mesh::Setup;
use crate::report::Report;
use trial::Trial;

/// A story that real nodes go through.
struct Scenario {
    name: &'static str,
    about: &'static str,
    defaults: Defaults,
    run: fn(&Setup) -> Result<Report>,
}

/// What a scenario takes where the command line does not say.
struct Defaults {
    nodes: usize,
    /// Fewer make no sense.
    nodes_min: usize,
    k: Option<usize>,
    operations: usize,
    rounds: usize,
}

const ALL: [Scenario; 28] = [
    k1::SCENARIO,
    k3::SCENARIO,
    form::SCENARIO,
    create_race::SCENARIO,
    redirect::SCENARIO,
    dht_down::SCENARIO,
    kill_leader::SCENARIO,
    pause::SCENARIO,
    partition::SCENARIO,
    catch_up::SCENARIO,
    lost_log::SCENARIO,
    two_nodes::SCENARIO,
    churn::SCENARIO,
    restart_all::SCENARIO,
    forced_recovery::SCENARIO,
    rolling_restart::SCENARIO,
    lost_answers::SCENARIO,
    rogue::SCENARIO,
    soak::SCENARIO,
    topics::LATE_JOINER,
    topics::CONCURRENT,
    topics::CHURN,
    topics::MEMBERS,
    topics::PARTITION,
    topics::RENEWAL,
    topics::EXPIRY,
    topics::ATTACK,
    topics::OUTBOX,
];

/// Runs the scenarios that are asked for; whether all passed.
pub(crate) fn run(options: &TestOptions) -> Result<bool> {
    if options.scenarios == ["list"] {
        for scenario in &ALL {
            println!("{:16} {}", scenario.name, scenario.about);
        }
        return Ok(true);
    }
    let chosen = chosen(&options.scenarios)?;
    ensure!(options.weald.is_file(), "there is no program {}", options.weald.display());
    if !options.shared_network {
        isolation::enter()?;
    }
    let mut failed = Vec::new();
    for scenario in &chosen {
        if !run_one(scenario, options)? {
            failed.push(scenario.name);
        }
    }
    let passed = chosen.len() - failed.len();
    println!("{passed} of {} passed, failed: {}", chosen.len(), failed.join(", "));
    Ok(failed.is_empty())
}

fn chosen(names: &[String]) -> Result<Vec<&'static Scenario>> {
    if names == ["all"] {
        return Ok(ALL.iter().collect());
    }
    let named = |name: &String| {
        let found = ALL.iter().find(|scenario| scenario.name == name.as_str());
        found.with_context(|| format!("no scenario has the name {name}; `list` shows them"))
    };
    names.iter().map(named).collect()
}

fn run_one(scenario: &Scenario, options: &TestOptions) -> Result<bool> {
    let node_count = options.nodes.unwrap_or(scenario.defaults.nodes);
    let least = scenario.defaults.nodes_min;
    ensure!(node_count >= least, "{} takes {least} nodes or more", scenario.name);
    let directory = directory()?;
    let guard = Arc::new(Guard::start(&directory)?);
    let setup = Setup {
        program: options.weald.clone(),
        directory: directory.clone(),
        guard: Arc::clone(&guard),
        node_count,
        responsibility_k: options.k.or(scenario.defaults.k),
        engine: options.engine.clone(),
        log: options.log.clone(),
        seed: options.seed,
        operation_count: options.operations.unwrap_or(scenario.defaults.operations),
        round_count: options.rounds.unwrap_or(scenario.defaults.rounds),
    };
    println!("\n== {}: {}", scenario.name, scenario.about);
    println!("  {} nodes, seed {}", setup.node_count, setup.seed);
    let started = Instant::now();
    let report = (scenario.run)(&setup).unwrap_or_else(|error| {
        let mut report = Report::default();
        report.fail(format!("{error:#}"));
        report
    });
    print!("{report}");
    let is_passed = report.is_passed();
    if options.keep || !is_passed {
        guard.keep();
        println!("  kept: {}", directory.display());
    }
    let word = if is_passed { "PASS" } else { "FAIL" };
    println!("{word} {} in {:.1} s", scenario.name, started.elapsed().as_secs_f64());
    Ok(is_passed)
}

/// A new directory for the nodes of one scenario, which the guard removes.
fn directory() -> Result<PathBuf> {
    let made = tempfile::Builder::new().prefix("weald-mesh-").tempdir();
    Ok(made.context("no directory for the nodes")?.keep())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_are_chosen_by_name() {
        let names = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            chosen(&names).map(|chosen| chosen.iter().map(|one| one.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&["restart-all", "k1"]).unwrap(), ["restart-all", "k1"]);
        assert_eq!(names(&["all"]).unwrap().len(), ALL.len());
        assert!(names(&["k1", "k9"]).is_err());
    }

    #[test]
    fn no_two_scenarios_have_one_name() {
        let names: std::collections::BTreeSet<&str> = ALL.iter().map(|one| one.name).collect();
        assert_eq!(names.len(), ALL.len());
    }
}
