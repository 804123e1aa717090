//! Formats, and applies what clippy can mend by itself.

use anyhow::Result;

use crate::command::{self, cargo};
use crate::sources::Workspace;

/// Changes files in place; read the difference before committing.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let tasks: [&[&str]; 3] = [
        &["clippy", "--workspace", "--all-targets", "--fix", "--allow-dirty", "--allow-staged"],
        &["fmt", "--all"],
        // The example has a lock file of its own, which follows what the workspace depends on.
        &["update", "--workspace", "--manifest-path", "examples/counter-queue/Cargo.toml"],
    ];
    for arguments in tasks {
        let mut task = cargo(arguments);
        task.current_dir(workspace.root());
        command::run(task)?;
    }
    Ok(())
}
