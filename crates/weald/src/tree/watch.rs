//! Following a tree.

use std::{
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_core::Stream;
use serde::de::DeserializeOwned;
use weald_collections::{
    ChainEntry, CollectionState, Key,
    chain::{ReadLimit, read_forward, seek_revision},
    tree::{Happened, changed_keys},
};
use weald_core::{LogIndex, Revision, Sequence, Time, TransactionId};

use super::{
    RawTree,
    typed::{decode_key, decode_value},
};
use crate::{
    Error, ErrorKind, Result, Weald,
    backend::Version,
    history::{Following, Found, History, Told},
    node::read,
    stream::{Signal, Steps},
};

/// What a watch tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchEvent<C> {
    /// One revision of the collection. Revisions come in order and without a gap.
    Change(C),
    /// All that was committed when the watch got here has been told; what follows is live. Told
    /// once.
    CaughtUp,
    /// These revisions are no longer kept; the watch goes on at `next`.
    Gap {
        /// The first that is missing.
        from: Revision,
        /// The first that follows.
        next: Revision,
    },
}

/// One revision of a tree of bytes.
pub type RawTreeChange = TreeChange<Bytes, Bytes>;

/// One revision of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeChange<K, V> {
    /// The revision.
    pub revision: Revision,
    /// The transaction that made it; the same on every collection that it touched.
    pub transaction: TransactionId,
    /// Log time.
    pub time: Time,
    /// The changed keys in order, with their values at this revision; `None` means deleted.
    pub changes: Vec<(K, Option<V>)>,
}

type Event = WatchEvent<RawTreeChange>;

struct Changes {
    tree: RawTree,
    /// The next revision to tell.
    next: Revision,
}

impl History for Changes {
    type Step = ChainEntry;
    type Event = Event;

    const CAUGHT_UP: Event = WatchEvent::CaughtUp;

    fn node(&self) -> &Weald {
        &self.tree.node
    }

    /// Reads what is there; a gap if revisions were dropped before they could be told.
    async fn read(&mut self) -> Result<Found<Self>> {
        let version = self.tree.node.patiently(self.tree.id()).await?;
        let (name, from) = (self.tree.name(), self.next);
        let (latest, steps) = read(&version, |reader| {
            let state = CollectionState::read(reader, name)?;
            let start = seek_revision(reader, &state.chain, from)?;
            let entries = read_forward(reader, &state.chain, start, ReadLimit::default())?;
            Ok((state.revision, entries))
        })
        .await?;
        let next = steps.first().map_or(latest.next(), |entry| entry.revision);
        let from = from.max(Revision(1));
        let is_gap = next > from && from <= latest;
        if is_gap {
            self.next = next;
        }
        Ok(Found { gap: is_gap.then_some(WatchEvent::Gap { from, next }), steps })
    }

    /// The change that `entry` records, or the gap where its values are no longer kept.
    async fn tell(&mut self, entry: ChainEntry) -> Result<Told<Self>> {
        match self.change_of(&entry).await {
            Ok(change) => {
                self.next = change.revision.next();
                Ok(Told::Event(WatchEvent::Change(change)))
            }
            Err(error) if error.kind() == ErrorKind::Gone => {
                let next = self.first_kept(entry.sequence).await?;
                let from = entry.revision;
                self.next = next;
                Ok(Told::Gap(WatchEvent::Gap { from, next }))
            }
            Err(error) => Err(error),
        }
    }
}

impl Changes {
    async fn change_of(&self, entry: &ChainEntry) -> Result<RawTreeChange> {
        let &ChainEntry { revision, transaction, time, index, .. } = entry;
        let keys = changed_keys(&entry.payload).map_err(|error| {
            let what = format!("a change of the tree does not decode: revision={revision} {error}");
            Error::new(ErrorKind::Damaged, what)
        })?;
        let mut changes = Vec::with_capacity(keys.len());
        if !keys.is_empty() {
            let version = self.tree.node.past(self.tree.id(), index).await?;
            for changed in keys {
                let value = match changed.happened {
                    Happened::Deleted => None,
                    Happened::Put => self.value(&version, &changed.key).await?,
                };
                changes.push((changed.key, value));
            }
        }
        Ok(TreeChange { revision, transaction, time, changes })
    }

