//! The database that a command works on: a directory opened here, or a node asked over HTTP. A verb
//! does not see which, and answers the same.

mod client;
mod here;
mod there;
mod topics;
mod wire;

use std::ops::Bound;

use weald::{
    CollectionInfo, ExpectedVersion, NodeStatus, PartitionId, PartitionInfo, PeerId, RawDiaryEntry,
    RawEntry, RawPages, RawTreeChange, Retention, Sequence, TailEvent, TransactionId, WatchEvent,
    Weald,
};

pub(crate) use client::Client;
pub(crate) use there::{Feed, verify as verify_node};
pub(crate) use topics::{Published, Subscribing, TopicFeed, TopicMessage, TopicNews};

use super::{failure::Failure, shape};
use there::ScanPages;

/// A range of keys.
pub(crate) type Bounds = (Bound<Vec<u8>>, Bound<Vec<u8>>);

/// An open database.
pub(crate) enum Database {
    /// Opened by this process.
    Here(Weald),
    /// A node.
    There(Client),
}

/// What a write of a key expects to find.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Expected {
    /// Nothing in particular.
    #[default]
    Any,
    /// No entry.
    Absent,
    /// An entry.
    Present,
    /// An entry last written by this revision.
    Revision(u64),
}

/// A write that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Done {
    /// The collection's revision through it.
    pub(crate) revision: u64,
    /// The revision of the entry that was there before.
    pub(crate) replaced: Option<u64>,
    /// The transaction.
    pub(crate) transaction: String,
}

/// What a scan asks for.
#[derive(Clone, Debug)]
pub(crate) struct ScanRange {
    pub(crate) bounds: Bounds,
    pub(crate) is_reverse: bool,
    pub(crate) limit: Option<usize>,
}

/// What a read of a diary asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DiaryRange {
    pub(crate) from: Option<Sequence>,
    pub(crate) is_reverse: bool,
    pub(crate) limit: usize,
}

/// What a new collection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Tree,
    Diary,
}

/// Pages of a scan.
pub(crate) enum Pages {
    Here(RawPages),
    There(ScanPages),
}

impl Pages {
    /// The next page; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<RawEntry>>, Failure> {
        match self {
            Self::Here(pages) => Ok(pages.next().await?),
            Self::There(pages) => pages.next(),
        }
    }
}

impl Database {
    /// Sets a key, making the tree if it is new.
    pub(crate) async fn put(
        &self,
        tree: &str,
        (key, value): (&[u8], &[u8]),
        expected: Expected,
    ) -> Result<Done, Failure> {
        match self {
            Self::Here(node) => here::put(node, tree, (key, value), expected).await,
            Self::There(client) => there::put(client, tree, (key, value), expected),
        }
    }

    /// Sets several keys at once.
    pub(crate) async fn put_all(
        &self,
        tree: &str,
        entries: &[(Vec<u8>, Vec<u8>)],
    ) -> Result<(), Failure> {
        match self {
            Self::Here(node) => here::put_all(node, tree, entries).await,
            Self::There(client) => there::put_all(client, tree, entries),
        }
    }

    /// Removes a key of a tree that is there.
    pub(crate) async fn delete(&self, tree: &str, key: &[u8]) -> Result<Done, Failure> {
        match self {
            Self::Here(node) => here::delete(node, tree, key).await,
            Self::There(client) => there::delete(client, tree, key),
        }
    }

    /// The entry of a key of a tree that is there.
    pub(crate) async fn entry(&self, tree: &str, key: &[u8]) -> Result<Option<RawEntry>, Failure> {
        match self {
            Self::Here(node) => here::entry(node, tree, key).await,
            Self::There(client) => there::entry(client, tree, key),
        }
    }

    /// Entries of a tree that is there.
    pub(crate) async fn scan(&self, tree: &str, range: ScanRange) -> Result<Pages, Failure> {
        match self {
            Self::Here(node) => Ok(Pages::Here(here::scan(node, tree, range).await?)),
            Self::There(client) => Ok(Pages::There(ScanPages::new(client, tree, range))),
        }
    }

    /// Follows a tree that is there.
    pub(crate) async fn watch(
        &self,
        tree: &str,
        from: u64,
    ) -> Result<Feed<WatchEvent<RawTreeChange>>, Failure> {
        match self {
            Self::Here(node) => here::watch(node, tree, from).await,
            Self::There(client) => there::watch(client, tree, from),
        }
    }

