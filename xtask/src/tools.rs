//! Cargo subcommands that a fresh machine lacks: built once, kept outside the target folder.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::command;

/// `cargo nextest`, installed first when the machine has none: that takes some minutes, once per machine.
pub(crate) fn nextest() -> Result<Command> {
    if let Some(found) = installed("nextest")? {
        return Ok(found);
    }
    println!("cargo-nextest is missing on this machine: building it once into the cache");
    // Without optimisation: it builds in half the time and works for seconds.
    let mut install = command::cargo(["install", "--locked", "--debug", "cargo-nextest", "--root"]);
    install.arg(tool_folder()?).env("CARGO_PROFILE_DEV_DEBUG", "false");
    command::run(install)?;
    installed("nextest")?.context("cargo-nextest was installed and does not run")
}

/// `cargo SUBCOMMAND` of the machine or of the cache, if it runs.
pub(crate) fn installed(subcommand: &str) -> Result<Option<Command>> {
    let package = format!("cargo-{subcommand}");
    let own = tool_folder()?.join("bin").join(&package);
    let found =
        [PathBuf::from(package), own].into_iter().find(|program| answers(program, subcommand));
    Ok(found.map(|program| {
        let mut command = Command::new(program);
        command.arg(subcommand);
        command::forget_own_package(&mut command);
        command
    }))
}

fn answers(program: &PathBuf, subcommand: &str) -> bool {
    let asked = Command::new(program)
        .args([subcommand, "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    asked.is_ok_and(|status| status.success())
}

/// What is kept between clean checkouts: `$XDG_CACHE_HOME/weald`, otherwise `~/.cache/weald`.
pub(crate) fn cache_folder() -> Result<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache")))
        .context("neither XDG_CACHE_HOME nor a home folder")?;
    Ok(base.join("weald"))
}

fn tool_folder() -> Result<PathBuf> {
    Ok(cache_folder()?.join("tools"))
}
