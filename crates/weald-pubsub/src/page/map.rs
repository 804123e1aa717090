//! Pages by content id in memory.

use std::collections::BTreeMap;

use bytes::Bytes;
use weald_core::codec::CodecError;

use super::{Cid, Page, PageEntry, PageRef, Pages, PagesMut};

/// Encoded pages by content id: what a reader has fetched, or what an import brought along. Pages
/// are added and never changed; a page is checked against its id whenever it is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageMap {
    pages: BTreeMap<Cid, Bytes>,
    loads: u64,
}

/// Why a page was not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageFault {
    /// It is not there: fetch it by its id.
    #[error("the page is not here: cid={0}")]
    Missing(Cid),
    /// The bytes are not the page that the id names.
    #[error("the page is damaged: cid={0}")]
    Damaged(Cid),
    /// The bytes are no page.
    #[error("the page does not parse: cid={cid} {source}")]
    Unreadable {
        /// The page.
        cid: Cid,
        /// Why.
        source: CodecError,
    },
    /// The page does not fit its place in the collection.
    #[error("the page does not fit its collection: cid={cid} {what}")]
    Misplaced {
        /// The page.
        cid: Cid,
        /// What does not fit.
        what: &'static str,
    },
}

impl PageMap {
    /// No pages.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the bytes of a page and returns its id. The same bytes again change nothing.
    pub fn insert(&mut self, bytes: Bytes) -> Cid {
        let cid = Cid::of(&bytes);
        self.pages.entry(cid).or_insert(bytes);
        cid
    }

    /// The bytes of a page, unchecked.
    pub fn bytes(&self, cid: &Cid) -> Option<&Bytes> {
        self.pages.get(cid)
    }

    /// How many pages there are.
    pub fn len(&self) -> usize {
        self.pages.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// How many pages were read so far.
    pub const fn loads(&self) -> u64 {
        self.loads
    }

    /// Forgets a page.
    pub fn remove(&mut self, cid: &Cid) -> Option<Bytes> {
        self.pages.remove(cid)
    }

    /// How a parent would name the page `cid`.
    ///
    /// # Errors
    /// [`PageFault`].
    pub fn reference<E: PageEntry>(&mut self, cid: Cid) -> Result<PageRef<()>, PageFault> {
        let page = self.read::<E>(cid)?;
        let summary = page.summary().ok_or(PageFault::Damaged(cid))?;
        Ok(PageRef { cid, summary, link: () })
    }

    fn read<E: PageEntry>(&mut self, cid: Cid) -> Result<Page<E, ()>, PageFault> {
        self.loads += 1;
        let bytes = self.pages.get(&cid).ok_or(PageFault::Missing(cid))?;
        if Cid::of(bytes) != cid {
            return Err(PageFault::Damaged(cid));
        }
        Page::decode(bytes).map_err(|source| PageFault::Unreadable { cid, source })
    }

    #[cfg(test)]
    pub(crate) fn flip(&mut self, cid: &Cid, at: usize) {
        let bytes = self.pages.get_mut(cid).unwrap();
        let mut damaged = bytes.to_vec();
        let at = at % damaged.len();
        damaged[at] ^= 1;
        *bytes = damaged.into();
    }
}

impl<E: PageEntry> Pages<E> for PageMap {
    type Link = ();
    type Error = PageFault;

    fn load(&mut self, at: &PageRef<()>) -> Result<Page<E, ()>, PageFault> {
        let page = self.read::<E>(at.cid)?;
        if page.summary() != Some(at.summary) {
            let what = "its parent counts its entries otherwise";
            return Err(PageFault::Misplaced { cid: at.cid, what });
        }
        Ok(page)
    }

    fn malformed(&self, at: &PageRef<()>, what: &'static str) -> PageFault {
        PageFault::Misplaced { cid: at.cid, what }
    }
}

impl<E: PageEntry> PagesMut<E> for PageMap {
    fn save(
        &mut self,
        _before: Option<&PageRef<()>>,
        page: &Page<E, ()>,
    ) -> Result<PageRef<()>, PageFault> {
        let reference = page.reference(());
        self.insert(page.encode());
        Ok(reference)
    }

    /// Whoever holds the old root still needs it.
    fn release(&mut self, _at: &PageRef<()>) -> Result<(), PageFault> {
        Ok(())
    }
}
