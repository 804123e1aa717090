//! A tree of bytes.

use std::{ops::RangeBounds, sync::Arc};

use bytes::Bytes;
use weald_collections::{
    self as collections, CollectionState, ReadError, SourceReader, btree,
    tree::{Expectation, IndexKey, KeyChange, TreeAnswer, TreeView},
};
use weald_core::{Action, BlockId, CollectionName, CreateMode, Position, Revision};

use super::{RawIndexRange, RawRange, RawSnapshot, RawTreeWatch, TreeOptions};
use crate::{
    Consistency, Result, Weald, Write, Written,
    backend::{Reading, Version},
    node::read,
    write::{Reply, WriteOptions, undecodable},
};

/// A tree whose keys and values are bytes; keys are ordered as bytes are. Cheap to clone.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> weald::Result<()> {
/// let node = weald::Weald::in_memory().await?;
/// let stock = node.raw_tree("stock").create().await?;
/// stock.put("apple", "3").await?;
/// assert_eq!(stock.get("apple").await?.as_deref(), Some("3".as_bytes()));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct RawTree {
    pub(crate) node: Weald,
    pub(crate) code: collections::RawTree,
    /// Where the tree's blocks begin; they never move.
    pub(crate) view: Arc<TreeView>,
    id: BlockId,
    reading: Reading,
}

impl RawTree {
    /// The tree's name.
    pub fn name(&self) -> &CollectionName {
        self.code.name()
    }

