//! The process that the demo kills.

use std::{
    io::{self, Write},
    path::Path,
};

use clap::Args;
use weald::Weald;

use super::{JOURNAL, LATEST};
use crate::cli::{failure::Failure, session};

/// Writes until it is killed.
#[derive(Args, Debug)]
pub(crate) struct DemoWriter {
    /// Callers that write at the same time
    #[arg(long)]
    callers: u32,
}

impl DemoWriter {
    /// Runs the verb.
    pub(crate) async fn run(&self, directory: &Path) -> Result<(), Failure> {
        let node = session::open(directory).await?;
        node.raw_diary(JOURNAL).create().await?;
        node.raw_tree(LATEST).create().await?;
        let mut callers = tokio::task::JoinSet::new();
        for caller in 0..self.callers {
            let node = node.clone();
            callers.spawn(async move { write(&node, caller).await });
        }
        while let Some(ended) = callers.join_next().await {
            ended
                .map_err(|error| Failure::internal(format_args!("a caller stopped: {error}")))??;
        }
        Ok(())
    }
}

async fn write(node: &Weald, caller: u32) -> Result<(), Failure> {
    for number in 1_u64.. {
        transact(node, caller, number).await?;
        // One write for one line, so that lines of several callers do not mix.
        io::stdout().lock().write_all(format!("{caller} {number}\n").as_bytes())?;
        io::stdout().flush()?;
    }
    Ok(())
}

/// One transaction of a caller: an entry of the diary and a value of the tree, both or neither.
pub(super) async fn transact(node: &Weald, caller: u32, number: u64) -> weald::Result<()> {
    node.transact(move |transaction| {
        transaction.raw_diary(JOURNAL)?.append(format!("{caller} {number}"))?;
        transaction.raw_tree(LATEST)?.put(key(caller), number.to_string())
    })
    .await
    .map(|_| ())
}

/// A caller's key in the tree.
pub(super) fn key(caller: u32) -> String {
    caller.to_string()
}
