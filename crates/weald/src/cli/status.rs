//! `weald status`.

use serde_json::json;
use weald::NodeStatus;

use super::{
    failure::Failure,
    output::Output,
    session::{self, Target},
    shape,
};

/// Describes the database.
pub(crate) async fn run(target: &Target, output: &mut Output) -> Result<(), Failure> {
    session::existing(target, async |database| {
        let collections = database.collection_count().await?;
        tell(target, &database.status()?, collections, output)
    })
    .await
}

fn tell(
    target: &Target,
    status: &NodeStatus,
    collections: Option<usize>,
    output: &mut Output,
) -> Result<(), Failure> {
    let kind = match target {
        Target::Directory(_) => "directory",
        Target::Node(_) => "node",
    };
    output.answer(
        || {
            let writes = match (&status.read_only, status.leaderless) {
                (Some(reason), _) => format!("refused until a restart or a repair: {reason}"),
                (None, 0) => "taken".to_owned(),
                (None, count) => format!(
                    "wait in {count} of {} partitions: nobody coordinates them; a majority of their \
                     voters may be down",
                    status.partitions
                ),
            };
            let unknown = || "cannot be counted now".to_owned();
            let counted = collections.map_or_else(unknown, |count| count.to_string());
            let mut lines = vec![
                format!("{kind:<13} {}", target.place()),
                format!("collections   {counted}"),
                format!("writes        {writes}"),
                format!("partitions    {} kept here", status.partitions),
            ];
            lines.extend(status.voters.map(|voters| format!("voters        {voters}")));
            let reached = status.reachability.as_ref();
            lines.extend(reached.map(|reached| format!("reached       {reached}")));
            if status.partitions > 0 {
                lines.push(format!("log applied   {}", status.applied.0));
                lines.push(format!("checkpoint    {}", status.checkpointed.0));
            }
            lines.join("\n")
        },
        || {
            json!({
                (kind): target.place(),
                "collections": collections,
                "read_only": status.read_only,
                "applied": status.applied.0,
                "checkpointed": status.checkpointed.0,
                "dirty_bytes": status.dirty_bytes,
                "writes_waiting": status.writes_waiting,
                "partitions": status.partitions,
                "leaderless": status.leaderless,
                "voters": status.voters.map(shape::voters),
                "reachability": status.reachability.as_ref().map(shape::reachability),
            })
        },
    )
}
