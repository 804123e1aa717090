//! Publishes numbered messages.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;
use weald::{Availability, PublishOptions, Topic, TopicPolicy};

use super::{next_word, runtime, tell};
use crate::arguments::PublisherOptions;
use crate::light;
use crate::random::Random;

/// How long one publish may take over all faults.
const PATIENCE: Duration = Duration::from_secs(30);
/// Messages between two looks at the head.
const LOOK_EVERY: usize = 50;
/// Bytes of a message.
const BODY_BYTES: usize = 200;

/// Publishes what `options` say once it is told to.
pub(crate) fn publish(options: &PublisherOptions) -> Result<()> {
    runtime()?.block_on(run(options))
}

async fn run(options: &PublisherOptions) -> Result<()> {
    let node = light::start(options.bootstrap.clone()).await?;
    let availability =
        if options.available { Availability::Available } else { Availability::Consistent };
    let policy = TopicPolicy { availability, ..TopicPolicy::default() };
    let topic = node.topic(&options.topic).policy(policy).open_or_create().await?;
    tell(&json!({ "ready": true }));
    ensure!(next_word().await, "nobody waits for it");
    let mut random = Random::new(options.seed);
    let mut due = tokio::time::Instant::now();
    for number in 0..options.count {
        tokio::time::sleep_until(due).await;
        publish_one(&topic, options, number).await?;
        if number % LOOK_EVERY == 0 {
            tell(&json!({ "head_bytes": topic.head().await?.encode().len() }));
        }
        let span = options.pause_max_ms.saturating_sub(options.pause_min_ms) + 1;
        let pause = options.pause_min_ms + random.below(span);
        due += Duration::from_millis(u64::try_from(pause)?);
    }
    node.close().await?;
    Ok(())
}

async fn publish_one(topic: &Topic, options: &PublisherOptions, number: usize) -> Result<()> {
    let mut body = json!({ "p": options.label, "i": number, "fill": "" });
    let fill = BODY_BYTES.saturating_sub(body.to_string().len());
    body["fill"] = "x".repeat(fill).into();
    let expires_in = options.expires_ms.map(Duration::from_millis);
    let begun = Instant::now();
    let given = PublishOptions { expires_in, timeout: Some(PATIENCE), ..Default::default() };
    let receipt = topic.publish_with(body.to_string(), given).await?;
    tell(&json!({
        "published": number,
        "p": options.label,
        "sequence": receipt.sequence.0,
        "position": receipt.position.map(|position| position.0),
        "took_us": u64::try_from(begun.elapsed().as_micros())?,
    }));
    Ok(())
}
