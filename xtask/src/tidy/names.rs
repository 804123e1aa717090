//! Names that say nothing: of modules, of types.

use super::{Finding, Rule};
use crate::rust_text::{line_number, word_positions};

/// A module is called after its main type.
const MODULE_WORDS: [&str; 13] = [
    "util", "utils", "helper", "helpers", "common", "misc", "manager", "managers", "handler",
    "handlers", "service", "services", "stuff",
];

/// A type is called after what it is, not after that it does something.
const TYPE_ENDINGS: [&str; 7] =
    ["Manager", "Handler", "Service", "Helper", "Helpers", "Util", "Utils"];

pub(super) fn check(path: &str, code: &str) -> Vec<Finding> {
    let finding =
        |rule, line, message| Finding { rule, path: path.to_owned(), line, amount: 1, message };
    let mut findings = Vec::new();
    if let Some(word) = vague_part(path) {
        findings.push(finding(
            Rule::ModuleName,
            0,
            format!("`{word}` does not say what is inside"),
        ));
    }
    for (at, name) in declared(code, &["mod"]).filter(|(_, name)| MODULE_WORDS.contains(name)) {
        findings.push(finding(
            Rule::ModuleName,
            line_number(code, at),
            format!("`mod {name}` does not say what is inside"),
        ));
    }
    let types = declared(code, &["struct", "enum", "trait", "type"]);
    for (at, name) in
        types.filter(|(_, name)| TYPE_ENDINGS.iter().any(|ending| name.ends_with(ending)))
    {
        findings.push(finding(
            Rule::TypeName,
            line_number(code, at),
            format!("`{name}` says that it acts, not what it is"),
        ));
    }
    findings
}

/// The word in the last two parts of a path (a module is a file or a folder) that names nothing.
fn vague_part(path: &str) -> Option<&'static str> {
    let stem = path.strip_suffix(".rs").unwrap_or(path);
    let parts = stem.split('/').flat_map(|part| part.split(['_', '-']));
    parts.filter_map(|part| MODULE_WORDS.into_iter().find(|word| *word == part)).next()
}

/// Identifiers that stand behind one of `keywords`, with the place of the keyword.
fn declared<'a>(code: &'a str, keywords: &'a [&str]) -> impl Iterator<Item = (usize, &'a str)> {
    keywords.iter().flat_map(move |keyword| {
        word_positions(code, keyword).into_iter().map(move |at| {
            let rest = code[at + keyword.len()..].trim_start();
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            (at, &rest[..end])
        })
    })
}
