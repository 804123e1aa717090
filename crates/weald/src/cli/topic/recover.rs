//! `weald topic recover`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use weald::{ImportReport, Missing, TopicMerge};

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
    /// Tell what each of the two lacks of the other, and change nothing
    #[arg(long)]
    dry_run: bool,
}

impl Recover {
    pub(super) async fn run(&self, target: &Target, output: &mut Output) -> Result<(), Failure> {
        if let Target::Node(_) = target {
            let message = "a topic is recovered in a directory, named with --data-dir";
            return Err(Failure::usage(message));
        }
        let source = Target::Directory(self.from_dir.clone());
        session::existing(target, async |database| {
            session::existing(&source, async |other| match self.dry_run {
                true => self.tell(&database.merge(&self.topic, other).await?, output),
                false => self.done(&database.recover(&self.topic, other).await?, output),
            })
            .await
        })
        .await
    }

    fn done(&self, report: &ImportReport, output: &mut Output) -> Result<(), Failure> {
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

    fn tell(&self, merge: &TopicMerge, output: &mut Output) -> Result<(), Failure> {
        let TopicMerge { here, there } = merge;
        output.answer(
            || {
                let line = |place: &str, lacks: &Missing| {
                    let (messages, leases) = (lacks.messages.len(), lacks.leases.len());
                    format!("{place} lacks {messages} messages and {leases} subscriptions")
                };
                let copy = self.from_dir.display().to_string();
                format!("{}: {}\n{}", self.topic, line("this one", here), line(&copy, there))
            },
            || {
                let side = |lacks: &Missing| {
                    json!({
                        "messages": lacks.messages.len(),
                        "subscriptions": lacks.leases.len(),
                    })
                };
                json!({ "lacks": side(here), "other_lacks": side(there) })
            },
        )
    }
}
