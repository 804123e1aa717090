//! `weald diary read`.

use std::path::Path;

use clap::Args;
use weald::{RawDiary, RawDiaryEntry, Sequence};

use super::print_entry;
use crate::cli::{
    failure::Failure,
    output::Output,
    session::{self, absent},
};

/// Entries read at once.
const PAGE_ENTRIES: usize = 256;

/// Prints entries in order.
#[derive(Args, Debug)]
pub(crate) struct Read {
    /// The diary
    diary: String,
    /// The first sequence; with `--reverse` the one to go back from
    #[arg(long, value_name = "SEQUENCE")]
    from: Option<u64>,
    /// At most this many entries
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,
    /// Newest first
    #[arg(long)]
    reverse: bool,
}

impl Read {
    pub(super) async fn run(&self, directory: &Path, output: &mut Output) -> Result<(), Failure> {
        session::existing(directory, async |node| {
            let diary = node.raw_diary(&self.diary).open().await;
            let diary = diary.map_err(|error| absent("diary", &self.diary, error))?;
            let mut from = self.from.map(Sequence);
            let mut wanted = self.limit.unwrap_or(usize::MAX);
            while wanted > 0 {
                let page = self.page(&diary, from, wanted.min(PAGE_ENTRIES)).await?;
                for entry in &page {
                    print_entry(entry, output)?;
                }
                wanted -= page.len();
                from = page.last().and_then(|last| self.after(last.sequence));
                if from.is_none() {
                    break;
                }
            }
            Ok(())
        })
        .await
    }

    /// Where the page behind this entry begins; `None` when there is none.
    fn after(&self, last: Sequence) -> Option<Sequence> {
        let next = if self.reverse { last.0.checked_sub(1) } else { last.0.checked_add(1) };
        next.map(Sequence)
    }

    async fn page(
        &self,
        diary: &RawDiary,
        from: Option<Sequence>,
        limit: usize,
    ) -> weald::Result<Vec<RawDiaryEntry>> {
        if self.reverse {
            return diary.read_back(from, limit).await;
        }
        diary.read(from.unwrap_or_default(), limit).await
    }
}
