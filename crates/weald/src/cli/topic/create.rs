//! `weald topic create`.

use clap::Args;
use serde_json::json;

use crate::cli::{
    failure::Failure,
    output::Output,
    session::{self, Target},
};

/// Makes a topic under rules of its own; one that is there under these stays as it is.
#[derive(Args, Debug)]
pub(crate) struct Create {
    /// The topic
    topic: String,
    /// Queue what is published at a node that cannot reach the topic, instead of waiting
    #[arg(long)]
    available: bool,
}

impl Create {
    pub(super) async fn run(&self, target: &Target, output: &mut Output) -> Result<(), Failure> {
        session::made(target, async |database| {
            database.create_topic(&self.topic, self.available).await
        })
        .await?;
        output.answer(
            || format!("{}: ready", self.topic),
            || json!({ "topic": self.topic, "available": self.available }),
        )
    }
}
