//! A network of its own for a run, so that scenarios may cut links, listen where they like and meet nobody else.
//!
//! With `unshare` the program starts itself again in a new network namespace: as root, or as anybody where user
//! namespaces are allowed. All that is made in there is gone with the last process in it.

use std::env;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

/// Set for the program inside.
const MARK: &str = "MESH_TEST_ISOLATED";

/// Ways to get a network namespace, the plainest first.
const WAYS: [&[&str]; 2] = [&["-n"], &["-Urn"]];

/// Whether this program has a network of its own and may change it.
pub(crate) fn is_isolated() -> bool {
    env::var_os(MARK).is_some()
}

/// Starts this program again in a network of its own and does not return; returns where that is not possible, or is
/// so already.
pub(crate) fn enter() -> Result<()> {
    if is_isolated() {
        return run("ip", &["link", "set", "lo", "up"]);
    }
    let Some(way) = WAYS.into_iter().find(|way| is_possible(way)) else { return Ok(()) };
    let program = env::current_exe().context("this program's path is unknown")?;
    let mut command = Command::new("unshare");
    command.args(way).arg("--").arg(program).args(env::args_os().skip(1)).env(MARK, "1");
    Err(command.exec()).context("unshare cannot be started")
}

fn is_possible(way: &[&str]) -> bool {
    let mut command = Command::new("unshare");
    command.args(way).args(["--", "ip", "link", "add", "probe", "type", "bridge"]);
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Runs a short program that must succeed.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("cannot start {program}"))?;
    anyhow::ensure!(
        output.status.success(),
        "failed: {program} {} ({})",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
