//! Formats, and applies what clippy can mend by itself.

use anyhow::Result;

use crate::command::{self, cargo};
use crate::sources::Workspace;

/// Changes files in place; read the difference before committing.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let tasks: [&[&str]; 2] = [
        &["clippy", "--workspace", "--all-targets", "--fix", "--allow-dirty", "--allow-staged"],
        &["fmt", "--all"],
    ];
    for arguments in tasks {
        let mut task = cargo(arguments);
        task.current_dir(workspace.root());
        command::run(task)?;
    }
    Ok(())
}
