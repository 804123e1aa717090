//! The bans of the pure crates. Clippy reads one file for a crate and merges nothing, so the files repeat the root's
//! keys and are the same in all of them: a ban that one crate loses is lost in silence otherwise.

use super::arrows::PURE;
use super::{Finding, Rule};
use crate::sources::Source;

pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    let text_of = |path: &str| {
        sources.iter().find(|source| source.path == path).map(|source| source.text.as_str())
    };
    let root = text_of("clippy.toml").unwrap_or_default();
    let model = text_of(&bans_of(PURE[0])).unwrap_or_default();
    let mut findings = Vec::new();
    let mut add = |path: &str, message: String| {
        findings.push(Finding {
            rule: Rule::PureBans,
            path: path.to_owned(),
            line: 0,
            amount: 1,
            message,
        });
    };
    for path in PURE.map(bans_of) {
        let text = text_of(&path).unwrap_or_default();
        if text != model {
            add(&path, format!("differs from {}", bans_of(PURE[0])));
        }
        for line in settings(root).filter(|line| !settings(text).any(|own| own == *line)) {
            add(&path, format!("lacks the root's `{line}`"));
        }
    }
    if ["disallowed-types", "disallowed-methods"].iter().any(|key| !model.contains(key)) {
        add(&bans_of(PURE[0]), String::from("bans no types or no methods"));
    }
    findings
}

fn bans_of(name: &str) -> String {
    format!("crates/{name}/clippy.toml")
}

fn settings(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}
