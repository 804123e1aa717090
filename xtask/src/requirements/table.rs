//! Lines of the table: `| id | tests or open | note |`.

use std::collections::{BTreeMap, BTreeSet};

use super::naming;

/// What stands in the column of tests while no test shows the row.
const OPEN: &str = "open";

/// One row.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) id: String,
    pub(super) tests: String,
    pub(super) note: String,
}

impl Line {
    fn parse(line: &str) -> Option<Self> {
        let mut cells =
            line.strip_prefix('|')?.trim_end().strip_suffix('|')?.split('|').map(str::trim);
        let id = cells.next()?.to_owned();
        let is_row = id == "chaos"
            || id.starts_with(|c: char| c.is_ascii_uppercase())
                && id.ends_with(|c: char| c.is_ascii_digit());
        let tests = cells.next()?.to_owned();
        let note = cells.collect::<Vec<_>>().join(" | ");
        is_row.then_some(Self { id, tests, note })
    }

    /// Names of the tests; `None` for a row that is open, or shown by those that it names.
    pub(super) fn test_names(&self) -> Option<Vec<String>> {
        let names = || self.tests.split('`').skip(1).step_by(2).map(String::from).collect();
        (![OPEN, naming::SHOWN].contains(&self.tests.as_str())).then(names)
    }

    /// How `names` are written in the column.
    pub(super) fn cell(names: &BTreeSet<String>) -> String {
        if names.is_empty() {
            return OPEN.to_owned();
        }
        names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    }

    fn write(&self) -> String {
        let note = if self.note.is_empty() { String::new() } else { format!(" {}", self.note) };
        format!("| {} | {} |{note} |", self.id, self.tests)
    }
}

/// What stands in the column of tests of row `id`; `named` are those that are shown by the rows they name.
pub(super) fn cell_of(
    id: &str,
    by_id: &BTreeMap<String, BTreeSet<String>>,
    named: &BTreeSet<String>,
) -> String {
    match by_id.get(id) {
        None if named.contains(id) => naming::SHOWN.to_owned(),
        names => Line::cell(names.unwrap_or(&BTreeSet::new())),
    }
}

/// The rows of the table, in order.
pub(super) fn lines(text: &str) -> Vec<Line> {
    text.lines().filter_map(Line::parse).collect()
}

/// `text` with the column of tests taken from `by_id`; ids and notes stay.
pub(super) fn with_tests(text: &str, by_id: &BTreeMap<String, BTreeSet<String>>) -> String {
    let named = naming::shown(&lines(text), by_id);
    let mut synced = String::with_capacity(text.len());
    for line in text.lines() {
        match Line::parse(line) {
            Some(row) => {
                let tests = cell_of(&row.id, by_id, &named);
                synced.push_str(&Line { tests, ..row }.write());
            }
            None => synced.push_str(line),
        }
        synced.push('\n');
    }
    synced
}
