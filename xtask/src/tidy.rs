//! House rules that no compiler checks. `docs` and code follow the same list; CONTRIBUTING.md explains the why.

mod arrows;
mod bans;
mod exceptions;
mod links;
mod names;
mod pages;
mod sizes;
mod words;

#[cfg(test)]
mod tests;

use std::fmt;

use anyhow::{Result, bail};

use self::exceptions::Exceptions;
use crate::command::{cargo, output_of};
use crate::sources::{Source, Workspace};

/// What a rule is called in findings and in the list of exceptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    FileLines,
    FunctionLines,
    Arrow,
    PureBans,
    ModulePage,
    TicketId,
    TestEscape,
    ModuleName,
    TypeName,
    ConfinedCrate,
    UnlinkedDocument,
    BrokenLink,
}

impl Rule {
    const ALL: [Self; 12] = [
        Self::FileLines,
        Self::FunctionLines,
        Self::Arrow,
        Self::PureBans,
        Self::ModulePage,
        Self::TicketId,
        Self::TestEscape,
        Self::ModuleName,
        Self::TypeName,
        Self::ConfinedCrate,
        Self::UnlinkedDocument,
        Self::BrokenLink,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::FileLines => "file-lines",
            Self::FunctionLines => "function-lines",
            Self::Arrow => "arrow",
            Self::PureBans => "pure-bans",
            Self::ModulePage => "module-page",
            Self::TicketId => "ticket-id",
            Self::TestEscape => "test-escape",
            Self::ModuleName => "module-name",
            Self::TypeName => "type-name",
            Self::ConfinedCrate => "confined-crate",
            Self::UnlinkedDocument => "unlinked-document",
            Self::BrokenLink => "broken-link",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.name() == name)
    }

    /// A size excuses the largest; another rule excuses so many.
    fn is_size(self) -> bool {
        matches!(self, Self::FileLines | Self::FunctionLines)
    }
}

/// One place that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    rule: Rule,
    path: String,
    /// From 1; 0 for the whole file.
    line: usize,
    /// The size found, 1 for a rule that is no size.
    amount: usize,
    message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {} [{}]", self.path, self.line, self.message, self.rule.name())
    }
}

/// Checks the whole workspace.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let sources = workspace.sources(&["rs", "md", "toml", "txt"])?;
    let paths = workspace.paths()?;
    let mut metadata =
        cargo(["metadata", "--format-version", "1", "--no-deps", "--locked", "--offline"]);
    metadata.current_dir(workspace.root());
    let metadata: serde_json::Value = serde_json::from_str(&output_of(metadata)?)?;

    let mut findings = arrows::check(&metadata)?;
    findings.extend(bans::check(&sources));
    findings.extend(links::check(&sources, &paths));
    findings.extend(sources.iter().flat_map(check_source));

    let exceptions = Exceptions::parse(exceptions::text_in(&sources));
    let mut complaints = exceptions.errors();
    complaints.extend(exceptions.apply(&findings));
    for complaint in &complaints {
        println!("{complaint}");
    }
    if !complaints.is_empty() {
        bail!("tidy: {} findings", complaints.len());
    }
    println!("tidy: {} files, nothing found", sources.len());
    Ok(())
}

/// The rules that look at one file.
fn check_source(source: &Source) -> Vec<Finding> {
    let mut findings = words::check(source);
    if source.path.ends_with(".rs") {
        let code = crate::rust_text::code_only(&source.text);
        findings.extend(sizes::check(source, &code));
        findings.extend(pages::check(source));
        findings.extend(names::check(&source.path, &code));
        findings.extend(words::check_code(&source.path, &code));
    }
    findings
}
