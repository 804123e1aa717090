//! The process that the kill tests kill: callers that write one thing after another and print each
//! acknowledgement.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use anyhow::{Context, Result};
use weald::Weald;
use weald_tests::crash::{Ack, JOURNAL, Kind, MARKS, MARKS_COPY, MOVES, Mark, READY, SOLO, open};

#[derive(Clone, Copy)]
struct Caller {
    generation: u32,
    caller: u32,
    value_bytes: usize,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, generation, callers, value_bytes, mood] = &arguments[..] else {
        anyhow::bail!("crash-writer DIRECTORY GENERATION CALLERS VALUE_BYTES restless|calm");
    };
    let node = open(&PathBuf::from(directory), mood == "restless").await?;
    make_collections(&node).await?;
    tell(READY)?;
    let mut running = tokio::task::JoinSet::new();
    for caller in 0..callers.parse()? {
        let value_bytes = value_bytes.parse()?;
        let caller = Caller { generation: generation.parse()?, caller, value_bytes };
        let node = node.clone();
        running.spawn(async move { caller.write(&node).await });
    }
    while let Some(ended) = running.join_next().await {
        ended.context("a caller panicked")??;
    }
    Ok(())
}

async fn make_collections(node: &Weald) -> Result<()> {
    for tree in [SOLO, MARKS, MARKS_COPY] {
        node.raw_tree(tree).open_or_create().await?;
    }
    for diary in [JOURNAL, MOVES] {
        node.raw_diary(diary).open_or_create().await?;
    }
    Ok(())
}

impl Caller {
    async fn write(self, node: &Weald) -> Result<()> {
        for number in 1.. {
            let mark = Mark { generation: self.generation, number, caller: self.caller };
            for kind in Kind::ALL {
                let place = self.write_one(node, kind, mark).await?;
                tell(&Ack { kind, mark, place }.to_string())?;
            }
        }
        Ok(())
    }

    async fn write_one(self, node: &Weald, kind: Kind, mark: Mark) -> Result<u64> {
        let value = mark.to_value(self.value_bytes);
        match kind {
            Kind::Put => {
                let tree = node.raw_tree(SOLO).open().await?;
                Ok(tree.put(mark.key(), value).await?.revision.0)
            }
            Kind::Append => {
                let diary = node.raw_diary(JOURNAL).open().await?;
                Ok(diary.append(value).await?.first.0)
            }
            Kind::Transaction => {
                let transacted = node
                    .transact(move |transaction| {
                        transaction.raw_tree(MARKS)?.put(mark.key(), &value)?;
                        transaction.raw_diary(MOVES)?.append(&value)?;
                        transaction.raw_tree(MARKS_COPY)?.put(mark.key(), &value)
                    })
                    .await?;
                let commit = transacted.commit.context("a transaction that writes is committed")?;
                Ok(commit.1.position.index.0)
            }
        }
    }
}

/// One write for one line, so that lines of several callers do not mix.
fn tell(line: &str) -> Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(format!("{line}\n").as_bytes())?;
    Ok(output.flush()?)
}
