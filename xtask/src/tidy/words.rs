//! Words that must not stand in the project, and crates that are named in one place only.

use super::{Finding, Rule};
use crate::rust_text::{line_number, word_positions};
use crate::sources::Source;

/// The rules and the snippets that test them name what they forbid.
const OWN_FOLDER: &str = "xtask/src/tidy/";

/// Where an engine may be named: its wall, the tests over all engines, the benches against them.
const ENGINE: &[&str] = &[
    "crates/weald-storage/src/engine.rs",
    "crates/weald-storage/src/engine/",
    "crates/weald-storage/tests/",
    "benches/",
];

/// A crate whose name may stand only in files under the given paths: behind that wall it can be replaced.
const CONFINED: [(&str, &[&str]); 7] = [
    ("libp2p", &["crates/weald-p2p/"]),
    ("bincode", &["crates/weald-core/src/codec.rs", "crates/weald-core/src/codec/"]),
    ("fjall", ENGINE),
    ("redb", ENGINE),
    // A task and its module are called after the engine.
    (
        "rocksdb",
        &[
            "crates/weald-storage/src/engine.rs",
            "crates/weald-storage/src/engine/",
            "crates/weald-storage/tests/",
            "benches/",
            "xtask/",
        ],
    ),
    ("raft_engine", &["crates/weald-storage/src/log/", "benches/"]),
    (
        "tokio",
        &[
            "crates/weald/",
            "crates/weald-p2p/",
            // The Rust client, which is measured and has topics.
            "crates/weald-mesh/",
            "tests/",
            "benches/",
            "examples/",
            "xtask/",
        ],
    ),
];

/// Marks of unfinished work, in any text.
const MARKS: [&str; 3] = ["TODO", "FIXME", "XXX"];

/// Marks and ticket ids: what a reader without the ticket system cannot follow.
pub(super) fn check(source: &Source) -> Vec<Finding> {
    if source.path.starts_with(OWN_FOLDER) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        let mark =
            MARKS.into_iter().find(|mark| !word_positions(line, mark).is_empty()).map(String::from);
        if let Some(found) = mark.or_else(|| ticket_id(line)) {
            let message = format!("`{found}`: say what is so and why, without a ticket or a mark");
            findings.push(Finding {
                rule: Rule::TicketId,
                path: source.path.clone(),
                line: index + 1,
                amount: 1,
                message,
            });
        }
    }
    findings
}

/// `issue 12`, `issue #12`, `ticket 12`, or a number behind `#` at the beginning of a word.
fn ticket_id(line: &str) -> Option<String> {
    let lower = line.to_lowercase();
    let words: Vec<&str> = lower
        .split_whitespace()
        .map(|word| word.trim_matches(['(', ')', ',', '.', ':', ';']))
        .collect();
    let numbered = |word: &str| {
        let digits = word.trim_start_matches('#');
        !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
    };
    let named = words
        .windows(2)
        .find(|pair| matches!(pair[0], "issue" | "issues" | "ticket" | "pr") && numbered(pair[1]));
    let hashed = words
        .iter()
        .find(|word| word.starts_with('#') && !word.starts_with("##") && numbered(word));
    named.map(|pair| pair.join(" ")).or_else(|| hashed.map(|word| (*word).to_owned()))
}

/// Tests that escape being run, and crates named outside their wall. `code` has no comments and no strings.
pub(super) fn check_code(path: &str, code: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut add = |rule, at, message: String| {
        findings.push(Finding {
            rule,
            path: path.to_owned(),
            line: line_number(code, at),
            amount: 1,
            message,
        });
    };
    for at in attribute_positions(code, "ignore") {
        add(
            Rule::TestEscape,
            at,
            String::from("an ignored test shows nothing: remove it or let it run"),
        );
    }
    for at in attribute_positions(code, "should_panic") {
        add(
            Rule::TestEscape,
            at,
            String::from("`should_panic` passes for any panic: catch it and compare"),
        );
    }
    for (name, folders) in CONFINED {
        if folders.iter().any(|folder| path.starts_with(folder)) {
            continue;
        }
        for at in word_positions(code, name) {
            add(
                Rule::ConfinedCrate,
                at,
                format!("`{name}` is named outside {}", folders.join(", ")),
            );
        }
    }
    findings
}

/// Places of `word` inside an attribute: behind `[`, `(` or `,`.
fn attribute_positions(code: &str, word: &str) -> Vec<usize> {
    let in_attribute = |at: &usize| {
        let line_start = code[..*at].rfind('\n').map_or(0, |newline| newline + 1);
        code[line_start..*at].contains("#[") && code[..*at].trim_end().ends_with(['[', '(', ','])
    };
    word_positions(code, word).into_iter().filter(in_attribute).collect()
}