    /// The same tree, read as fresh as `consistency` says. Default: linearizable.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> weald::Result<()> {
    /// # let node = weald::Weald::in_memory().await?;
    /// use weald::Consistency;
    /// let stock = node.raw_tree("stock").create().await?;
    /// stock.put("apple", "3").await?;
    /// let quick = stock.consistency(Consistency::Local);
    /// assert_eq!(quick.get("apple").await?.as_deref(), Some("3".as_bytes()));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn consistency(&self, consistency: Consistency) -> Self {
        Self { reading: Reading { consistency, ..self.reading }, ..self.clone() }
    }

    /// The same tree, read as it was at `position` or later: so a program reads what it has written,
    /// wherever it asks. Reads wait for that state; `Behind` when it does not come in time.
    #[must_use]
    pub fn at_least(&self, position: Position) -> Self {
        Self { reading: Reading { at_least: Some(position), ..self.reading }, ..self.clone() }
    }

    /// The value of `key`; `None` when it was proved that there is none.
    ///
    /// # Errors
    /// When the tree cannot be read.
    pub async fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Bytes>> {
        Ok(self.entry(key).await?.map(|entry| entry.value))
    }

    /// As [`RawTree::get`], with the revision that wrote it.
    ///
    /// # Errors
    /// When the tree cannot be read.
    pub async fn entry(&self, key: impl AsRef<[u8]>) -> Result<Option<btree::Entry>> {
        let (view, key) = (&self.view, key.as_ref());
        self.read(|reader| Ok(view.get(reader, key)?)).await
    }

    /// The entry with the lowest key.
    ///
    /// # Errors
    /// When the tree cannot be read.
    pub async fn first(&self) -> Result<Option<btree::Entry>> {
        self.read(|reader| Ok(self.view.first(reader)?)).await
    }

    /// The entry with the highest key.
    ///
    /// # Errors
    /// When the tree cannot be read.
    pub async fn last(&self) -> Result<Option<btree::Entry>> {
        self.read(|reader| Ok(self.view.last(reader)?)).await
    }

    /// How many entries there are.
    ///
    /// # Errors
    /// When the tree cannot be read.
    pub async fn count(&self) -> Result<u64> {
        self.read(|reader| Ok(self.view.count(reader)?)).await
    }

    /// The tree's revision: how many transactions have written it.
    ///
    /// # Errors
    /// When the tree cannot be read.
    pub async fn revision(&self) -> Result<Revision> {
        self.read(|reader| Ok(CollectionState::read(reader, self.name())?.revision)).await
    }

    /// Entries whose keys lie in `bounds`, as the tree is when reading begins.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> weald::Result<()> {
    /// # let node = weald::Weald::in_memory().await?;
    /// let stock = node.raw_tree("stock").create().await?;
    /// stock.batch([("apple", Some("3")), ("pear", Some("5")), ("plum", Some("8"))]).await?;
    /// let from_p = stock.range("p"..).reverse().limit(1).entries().await?;
    /// assert_eq!(from_p[0].key, "plum");
    /// # Ok(()) }
    /// ```
    pub fn range<B: AsRef<[u8]>>(&self, bounds: impl RangeBounds<B>) -> RawRange {
        RawRange::new(self, None, &bounds)
    }

    /// All entries, as the tree is when reading begins.
    pub fn entries(&self) -> RawRange {
        self.range::<&[u8]>(..)
    }

    /// Entries found by the index `index`, whose keys there lie in `bounds`.
    pub fn by_index<B: AsRef<[u8]>>(
        &self,
        index: &str,
        bounds: impl RangeBounds<B>,
    ) -> RawIndexRange {
        RawIndexRange::new(self, index, &bounds)
    }

    /// Sets the value of `key`. [`Written::replaced`] tells what it overwrote.
    pub fn put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Write<Written> {
        self.change(put(key, Expectation::Any, value))
    }

    /// As [`RawTree::put`], with the entry's keys in the tree's indexes: by these and no others it
    /// is found there from then on.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> weald::Result<()> {
    /// # let node = weald::Weald::in_memory().await?;
    /// use weald::{IndexDefinition, IndexKey, TreeOptions};
    /// let by_city = IndexDefinition { name: "city".into(), is_unique: false };
    /// let options = TreeOptions { indexes: vec![by_city], ..TreeOptions::default() };
    /// let people = node.raw_tree("people").options(options).create().await?;
    /// let city = |name: &'static str| IndexKey { index: "city".into(), key: name.into() };
    /// people.put_indexed("ada", "1815", [city("London")]).await?;
    /// people.put_indexed("kurt", "1906", [city("Brno")]).await?;
    /// let found = people.by_index("city", "Brno"..="Brno").entries().await?;
    /// assert_eq!(found[0].entry.key, "kurt");
    /// # Ok(()) }
    /// ```
    pub fn put_indexed(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        indexes: impl IntoIterator<Item = IndexKey>,
    ) -> Write<Written> {
        let change = put(key, Expectation::Any, value);
        let add = |change: KeyChange, at: IndexKey| change.indexed(at.index, at.key);
        self.change(indexes.into_iter().fold(change, add))
    }

    /// Puts (`Some`) and deletes (`None`) several keys in order: all or nothing.
    pub fn batch<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        changes: impl IntoIterator<Item = (K, Option<V>)>,
    ) -> Write<Written> {
        let change = |(key, value): (K, Option<V>)| match value {
            Some(value) => put(key, Expectation::Any, value),
            None => delete(key),
        };
        self.apply(changes.into_iter().map(change).collect())
    }

    /// Makes changes, each with what it expects to find and its index keys, in order: all or
    /// nothing. [`Written::replaced`] tells what the first one replaced.
    pub fn apply(&self, changes: Vec<KeyChange>) -> Write<Written> {
        self.write_action(self.code.batch(changes))
    }

    /// Adds an entry; `AlreadyExists` when the key has one.
    pub fn insert(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Write<Written> {
        self.change(put(key, Expectation::Absent, value))
    }

    /// Replaces the value of a key that has one; `Conflict` when it has none.
    pub fn update(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Write<Written> {
        self.change(put(key, Expectation::Present, value))
    }

    /// Removes a key. [`Written::replaced`] tells what was there; nothing is fine.
    pub fn delete(&self, key: impl AsRef<[u8]>) -> Write<Written> {
        self.change(delete(key))
    }

    /// Sets the value of `key` if its entry was last written by `expected` (`None`: if there is
    /// none); otherwise `Conflict` (`AlreadyExists` for `None`).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> weald::Result<()> {
    /// # let node = weald::Weald::in_memory().await?;
    /// use weald::ErrorKind;
    /// let stock = node.raw_tree("stock").create().await?;
    /// let written = stock.put("apple", "3").await?;
    /// stock.compare_and_put("apple", Some(written.revision), "4").await?;
    /// let late = stock.compare_and_put("apple", Some(written.revision), "5").await;
    /// assert_eq!(late.unwrap_err().kind(), ErrorKind::Conflict);
    /// # Ok(()) }
    /// ```
    pub fn compare_and_put(
        &self,
        key: impl AsRef<[u8]>,
        expected: Option<Revision>,
        value: impl AsRef<[u8]>,
    ) -> Write<Written> {
        let expected = expected.map_or(Expectation::Absent, Expectation::Revision);
        self.change(put(key, expected, value))
    }

    /// The tree as it is now, unchanged by later writes for as long as the snapshot lives.
    ///
    /// # Errors
    /// When the tree cannot be read.
    pub async fn snapshot(&self) -> Result<RawSnapshot> {
        self.latest().await
    }

    /// The tree as it was right after `revision`.
    ///
    /// # Errors
    /// `Gone` when that history is no longer kept, `Invalid` for a revision yet to come.
    pub async fn at(&self, revision: Revision) -> Result<RawSnapshot> {
        RawSnapshot::at(self, revision).await
    }

    /// Follows the tree from revision `from` on: its history, `CaughtUp`, then each change as it
    /// happens. Revision 1 is the tree's creation.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> weald::Result<()> {
    /// # let node = weald::Weald::in_memory().await?;
    /// use weald::{Revision, WatchEvent};
    /// let stock = node.raw_tree("stock").create().await?;
    /// stock.put("apple", "3").await?;
    /// let mut watch = stock.watch(Revision(2));
    /// let Some(Ok(WatchEvent::Change(change))) = watch.next().await else { panic!() };
    /// assert_eq!(change.changes, [("apple".into(), Some("3".into()))]);
    /// assert!(matches!(watch.next().await, Some(Ok(WatchEvent::CaughtUp))));
    /// # Ok(()) }
    /// ```
    pub fn watch(&self, from: Revision) -> RawTreeWatch {
        RawTreeWatch::new(self, from)
    }

    pub(crate) async fn latest(&self) -> Result<RawSnapshot> {
        let version = self.node.version(self.id, &self.reading).await?;
        Ok(RawSnapshot::new(self, version))
    }

    async fn read<T>(
        &self,
        read: impl FnMut(&mut SourceReader<'_>) -> std::result::Result<T, ReadError>,
    ) -> Result<T> {
        self.node.read_in(self.id, &self.reading, read).await
    }

    /// The tree's id.
    pub(super) fn id(&self) -> BlockId {
        self.id
    }

    pub(super) fn write_action(&self, action: Action) -> Write<Written> {
        Write::new(&self.node, Ok(vec![action]), |reply| written(&reply))
    }

    fn change(&self, change: KeyChange) -> Write<Written> {
        self.apply(vec![change])
    }

    pub(crate) async fn open(node: &Weald, name: CollectionName) -> Result<Self> {
        let version = node.latest(BlockId::header(&name)).await?;
        Self::open_in(node, name, &version).await
    }

    /// Opens the tree as `version` shows it.
    pub(crate) async fn open_in(
        node: &Weald,
        name: CollectionName,
        version: &Version,
    ) -> Result<Self> {
        let (id, reading) = (BlockId::header(&name), Reading::default());
        let code = collections::RawTree::new(name);
        let view = Arc::new(read(version, |reader| code.open(reader)).await?);
        Ok(Self { node: node.clone(), code, view, id, reading })
    }

    pub(crate) async fn create(
        node: &Weald,
        name: CollectionName,
        mode: CreateMode,
        options: &TreeOptions,
    ) -> Result<Self> {
        let code = collections::RawTree::new(name.clone());
        let action = code.create(mode, options.policy(), &options.structure()?);
        if mode == CreateMode::Create || !is_there(node, &code).await? {
            node.commit_actions(vec![action], WriteOptions::default()).await?;
        }
        Self::open(node, name).await
    }
}

/// Whether there is a tree of this name.
async fn is_there(node: &Weald, code: &collections::RawTree) -> Result<bool> {
    let version = node.latest(BlockId::header(code.name())).await?;
    let found = read(&version, |reader| match code.open(reader) {
        Err(ReadError::NoSuchCollection(_)) => Ok(false),
        other => other.map(|_| true),
    });
    found.await
}

fn put(key: impl AsRef<[u8]>, expected: Expectation, value: impl AsRef<[u8]>) -> KeyChange {
    let copy = Bytes::copy_from_slice;
    KeyChange::put(copy(key.as_ref()), expected, copy(value.as_ref()))
}

fn delete(key: impl AsRef<[u8]>) -> KeyChange {
    KeyChange::delete(Bytes::copy_from_slice(key.as_ref()), Expectation::Any)
}

fn written(reply: &Reply) -> Result<Written> {
    let answer = TreeAnswer::decode(reply.answer()?).map_err(|error| undecodable(&error))?;
    Ok(Written {
        transaction: reply.transaction,
        revision: answer.revision,
        position: reply.commit.position,
        time: reply.commit.time,
        replaced: answer.replaced.first().copied().flatten(),
    })
}
