//! `weald tree scan`.

use std::ops::Bound;

use clap::Args;
use serde_json::Map;
use weald::RawEntry;

use super::KeyOptions;
use crate::cli::{
    database::{Bounds, ScanRange},
    failure::Failure,
    output::Output,
    session::{self, Target},
    text::{plain, put_bytes},
};

/// Prints entries in the order of their keys.
#[derive(Args, Debug)]
pub(crate) struct Scan {
    /// The tree
    tree: String,
    /// The first key
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    from: Option<String>,
    /// Where to end: keys below this one
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    to: Option<String>,
    /// Only keys that begin with this
    #[arg(long, value_name = "PREFIX", conflicts_with_all = ["from", "to"])]
    prefix: Option<String>,
    /// From the highest key to the lowest
    #[arg(long)]
    reverse: bool,
    /// At most this many entries
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,
    /// Print keys without values
    #[arg(long)]
    keys_only: bool,
    #[command(flatten)]
    keys: KeyOptions,
}

impl Scan {
    pub(super) async fn run(&self, target: &Target, output: &mut Output) -> Result<(), Failure> {
        let bounds = self.bounds()?;
        session::existing(target, async |database| {
            if self.limit == Some(0) || is_empty(&bounds) {
                // Whether there is such a tree is told all the same.
                database.entry(&self.tree, &[]).await?;
                return Ok(());
            }
            let range = ScanRange { bounds, is_reverse: self.reverse, limit: self.limit };
            let mut pages = database.scan(&self.tree, range).await?;
            while let Some(page) = pages.next().await? {
                for entry in &page {
                    self.print(entry, output)?;
                }
            }
            Ok(())
        })
        .await
    }

    fn print(&self, entry: &RawEntry, output: &mut Output) -> Result<(), Failure> {
        output.answer(
            || {
                let key = self.keys.form().show(&entry.key);
                if self.keys_only { key } else { format!("{key}\t{}", plain(&entry.value)) }
            },
            || {
                let mut object = Map::new();
                put_bytes(&mut object, "key", &entry.key);
                if !self.keys_only {
                    put_bytes(&mut object, "value", &entry.value);
                }
                object.insert("revision".into(), entry.revision.0.into());
                object.into()
            },
        )
    }

    fn bounds(&self) -> Result<Bounds, Failure> {
        let parse = |text: &Option<String>| {
            text.as_deref().map(|text| self.keys.form().parse(text)).transpose()
        };
        if let Some(prefix) = parse(&self.prefix)? {
            let end = after_prefix(&prefix).map_or(Bound::Unbounded, Bound::Excluded);
            return Ok((Bound::Included(prefix), end));
        }
        let low = parse(&self.from)?.map_or(Bound::Unbounded, Bound::Included);
        let high = parse(&self.to)?.map_or(Bound::Unbounded, Bound::Excluded);
        Ok((low, high))
    }
}

/// The lowest key above all that begin with `prefix`; `None` when there is none.
fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

fn is_empty(bounds: &Bounds) -> bool {
    matches!(bounds, (Bound::Included(low), Bound::Excluded(high)) if low >= high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_before_the_next_key_that_does_not_begin_with_it() {
        assert_eq!(after_prefix(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(after_prefix(&[1, 0xff, 0xff]), Some(vec![2]));
        assert_eq!(after_prefix(&[0xff]), None);
        assert_eq!(after_prefix(b""), None);
    }

    #[test]
    fn a_range_that_ends_before_it_begins_is_empty() {
        let bounds = |low: &str, high: &str| {
            (Bound::Included(low.as_bytes().to_vec()), Bound::Excluded(high.as_bytes().to_vec()))
        };
        assert!(is_empty(&bounds("b", "a")));
        assert!(is_empty(&bounds("a", "a")));
        assert!(!is_empty(&bounds("a", "b")));
    }
}
