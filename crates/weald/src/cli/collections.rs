//! `weald collections`.

use serde_json::{Value, json};
use weald::{CollectionInfo, Retention};

use super::{
    database::Database,
    failure::Failure,
    output::Output,
    session::{self, Target},
};

/// Lists the collections.
pub(crate) async fn run(target: &Target, output: &mut Output) -> Result<(), Failure> {
    session::existing(target, async |database| list(database, output).await).await
}

async fn list(database: &Database, output: &mut Output) -> Result<(), Failure> {
    for info in database.collections().await? {
        output.answer(|| plain(&info), || json(&info))?;
    }
    Ok(())
}

fn plain(info: &CollectionInfo) -> String {
    let count = info.entries.map_or_else(String::new, |count| format!("\t{count} entries"));
    format!("{}\t{}\trevision {}{count}", info.name, info.type_name, info.revision.0)
}

fn json(info: &CollectionInfo) -> Value {
    json!({
        "name": info.name.as_str(),
        "type": info.type_name.as_str(),
        "revision": info.revision.0,
        "entries": info.entries,
        "retention": retention_json(&info.retention),
    })
}

/// How much of a collection is kept; absent bounds are `null`.
pub(crate) fn retention_json(retention: &Retention) -> Value {
    json!({
        "age_max_ms": retention.age_max.map(weald_core::millis),
        "entries_max": retention.entries_max,
        "bytes_max": retention.bytes_max,
    })
}
