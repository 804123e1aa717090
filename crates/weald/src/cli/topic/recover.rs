//! `weald topic recover`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::cli::{
    failure::Failure,
    output::Output,
    session::{self, Target},
};

/// Brings in what another copy of the topic has and this one does not. The key of the directory must
/// be that of the topic's owner.
#[derive(Args, Debug)]
pub(crate) struct Recover {
    /// The topic
    topic: String,
    /// The directory of the other copy
    #[arg(long, value_name = "DIR")]
    from_dir: PathBuf,
}

impl Recover {
    pub(super) async fn run(&self, target: &Target, output: &mut Output) -> Result<(), Failure> {
        if let Target::Node(_) = target {
            let message = "a topic is recovered in a directory, named with --data-dir";
            return Err(Failure::usage(message));
        }
        let source = Target::Directory(self.from_dir.clone());
        let report = session::existing(target, async |database| {
            session::existing(&source, async |other| database.recover(&self.topic, other).await)
                .await
        })
        .await?;
        output.answer(
            || {
                format!(
                    "{}: {} messages and {} subscriptions brought in, {} lost",
                    self.topic, report.messages, report.leases, report.lost
                )
            },
            || {
                json!({
                    "messages": report.messages,
                    "subscriptions": report.leases,
                    "lost": report.lost,
                })
            },
        )
    }
}
