//! `weald topic show`.

use clap::Args;
use serde_json::Value;

use crate::cli::{
    failure::Failure,
    output::Output,
    session::{self, Target},
};

/// Describes the topic.
#[derive(Args, Debug)]
pub(crate) struct Show {
    /// The topic
    topic: String,
}

impl Show {
    pub(super) async fn run(&self, target: &Target, output: &mut Output) -> Result<(), Failure> {
        session::existing(target, async |database| {
            let told = database.topic(&self.topic).await?;
            output.answer(|| self.plain(&told), || told.clone())
        })
        .await
    }

    fn plain(&self, told: &Value) -> String {
        let mut lines = vec![
            format!("topic         {}", self.topic),
            format!("id            {}", word(&told["topic"])),
            format!("state         {}", word(&told["state"])),
            format!("next          {}", told["next"]),
        ];
        for side in ["messages", "subscribers"] {
            let told = &told[side];
            let (count, version) = (&told["count"], &told["version"]);
            lines.push(format!("{side:<12}  {count}, version {version}, {}", word(&told["root"])));
        }
        let rules = told["policy"].as_object().into_iter().flatten();
        lines.extend(rules.map(|(rule, value)| format!("policy        {rule} {}", word(value))));
        for lease in told["subscriptions"].as_array().into_iter().flatten() {
            let (peer, stream) = (word(&lease["peer_id"]), word(&lease["stream"]));
            let state = if lease["live"] == true { "live" } else { "ended" };
            lines.push(format!(
                "subscription  {peer} {stream} {state}, seen {}",
                lease["last_seen"]
            ));
        }
        lines.join("\n")
    }
}

/// A value for people: text without its quotes.
pub(super) fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "none".to_owned(),
        other => other.to_string(),
    }
}
