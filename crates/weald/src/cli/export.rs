//! `weald export`: collections as JSON lines.
//!
//! The first line names the format. Then, for each collection, one line describes it and one line
//! holds each entry; every line names its collection, so the parts can be taken apart with `grep`.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{BufWriter, Write},
    ops::Bound,
    path::{Path, PathBuf},
};

use clap::Args;
use indicatif::ProgressBar;
use serde_json::{Map, Value, json};
use weald::{CollectionInfo, Sequence};

use super::{
    database::{Database, DiaryRange, ScanRange},
    diary::first_kept,
    failure::{Class, Failure},
    output::Output,
    progress,
    session::{self, Target},
    shape,
    text::put_bytes,
};

/// The version of the lines. A reader refuses a newer one.
pub(crate) const FORMAT: u64 = 1;
/// Entries of a diary read at once.
const PAGE_ENTRIES: usize = 256;

/// Writes collections as JSON lines.
#[derive(Args, Debug)]
pub(crate) struct Export {
    /// The collections; all trees and diaries when none is named. Topics are not exported, nor what
    /// their subscribers keep
    collections: Vec<String>,
    /// Write to this file, which must not exist, instead of standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Export {
    /// Runs the verb.
    pub(crate) async fn run(self, target: &Target, output: &mut Output) -> Result<(), Failure> {
        session::existing(target, async |database| match &self.output {
            Some(path) => self.export_to_file(database, path, output).await,
            None => self.export(database, &mut |line| output.raw(line)).await.map(drop),
        })
        .await
    }

    async fn export_to_file(
        &self,
        database: &Database,
        path: &Path,
        output: &mut Output,
    ) -> Result<(), Failure> {
        let shown = path.display();
        let file = File::create_new(path)
            .map_err(|error| Failure::usage(format_args!("{shown} cannot be made: {error}")))?;
        let broken = |error: std::io::Error| {
            Failure::new(Class::Storage, format_args!("{shown} cannot be written: {error}"))
        };
        let mut writer = BufWriter::new(file);
        let entries =
            self.export(database, &mut |line| writer.write_all(line).map_err(broken)).await?;
        let file = writer.into_inner().map_err(|error| broken(error.into_error()))?;
        file.sync_all().map_err(broken)?;
        output.answer(
            || format!("{shown}: {entries} entries"),
            || json!({ "file": shown.to_string(), "entries": entries }),
        )
    }

    /// Hands each line to `sink`; returns how many entries there were.
    async fn export(&self, database: &Database, sink: &mut Sink<'_>) -> Result<u64, Failure> {
        let chosen = self.chosen(database.collections().await?)?;
        let total = chosen.iter().filter_map(|info| info.entries).sum();
        let bar = progress::bar("exporting", Some(total));
        put_line(sink, &json!({ "weald_export": FORMAT }))?;
        for info in &chosen {
            put_line(sink, &heading(info))?;
            match info.type_name.as_str() {
                "tree" => export_tree(database, info.name.as_str(), sink, &bar).await?,
                _ => export_diary(database, info.name.as_str(), sink, &bar).await?,
            }
        }
        bar.finish_and_clear();
        Ok(bar.position())
    }

    /// The collections to export; a named one that is not there, or of a type without an export, is
    /// refused before anything is written.
    fn chosen(&self, all: Vec<CollectionInfo>) -> Result<Vec<CollectionInfo>, Failure> {
        for name in &self.collections {
            let info = all.iter().find(|info| info.name.as_str() == name);
            let info = info.ok_or_else(|| {
                Failure::not_found(format_args!(
                    "there is no collection named {name}; `weald collections` lists what is there"
                ))
            })?;
            if !is_exportable(info) {
                let type_name = &info.type_name;
                return Err(Failure::usage(format_args!(
                    "{name} is of the type {type_name}, which has no export; trees and diaries have"
                )));
            }
        }
        let is_named =
            |info: &CollectionInfo| self.collections.iter().any(|name| name == info.name.as_str());
        if !self.collections.is_empty() {
            return Ok(all.into_iter().filter(is_named).collect());
        }
        let topics: BTreeSet<String> = all
            .iter()
            .filter(|info| info.type_name.as_str() == "topic")
            .map(|info| info.name.as_str().to_owned())
            .collect();
        if !topics.is_empty() {
            Output::note(format_args!("{} topics are not exported", topics.len()));
        }
        // A cursor without its messages would let its subscriber miss those that come.
        let is_of_topic = |info: &CollectionInfo| {
            let group = info.name.as_str().split('/').next().unwrap_or_default();
            topics.contains(group)
        };
        let is_chosen = |info: &CollectionInfo| is_exportable(info) && !is_of_topic(info);
        Ok(all.into_iter().filter(is_chosen).collect())
    }
}

type Sink<'a> = dyn FnMut(&[u8]) -> Result<(), Failure> + Send + 'a;

fn is_exportable(info: &CollectionInfo) -> bool {
    matches!(info.type_name.as_str(), "tree" | "diary")
}

fn heading(info: &CollectionInfo) -> Value {
    json!({
        "collection": info.name.as_str(),
        "type": info.type_name.as_str(),
        "retention": shape::retention(&info.retention),
    })
}

async fn export_tree(
    database: &Database,
    name: &str,
    sink: &mut Sink<'_>,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    let bounds = (Bound::Unbounded, Bound::Unbounded);
    let range = ScanRange { bounds, is_reverse: false, limit: None };
    let mut pages = database.scan(name, range).await?;
    while let Some(page) = pages.next().await? {
        for entry in &page {
            let mut object = Map::new();
            object.insert("tree".into(), name.into());
            put_bytes(&mut object, "key", &entry.key);
            put_bytes(&mut object, "value", &entry.value);
            put_line(sink, &object.into())?;
        }
        bar.inc(page.len() as u64);
    }
    Ok(())
}

async fn export_diary(
    database: &Database,
    name: &str,
    sink: &mut Sink<'_>,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    let mut from = first_kept(database, name).await?;
    loop {
        let range = DiaryRange { from: Some(from), is_reverse: false, limit: PAGE_ENTRIES };
        let page = database.read(name, range).await?;
        let Some(last) = page.last() else { return Ok(()) };
        from = Sequence(last.sequence.0 + 1);
        for entry in &page {
            let mut object = Map::new();
            object.insert("diary".into(), name.into());
            object.insert("sequence".into(), entry.sequence.0.into());
            object.insert("time_ms".into(), entry.time.as_millis().into());
            put_bytes(&mut object, "entry", &entry.entry);
            put_line(sink, &object.into())?;
        }
        bar.inc(page.len() as u64);
    }
}

fn put_line(sink: &mut Sink<'_>, line: &Value) -> Result<(), Failure> {
    sink(format!("{line}\n").as_bytes())
}
