//! `weald tree`: ordered keys and values.

mod del;
mod get;
mod put;
mod scan;
mod watch;

use clap::Subcommand;
use serde_json::{Value, json};

use super::{database::Done, failure::Failure, output::Output, session::Target, text::KeyForm};

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
    pub(crate) async fn run(self, target: &Target, output: &mut Output) -> Result<(), Failure> {
        match self {
            Self::Put(put) => put.run(target, output).await,
            Self::Get(get) => get.run(target, output).await,
            Self::Del(del) => del.run(target, output).await,
            Self::Scan(scan) => scan.run(target, output).await,
            Self::Watch(watch) => watch.run(target, output).await,
        }
    }
}

/// A write, for scripts.
fn done_json(done: &Done) -> Value {
    json!({
        "revision": done.revision,
        "replaced": done.replaced,
        "transaction": done.transaction,
    })
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
