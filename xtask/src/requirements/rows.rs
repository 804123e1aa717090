//! Ids of the rows that the source documents list.

use std::collections::BTreeSet;

/// `- **A1** ...`
pub(super) fn collections(text: &str) -> BTreeSet<String> {
    let bold =
        |line: &str| line.strip_prefix("- **")?.split_once("**").map(|(id, _)| id.to_owned());
    text.lines().filter_map(bold).filter(|id| is_id(id, "A")).collect()
}

/// `| D1 [1] | ...` and `| D50 | ...`
pub(super) fn database(text: &str) -> BTreeSet<String> {
    table_ids(text, "D")
}

/// `- 5 ...`, lists `- 238 -> ... | 239 -> ...`, and the scenario table `| R1 name | ...`
pub(super) fn write_protocol(text: &str) -> BTreeSet<String> {
    let mut ids = table_ids(text, "R");
    ids.extend(text.lines().flat_map(bullet_numbers).map(|number| format!("W{number}")));
    ids
}

/// As the write protocol from the heading `## Rows` on, and the scenarios that rows refer to. A heading with a span
/// and no numbered bullets counts by itself: what it lists for each number, or as one row when its bullet has none.
pub(super) fn topics(text: &str) -> BTreeSet<String> {
    let scenarios = ["T1", "T2", "P1", "P2", "P3", "P4", "P5", "P6", "chaos"];
    let mut ids: BTreeSet<String> = scenarios.into_iter().map(String::from).collect();
    let rows = text.split_once("\n## Rows").map_or("", |(_, rows)| rows);
    let mut heading = "";
    for line in rows.lines() {
        let mut numbers = bullet_numbers(line);
        if line.starts_with("- ") && numbers.is_empty() {
            numbers.extend(span_in(heading).map(|(first, _)| first));
        } else if !line.starts_with("- ") {
            heading = line;
            let listed = line.split_once("): ").and_then(|(span, _)| span_in(&format!("{span})")));
            numbers.extend(listed.into_iter().flat_map(|(first, last)| first..=last));
        }
        ids.extend(numbers.into_iter().map(|number| format!("PS{number}")));
    }
    ids
}

fn table_ids(text: &str, letter: &str) -> BTreeSet<String> {
    let first_word =
        |line: &str| line.strip_prefix("| ")?.split_whitespace().next().map(String::from);
    text.lines().filter_map(first_word).filter(|id| is_id(id, letter)).collect()
}

fn is_id(word: &str, letter: &str) -> bool {
    word.strip_prefix(letter)
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}

/// The numbers at the beginning of each ` | ` part of a bullet: `5`, `10,11,12`, `19-26`.
fn bullet_numbers(line: &str) -> Vec<u32> {
    let Some(bullet) = line.strip_prefix("- ") else { return Vec::new() };
    bullet.split(" | ").flat_map(leading_numbers).collect()
}

fn leading_numbers(part: &str) -> Vec<u32> {
    let word = part.split_whitespace().next().unwrap_or("");
    let listed: Option<Vec<Vec<u32>>> = word.split(',').map(number_or_span).collect();
    listed.unwrap_or_default().concat()
}

fn number_or_span(word: &str) -> Option<Vec<u32>> {
    match word.split_once('-') {
        Some((first, last)) => Some((first.parse().ok()?..=last.parse().ok()?).collect()),
        None => Some(vec![word.parse().ok()?]),
    }
}

/// `(1593-1648)` anywhere in `heading`.
fn span_in(heading: &str) -> Option<(u32, u32)> {
    let (_, rest) = heading.split_once('(')?;
    let (first, last) = rest.split_once(')')?.0.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}
