//! Rows that only name others. Their notes begin with them: `Names: PS1520 to PS1527, D58 and W62.`

use std::collections::{BTreeMap, BTreeSet};

use super::table::Line;

/// What stands in the column of tests of a row that names others, all of which are shown.
pub(super) const SHOWN: &str = "by the rows it names";

/// The rows that a row names, or what is wrong with the names; `None` where it names none.
pub(super) fn named<'l>(line: &Line, lines: &'l [Line]) -> Option<Result<Vec<&'l str>, String>> {
    let list = line.note.strip_prefix("Names: ")?;
    let Some((list, _)) = list.split_once('.') else {
        return Some(Err("the rows that it names end with a full stop".to_owned()));
    };
    let items = list.split(", ").flat_map(|item| item.split(" and "));
    let rows = items.map(|item| rows_of(item, lines)).collect::<Result<Vec<_>, _>>();
    Some(rows.map(|rows| rows.concat()))
}

/// One row, or all rows from one to another.
fn rows_of<'l>(item: &str, lines: &'l [Line]) -> Result<Vec<&'l str>, String> {
    let (first, last) = item.split_once(" to ").unwrap_or((item, item));
    let find = |wanted: &str| {
        let found = lines.iter().find(|line| line.id == wanted);
        found.ok_or_else(|| format!("names {wanted}, which is no row"))
    };
    let (from, to) = (find(first)?, find(last)?);
    if first == last {
        return Ok(vec![&from.id]);
    }
    let (Some((letters, from)), Some((others, to))) = (number(&from.id), number(&to.id)) else {
        return Err(format!("names no span: {item}"));
    };
    if letters != others || from > to {
        return Err(format!("names no span: {item}"));
    }
    let is_between =
        |id: &str| number(id).is_some_and(|(l, n)| l == letters && (from..=to).contains(&n));
    Ok(lines.iter().map(|line| line.id.as_str()).filter(|id| is_between(id)).collect())
}

/// `PS1520` as its letters and its number.
fn number(id: &str) -> Option<(&str, u32)> {
    let (letters, digits) = id.split_at(id.find(|c: char| c.is_ascii_digit())?);
    Some((letters, digits.parse().ok()?))
}

/// The rows that are shown by those that they name: each of these is shown by tests, or by rows that it names itself.
pub(super) fn shown(
    lines: &[Line],
    by_id: &BTreeMap<String, BTreeSet<String>>,
) -> BTreeSet<String> {
    let mut shown = BTreeSet::new();
    loop {
        let is_shown = |id: &str| by_id.contains_key(id) || shown.contains(id);
        let is_new = |line: &&Line| {
            let named = named(line, lines).and_then(Result::ok);
            !is_shown(&line.id) && named.is_some_and(|ids| ids.into_iter().all(is_shown))
        };
        let found: Vec<String> = lines.iter().filter(is_new).map(|line| line.id.clone()).collect();
        if found.is_empty() {
            return shown;
        }
        shown.extend(found);
    }
}
