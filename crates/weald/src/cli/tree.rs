//! `weald tree`: ordered keys and values.

mod del;
mod get;
mod put;
mod scan;
mod watch;

use std::path::Path;

use clap::Subcommand;

use super::{failure::Failure, output::Output, text::KeyForm};

/// What to do with a tree.
#[derive(Debug, Subcommand)]
pub(crate) enum TreeVerb {
    /// Set a key to a value; makes the tree if it is new
    Put(put::Put),
    /// Print the value of a key
    Get(get::Get),
    /// Remove a key
    Del(del::Del),
    /// Print entries in the order of their keys
    Scan(scan::Scan),
    /// Print changes: those so far, then each new one
    Watch(watch::Watch),
}

impl TreeVerb {
    /// Runs the verb.
    pub(crate) async fn run(self, directory: &Path, output: &mut Output) -> Result<(), Failure> {
        match self {
            Self::Put(put) => put.run(directory, output).await,
            Self::Get(get) => get.run(directory, output).await,
            Self::Del(del) => del.run(directory, output).await,
            Self::Scan(scan) => scan.run(directory, output).await,
            Self::Watch(watch) => watch.run(directory, output).await,
        }
    }
}

/// How keys are written.
#[derive(clap::Args, Clone, Copy, Debug)]
struct KeyOptions {
    /// Keys are hexadecimal digits
    #[arg(long)]
    hex: bool,
}

impl KeyOptions {
    const fn form(self) -> KeyForm {
        if self.hex { KeyForm::Hex } else { KeyForm::Text }
    }
}
