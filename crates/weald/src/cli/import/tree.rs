//! Lines of a tree.

use weald::{RawTree, Retention, TreeOptions, Weald};

use super::Counts;
use crate::cli::failure::Failure;

/// Entries of one transaction.
const BATCH_COUNT_MAX: usize = 200;
/// Bytes of one transaction, unless a single entry has more.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// Puts entries into a tree, skipping those that are there.
pub(super) struct TreeImport {
    tree: RawTree,
    waiting: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    waiting_bytes: usize,
    counts: Counts,
}

impl TreeImport {
    pub(super) async fn begin(
        node: &Weald,
        name: &str,
        retention: Retention,
    ) -> Result<Self, Failure> {
        let options = TreeOptions { retention, ..TreeOptions::default() };
        let tree = node.raw_tree(name).options(options).open_or_create().await?;
        Ok(Self { tree, waiting: Vec::new(), waiting_bytes: 0, counts: Counts::default() })
    }

    pub(super) fn name(&self) -> &str {
        self.tree.name().as_str()
    }

    pub(super) async fn put(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<(), Failure> {
        match self.tree.get(&key).await? {
            Some(there) if there == value => {
                self.counts.same += 1;
                return Ok(());
            }
            Some(_) => self.counts.changed += 1,
            None => self.counts.added += 1,
        }
        let bytes = key.len() + value.len();
        let is_full =
            self.waiting.len() >= BATCH_COUNT_MAX || self.waiting_bytes + bytes > BATCH_BYTES_MAX;
        if is_full {
            self.write().await?;
        }
        self.waiting_bytes += bytes;
        self.waiting.push((key, Some(value)));
        Ok(())
    }

    pub(super) async fn finish(&mut self) -> Result<Counts, Failure> {
        self.write().await?;
        Ok(self.counts)
    }

    async fn write(&mut self) -> Result<(), Failure> {
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        if !waiting.is_empty() {
            self.tree.batch(waiting).await?;
        }
        Ok(())
    }
}
