//! `weald import`: JSON lines that `weald export` wrote.
//!
//! Importing the same lines again changes nothing. A tree's entry replaces another value of its key.
//! A diary only grows: the entries that it has must be those of the lines, and the rest is appended.

mod diary;
mod line;
mod tree;

use clap::Args;
use serde_json::json;

use self::{diary::DiaryImport, line::Line, tree::TreeImport};
use super::{
    database::Database,
    failure::Failure,
    input,
    output::Output,
    progress,
    session::{self, Target},
};

/// Reads JSON lines that `export` wrote.
#[derive(Args, Debug)]
pub(crate) struct Import {
    /// The file; `-` is standard input
    #[arg(default_value = "-")]
    file: String,
}

impl Import {
    /// Runs the verb.
    pub(crate) async fn run(self, target: &Target, output: &mut Output) -> Result<(), Failure> {
        let lines = input::lines(&self.file)?;
        let mut lines = Numbered { lines, number: 0 };
        lines.expect_format()?;
        session::made(target, async |database| import(database, lines, output).await).await
    }
}

/// Lines with their numbers, for errors.
struct Numbered {
    lines: Box<dyn Iterator<Item = std::io::Result<Vec<u8>>> + Send>,
    number: u64,
}

impl Numbered {
    /// The next line that is not empty.
    fn next(&mut self) -> Result<Option<Line>, Failure> {
        for line in self.lines.by_ref() {
            self.number += 1;
            let line = line.map_err(|error| input::unreadable(&error))?;
            if !line.is_empty() {
                return Line::parse(&line, self.number).map(Some);
            }
        }
        Ok(None)
    }

    fn expect_format(&mut self) -> Result<(), Failure> {
        match self.next()? {
            Some(Line::Format(super::export::FORMAT)) => Ok(()),
            Some(Line::Format(found)) => Err(Failure::usage(format_args!(
                "the lines are of format {found}, this program reads format {}; use a newer weald",
                super::export::FORMAT
            ))),
            Some(_) | None => Err(Failure::usage(
                "the input does not begin like an export; the first line is {\"weald_export\":1}",
            )),
        }
    }
}

/// What an import did to one collection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    added: u64,
    changed: u64,
    same: u64,
}

/// The collection whose lines are being read.
enum Current<'d> {
    None,
    Tree(TreeImport<'d>),
    Diary(DiaryImport<'d>),
}

impl Current<'_> {
    fn is(&self, name: &str) -> bool {
        match self {
            Self::None => false,
            Self::Tree(tree) => tree.name() == name,
            Self::Diary(diary) => diary.name() == name,
        }
    }

    /// Writes what waits and tells what was done.
    async fn finish(self, output: &mut Output) -> Result<(), Failure> {
        let (name, counts) = match self {
            Self::None => return Ok(()),
            Self::Tree(mut tree) => (tree.name().to_owned(), tree.finish().await?),
            Self::Diary(mut diary) => (diary.name().to_owned(), diary.finish().await?),
        };
        let Counts { added, changed, same } = counts;
        output.answer(
            || format!("{name}: {added} added, {changed} changed, {same} the same"),
            || json!({ "collection": name, "added": added, "changed": changed, "same": same }),
        )
    }
}

async fn import(
    database: &Database,
    mut lines: Numbered,
    output: &mut Output,
) -> Result<(), Failure> {
    let bar = progress::bar("importing", None);
    let mut current = Current::None;
    while let Some(line) = lines.next()? {
        let number = lines.number;
        match line {
            Line::Format(_) => return Err(line::wrong(number, "a second format line")),
            Line::Collection { name, is_tree, retention } => {
                std::mem::replace(&mut current, Current::None).finish(output).await?;
                current = match is_tree {
                    true => Current::Tree(TreeImport::begin(database, &name, retention).await?),
                    false => Current::Diary(DiaryImport::begin(database, &name, retention).await?),
                };
            }
            Line::TreeEntry { name, key, value } => match &mut current {
                Current::Tree(tree) if tree.name() == name => tree.put(key, value).await?,
                other => return Err(out_of_place(number, other, &name)),
            },
            Line::DiaryEntry { name, sequence, entry } => match &mut current {
                Current::Diary(diary) if diary.name() == name => {
                    diary.append(sequence, entry, number).await?;
                }
                other => return Err(out_of_place(number, other, &name)),
            },
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    current.finish(output).await
}

fn out_of_place(number: u64, current: &Current<'_>, name: &str) -> Failure {
    let what = if current.is(name) {
        format!("an entry of another type than the collection {name}")
    } else {
        format!("an entry of {name} outside its collection; its \"collection\" line comes first")
    };
    line::wrong(number, &what)
}
