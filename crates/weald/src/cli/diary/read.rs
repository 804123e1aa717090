//! `weald diary read`.

use clap::Args;
use weald::Sequence;

use super::{first_kept, print_entry};
use crate::cli::{
    database::DiaryRange,
    failure::Failure,
    output::Output,
    session::{self, Target},
};

/// Entries read at once.
const PAGE_ENTRIES: usize = 256;

/// Prints entries in order, from the first on that is still kept.
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
    pub(super) async fn run(&self, target: &Target, output: &mut Output) -> Result<(), Failure> {
        session::existing(target, async |database| {
            let first = first_kept(database, &self.diary).await?;
            let begin = (!self.reverse).then_some(first);
            let mut from = self.from.map(Sequence).or(begin);
            let mut wanted = self.limit.unwrap_or(usize::MAX);
            if wanted == 0 {
                // Whether there is such a diary is told all the same.
                let range = DiaryRange { from: None, is_reverse: true, limit: 1 };
                database.read(&self.diary, range).await?;
            }
            while wanted > 0 {
                let limit = wanted.min(PAGE_ENTRIES);
                let range = DiaryRange { from, is_reverse: self.reverse, limit };
                let page = database.read(&self.diary, range).await?;
                for entry in &page {
                    print_entry(entry, output)?;
                }
                wanted -= page.len();
                from = page.last().and_then(|last| self.after(last.sequence));
                if from.is_none_or(|from| from < first) {
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
}