    /// Appends entries, making the diary if it is new. The sequence of the first.
    pub(crate) async fn append(
        &self,
        diary: &str,
        expected: ExpectedVersion,
        entries: Vec<Vec<u8>>,
    ) -> Result<u64, Failure> {
        match self {
            Self::Here(node) => here::append(node, diary, expected, entries).await,
            Self::There(client) => there::append(client, diary, expected, entries),
        }
    }

    /// A page of a diary that is there; `None` where it is no longer kept.
    pub(crate) async fn kept(
        &self,
        diary: &str,
        range: DiaryRange,
    ) -> Result<Option<Vec<RawDiaryEntry>>, Failure> {
        match self {
            Self::Here(node) => here::kept(node, diary, range).await,
            Self::There(client) => there::kept(client, diary, range),
        }
    }

    /// A page of a diary that is there.
    pub(crate) async fn read(
        &self,
        diary: &str,
        range: DiaryRange,
    ) -> Result<Vec<RawDiaryEntry>, Failure> {
        match self {
            Self::Here(node) => here::read(node, diary, range).await,
            Self::There(client) => there::read(client, diary, range),
        }
    }

    /// Follows a diary that is there.
    pub(crate) async fn tail(
        &self,
        diary: &str,
        from: u64,
    ) -> Result<Feed<TailEvent<RawDiaryEntry>>, Failure> {
        match self {
            Self::Here(node) => here::tail(node, diary, from).await,
            Self::There(client) => there::tail(client, diary, from),
        }
    }

    /// Makes a collection with a policy, if it is not there.
    pub(crate) async fn make(
        &self,
        name: &str,
        kind: Kind,
        retention: Retention,
    ) -> Result<(), Failure> {
        match self {
            Self::Here(node) => here::make(node, name, kind, retention).await,
            Self::There(client) => there::make(client, name, kind, retention),
        }
    }

    /// The collections, by name.
    pub(crate) async fn collections(&self) -> Result<Vec<CollectionInfo>, Failure> {
        match self {
            Self::Here(node) => Ok(node.collections().await?),
            Self::There(client) => there::collections(client),
        }
    }

    /// How many collections there are; `None` when a node cannot tell.
    pub(crate) async fn collection_count(&self) -> Result<Option<usize>, Failure> {
        match self {
            Self::Here(node) => Ok(Some(node.collection_count().await?)),
            Self::There(client) => there::collection_count(client),
        }
    }

    /// Settles a transaction; what became of it, as the gateway's JSON tells it.
    pub(crate) async fn resolve(&self, id: TransactionId) -> Result<serde_json::Value, Failure> {
        match self {
            Self::Here(node) => Ok(wire::outcome_json(&node.resolve(id).await?)),
            Self::There(client) => there::resolve(client, id),
        }
    }

    /// How the node is.
    pub(crate) fn status(&self) -> Result<NodeStatus, Failure> {
        match self {
            Self::Here(node) => Ok(node.status()),
            Self::There(client) => there::status(client),
        }
    }

    /// Who the node is, where that is told, and whether it takes reads and writes, or why not.
    pub(crate) fn readiness(&self) -> Result<(Option<String>, Result<(), String>), Failure> {
        match self {
            Self::Here(node) => Ok((node.peer_id().map(|peer| peer.to_string()), node.readiness())),
            Self::There(client) => there::readiness(client),
        }
    }

    /// The partitions.
    pub(crate) async fn partitions(&self) -> Result<Vec<PartitionInfo>, Failure> {
        match self {
            Self::Here(node) => Ok(node.partitions().await?),
            Self::There(client) => there::partitions(client),
        }
    }

    /// The peers, each as the gateway's JSON tells it.
    pub(crate) fn peers(&self) -> Result<Vec<serde_json::Value>, Failure> {
        match self {
            Self::Here(node) => Ok(node.peers().iter().map(shape::peer).collect()),
            Self::There(client) => there::peers(client),
        }
    }

    /// Hands the coordination of a partition over.
    pub(crate) async fn transfer(
        &self,
        partition: PartitionId,
        target: PeerId,
    ) -> Result<(), Failure> {
        match self {
            Self::Here(node) => Ok(node.transfer(partition, target).await?),
            Self::There(client) => there::transfer(client, partition, target),
        }
    }

    /// Hands everything over.
    pub(crate) async fn drain(&self) -> Result<(), Failure> {
        match self {
            Self::Here(node) => Ok(node.drain().await?),
            Self::There(client) => there::drain(client),
        }
    }
}
