//! `weald resolve`.

use clap::Args;
use serde_json::json;
use weald::TransactionId;

use super::{
    failure::Failure,
    output::Output,
    session::{self, Target},
};

/// Settles a write whose outcome is unknown, and tells what became of it.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Resolve {
    /// The transaction, as the failed write named it
    transaction: TransactionId,
}

impl Resolve {
    /// Runs the verb.
    pub(crate) async fn run(self, target: &Target, output: &mut Output) -> Result<(), Failure> {
        let id = self.transaction;
        let told = session::existing(target, async |database| database.resolve(id).await).await?;
        let outcome = told["outcome"].as_str().unwrap_or("unknown").to_owned();
        let detail = told["detail"].as_str().map(str::to_owned);
        output.answer(
            || match (outcome.as_str(), &detail) {
                ("committed", _) => format!("{id}: committed"),
                ("rejected", detail) => {
                    let why = detail.as_deref().unwrap_or("refused");
                    format!("{id}: nothing of it happened, and nothing will: {why}")
                }
                ("pending", _) => format!("{id}: on its way; ask again"),
                _ => format!("{id}: no outcome is kept; it was settled long ago, or never came"),
            },
            || json!({ "transaction": id.to_string(), "outcome": outcome, "detail": detail }),
        )
    }
}
