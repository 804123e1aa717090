//! Lines of a tree.

use weald::Retention;

use super::Counts;
use crate::cli::{
    database::{Database, Kind},
    failure::Failure,
};

/// Entries of one transaction.
const BATCH_COUNT_MAX: usize = 200;
/// Bytes of one transaction, unless a single entry has more.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// Puts entries into a tree, skipping those that are there.
pub(super) struct TreeImport<'d> {
    database: &'d Database,
    name: String,
    waiting: Vec<(Vec<u8>, Vec<u8>)>,
    waiting_bytes: usize,
    counts: Counts,
}

impl<'d> TreeImport<'d> {
    pub(super) async fn begin(
        database: &'d Database,
        name: &str,
        retention: Retention,
    ) -> Result<Self, Failure> {
        database.make(name, Kind::Tree, retention).await?;
        let (name, counts) = (name.to_owned(), Counts::default());
        Ok(Self { database, name, waiting: Vec::new(), waiting_bytes: 0, counts })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) async fn put(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<(), Failure> {
        match self.database.entry(&self.name, &key).await? {
            Some(there) if there.value == value => {
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
        self.waiting.push((key, value));
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
            self.database.put_all(&self.name, &waiting).await?;
        }
        Ok(())
    }
}
