//! `weald status`.

use serde_json::json;
use weald::NodeStatus;

use super::{
    failure::Failure,
    output::Output,
    session::{self, Target},
};

/// Describes the database.
pub(crate) async fn run(target: &Target, output: &mut Output) -> Result<(), Failure> {
    session::existing(target, async |database| {
        let collections = database.collections().await?;
        tell(target, &database.status()?, collections.len(), output)
    })
    .await
}

fn tell(
    target: &Target,
    status: &NodeStatus,
    collections: usize,
    output: &mut Output,
) -> Result<(), Failure> {
    let kind = match target {
        Target::Directory(_) => "directory",
        Target::Node(_) => "node",
    };
    output.answer(
        || {
            let writes = status.read_only.as_ref().map_or_else(
                || "taken".to_owned(),
                |reason| format!("refused until a restart or a repair: {reason}"),
            );
            format!(
                "{:<13} {}\ncollections   {collections}\nwrites        {writes}\n\
                 log applied   {}\ncheckpoint    {}",
                kind,
                target.place(),
                status.applied.0,
                status.checkpointed.0,
            )
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
            })
        },
    )
}
