//! The database in a directory, through the library.

use weald::{
    DiaryOptions, ErrorKind, ExpectedVersion, RawDiary, RawDiaryEntry, RawEntry, RawPages, RawTree,
    RawTreeChange, Retention, Revision, Sequence, TailEvent, TreeOptions, WatchEvent, Weald,
};

use super::{DiaryRange, Done, Expected, Feed, Kind, ScanRange, there};
use crate::cli::{failure::Failure, session::absent};

async fn tree(node: &Weald, name: &str) -> Result<RawTree, Failure> {
    node.raw_tree(name).open().await.map_err(|error| absent("tree", name, error))
}

async fn diary(node: &Weald, name: &str) -> Result<RawDiary, Failure> {
    node.raw_diary(name).open().await.map_err(|error| absent("diary", name, error))
}

fn done(written: &weald::Written) -> Done {
    Done {
        revision: written.revision.0,
        replaced: written.replaced.map(|revision| revision.0),
        transaction: written.transaction.to_string(),
    }
}

pub(super) async fn put(
    node: &Weald,
    name: &str,
    (key, value): (&[u8], &[u8]),
    expected: Expected,
) -> Result<Done, Failure> {
    let tree = node.raw_tree(name).open_or_create().await?;
    let written = match expected {
        Expected::Any => tree.put(key, value).await,
        Expected::Absent => tree.insert(key, value).await,
        Expected::Present => tree.update(key, value).await,
        Expected::Revision(revision) => {
            tree.compare_and_put(key, Some(Revision(revision)), value).await
        }
    };
    Ok(done(&written?))
}

pub(super) async fn put_all(
    node: &Weald,
    name: &str,
    entries: &[(Vec<u8>, Vec<u8>)],
) -> Result<(), Failure> {
    let changes = entries.iter().map(|(key, value)| (key, Some(value)));
    tree(node, name).await?.batch(changes).await?;
    Ok(())
}

pub(super) async fn delete(node: &Weald, name: &str, key: &[u8]) -> Result<Done, Failure> {
    Ok(done(&tree(node, name).await?.delete(key).await?))
}

pub(super) async fn entry(
    node: &Weald,
    name: &str,
    key: &[u8],
) -> Result<Option<RawEntry>, Failure> {
    Ok(tree(node, name).await?.entry(key).await?)
}

pub(super) async fn scan(node: &Weald, name: &str, range: ScanRange) -> Result<RawPages, Failure> {
    let mut wanted = tree(node, name).await?.range(range.bounds);
    if range.is_reverse {
        wanted = wanted.reverse();
    }
    if let Some(limit) = range.limit {
        wanted = wanted.limit(limit);
    }
    Ok(wanted.pages().await?)
}

pub(super) async fn watch(
    node: &Weald,
    name: &str,
    from: u64,
) -> Result<Feed<WatchEvent<RawTreeChange>>, Failure> {
    Ok(there::Feed::Here(Box::pin(tree(node, name).await?.watch(Revision(from)))))
}

pub(super) async fn append(
    node: &Weald,
    name: &str,
    expected: ExpectedVersion,
    entries: Vec<Vec<u8>>,
) -> Result<u64, Failure> {
    let diary = node.raw_diary(name).open_or_create().await?;
    Ok(diary.append_expecting(expected, entries).await?.first.0)
}

pub(super) async fn read(
    node: &Weald,
    name: &str,
    range: DiaryRange,
) -> Result<Vec<RawDiaryEntry>, Failure> {
    Ok(page(&diary(node, name).await?, range).await?)
}

pub(super) async fn kept(
    node: &Weald,
    name: &str,
    range: DiaryRange,
) -> Result<Option<Vec<RawDiaryEntry>>, Failure> {
    match page(&diary(node, name).await?, range).await {
        Err(error) if error.kind() == ErrorKind::Gone => Ok(None),
        page => Ok(Some(page?)),
    }
}

async fn page(diary: &RawDiary, range: DiaryRange) -> weald::Result<Vec<RawDiaryEntry>> {
    if range.is_reverse {
        return diary.read_back(range.from, range.limit).await;
    }
    diary.read(range.from.unwrap_or_default(), range.limit).await
}

pub(super) async fn tail(
    node: &Weald,
    name: &str,
    from: u64,
) -> Result<Feed<TailEvent<RawDiaryEntry>>, Failure> {
    Ok(there::Feed::Here(Box::pin(diary(node, name).await?.tail(Sequence(from)))))
}

pub(super) async fn make(
    node: &Weald,
    name: &str,
    kind: Kind,
    retention: Retention,
) -> Result<(), Failure> {
    match kind {
        Kind::Tree => {
            let options = TreeOptions { retention, ..TreeOptions::default() };
            node.raw_tree(name).options(options).open_or_create().await?;
        }
        Kind::Diary => {
            let options = DiaryOptions { retention };
            node.raw_diary(name).options(options).open_or_create().await?;
        }
    }
    Ok(())
}
