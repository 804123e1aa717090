//! `weald tree del`.

use std::path::Path;

use clap::Args;
use serde_json::json;

use super::KeyOptions;
use crate::cli::{
    failure::Failure,
    output::Output,
    session::{self, absent},
};

/// Removes a key.
#[derive(Args, Debug)]
pub(crate) struct Del {
    /// The tree
    tree: String,
    /// The key
    #[arg(allow_hyphen_values = true)]
    key: String,
    #[command(flatten)]
    keys: KeyOptions,
}

impl Del {
    pub(super) async fn run(&self, directory: &Path, output: &mut Output) -> Result<(), Failure> {
        let form = self.keys.form();
        let key = form.parse(&self.key)?;
        session::existing(directory, async |node| {
            let tree = node.raw_tree(&self.tree).open().await;
            let tree = tree.map_err(|error| absent("tree", &self.tree, error))?;
            let shown = form.show(&key);
            if tree.entry(&key).await?.is_none() {
                let message = format_args!("{} has no key {shown}; nothing to delete", self.tree);
                return Err(Failure::not_found(message));
            }
            let written = tree.delete(&key).await?;
            output.answer(
                || format!("{}: deleted {shown}, revision {}", self.tree, written.revision.0),
                || {
                    json!({
                        "revision": written.revision.0,
                        "replaced": written.replaced.map(|revision| revision.0),
                        "transaction": written.transaction.to_string(),
                    })
                },
            )
        })
        .await
    }
}
