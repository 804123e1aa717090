//! `weald diary`: append-only logs.

mod append;
mod read;
mod tail;

use clap::Subcommand;
use serde_json::Map;
use weald::{RawDiaryEntry, Sequence};

use super::{
    database::Database,
    failure::Failure,
    output::Output,
    session::Target,
    text::{plain, put_bytes},
};

/// What to do with a diary.
#[derive(Debug, Subcommand)]
pub(crate) enum DiaryVerb {
    /// Append an entry, or one for each line; makes the diary if it is new
    Append(append::Append),
    /// Print entries in order
    Read(read::Read),
    /// Print entries: those so far, then each new one
    Tail(tail::Tail),
}

impl DiaryVerb {
    /// Runs the verb.
    pub(crate) async fn run(self, target: &Target, output: &mut Output) -> Result<(), Failure> {
        match self {
            Self::Append(append) => append.run(target, output).await,
            Self::Read(read) => read.run(target, output).await,
            Self::Tail(tail) => tail.run(target, output).await,
        }
    }
}

fn print_entry(entry: &RawDiaryEntry, output: &mut Output) -> Result<(), Failure> {
    output.answer(
        || format!("{}\t{}", entry.sequence.0, plain(&entry.entry)),
        || {
            let mut object = Map::new();
            object.insert("sequence".into(), entry.sequence.0.into());
            object.insert("revision".into(), entry.revision.0.into());
            object.insert("transaction".into(), entry.transaction.to_string().into());
            object.insert("time_ms".into(), entry.time.as_millis().into());
            put_bytes(&mut object, "entry", &entry.entry);
            object.into()
        },
    )
}

/// The first entry that is still kept: a tail begins there, or tells how far the gap reaches.
pub(crate) async fn first_kept(database: &Database, diary: &str) -> Result<Sequence, Failure> {
    let mut tail = database.tail(diary, 0).await?;
    match tail.next().await.transpose()? {
        Some(weald::TailEvent::Gap { next, .. }) => Ok(next),
        _ => Ok(Sequence(0)),
    }
}
