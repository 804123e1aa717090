//! A writer that may die at any moment, and the checker of what it leaves.
//!
//! Each caller of the writer does one write after another and numbers them, from 1 in each
//! generation (each start of the process). It tells a write as an [`Ack`] only after the database
//! acknowledged it. So of each caller at most one write, the one under way, is in doubt.

mod checker;
mod found;
mod mark;
mod rounds;

pub use checker::{Checker, Violation};
pub use found::{Entry, Found, open};
pub use mark::{Ack, Kind, Mark};
pub use rounds::{Plan, READY, Tally, run_rounds};

/// The diary that callers append to by itself.
pub const JOURNAL: &str = "crash/journal";
/// The tree that callers put into by itself; each caller has one key.
pub const SOLO: &str = "crash/solo";
/// The diary of the transactions.
pub const MOVES: &str = "crash/moves";
/// The first tree of the transactions; each caller has one key.
pub const MARKS: &str = "crash/marks";
/// The second tree of the transactions, always the same as the first.
pub const MARKS_COPY: &str = "crash/marks-copy";
