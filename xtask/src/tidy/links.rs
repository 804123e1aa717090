//! Documents: each is reached from the top, and what they link to exists.

use std::collections::BTreeSet;

use super::{Finding, Rule};
use crate::rust_text::line_number;
use crate::sources::Source;

/// Where a reader begins.
const ENTRANCES: [&str; 3] = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"];

/// Every file under `docs` is linked from an entrance, by itself or by its folder; every relative link has a target.
pub(super) fn check(sources: &[Source], paths: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut reached = BTreeSet::new();
    for source in sources.iter().filter(|source| source.path.ends_with(".md")) {
        for (line, target) in links(&source.text) {
            let target = resolve(&source.path, target);
            if !exists(&target, paths) {
                let message = format!("the link leads nowhere target={target}");
                findings.push(finding(Rule::BrokenLink, &source.path, line, message));
            } else if ENTRANCES.contains(&source.path.as_str()) {
                reached.insert(target);
            }
        }
    }
    for path in paths.iter().filter(|path| path.starts_with("docs/")) {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        if !reached.contains(path) && !reached.contains(folder) {
            let message = format!("linked from none of {}", ENTRANCES.join(", "));
            findings.push(finding(Rule::UnlinkedDocument, path, 0, message));
        }
    }
    findings
}

fn finding(rule: Rule, path: &str, line: usize, message: String) -> Finding {
    Finding { rule, path: path.to_owned(), line, amount: 1, message }
}

/// Targets of `[text](target)` that are files here, without their anchors, with their lines.
fn links(text: &str) -> Vec<(usize, &str)> {
    text.match_indices("](")
        .filter_map(|(at, _)| {
            let target = text[at + 2..].split([')', ' ', '\n']).next()?;
            let file = target.split('#').next()?;
            let is_local =
                !file.is_empty() && !file.contains("://") && !file.starts_with("mailto:");
            is_local.then(|| (line_number(text, at), file))
        })
        .collect()
}

/// The path from the root of `target` as written in the file `from`.
fn resolve(from: &str, target: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn exists(target: &str, paths: &[String]) -> bool {
    let inside = format!("{target}/");
    target.is_empty() || paths.iter().any(|path| path == target || path.starts_with(&inside))
}
