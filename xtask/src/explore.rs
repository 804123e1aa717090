//! Exhaustive explorations of the replica within bounds larger than those of a test run.

use anyhow::Result;

use crate::command::{self, cargo};
use crate::sources::Workspace;

/// Options of `cargo xtask explore`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Names of bounds; all of them when absent
    bounds: Vec<String>,
}

/// Builds the explorer in the profile of benchmarks and runs it. Prints for each bounds how many states there
/// are, and fails where something does not hold, with the steps that lead there.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let mut explore =
        cargo(["run", "--profile", "bench", "--package", "weald-sim", "--bin", "explore"]);
    explore.current_dir(workspace.root()).arg("--").args(&options.bounds);
    command::run(explore)
}
