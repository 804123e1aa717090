//! Cargo subcommands that a fresh machine lacks: built once, kept outside the target folder.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::command;

/// A subcommand that tasks need.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Tool {
    Nextest,
    Deny,
}

impl Tool {
    fn subcommand(self) -> &'static str {
        match self {
            Self::Nextest => "nextest",
            Self::Deny => "deny",
        }
    }

    fn package(self) -> &'static str {
        match self {
            Self::Nextest => "cargo-nextest",
            Self::Deny => "cargo-deny",
        }
    }

    /// The subcommand, installed first when the machine has none. A source build of either takes some
    /// minutes on two cores, once per machine.
    pub(crate) fn command(self) -> Result<Command> {
        let own = tool_folder()?.join("bin").join(self.package());
        let installed = [PathBuf::from(self.package()), own.clone()]
            .into_iter()
            .find(|program| self.answers(program));
        let program = match installed {
            Some(program) => program,
            None => self.install().map(|()| own)?,
        };
        let mut command = Command::new(program);
        command.arg(self.subcommand());
        command::forget_own_package(&mut command);
        Ok(command)
    }

    fn answers(self, program: &PathBuf) -> bool {
        let asked = Command::new(program)
            .args([self.subcommand(), "--version"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        asked.is_ok_and(|status| status.success())
    }

    fn install(self) -> Result<()> {
        println!("{} is missing on this machine: building it once into the cache", self.package());
        // Without optimisation: it builds in half the time and works for seconds.
        let mut install =
            command::cargo(["install", "--locked", "--debug", self.package(), "--root"]);
        install.arg(tool_folder()?).env("CARGO_PROFILE_DEV_DEBUG", "false");
        command::run(install)
    }
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
