//! Reading everything that the writers have left.

use std::{collections::BTreeMap, path::Path, time::Duration};

use anyhow::{Context, Result, bail};
use weald::{Config, Sequence, Weald};

use super::{JOURNAL, MARKS, MARKS_COPY, MOVES, Mark, SOLO};

/// An entry of a diary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its sequence.
    pub sequence: u64,
    /// What was written.
    pub mark: Mark,
}

/// What a reopened database holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Each caller's value in the tree of single puts.
    pub solo: BTreeMap<u32, Mark>,
    /// Each caller's value in the first tree of the transactions.
    pub marks: BTreeMap<u32, Mark>,
    /// Each caller's value in the second.
    pub marks_copy: BTreeMap<u32, Mark>,
    /// The diary of single appends.
    pub journal: Vec<Entry>,
    /// The diary of the transactions.
    pub moves: Vec<Entry>,
    /// The revision of each collection.
    pub revisions: BTreeMap<String, u64>,
}

impl Found {
    /// Opens the database, reads and verifies everything, and closes it.
    ///
    /// # Errors
    /// When it cannot be opened or read, or holds what no writer wrote.
    pub async fn read(directory: &Path, restless: bool) -> Result<Self> {
        let node = open(directory, restless).await?;
        let mut found = Self::default();
        for info in node.collections().await? {
            found.revisions.insert(info.name.to_string(), info.revision.0);
        }
        let has = |name: &str| found.revisions.contains_key(name);
        let (solo, marks, copy) = (has(SOLO), has(MARKS), has(MARKS_COPY));
        let (journal, moves) = (has(JOURNAL), has(MOVES));
        if solo {
            found.solo = read_tree(&node, SOLO).await?;
        }
        if marks {
            found.marks = read_tree(&node, MARKS).await?;
        }
        if copy {
            found.marks_copy = read_tree(&node, MARKS_COPY).await?;
        }
        if journal {
            found.journal = read_diary(&node, JOURNAL).await?;
        }
        if moves {
            found.moves = read_diary(&node, MOVES).await?;
        }
        let report = node.verify(|_| ()).await?;
        if !report.is_clean() {
            bail!("a kill left damage behind: {:?}", report.damages);
        }
        node.close().await?;
        Ok(found)
    }
}

/// Opens the database as the writers do.
///
/// # Errors
/// When it cannot be opened.
pub async fn open(directory: &Path, restless: bool) -> Result<Weald> {
    let config = if restless {
        Config {
            log_segment_bytes: 1 << 20,
            checkpoint_log_bytes: 1 << 20,
            checkpoint_interval: Duration::from_millis(30),
            dirty_bytes: 1 << 20,
            cache_bytes: 1 << 20,
            ..Config::default()
        }
    } else {
        Config::default()
    };
    let node = Weald::builder().config(config).open(directory).await;
    node.with_context(|| format!("{} cannot be opened", directory.display()))
}

async fn read_tree(node: &Weald, name: &str) -> Result<BTreeMap<u32, Mark>> {
    let tree = node.raw_tree(name).open().await?;
    let mut marks = BTreeMap::new();
    for entry in tree.range::<&[u8]>(..).entries().await? {
        let mark = Mark::from_value(&entry.value)?;
        if entry.key != mark.key() {
            bail!("{name}: the key {:?} has the value of {mark}", entry.key);
        }
        marks.insert(mark.caller, mark);
    }
    Ok(marks)
}

async fn read_diary(node: &Weald, name: &str) -> Result<Vec<Entry>> {
    let diary = node.raw_diary(name).open().await?;
    let mut entries = Vec::new();
    loop {
        let page = diary.read(Sequence(entries.len() as u64), 512).await?;
        if page.is_empty() {
            break;
        }
        for entry in page {
            let mark = Mark::from_value(&entry.entry)?;
            entries.push(Entry { sequence: entry.sequence.0, mark });
        }
    }
    if diary.len().await? != entries.len() as u64 {
        bail!("{name}: len={} read={}", diary.len().await?, entries.len());
    }
    Ok(entries)
}
