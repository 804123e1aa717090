//! The list of exceptions. It may only shrink: one that is not needed, or allows more than is there, is an error.

use std::collections::BTreeMap;

use super::{Finding, Rule};
use crate::sources::Source;

/// Where the list is, from the root: lines `path rule limit reason`, `#` begins a comment.
const LIST: &str = "xtask/tidy-exceptions.txt";

/// The exceptions by file and rule, and the lines that could not be read.
#[derive(Debug, Default)]
pub(super) struct Exceptions {
    limits: BTreeMap<(String, Rule), usize>,
    errors: Vec<String>,
}

/// The list's text; empty when there is none.
pub(super) fn text_in(sources: &[Source]) -> &str {
    sources.iter().find(|source| source.path == LIST).map_or("", |source| &source.text)
}

impl Exceptions {
    pub(super) fn parse(text: &str) -> Self {
        let mut exceptions = Self::default();
        for (index, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            match parse_line(line) {
                Some((key, limit)) => {
                    exceptions.limits.insert(key, limit);
                }
                None => exceptions
                    .errors
                    .push(format!("{LIST}:{}: not `path rule limit reason`", index + 1)),
            }
        }
        exceptions
    }

    pub(super) fn errors(&self) -> Vec<String> {
        self.errors.clone()
    }

    /// What remains to complain about: findings beyond their exception, and exceptions beyond their findings.
    pub(super) fn apply(&self, findings: &[Finding]) -> Vec<String> {
        let mut amounts: BTreeMap<(String, Rule), usize> = BTreeMap::new();
        for finding in findings {
            let amount = amounts.entry((finding.path.clone(), finding.rule)).or_default();
            *amount = if finding.rule.is_size() {
                finding.amount.max(*amount)
            } else {
                *amount + finding.amount
            };
        }
        let allowed = |key: &(String, Rule)| self.limits.get(key).copied().unwrap_or(0);
        let beyond = findings.iter().filter(|finding| {
            let key = (finding.path.clone(), finding.rule);
            let amount = if finding.rule.is_size() { finding.amount } else { amounts[&key] };
            amount > allowed(&key)
        });
        let mut complaints: Vec<String> = beyond.map(ToString::to_string).collect();
        for (key, limit) in &self.limits {
            let amount = amounts.get(key).copied().unwrap_or(0);
            if *limit > amount {
                let (path, rule) = (&key.0, key.1.name());
                complaints.push(format!(
                    "{LIST}: {path} {rule} allows {limit}, there is {amount}: lower or remove it"
                ));
            }
        }
        complaints
    }
}

fn parse_line(line: &str) -> Option<((String, Rule), usize)> {
    let mut words = line.split_whitespace();
    let path = words.next()?.to_owned();
    let rule = Rule::named(words.next()?)?;
    let limit = words.next()?.parse().ok()?;
    // A reason is one that a reader can weigh, not a word.
    let has_reason = words.count() >= 3;
    has_reason.then_some(((path, rule), limit))
}
