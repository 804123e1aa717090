//! Every command that the README shows runs here, in its order and in one directory, and answers
//! what the README says.
//!
//! A `console` block holds commands behind `$ ` and what they print. In that, `...` alone stands for
//! any lines and within a line for any text. `cargo run --release --` is this build's own program.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

/// What `cargo` is while the README's commands run: its own program, and a note of the gate, which
/// cannot run inside one of its own tests.
const CARGO: &str = r#"#!/bin/sh
case "$*" in
"run --release -- "*) shift 3; exec weald "$@" ;;
"xtask ci") exit 0 ;;
*) echo "the README runs a cargo command that its test does not know: $*" >&2; exit 99 ;;
esac
"#;

/// One command of the README with what it is said to print.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    command: String,
    promised: Vec<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The fenced blocks of a text: the word behind the fence and the lines within.
fn blocks(text: &str) -> Vec<(&str, Vec<&str>)> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            blocks.push((language, lines.by_ref().take_while(|line| *line != "```").collect()));
        }
    }
    blocks
}

fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (_, lines) in blocks(text).into_iter().filter(|(language, _)| *language == "console") {
        for line in lines {
            match (line.strip_prefix("$ "), steps.last_mut()) {
                (Some(command), _) => {
                    steps.push(Step { command: command.to_owned(), promised: Vec::new() });
                }
                (None, Some(step)) => step.promised.push(line.to_owned()),
                (None, None) => panic!("output before any command: {line}"),
            }
        }
    }
    steps
}

/// Whether `line` is `pattern` with each `...` standing for any text.
fn line_fits(pattern: &str, line: &str) -> bool {
    let Some((head, rest)) = pattern.split_once("...") else { return pattern == line };
    let Some(line) = line.strip_prefix(head) else { return false };
    (0..=line.len()).filter(|at| line.is_char_boundary(*at)).any(|at| line_fits(rest, &line[at..]))
}

/// Whether `lines` are what was promised, a promised `...` standing for any lines.
fn fits(promised: &[String], lines: &[&str]) -> bool {
    match (promised.split_first(), lines.split_first()) {
        (None, first) => first.is_none(),
        (Some((pattern, rest)), _) if pattern == "..." => {
            (0..=lines.len()).any(|at| fits(rest, &lines[at..]))
        }
        (Some(_), None) => false,
        (Some((pattern, rest)), Some((line, lines))) => {
            line_fits(pattern, line) && fits(rest, lines)
        }
    }
}

/// A folder with the programs that the README calls.
fn programs(folder: &Path) {
    fs::create_dir(folder).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_weald"), folder.join("weald")).unwrap();
    let cargo = folder.join("cargo");
    fs::write(&cargo, CARGO).unwrap();
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn each_command_of_the_readme_does_what_it_shows() {
    let folder = tempfile::tempdir().unwrap();
    let programs_folder = folder.path().join("programs");
    programs(&programs_folder);
    let work = folder.path().join("work");
    fs::create_dir(&work).unwrap();
    let path = format!("{}:{}", programs_folder.display(), std::env::var("PATH").unwrap());
    let steps = steps(&fs::read_to_string(root().join("README.md")).unwrap());
    assert!(steps.len() >= 15, "the README has its tour: {} commands", steps.len());
    for step in steps {
        let output = Command::new("sh")
            .args(["-c", &format!("{{ {} ; }} 2>&1", step.command)])
            .current_dir(&work)
            .env("PATH", &path)
            .env_remove("WEALD_DATA_DIR")
            .output()
            .unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<&str> = printed.lines().collect();
        assert!(output.status.success(), "$ {}\n{printed}\n{}", step.command, output.status);
        let promised = step.promised.join("\n");
        assert!(
            fits(&step.promised, &lines),
            "$ {}\n-- the README promises\n{promised}\n-- it prints\n{printed}",
            step.command,
        );
    }
}

#[test]
fn the_readme_names_the_gate_that_ci_runs() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let gate = "cargo xtask ci";
    assert!(steps(&readme).iter().any(|step| step.command == gate));
    let run = fs::read_to_string(root().join(".ci/run")).unwrap();
    assert!(run.lines().any(|line| line == format!("exec {gate}")), "{run}");
}

#[test]
fn what_the_readme_does_not_run_installs_or_builds() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let shell = blocks(&readme).into_iter().filter(|(language, _)| *language == "sh");
    let lines: Vec<&str> = shell.flat_map(|(_, lines)| lines).collect();
    for line in lines {
        let known = line.starts_with("sudo apt-get install ") || line.starts_with("cargo build ");
        assert!(known, "a command that no test runs: {line}");
    }
    let features = fs::read_to_string(root().join("crates/weald/Cargo.toml")).unwrap();
    assert!(features.lines().any(|line| line.starts_with("rocksdb = ")), "{features}");
}

#[test]
fn promised_output_is_compared_line_by_line() {
    let check = |promised: &[&str], printed: &[&str], expected: bool| {
        let promised: Vec<String> = promised.iter().map(|line| (*line).to_owned()).collect();
        assert_eq!(fits(&promised, printed), expected, "{promised:?} {printed:?}");
    };
    check(&["a"], &["a"], true);
    check(&["a"], &["b"], false);
    check(&["a"], &[], false);
    check(&[], &["a"], false);
    check(&["...", "z"], &["a", "b", "z"], true);
    check(&["...", "z"], &["a", "b"], false);
    check(&["a ... c"], &["a b b c"], true);
    check(&["a ... c"], &["a b d"], false);
}
