//! `weald tree del`.

use clap::Args;

use super::{KeyOptions, done_json};
use crate::cli::{
    failure::Failure,
    output::Output,
    session::{self, Target},
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
    pub(super) async fn run(&self, target: &Target, output: &mut Output) -> Result<(), Failure> {
        let form = self.keys.form();
        let key = form.parse(&self.key)?;
        session::existing(target, async |database| {
            let shown = form.show(&key);
            if database.entry(&self.tree, &key).await?.is_none() {
                let message = format_args!("{} has no key {shown}; nothing to delete", self.tree);
                return Err(Failure::not_found(message));
            }
            let done = database.delete(&self.tree, &key).await?;
            output.answer(
                || format!("{}: deleted {shown}, revision {}", self.tree, done.revision),
                || done_json(&done),
            )
        })
        .await
    }
}
