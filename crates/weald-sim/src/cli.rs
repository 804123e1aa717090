//! What `cargo xtask sim` calls: arguments in, a report and a verdict out.

use std::fmt::Write;

use anyhow::{Context, Result, bail};
use clap::Parser;
use weald_cluster::mutation::Mutation;

use crate::{batch, mutations, plan::Plan, run, shrink};

/// Runs simulated clusters.
#[derive(Parser, Debug)]
#[command(name = "cargo xtask sim", bin_name = "cargo xtask sim")]
pub struct Arguments {
    /// `random` (the default), `takeover`, `coverage`, `mutations`, or the name of a script
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
    /// A rule that is left out, by its name in the source
    #[arg(long)]
    mutation: Option<String>,
    /// Threads
    #[arg(long, default_value_t = 2)]
    jobs: usize,
}

/// Does what the arguments ask for and hands each line of the report to `print`.
///
/// # Errors
/// When an invariant did not hold, or the arguments name nothing that there is.
pub fn run(arguments: &Arguments, print: &mut dyn FnMut(&str)) -> Result<()> {
    let mutation = arguments.mutation.as_deref().map(mutation_named).transpose()?;
    match (arguments.scenario.as_str(), arguments.seed) {
        ("random", Some(seed)) => one(seed, (mutation, arguments.messages), print),
        ("random", None) => many(arguments, mutation, print),
        (other, _) => bail!("no scenario is called `{other}`"),
    }
}

fn mutation_named(name: &str) -> Result<Mutation> {
    let found = mutations::ALL.into_iter().find(|mutation| format!("{mutation:?}") == name);
    found.with_context(|| format!("no rule is called `{name}`"))
}

fn one(
    seed: u64,
    (mutation, is_verbose): (Option<Mutation>, bool),
    print: &mut dyn FnMut(&str),
) -> Result<()> {
    let mut plan = Plan::draw(seed, mutation);
    plan.settings.is_verbose = is_verbose;
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

fn many(
    arguments: &Arguments,
    mutation: Option<Mutation>,
    print: &mut dyn FnMut(&str),
) -> Result<()> {
    let seeds = arguments.from..arguments.from + arguments.seeds;
    let batch = batch::run(seeds, mutation, arguments.jobs);
    print(&batch.to_string());
    let Some((seed, violation)) = batch.failures.first() else { return Ok(()) };
    for (seed, violation) in batch.failures.iter().take(20) {
        print(&format!("seed {seed}: {violation}"));
    }
    let mut again = format!("cargo xtask sim --seed {seed}");
    if let Some(mutation) = mutation {
        write!(again, " --mutation {mutation:?}").context("a string takes it")?;
    }
    print(&format!(
        "{} of {} seeds failed; run one again: {again}",
        batch.failures.len(),
        arguments.seeds
    ));
    bail!("{violation}")
}
