//! What the dependencies may be: licences, sources, banned crates; advisories where their database can be reached.

use anyhow::{Result, ensure};

use crate::command;
use crate::sources::Workspace;
use crate::tools::Tool;

/// Seconds until a machine without a way to the advisory database is taken to have none.
const FETCH_SECONDS_MAX: &str = "20";

/// The rules of deny.toml. A database that cannot be fetched is reported and is no failure: the machine that
/// releases has a network.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let mut rules = Tool::Deny.command()?;
    rules.current_dir(workspace.root()).args([
        "--log-level",
        "error",
        "check",
        "bans",
        "licenses",
        "sources",
    ]);
    command::run(rules)?;

    let fetched = fetch_advisories(workspace)?;
    if !fetched {
        println!("  advisories: NOT CHECKED, their database cannot be reached from this machine");
        return Ok(());
    }
    let mut advisories = Tool::Deny.command()?;
    advisories.current_dir(workspace.root()).args(["check", "--disable-fetch", "advisories"]);
    command::run(advisories)
}

fn fetch_advisories(workspace: &Workspace) -> Result<bool> {
    let deny = Tool::Deny.command()?;
    let mut fetch = std::process::Command::new("timeout");
    fetch
        .arg(FETCH_SECONDS_MAX)
        .arg(deny.get_program())
        .args(deny.get_args())
        .args(["fetch", "db"]);
    fetch.current_dir(workspace.root()).env("GIT_TERMINAL_PROMPT", "0");
    let finished = command::run_kept(fetch)?;
    ensure!(finished.success || !finished.output.contains("deny.toml"), "deny.toml does not parse");
    Ok(finished.success)
}
