//! Where answers go: standard output, as plain lines or as JSON lines.

use std::io::{self, BufWriter, Write};

use serde_json::Value;

use super::failure::Failure;

/// Standard output in the form that the user chose.
pub(crate) struct Output {
    json: bool,
    sink: BufWriter<io::Stdout>,
}

impl Output {
    /// Standard output; JSON lines if `json`.
    pub(crate) fn new(json: bool) -> Self {
        Self { json, sink: BufWriter::new(io::stdout()) }
    }

    /// Whether the user wants JSON.
    pub(crate) const fn is_json(&self) -> bool {
        self.json
    }

    /// One answer: `json` for scripts, `plain` for people. Only the one that is wanted is made.
    pub(crate) fn answer(
        &mut self,
        plain: impl FnOnce() -> String,
        json: impl FnOnce() -> Value,
    ) -> Result<(), Failure> {
        let line = if self.json { json().to_string() } else { plain() };
        Ok(writeln!(self.sink, "{line}")?)
    }

    /// A line for people; nothing with `--json`.
    pub(crate) fn plain(&mut self, line: &str) -> Result<(), Failure> {
        if self.json {
            return Ok(());
        }
        Ok(writeln!(self.sink, "{line}")?)
    }

    /// A line beside the answer, on standard error.
    pub(crate) fn note(line: impl std::fmt::Display) {
        // Whoever closed standard error does not want to know.
        let _ = writeln!(io::stderr(), "weald: {line}");
    }

    /// These bytes, exactly.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        Ok(self.sink.write_all(bytes)?)
    }

    /// Hands everything to the reader at once; whoever follows a collection waits for each line.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        Ok(self.sink.flush()?)
    }
}