    async fn value(&self, version: &Version, key: &[u8]) -> Result<Option<Bytes>> {
        let found = read(version, |reader| Ok(self.tree.view.get(reader, key)?)).await?;
        Ok(found.map(|entry| entry.value))
    }

    /// The first revision behind the entry at `gone` whose version is still kept.
    async fn first_kept(&self, gone: Sequence) -> Result<Revision> {
        let latest = self.tree.node.patiently(self.tree.id()).await?;
        let name = self.tree.name();
        let state = read(&latest, |reader| Ok(CollectionState::read(reader, name)?)).await?;
        let (mut low, mut high) = (gone.0 + 1, state.chain.next.0);
        let mut kept = state.revision.next();
        while low < high {
            let middle = low + (high - low) / 2;
            let entry = read(&latest, |reader| {
                let limit = ReadLimit::entries(1);
                Ok(read_forward(reader, &state.chain, Sequence(middle), limit)?.into_iter().next())
            })
            .await?;
            match entry {
                Some(entry) if self.is_kept(entry.index).await? => {
                    kept = entry.revision;
                    high = middle;
                }
                _ => low = middle + 1,
            }
        }
        Ok(kept)
    }

    async fn is_kept(&self, index: LogIndex) -> Result<bool> {
        match self.tree.node.past(self.tree.id(), index).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::Gone => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Follows a tree of bytes; a stream.
pub struct RawTreeWatch {
    steps: Steps<Following<Changes>>,
}

impl RawTreeWatch {
    pub(super) fn new(tree: &RawTree, from: Revision) -> Self {
        let (signal, tree) = (Signal::of(tree.name()), tree.clone());
        let history = Changes { tree, next: from.max(Revision(1)) };
        Self { steps: Steps::new(Following::new(history, signal)) }
    }

    /// The next event; waits for one. `None` only after an error.
    pub async fn next(&mut self) -> Option<Result<Event>> {
        self.steps.next().await
    }
}

impl Stream for RawTreeWatch {
    type Item = Result<Event>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.steps.poll(cx)
    }
}

impl std::fmt::Debug for RawTreeWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RawTreeWatch").finish_non_exhaustive()
    }
}

/// Follows a typed tree; a stream.
#[derive(Debug)]
pub struct TreeWatch<K, V> {
    raw: RawTreeWatch,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K: Key, V: DeserializeOwned> TreeWatch<K, V> {
    pub(super) fn new(raw: RawTreeWatch) -> Self {
        Self { raw, types: PhantomData }
    }

    /// The next event; waits for one. `None` only after an error.
    pub async fn next(&mut self) -> Option<Result<WatchEvent<TreeChange<K, V>>>> {
        let event = self.raw.next().await?;
        Some(event.and_then(typed))
    }
}

impl<K: Key, V: DeserializeOwned> Stream for TreeWatch<K, V> {
    type Item = Result<WatchEvent<TreeChange<K, V>>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.raw.steps.poll(cx).map(|event| event.map(|event| event.and_then(typed)))
    }
}

fn typed<K: Key, V: DeserializeOwned>(event: Event) -> Result<WatchEvent<TreeChange<K, V>>> {
    let change = match event {
        WatchEvent::Change(change) => change,
        WatchEvent::CaughtUp => return Ok(WatchEvent::CaughtUp),
        WatchEvent::Gap { from, next } => return Ok(WatchEvent::Gap { from, next }),
    };
    let TreeChange { revision, transaction, time, changes } = change;
    let pair = |(key, value): (Bytes, Option<Bytes>)| {
        let value = value.map(|value| decode_value(revision, value)).transpose()?;
        Ok((decode_key(revision, &key)?, value))
    };
    let changes = changes.into_iter().map(pair).collect::<Result<_>>()?;
    Ok(WatchEvent::Change(TreeChange { revision, transaction, time, changes }))
}
