//! `weald tree put`.

use std::path::Path;

use clap::Args;
use serde_json::json;
use weald::{RawTree, Revision, Written};

use super::KeyOptions;
use crate::cli::{failure::Failure, input::ValueInput, output::Output, session};

/// What `--expect` may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expectation {
    Absent,
    Present,
    Revision(u64),
}

/// Sets a key to a value.
#[derive(Args, Debug)]
pub(crate) struct Put {
    /// The tree
    tree: String,
    /// The key
    #[arg(allow_hyphen_values = true)]
    key: String,
    #[command(flatten)]
    value: ValueInput,
    /// Refuse unless the key is `absent`, `present`, or was last written by this revision
    #[arg(long, value_name = "WHAT", value_parser = expectation)]
    expect: Option<Expectation>,
    #[command(flatten)]
    keys: KeyOptions,
}

impl Put {
    pub(super) async fn run(&self, directory: &Path, output: &mut Output) -> Result<(), Failure> {
        // What the user hands in is read first: bad input makes no database.
        let key = self.keys.form().parse(&self.key)?;
        let value = self.value.read()?;
        let written = session::made(directory, async |node| {
            let tree = node.raw_tree(&self.tree).open_or_create().await?;
            Ok(self.write(&tree, &key, &value).await?)
        })
        .await?;
        let shown = self.keys.form().show(&key);
        output.answer(
            || format!("{}: put {shown}, revision {}", self.tree, written.revision.0),
            || {
                json!({
                    "revision": written.revision.0,
                    "replaced": written.replaced.map(|revision| revision.0),
                    "transaction": written.transaction.to_string(),
                })
            },
        )
    }

    async fn write(&self, tree: &RawTree, key: &[u8], value: &[u8]) -> weald::Result<Written> {
        match self.expect {
            None => tree.put(key, value).await,
            Some(Expectation::Absent) => tree.insert(key, value).await,
            Some(Expectation::Present) => tree.update(key, value).await,
            Some(Expectation::Revision(revision)) => {
                tree.compare_and_put(key, Some(Revision(revision)), value).await
            }
        }
    }
}

fn expectation(text: &str) -> Result<Expectation, String> {
    match text {
        "absent" => Ok(Expectation::Absent),
        "present" => Ok(Expectation::Present),
        _ => {
            let revision = text.parse().map(Expectation::Revision);
            revision.map_err(|_| "say `absent`, `present` or a revision".to_owned())
        }
    }
}
