//! Simulations: whole clusters of the real cores in a world of virtual time, optimised.

use anyhow::Result;

use crate::command::{self, cargo};
use crate::sources::Workspace;

/// Options of `cargo xtask sim`: all of them are the simulator's, see its `--help`.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Options {
    /// SCENARIO, --seeds N, --from S, --seed S, --mutation NAME, --jobs N, --messages, --update
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Builds the simulator in the profile of benchmarks and runs it.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let mut simulator = cargo([
        "run",
        "--quiet",
        "--profile",
        "bench",
        "--package",
        "weald-sim",
        "--bin",
        "weald-sim",
        "--",
    ]);
    simulator.args(&options.arguments).current_dir(workspace.root());
    command::run(simulator)
}
