//! A tree that was opened for reading.

use std::ops::Bound;

use bytes::Bytes;
use weald_core::{BlockId, CollectionName, Fault, Halt};

use super::{
    IndexDefinition, TreeOptions, TreeType, UnknownIndex,
    index::{IndexScan, composed},
    options::TreeRoot,
    record,
};
use crate::{
    BlockReader, CollectionState, ReadError,
    btree::{BTree, Direction, Entry, Scan, Survey},
    open::open,
};

/// Entries that a verification holds at once.
const VERIFY_PAGE: usize = 256;

/// Where a tree's blocks begin: enough to read it in any version of its blocks, since roots never
/// move. It can be kept as long as the collection lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeView {
    name: CollectionName,
    root: TreeRoot,
}

impl TreeView {
    /// Finds the tree `name`.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn open<R: BlockReader + ?Sized>(
        reader: &mut R,
        name: &CollectionName,
    ) -> Result<Self, ReadError> {
        let header = open(reader, name, &TreeType::type_name())?;
        let root = TreeRoot::of(&header).map_err(Halt::from)?;
        Ok(Self { name: name.clone(), root })
    }

    /// The tree's name.
    pub fn name(&self) -> &CollectionName {
        &self.name
    }

    /// The settings that the tree was made with.
    pub fn options(&self) -> TreeOptions {
        let indexes = self.root.indexes.iter().map(|index| index.definition.clone());
        TreeOptions { capacity: self.root.capacity, indexes: indexes.collect() }
    }

    /// The tree's indexes.
    pub fn indexes(&self) -> impl Iterator<Item = &IndexDefinition> {
        self.root.indexes.iter().map(|index| &index.definition)
    }

    /// The entry of `key`.
    ///
    /// # Errors
    /// [`Halt`].
    pub fn get<R: BlockReader + ?Sized>(
        &self,
        reader: &mut R,
        key: &[u8],
    ) -> Result<Option<Entry>, Halt> {
        self.own(self.root.entries().get(reader, key)?)
    }

    /// The entries between two bounds.
    pub fn range<'r, R: BlockReader + ?Sized>(
        &self,
        reader: &'r mut R,
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
        direction: Direction,
    ) -> TreeScan<'r, R> {
        let scan = self.root.entries().range(reader, bounds, direction);
        TreeScan { root: self.root.entries, scan }
    }

    /// The entry with the least key.
    ///
    /// # Errors
    /// [`Halt`].
    pub fn first<R: BlockReader + ?Sized>(&self, reader: &mut R) -> Result<Option<Entry>, Halt> {
        self.own(self.root.entries().first(reader)?)
    }

    /// The entry with the greatest key.
    ///
    /// # Errors
    /// [`Halt`].
    pub fn last<R: BlockReader + ?Sized>(&self, reader: &mut R) -> Result<Option<Entry>, Halt> {
        self.own(self.root.entries().last(reader)?)
    }

    /// The entry with the least key above `key`.
    ///
    /// # Errors
    /// [`Halt`].
    pub fn after<R: BlockReader + ?Sized>(
        &self,
        reader: &mut R,
        key: &[u8],
    ) -> Result<Option<Entry>, Halt> {
        self.own(self.root.entries().after(reader, key)?)
    }

    /// The entry with the greatest key below `key`.
    ///
    /// # Errors
    /// [`Halt`].
    pub fn before<R: BlockReader + ?Sized>(
        &self,
        reader: &mut R,
        key: &[u8],
    ) -> Result<Option<Entry>, Halt> {
        self.own(self.root.entries().before(reader, key)?)
    }

    /// How many entries there are. Reads the state block, which every write changes.
    ///
    /// # Errors
    /// [`Halt`].
    pub fn count<R: BlockReader + ?Sized>(&self, reader: &mut R) -> Result<u64, Halt> {
        Ok(CollectionState::read(reader, &self.name)?.items)
    }

    /// The hits between two index keys.
    ///
    /// # Errors
    /// When the tree has no such index.
    pub fn index_range<'r, R: BlockReader + ?Sized>(
        &self,
        reader: &'r mut R,
        index: &str,
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
        direction: Direction,
    ) -> Result<IndexScan<'r, R>, UnknownIndex> {
        Ok(IndexScan::new(&self.index(index)?, reader, bounds, direction))
    }

    /// Checks every node of entries and indexes, that the count is right, and that indexes and
    /// entries name each other.
    ///
    /// # Errors
    /// [`Halt::Fault`] that names the block where something does not hold.
    pub fn verify<R: BlockReader + ?Sized>(&self, reader: &mut R) -> Result<Survey, Halt> {
        let survey = self.root.entries().verify(reader)?;
        let count = self.count(reader)?;
        if survey.entries != count {
            let detail = format!("the count is wrong: counted={} stored={count}", survey.entries);
            return Err(Fault::Damaged { id: BlockId::state(&self.name), detail }.into());
        }
        let mut hits = vec![0u64; self.root.indexes.len()];
        let mut last: Option<Bytes> = None;
        loop {
            let low = last.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let scan =
                self.root.entries().range(reader, (low, Bound::Unbounded), Direction::Forward);
            let page = scan.take(VERIFY_PAGE).collect::<Result<Vec<_>, _>>()?;
            for entry in &page {
                self.verify_indexed(reader, entry, &mut hits)?;
            }
            match page.last() {
                Some(entry) => last = Some(entry.key.clone()),
                None => break,
            }
        }
        for (position, hits) in hits.into_iter().enumerate() {
            if self.root.index(position).verify(reader)?.entries != hits {
                return Err(self.unindexed());
            }
        }
        Ok(survey)
    }

    /// Checks that the indexes have what the entry says, and counts it.
    fn verify_indexed<R: BlockReader + ?Sized>(
        &self,
        reader: &mut R,
        entry: &Entry,
        hits: &mut [u64],
    ) -> Result<(), Halt> {
        for (index, index_key) in record::index_keys(self.root.entries, entry)? {
            let position = usize::from(index);
            let hits = hits.get_mut(position).ok_or_else(|| self.unindexed())?;
            let key = composed(&index_key, &entry.key);
            if self.root.index(position).get(reader, &key)?.is_none() {
                return Err(self.unindexed());
            }
            *hits += 1;
        }
        Ok(())
    }

    fn unindexed(&self) -> Halt {
        let detail = "indexes and entries do not name each other".to_owned();
        Fault::Damaged { id: self.root.entries, detail }.into()
    }

    fn index(&self, index: &str) -> Result<BTree, UnknownIndex> {
        let unknown = || UnknownIndex { index: index.to_owned() };
        Ok(self.root.index(self.root.position(index).ok_or_else(unknown)?))
    }

    fn own(&self, entry: Option<Entry>) -> Result<Option<Entry>, Halt> {
        Ok(entry.map(|entry| record::user_entry(self.root.entries, entry)).transpose()?)
    }
}

/// The entries of a range of a tree. As with [`Scan`], an error leaves it where it was.
#[derive(Debug)]
pub struct TreeScan<'r, R: ?Sized> {
    root: BlockId,
    scan: Scan<'r, R>,
}

impl<R: BlockReader + ?Sized> Iterator for TreeScan<'_, R> {
    type Item = Result<Entry, Halt>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.scan.next()?;
        Some(entry.and_then(|entry| Ok(record::user_entry(self.root, entry)?)))
    }
}
