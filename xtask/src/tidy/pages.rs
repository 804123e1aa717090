//! Every Rust file begins with what it is and why.

use super::{Finding, Rule};
use crate::sources::Source;

pub(super) fn check(source: &Source) -> Option<Finding> {
    let first =
        source.text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with("#!"));
    let has_page =
        first.and_then(|line| line.strip_prefix("//!")).is_some_and(|page| !page.trim().is_empty());
    (!has_page).then(|| Finding {
        rule: Rule::ModulePage,
        path: source.path.clone(),
        line: 1,
        amount: 1,
        message: String::from("the file begins with no `//!` page"),
    })
}
