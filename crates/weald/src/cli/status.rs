//! `weald status`.

use std::path::Path;

use serde_json::json;
use weald::NodeStatus;

use super::{failure::Failure, output::Output, session};

/// Describes the database.
pub(crate) async fn run(directory: &Path, output: &mut Output) -> Result<(), Failure> {
    session::existing(directory, async |node| {
        let collections = node.collections().await?;
        tell(directory, &node.status(), collections.len(), output)
    })
    .await
}

fn tell(
    directory: &Path,
    status: &NodeStatus,
    collections: usize,
    output: &mut Output,
) -> Result<(), Failure> {
    output.answer(
        || {
            let writes = status.read_only.as_ref().map_or_else(
                || "taken".to_owned(),
                |reason| format!("refused until a restart or a repair: {reason}"),
            );
            format!(
                "directory     {}\ncollections   {collections}\nwrites        {writes}\n\
                 log applied   {}\ncheckpoint    {}",
                directory.display(),
                status.applied.0,
                status.checkpointed.0,
            )
        },
        || {
            json!({
                "directory": directory.display().to_string(),
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
