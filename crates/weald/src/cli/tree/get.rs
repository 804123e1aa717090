//! `weald tree get`.

use clap::Args;
use serde_json::Map;

use super::KeyOptions;
use crate::cli::{
    failure::Failure,
    output::Output,
    session::{self, Target},
    text::{plain, put_bytes},
};

/// Prints the value of a key.
#[derive(Args, Debug)]
pub(crate) struct Get {
    /// The tree
    tree: String,
    /// The key
    #[arg(allow_hyphen_values = true)]
    key: String,
    /// Print exactly the bytes of the value, without a line end
    #[arg(long, conflicts_with = "json")]
    raw: bool,
    #[command(flatten)]
    keys: KeyOptions,
}

impl Get {
    pub(super) async fn run(&self, target: &Target, output: &mut Output) -> Result<(), Failure> {
        let form = self.keys.form();
        let key = form.parse(&self.key)?;
        session::existing(target, async |database| {
            let Some(entry) = database.entry(&self.tree, &key).await? else {
                let shown = form.show(&key);
                return Err(Failure::not_found(format_args!("{} has no key {shown}", self.tree)));
            };
            if self.raw {
                return output.raw(&entry.value);
            }
            output.answer(
                || match std::str::from_utf8(&entry.value) {
                    Ok(text) => text.to_owned(),
                    Err(_) => plain(&entry.value),
                },
                || {
                    let mut object = Map::new();
                    put_bytes(&mut object, "key", &entry.key);
                    put_bytes(&mut object, "value", &entry.value);
                    object.insert("revision".into(), entry.revision.0.into());
                    object.into()
                },
            )
        })
        .await
    }
}
