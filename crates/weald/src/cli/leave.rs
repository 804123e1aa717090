//! `weald leave`.

use clap::Args;
use serde_json::json;

use super::{failure::Failure, output::Output, session::Target};

/// Empties the directory of a stopped node but for its identity, so that it belongs to no network and
/// may join another. What it holds is lost here.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Leave {
    /// Do it
    #[arg(long)]
    reset: bool,
}

impl Leave {
    /// Runs the verb.
    pub(crate) fn run(self, target: &Target, output: &mut Output) -> Result<(), Failure> {
        let Target::Directory(directory) = target else {
            return Err(Failure::usage(
                "a node leaves where its directory is, while it is stopped; name it with \
                 --data-dir. One that runs is emptied by `weald drain`",
            ));
        };
        let place = directory.display().to_string();
        if !self.reset {
            return Err(Failure::usage(format_args!(
                "everything in {place} but the node's identity would be deleted; nothing was \
                 changed, say --reset to do it"
            )));
        }
        weald::leave(directory)?;
        output.answer(
            || format!("{place} is empty but for the node's identity"),
            || json!({ "reset": place }),
        )
    }
}
