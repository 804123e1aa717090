//! Packages the crates of the workspace as a release would, and builds each package.

use anyhow::Result;

use crate::ci::workspace_profile;
use crate::command::{self, cargo};
use crate::sources::Workspace;

/// Cargo packages the crates in order of their dependencies and lets each see the ones before it, so that crates
/// which no registry knows yet can be checked together.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let mut publish = cargo(["publish", "--workspace", "--dry-run", "--locked"]);
    // A package is built outside the workspace: with the same profile it finds its dependencies built.
    publish
        .args(workspace_profile(workspace)?)
        .current_dir(workspace.root())
        .env("CARGO_INCREMENTAL", "0");
    command::run(publish)
}
