//! The embedded node as a program uses it, on real files and in memory.

mod diaries;
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
