//! The embedded node as a program uses it, on real files and in memory.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod diaries;
mod leading;
mod lost_log;
mod models;
mod transactions;
mod trees;
mod writes;

use std::path::Path;

use weald::{Config, Weald};

/// A node on the files in `path`, with a log of small segments.
async fn open(path: &Path) -> Weald {
    let config = Config { log_segment_bytes: 1 << 20, ..Config::default() };
    Weald::builder().config(config).open(path).await.expect("the directory is free and whole")
}
