//! `weald verify`.

use serde_json::json;
use weald::{VerifyProgress, VerifyReport};

use super::{
    database::verify_node,
    failure::{Class, Failure},
    output::Output,
    progress,
    session::{self, Target},
};

/// Reads everything that is stored and checks it.
pub(crate) async fn run(target: &Target, output: &mut Output) -> Result<(), Failure> {
    let report = check(target).await?;
    tell(&report, output)?;
    output.flush()?;
    damages(&report)
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

async fn check(target: &Target) -> Result<VerifyReport, Failure> {
    let bar = progress::bar("checking", Some(0));
    let shown = bar.clone();
    let progress = move |progress: VerifyProgress| {
        shown.set_length(progress.total);
        shown.set_position(progress.done);
    };
    let report = match target {
        Target::Directory(directory) => session::verify(directory, progress).await,
        Target::Node(client) => verify_node(client),
    };
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
