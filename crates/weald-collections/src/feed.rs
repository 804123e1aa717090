//! The changes of a collection from a revision on, read from its chain.

use weald_core::{CollectionChange, CollectionName, FeedPage, Revision};

use crate::{
    Appended, BlockReader, ChainEntry, ChainUse, CollectionState, ReadError,
    chain::{ChainCursor, seek_revision},
    open::inspect,
};

/// One page of changes: revisions from `from` on, whole ones, as many as fit `max_bytes` of content
/// but at least one if there is one. An empty page says that the reader has them all.
///
/// The detail of a change is a [`ChangeRecord`](crate::ChangeRecord) where the chain holds changes
/// and an [`Appended`] where it holds entries. There, a revision that appended nothing has no
/// change. Of the oldest retained revision some entries may be dropped; `Appended::first` tells.
///
/// # Errors
/// See [`ReadError`].
pub fn changes<R: BlockReader + ?Sized>(
    reader: &mut R,
    name: &CollectionName,
    from: Revision,
    max_bytes: usize,
) -> Result<FeedPage, ReadError> {
    let (header, state) = inspect(reader, name)?;
    if let Some(next) = state.chain.gap_until(from) {
        return Ok(FeedPage::Gap { from, next });
    }
    let mut page = Page { chain_use: header.chain_use, max_bytes, ..Page::default() };
    page.fill(reader, &state, from)?;
    Ok(FeedPage::Changes(page.changes))
}

/// Changes gathered so far, the latest of them still open.
#[derive(Debug)]
struct Page {
    chain_use: ChainUse,
    max_bytes: usize,
    bytes: usize,
    changes: Vec<CollectionChange>,
    open: Vec<ChainEntry>,
}

impl Default for Page {
    fn default() -> Self {
        let (changes, open) = (Vec::new(), Vec::new());
        Self { chain_use: ChainUse::Changes, max_bytes: 0, bytes: 0, changes, open }
    }
}

impl Page {
    fn fill<R: BlockReader + ?Sized>(
        &mut self,
        reader: &mut R,
        state: &CollectionState,
        from: Revision,
    ) -> Result<(), ReadError> {
        let start = seek_revision(reader, &state.chain, from)?;
        let mut cursor = ChainCursor::new(&state.chain, start);
        while let Some(entry) = cursor.next(reader)? {
            let is_next = self.open.last().is_some_and(|last| last.revision != entry.revision);
            if is_next {
                self.close();
            }
            if is_next && self.bytes.saturating_add(entry.payload.len()) > self.max_bytes {
                return Ok(());
            }
            self.bytes = self.bytes.saturating_add(entry.payload.len());
            self.open.push(entry);
        }
        self.close();
        Ok(())
    }

    fn close(&mut self) {
        let entries = std::mem::take(&mut self.open);
        let Some(first) = entries.first() else { return };
        let (revision, transaction, time) = (first.revision, first.transaction, first.time);
        let detail = match self.chain_use {
            ChainUse::Changes => first.payload.clone(),
            ChainUse::Entries => {
                let first = first.sequence;
                let entries = entries.into_iter().map(|entry| entry.payload).collect();
                Appended { first, entries }.encode()
            }
        };
        self.changes.push(CollectionChange { revision, transaction, time, detail });
    }
}

#[cfg(test)]
mod tests;
