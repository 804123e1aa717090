//! `weald verify`.

use serde_json::json;
use weald::VerifyReport;

use super::{
    database::Database,
    failure::{Class, Failure},
    output::Output,
    progress,
    session::{self, Target},
};

/// Reads everything that is stored and checks it.
pub(crate) async fn run(target: &Target, output: &mut Output) -> Result<(), Failure> {
    session::existing(target, async |database| {
        let report = check(database).await?;
        tell(&report, output)?;
        output.flush()?;
        damages(&report)
    })
    .await
}

fn damages(report: &VerifyReport) -> Result<(), Failure> {
    if report.is_clean() {
        return Ok(());
    }
    let count = report.damages.len();
    let message = format_args!(
        "damaged places: {count}; keep a copy, `weald export` what can be read, import it elsewhere"
    );
    Err(Failure::new(Class::Storage, message))
}

async fn check(database: &Database) -> Result<VerifyReport, Failure> {
    let bar = progress::bar("checking", Some(0));
    let shown = bar.clone();
    let report = database
        .verify(move |progress| {
            shown.set_length(progress.total);
            shown.set_position(progress.done);
        })
        .await;
    bar.finish_and_clear();
    report
}

fn tell(report: &VerifyReport, output: &mut Output) -> Result<(), Failure> {
    for damage in &report.damages {
        output.answer(
            || format!("damaged: {}: {}", damage.place, damage.detail),
            || json!({ "damaged": damage.place, "detail": damage.detail }),
        )?;
    }
    output.answer(
        || {
            let VerifyReport { collections, blocks, log_batches, .. } = report;
            format!("checked {collections} collections, {blocks} blocks, {log_batches} log batches")
        },
        || {
            json!({
                "collections": report.collections,
                "blocks": report.blocks,
                "log_batches": report.log_batches,
                "damages": report.damages.len(),
            })
        },
    )?;
    if report.is_clean() { output.plain("everything is intact") } else { Ok(()) }
}
