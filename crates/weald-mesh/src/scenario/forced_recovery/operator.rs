//! The operator, who gives the commands of `docs/recovery.md` as they stand there.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::report::Report;

const PAGE: &str = include_str!("../../../../../docs/recovery.md");
/// How long a command may take.
const COMMAND_MAX: Duration = Duration::from_secs(60);
/// Between two looks at a command that runs.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What stands in capitals in the page, and what it is here.
pub(super) type Values = BTreeMap<&'static str, String>;

/// The words of a command.
type Words = Vec<&'static str>;

/// The commands of the page, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// Starts a node that knows another administrator.
    pub(super) start: Words,
    /// Tells what a recovery would do.
    pub(super) look: Words,
    /// The same for one partition, beside another survivor.
    pub(super) compare: Words,
    /// Does it.
    pub(super) begin: Words,
}

impl Page {
    pub(super) fn read() -> Result<Self> {
        let commands = commands(PAGE);
        let count = commands.len();
        let four: Result<[Words; 4], _> = commands.try_into();
        let four = four.ok().with_context(|| format!("the page has {count} commands, not 4"))?;
        let [start, look, compare, begin] = four;
        Ok(Self { start, look, compare, begin })
    }
}

fn commands(page: &'static str) -> Vec<Words> {
    let lines = page.lines().map(str::trim).filter(|line| line.starts_with("weald "));
    let bare = |line: &'static str| line.split_once('#').map_or(line, |(bare, _)| bare);
    lines.map(|line| bare(line).split_whitespace().collect()).collect()
}

/// The words with `values` for what stands in capitals; a part in brackets for which there is none is left out.
pub(super) fn filled(words: &[&str], values: &Values) -> Result<Vec<String>> {
    let (mut all, mut part) = (Vec::new(), None::<Vec<&str>>);
    for word in words {
        let is_last = word.ends_with(']');
        let bare = word.trim_start_matches('[').trim_end_matches(']');
        if word.starts_with('[') {
            part = Some(Vec::new());
        }
        match &mut part {
            Some(part) => part.push(bare),
            None => all.push(value(bare, values)?),
        }
        if is_last
            && let Some(part) = part.take()
            && let Ok(given) =
                part.iter().map(|word| value(word, values)).collect::<Result<Vec<_>>>()
        {
            all.extend(given);
        }
    }
    Ok(all)
}

fn value(word: &str, values: &Values) -> Result<String> {
    let is_plain = word.contains(|c: char| !c.is_ascii_uppercase() && c != '_');
    let given = values.get(word).cloned().or_else(|| is_plain.then(|| word.to_owned()));
    given.with_context(|| format!("the page wants {word}"))
}

/// How a command ended.
#[derive(Debug)]
pub(super) struct Ended {
    code: Option<i32>,
    output: String,
    error: String,
}

impl Ended {
    /// A row, and a failure unless it ended with `code` and said `word`.
    pub(super) fn expect(&self, report: &mut Report, what: &str, (code, word): (i32, &str)) {
        let said = self.error.trim();
        let is_so = self.code == Some(code) && said.contains(word);
        let code = self.code.unwrap_or(-1);
        let said = if is_so { word } else { said };
        report.expect(is_so, what, format_args!("exit code {code}: {said}"));
    }

    /// What it told, if it ended well.
    pub(super) fn text(&self) -> Result<&str> {
        ensure!(self.code == Some(0), "exit code {:?}: {}", self.code, self.error.trim());
        Ok(&self.output)
    }

    /// The same, as lines of JSON.
    pub(super) fn lines(&self) -> Result<Vec<Value>> {
        let lines = self.text()?.lines();
        lines.map(|line| serde_json::from_str(line).context("a line is not JSON")).collect()
    }
}

/// Whoever sits before the machine.
#[derive(Debug)]
pub(super) struct Operator {
    pub(super) program: PathBuf,
    pub(super) page: Page,
}

impl Operator {
    /// Gives a command of the page, and asks for JSON, which the judge reads.
    pub(super) fn follow(&self, words: &[&str], values: &Values) -> Result<Ended> {
        let words = filled(words, values)?;
        self.give(&[vec![String::from("--json")], words[1..].to_vec()].concat())
    }

    /// Runs `weald` with these words.
    pub(super) fn give(&self, words: &[String]) -> Result<Ended> {
        let mut command = Command::new(&self.program);
        command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("WEALD_") {
                command.env_remove(name);
            }
        }
        let mut child = command.spawn().context("the program cannot be started")?;
        let started = Instant::now();
        // What it says is less than what a pipe holds.
        while child.try_wait()?.is_none() {
            if started.elapsed() > COMMAND_MAX {
                child.kill()?;
            }
            thread::sleep(LOOK_EVERY);
        }
        let output = child.wait_with_output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (output, error, code) =
            (text(&output.stdout), text(&output.stderr), output.status.code());
        Ok(Ended { code, output, error })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(pairs: &[(&'static str, &str)]) -> Values {
        pairs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
    }

    #[test]
    fn the_page_has_the_commands_of_the_scenario() {
        let page = Page::read().unwrap();
        assert_eq!(page.start[..2], ["weald", "node"]);
        assert_eq!(page.look, ["weald", "--data-dir", "DIR", "recover"]);
        assert!(page.compare.contains(&"OTHER_DIR"), "{page:?}");
        assert!(page.begin.contains(&"--i-know"), "{page:?}");
    }

    #[test]
    fn what_is_not_given_is_left_out_where_the_page_allows_it() {
        let words = ["weald", "--data-dir", "DIR", "recover", "[--key", "FILE]", "[-a", "PEER]"];
        let text =
            |pairs: &[(&'static str, &str)]| Some(filled(&words, &values(pairs)).ok()?.join(" "));
        assert_eq!(text(&[("DIR", "/d")]).unwrap(), "weald --data-dir /d recover");
        let with_key = text(&[("DIR", "/d"), ("FILE", "/K")]).unwrap();
        assert_eq!(with_key, "weald --data-dir /d recover --key /K");
        assert_eq!(text(&[("FILE", "/K")]), None, "a directory is wanted");
    }

    #[test]
    fn a_command_that_ends_otherwise_fails_the_report() {
        let ended = Ended { code: Some(3), output: String::new(), error: "a majority".into() };
        let is_passed = |code, word| {
            let mut report = Report::default();
            ended.expect(&mut report, "refused", (code, word));
            report.is_passed()
        };
        assert!(is_passed(3, "majority"));
        assert!(!is_passed(0, "majority"));
        assert!(!is_passed(3, "locked"));
    }
}
