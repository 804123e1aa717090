//! What a run leaves behind: a hash over every event, and lines about what is worth reading.

use std::hash::{Hash, Hasher};

use crate::schedule::Instant;

/// Lines that are kept, at most.
const LINES_MAX: usize = 20_000;

/// See the module's page.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    hash: TraceHash,
    lines: Vec<String>,
    is_kept: bool,
}

/// A hash that does not change from run to run or from machine to machine.
#[derive(Debug, Default)]
struct TraceHash(u64);

impl Trace {
    /// A trace that keeps its lines, if they are wanted.
    pub(crate) fn new(is_kept: bool) -> Self {
        Self { is_kept, ..Self::default() }
    }

    /// Takes an event into the hash.
    pub(crate) fn event(&mut self, at: Instant, event: &impl Hash) {
        at.hash(&mut self.hash);
        event.hash(&mut self.hash);
    }

    /// Adds a line; it is made only where lines are kept.
    pub(crate) fn line(&mut self, at: Instant, line: impl FnOnce() -> String) {
        if self.is_kept && self.lines.len() < LINES_MAX {
            let (millis, micros) = (at.0 / 1000, at.0 % 1000);
            self.lines.push(format!("{millis:>6}.{micros:03} {}", line()));
        }
    }

    /// The hash over all events so far.
    pub(crate) fn hash(&self) -> u64 {
        self.hash.finish()
    }

    /// The lines.
    pub(crate) fn lines(&self) -> &[String] {
        &self.lines
    }
}

impl Hasher for TraceHash {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, word: u8) {
        self.write_u64(word.into());
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(word.into());
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(u64::try_from(word).unwrap_or(u64::MAX));
    }
}
