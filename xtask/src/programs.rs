//! The programs of the workspace, built to be run by a task.

use std::path::PathBuf;

use anyhow::Result;

use crate::command::{self, cargo};
use crate::sources::Workspace;

/// The folder of the programs `names`, built with what the tests were built with: with the features of the whole
/// workspace, so that no library is built anew.
pub(crate) fn as_tested(workspace: &Workspace, names: &[&str]) -> Result<PathBuf> {
    let mut build = cargo(["build", "--workspace", "--locked"]);
    build.args(names.iter().flat_map(|name| ["--bin", name]));
    let target = workspace.root().join("target");
    build.current_dir(workspace.root()).env("CARGO_TARGET_DIR", &target);
    build.env("CARGO_INCREMENTAL", "0");
    command::run(build)?;
    Ok(target.join("debug"))
}

/// The program `name` of the package of that name, built as for a release; its path. One package at a time: the
/// simulator's crates turn on features of others that a node must not have.
pub(crate) fn for_release(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    let target = workspace.root().join("target");
    let mut build = cargo(["build", "--release", "--package", name, "--bin", name]);
    build.current_dir(workspace.root()).env("CARGO_TARGET_DIR", &target);
    command::run(build)?;
    Ok(target.join("release").join(name))
}
