//! `weald tree put`.

use clap::Args;

use super::{KeyOptions, done_json};
use crate::cli::{
    database::Expected,
    failure::Failure,
    input::ValueInput,
    output::Output,
    session::{self, Target},
};

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
    expect: Option<Expected>,
    #[command(flatten)]
    keys: KeyOptions,
}

impl Put {
    pub(super) async fn run(&self, target: &Target, output: &mut Output) -> Result<(), Failure> {
        // What the user hands in is read first: bad input makes no database.
        let key = self.keys.form().parse(&self.key)?;
        let value = self.value.read()?;
        let expected = self.expect.unwrap_or_default();
        let done = session::made(target, async |database| {
            database.put(&self.tree, (&key, &value), expected).await
        })
        .await?;
        let shown = self.keys.form().show(&key);
        output.answer(
            || format!("{}: put {shown}, revision {}", self.tree, done.revision),
            || done_json(&done),
        )
    }
}

fn expectation(text: &str) -> Result<Expected, String> {
    match text {
        "absent" => Ok(Expected::Absent),
        "present" => Ok(Expected::Present),
        _ => {
            let revision = text.parse().map(Expected::Revision);
            revision.map_err(|_| "say `absent`, `present` or a revision".to_owned())
        }
    }
}
