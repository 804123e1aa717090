//! `weald diary append`.

use clap::Args;
use serde_json::json;
use weald::{ExpectedVersion, Sequence};

use crate::cli::{
    database::Database,
    failure::Failure,
    input::{self, ValueInput},
    output::Output,
    session::{self, Target},
};

/// Entries of one transaction when many lines are appended.
const BATCH_COUNT_MAX: usize = 256;
/// Bytes of one such transaction, unless a single line has more.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// Appends an entry, or one for each line.
#[derive(Args, Debug)]
pub(crate) struct Append {
    /// The diary
    diary: String,
    #[command(flatten)]
    value: ValueInput,
    /// Append each line of the input as an entry of its own; VALUE is then a file or `-`
    #[arg(long)]
    lines: bool,
    /// Refuse unless the diary is `empty`, `exists`, or its last entry has this sequence
    #[arg(long, value_name = "WHAT", value_parser = expectation, conflicts_with = "lines")]
    expect: Option<ExpectedVersion>,
}

impl Append {
    pub(super) async fn run(&self, target: &Target, output: &mut Output) -> Result<(), Failure> {
        // What the user hands in is read first: bad input makes no database.
        if self.lines {
            let lines = input::lines(&self.value.path()?)?;
            let append =
                async |database: &Database| self.append_lines(database, lines, output).await;
            return session::made(target, append).await;
        }
        let entry = self.value.read()?;
        let expected = self.expect.unwrap_or_default();
        let first = session::made(target, async |database| {
            database.append(&self.diary, expected, vec![entry]).await
        })
        .await?;
        self.tell(first, 1, output)
    }

    async fn append_lines(
        &self,
        database: &Database,
        lines: impl Iterator<Item = std::io::Result<Vec<u8>>>,
        output: &mut Output,
    ) -> Result<(), Failure> {
        let mut batch = Batch::default();
        let mut first = None;
        let mut count = 0;
        let mut note = |appended: Option<(u64, u64)>| {
            if let Some((begin, entries)) = appended {
                first.get_or_insert(begin);
                count += entries;
            }
        };
        for line in lines {
            let line = line.map_err(|error| input::unreadable(&error))?;
            if batch.is_full_with(&line) {
                note(batch.append(database, &self.diary).await?);
            }
            batch.add(line);
        }
        note(batch.append(database, &self.diary).await?);
        match first {
            Some(first) => self.tell(first, count, output),
            None => output.answer(
                || format!("{}: the input is empty, nothing appended", self.diary),
                || json!({ "first": null, "count": 0 }),
            ),
        }
    }

    fn tell(&self, first: u64, count: u64, output: &mut Output) -> Result<(), Failure> {
        let diary = &self.diary;
        output.answer(
            || match count {
                1 => format!("{diary}: appended entry {first}"),
                _ => format!("{diary}: appended entries {first} to {}", first + count - 1),
            },
            || json!({ "first": first, "count": count }),
        )
    }
}

/// Entries that wait to be appended together.
#[derive(Debug, Default)]
struct Batch {
    entries: Vec<Vec<u8>>,
    bytes: usize,
}

impl Batch {
    fn is_full_with(&self, entry: &[u8]) -> bool {
        let is_long = self.entries.len() >= BATCH_COUNT_MAX;
        !self.entries.is_empty() && (is_long || self.bytes + entry.len() > BATCH_BYTES_MAX)
    }

    fn add(&mut self, entry: Vec<u8>) {
        self.bytes += entry.len();
        self.entries.push(entry);
    }

    /// The sequence of the first entry and how many there are; `None` when none waited.
    async fn append(
        &mut self,
        database: &Database,
        diary: &str,
    ) -> Result<Option<(u64, u64)>, Failure> {
        let batch = std::mem::take(self);
        let count = u64::try_from(batch.entries.len()).unwrap_or(u64::MAX);
        if count == 0 {
            return Ok(None);
        }
        let first = database.append(diary, ExpectedVersion::Any, batch.entries).await?;
        Ok(Some((first, count)))
    }
}

fn expectation(text: &str) -> Result<ExpectedVersion, String> {
    match text {
        "any" => Ok(ExpectedVersion::Any),
        "empty" => Ok(ExpectedVersion::Empty),
        "exists" => Ok(ExpectedVersion::Exists),
        _ => {
            let sequence = text.parse().map(|sequence| ExpectedVersion::Exact(Sequence(sequence)));
            sequence.map_err(|_| "say `any`, `empty`, `exists` or a sequence".to_owned())
        }
    }
}
