//! What `cargo xtask sim` calls: arguments in, a report and a verdict out.

use std::fmt::Write;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use weald_cluster::mutation::Mutation;

use crate::{batch, mutations, plan::Plan, run, script, shrink, takeover, topics::TopicMutation};

/// Runs simulated clusters.
#[derive(Parser, Debug)]
#[command(name = "cargo xtask sim", bin_name = "cargo xtask sim")]
pub struct Arguments {
    /// `random` (the default), `reconfigure`, `bank`, `topics`, `takeover`, `mutations`, `scripts`, or
    /// the name of a script
    #[arg(default_value = "random")]
    scenario: String,
    /// How many seeds
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// This seed only, with its trace
    #[arg(long)]
    seed: Option<u64>,
    /// The trace names every message
    #[arg(long)]
    messages: bool,
    /// Keeps what happens in scripts as what has to happen
    #[arg(long)]
    update: bool,
    /// A rule that is left out, by its name in the source
    #[arg(long)]
    mutation: Option<String>,
    /// Threads
    #[arg(long, default_value_t = 2)]
    jobs: usize,
}

/// Seeds among which every rare branch is reached.
const ENOUGH: u64 = 1000;

/// Does what the arguments ask for and hands each line of the report to `print`.
///
/// # Errors
/// When an invariant did not hold, or the arguments name nothing that there is.
pub fn run(arguments: &Arguments, print: &mut dyn FnMut(&str)) -> Result<()> {
    if arguments.scenario == "topics" {
        return topics(arguments, print);
    }
    let mutation = arguments.mutation.as_deref().map(mutation_named).transpose()?;
    match (arguments.scenario.as_str(), arguments.seed) {
        ("random" | "reconfigure" | "bank", Some(seed)) => {
            one(plan_of(arguments, mutation)(seed), (arguments, print))
        }
        ("random" | "reconfigure" | "bank", None) => {
            many(arguments, plan_of(arguments, mutation), print)
        }
        ("mutations", _) => all_mutations(arguments, print),
        ("takeover", _) => {
            let seeds = arguments.from..arguments.from + arguments.seeds;
            print(&takeover::measure(seeds).to_string());
            Ok(())
        }
        ("scripts", _) => scripts(arguments.update, print),
        (name, _) => {
            let (played, is_expected) = script::play_named(name)?;
            print(&played);
            ensure!(is_expected, "this is not what is kept beside the script");
            Ok(())
        }
    }
}

fn topics(arguments: &Arguments, print: &mut dyn FnMut(&str)) -> Result<()> {
    let named = |name: &str| {
        let mut all = TopicMutation::ALL.into_iter();
        let found = all.find(|mutation| format!("{mutation:?}") == name);
        found.with_context(|| format!("no rule of topics is called `{name}`"))
    };
    let mutation = arguments.mutation.as_deref().map(named).transpose()?;
    match arguments.seed {
        Some(seed) => one(Plan::draw_topics(seed, mutation), (arguments, print)),
        None => many(arguments, |seed| Plan::draw_topics(seed, mutation), print),
    }
}

fn scripts(is_update: bool, print: &mut dyn FnMut(&str)) -> Result<()> {
    let mut failed = 0;
    for name in script::names()? {
        let (played, is_expected) = script::play_named(&name)?;
        let verdict = played.lines().last().unwrap_or_default().to_owned();
        if is_update {
            script::keep(&name, &played)?;
        }
        failed += usize::from(verdict != "well" || !(is_update || is_expected));
        let change = if is_expected { "" } else { " (differs from what was kept)" };
        print(&format!("{name}: {verdict}{change}"));
    }
    ensure!(failed == 0, "{failed} scripts failed");
    Ok(())
}

fn all_mutations(arguments: &Arguments, print: &mut dyn FnMut(&str)) -> Result<()> {
    let seeds = arguments.from..arguments.from + arguments.seeds;
    let mut missed = 0;
    let mut tell = |name: String, notice: Option<String>| {
        missed += usize::from(notice.is_none());
        print(&format!("{name}: {}", notice.as_deref().unwrap_or("not noticed")));
    };
    for mutation in mutations::ALL {
        let notice = mutations::noticed(mutation, seeds.clone())?;
        tell(format!("{mutation:?}"), notice.map(|notice| notice.to_string()));
    }
    for mutation in TopicMutation::ALL {
        let plan = |seed| Plan::draw_topics(seed, Some(mutation));
        let caught = mutations::caught_in(seeds.clone(), plan);
        let notice = caught.map(|(seed, what)| format!("topics, seed {seed}: {what}"));
        tell(format!("{mutation:?}"), notice);
    }
    ensure!(missed == 0, "{missed} rules can be left out and nobody notices");
    Ok(())
}

fn mutation_named(name: &str) -> Result<Mutation> {
    let found = mutations::ALL.into_iter().find(|mutation| format!("{mutation:?}") == name);
    found.with_context(|| format!("no rule is called `{name}`"))
}

fn one(mut plan: Plan, (arguments, print): (&Arguments, &mut dyn FnMut(&str))) -> Result<()> {
    plan.settings.is_verbose = arguments.messages;
    plan.settings.is_traced = true;
    let verdict = run::run(&plan);
    verdict.lines.iter().for_each(|line| print(line));
    print(&format!("hash {:016x}, answered {:?}", verdict.hash, verdict.answered));
    let Some(violation) = verdict.violation else { return Ok(()) };
    print(&format!("{violation}\n\nshortened:"));
    let short = shrink::shrink(&plan);
    print(&short.to_string());
    if let Some(violation) = run::run(&short).violation {
        print(&format!("shortened: {violation}"));
    }
    bail!("{violation}")
}

/// How plans of the scenario are drawn.
fn plan_of(arguments: &Arguments, mutation: Option<Mutation>) -> impl Fn(u64) -> Plan + Sync {
    let draw = match arguments.scenario.as_str() {
        "reconfigure" => Plan::draw_reconfiguration,
        "bank" => Plan::draw_bank,
        _ => Plan::draw,
    };
    move |seed| draw(seed, mutation)
}

fn many(
    arguments: &Arguments,
    plan: impl Fn(u64) -> Plan + Sync,
    print: &mut dyn FnMut(&str),
) -> Result<()> {
    let seeds = arguments.from..arguments.from + arguments.seeds;
    let batch = batch::run(seeds, arguments.jobs, plan);
    print(&batch.to_string());
    let Some((seed, violation)) = batch.failures.first() else {
        let missing = batch.coverage.missing();
        let is_random = arguments.scenario == "random";
        let is_enough = !is_random || arguments.seeds < ENOUGH || missing.is_empty();
        ensure!(is_enough, "branches that no run reached: {missing:?}");
        return Ok(());
    };
    for (seed, violation) in batch.failures.iter().take(20) {
        print(&format!("seed {seed}: {violation}"));
    }
    let mut again = format!("cargo xtask sim {} --seed {seed}", arguments.scenario);
    if let Some(mutation) = &arguments.mutation {
        write!(again, " --mutation {mutation}").context("a string takes it")?;
    }
    print(&format!(
        "{} of {} seeds failed; run one again: {again}",
        batch.failures.len(),
        arguments.seeds
    ));
    bail!("{violation}")
}
