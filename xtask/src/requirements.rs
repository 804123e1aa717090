//! `docs/requirements.md`: every requirement id with the tests that show it, or `open`.
//!
//! A test says in its name which rows it shows: `fn a17_encoded_order_is_value_order` shows A17, `a2_a3_...` shows
//! two rows. A scenario of real nodes that the gate runs says it in the list of these, and so does a step of the gate. A row that only names others says so
//! in its note and is shown when all of them are. The column of tests follows from that; nobody writes it by hand. The
//! notes are written by hand.

mod naming;
mod rows;
mod shown;
mod table;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use self::table::Line;
use crate::sources::Workspace;
use crate::{ci, mesh};

/// Where the table is, from the root.
const TABLE: &str = "docs/requirements.md";
/// Where the rows come from, from the root. Absent in a published checkout.
const SOURCE_FOLDER: &str = "../shared/requirements";

/// Options of `cargo xtask requirements`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Rewrites the column of tests from the names of the tests
    #[arg(long)]
    sync: bool,
}

impl Options {
    /// As the gate asks: reads only.
    pub(crate) fn check() -> Self {
        Self { sync: false }
    }
}

/// Checks the table, or with `--sync` rewrites its column of tests first.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let file = workspace.root().join(TABLE);
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {TABLE}"))?;
    let mut tests = shown::by_tests(&workspace.sources(&["rs"])?);
    tests.add("mesh-test", mesh::shown_by_smoke());
    tests.add("ci step", ci::shown_by_steps());
    let wanted = rows_of_sources(&workspace.root().join(SOURCE_FOLDER))?;

    let text = if options.sync {
        let synced = table::with_tests(&text, &tests.by_id);
        fs::write(&file, &synced).with_context(|| format!("cannot write {TABLE}"))?;
        synced
    } else {
        text
    };
    let problems = problems(&text, &tests, wanted.as_ref());
    for problem in &problems {
        println!("{TABLE}: {problem}");
    }
    if !problems.is_empty() {
        bail!("requirements: {} problems", problems.len());
    }
    let lines = table::lines(&text);
    let tested = lines.iter().filter(|line| line.test_names().is_some()).count();
    let named = lines.iter().filter(|line| line.tests == naming::SHOWN).count();
    println!(
        "requirements: {} rows, {tested} shown by tests, {named} by the rows they name, {} open",
        lines.len(),
        lines.len() - tested - named
    );
    Ok(())
}

/// The ids that the source documents ask for; `None` when the documents are not here.
fn rows_of_sources(folder: &Path) -> Result<Option<BTreeSet<String>>> {
    if !folder.is_dir() {
        return Ok(None);
    }
    let read = |name: &str| {
        let path = folder.join(name);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let mut ids = BTreeSet::new();
    ids.extend(rows::collections(&read("collections.md")?));
    ids.extend(rows::database(&read("database.md")?));
    ids.extend(rows::write_protocol(&read("write-protocol.md")?));
    ids.extend(rows::topics(&read("topics.md")?));
    Ok(Some(ids))
}

fn problems(text: &str, tests: &shown::Tests, wanted: Option<&BTreeSet<String>>) -> Vec<String> {
    let lines = table::lines(text);
    let named = naming::shown(&lines, &tests.by_id);
    let mut problems = Vec::new();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for line in &lines {
        *seen.entry(&line.id).or_default() += 1;
        problems.extend(line_problem(line, tests, &named));
        if let Some(Err(problem)) = naming::named(line, &lines) {
            problems.push(format!("{}: {problem}", line.id));
        }
    }
    problems.extend(
        seen.iter().filter(|(_, count)| **count > 1).map(|(id, _)| format!("{id}: listed twice")),
    );
    if let Some(wanted) = wanted {
        let missing = wanted.iter().filter(|id| !seen.contains_key(id.as_str()));
        problems
            .extend(missing.map(|id| format!("{id}: a row of the source documents is missing")));
        let unknown = seen.keys().filter(|id| !wanted.contains(**id));
        problems.extend(unknown.map(|id| format!("{id}: no such row in the source documents")));
    }
    let claimed = tests.by_id.iter().filter(|(id, _)| !seen.contains_key(id.as_str()));
    problems.extend(
        claimed.map(|(id, names)| format!("{id}: named by {} but not a row", Line::cell(names))),
    );
    problems
}

fn line_problem(line: &Line, tests: &shown::Tests, named: &BTreeSet<String>) -> Option<String> {
    let id = &line.id;
    if let Some(names) = line.test_names() {
        if names.is_empty() {
            return Some(format!("{id}: neither tests nor `open`"));
        }
        if let Some(name) = names.iter().find(|name| !tests.names.contains(*name)) {
            return Some(format!("{id}: no test has the name {name}"));
        }
    }
    let expected = table::cell_of(id, &tests.by_id, named);
    (line.tests != expected).then(|| {
        format!(
            "{id}: the names of the tests say {expected}; run `cargo xtask requirements --sync`"
        )
    })
}
