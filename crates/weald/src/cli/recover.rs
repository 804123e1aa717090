//! `weald recover`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use weald::{PartitionId, PeerId, RecoveryInfo, RecoveryOutcome, RecoveryRequest};

use super::{
    failure::{Class, Failure},
    output::Output,
    session::{self, Target},
    shape,
};

/// Lets a stopped node go on alone with partitions that have lost their majority for good. Without
/// --i-know it only tells what would be kept and dropped.
#[derive(Args, Clone, Debug)]
pub(crate) struct Recover {
    /// The partition; all that have lost their majority when none is named
    partition: Option<u32>,
    /// All partitions that have lost their majority
    #[arg(long, conflicts_with = "partition")]
    all: bool,
    /// The directory of another stopped node that survives, or a copy; may be given several times
    #[arg(long = "survivor", value_name = "DIR")]
    survivors: Vec<PathBuf>,
    /// The file with the administrator's key; to look needs none [default: the node's own]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Whose keys may sign beside the founder's, as in the nodes' settings
    #[arg(long, value_name = "PEER", value_delimiter = ',', env = "WEALD_ADMINISTRATORS")]
    administrators: Vec<PeerId>,
    /// Go on here with what is left, though the end of the log or what was promised is lost
    #[arg(long)]
    accept_loss: bool,
    /// Do it: what only the lost nodes had is gone, and they come back with nothing
    #[arg(long)]
    i_know: bool,
}

impl Recover {
    /// Runs the verb.
    pub(crate) async fn run(self, target: &Target, output: &mut Output) -> Result<(), Failure> {
        let Target::Directory(directory) = target else {
            return Err(Failure::usage(
                "a recovery is done where the node's directory is, while the node is stopped; name \
                 it with --data-dir",
            ));
        };
        if self.i_know && !self.all && self.partition.is_none() {
            return Err(Failure::usage("name a partition, or --all"));
        }
        let apply = self.i_know;
        let outcomes = session::recover(RecoveryRequest {
            directory: directory.clone(),
            partitions: self.partition.map(PartitionId).into_iter().collect(),
            survivors: self.survivors,
            key: self.key,
            administrators: self.administrators,
            accepts_loss: self.accept_loss,
            apply,
        });
        let outcomes = outcomes.await?;
        for outcome in &outcomes {
            tell(outcome, apply, output)?;
        }
        output.flush()?;
        judge(&outcomes, self.partition.is_some())
    }
}

/// Refused where what was asked for was not done: the partition that was named, or any at all.
fn judge(outcomes: &[RecoveryOutcome], is_named: bool) -> Result<(), Failure> {
    let reasons = outcomes.iter().filter_map(|outcome| outcome.recovery.as_ref().err());
    let is_any_done = outcomes.iter().any(|outcome| outcome.recovery.is_ok());
    match reasons.into_iter().next() {
        Some(reason) if is_named || !is_any_done => {
            Err(Failure::new(Class::Rejected, format_args!("nothing was recovered: {reason}")))
        }
        _ => Ok(()),
    }
}

fn tell(outcome: &RecoveryOutcome, apply: bool, output: &mut Output) -> Result<(), Failure> {
    let partition = outcome.partition;
    match &outcome.recovery {
        Ok(info) => output.answer(
            || line(partition, info, apply),
            || {
                let recovery = shape::recovery(info);
                json!({ "partition": partition.0, "applied": apply, "recovery": recovery })
            },
        ),
        Err(reason) => output.answer(
            || format!("{partition}\tleft as it is: {reason}"),
            || json!({ "partition": partition.0, "applied": false, "reason": reason }),
        ),
    }
}

fn line(partition: PartitionId, info: &RecoveryInfo, apply: bool) -> String {
    let RecoveryInfo { generation, kept, .. } = info;
    let lost = info.voters.iter().filter(|voter| **voter != info.beginner).count();
    let known = match info.dropped_to {
        Some(to) => format!("entries {} to {to} are known to be dropped", kept.next()),
        None => "no dropped entry is known of".to_owned(),
    };
    let tense = if apply { "begins" } else { "would begin" };
    format!(
        "{partition}\tgeneration {generation} {tense} here alone\tkept up to {kept}\t{known}\t\
         whatever only the {lost} other voters had is gone"
    )
}
