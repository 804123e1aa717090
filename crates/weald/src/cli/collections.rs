//! `weald collections`.

use serde_json::{Value, json};
use weald::CollectionInfo;

use super::{
    database::Database,
    failure::Failure,
    output::Output,
    session::{self, Target},
    shape,
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
        "retention": shape::retention(&info.retention),
    })
}
