//! `weald topic lineage`.

use clap::Args;
use serde_json::Value;

use super::show::word;
use crate::cli::{
    failure::Failure,
    output::Output,
    session::{self, Target},
};

/// Lists all versions of the topic that are remembered, with their roots.
#[derive(Args, Debug)]
pub(crate) struct Lineage {
    /// The topic
    topic: String,
    /// Look into so many snapshots of versions that have left the head
    #[arg(long, value_name = "COUNT", default_value_t = 32,
        value_parser = clap::value_parser!(u32).range(..=32))]
    depth: u32,
}

impl Lineage {
    pub(super) async fn run(&self, target: &Target, output: &mut Output) -> Result<(), Failure> {
        session::existing(target, async |database| {
            let told = database.lineage(&self.topic, self.depth).await?;
            output.answer(|| plain(&told), || told.clone())
        })
        .await
    }
}

fn plain(told: &Value) -> String {
    let mut lines = Vec::new();
    for side in ["messages", "subscribers"] {
        for entry in told[side].as_array().into_iter().flatten() {
            lines.push(format!("{side}\t{}\t{}", entry["version"], word(&entry["root"])));
        }
    }
    let snapshots = told["snapshots"].as_array().map_or(0, Vec::len);
    lines.push(format!("snapshots\t{snapshots}"));
    lines.join("\n")
}
