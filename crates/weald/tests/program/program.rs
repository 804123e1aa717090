//! Runs the program and looks at how it ended.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;

/// A temporary folder with a database in `data`.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// The program with these arguments on this database.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        command(&self.data(), arguments)
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        Ended::of(&mut self.command(arguments))
    }

    /// Runs it with `input` on standard input.
    pub(crate) fn run_with(&self, arguments: &[&str], input: &[u8]) -> Ended {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        Ended::from(child.wait_with_output().unwrap())
    }

    /// What it prints when it ends well.
    pub(crate) fn prints(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments);
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{arguments:?}");
        ended.stdout
    }

    /// The JSON lines that it prints when it ends well.
    pub(crate) fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let printed = self.prints(&[&["--json"], arguments].concat());
        printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

pub(crate) fn command(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weald"));
    command.env("WEALD_DATA_DIR", data).args(arguments).stdin(Stdio::null());
    command
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn of(command: &mut Command) -> Self {
        command.output().unwrap().into()
    }

    /// It failed with this code, one line that has `told`, and no backtrace.
    pub(crate) fn refused(&self, code: i32, told: &str) {
        assert_eq!(self.code, code, "{self:?}");
        assert_eq!(self.stderr.lines().count(), 1, "one line says it: {self:?}");
        assert!(self.stderr.contains(told), "{told:?} is not in {:?}", self.stderr);
        assert!(!self.stderr.contains("panicked"), "{self:?}");
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or_else(|| panic!("killed: {:?}", output.status)),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}
