//! Transactions on the client: a draft that sees its own writes, what becomes of one that lost, and
//! when to give up.

mod attempts;
mod draft;
mod resolve;

pub use attempts::{Attempts, GaveUp, GiveUpCause, RetryPolicy, Verdict};
pub use draft::{Draft, DraftSavepoint, StaleSavepoint};
pub use resolve::resolve_conflict;

#[cfg(test)]
mod tests;
