//! Publishes numbered messages.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use weald::{Availability, PublishOptions, PublishReceipt, Topic, TopicPolicy, Weald};

use super::{next_word, runtime, tell};
use crate::arguments::PublisherOptions;
use crate::client::Client;
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

/// Through what it publishes.
enum Way {
    /// A light node of its own.
    Light(Weald, Topic),
    /// A node's gateway.
    Gateway(Client),
}

/// Where a message stands: its sequence and its position.
type Place = (u64, Option<u64>);

async fn run(options: &PublisherOptions) -> Result<()> {
    let way = Way::open(options).await?;
    tell(&json!({ "ready": true }));
    ensure!(next_word().await, "nobody waits for it");
    let batch = options.batch.get();
    let mut random = Random::new(options.seed);
    let mut due = tokio::time::Instant::now();
    for first in (0..options.count).step_by(batch) {
        tokio::time::sleep_until(due).await;
        let last = options.count.min(first + batch);
        way.publish(options, (first..last).collect()).await?;
        if let Way::Light(_, topic) = &way
            && first % LOOK_EVERY == 0
        {
            tell(&json!({ "head_bytes": topic.head().await?.encode().len() }));
        }
        let span = options.pause_max_ms.saturating_sub(options.pause_min_ms) + 1;
        let pause = options.pause_min_ms + random.below(span);
        due += Duration::from_millis(u64::try_from(pause)?);
    }
    if let Way::Light(node, _) = way {
        node.close().await?;
    }
    Ok(())
}

impl Way {
    async fn open(options: &PublisherOptions) -> Result<Self> {
        if let Some(address) = &options.through {
            return Ok(Self::Gateway(Client::new(address, None).within(PATIENCE)));
        }
        let node = light::start(options.bootstrap.clone()).await?;
        let availability =
            if options.available { Availability::Available } else { Availability::Consistent };
        let policy = TopicPolicy { availability, ..TopicPolicy::default() };
        let topic = node.topic(&options.topic).policy(policy).open_or_create().await?;
        Ok(Self::Light(node, topic))
    }

    async fn publish(&self, options: &PublisherOptions, numbers: Vec<usize>) -> Result<()> {
        let bodies: Vec<String> =
            numbers.iter().map(|number| body(options.label, *number)).collect();
        let begun = Instant::now();
        let places = match self {
            Self::Light(_, topic) => with_node(topic, options, bodies).await?,
            Self::Gateway(client) => with_gateway(client, &options.topic, &bodies)?,
        };
        ensure!(places.len() == numbers.len(), "{} of {numbers:?} answered", places.len());
        let took_us = u64::try_from(begun.elapsed().as_micros())?;
        for (number, (sequence, position)) in numbers.into_iter().zip(places) {
            tell(&json!({
                "published": number,
                "p": options.label,
                "sequence": sequence,
                "position": position,
                "took_us": took_us,
            }));
        }
        Ok(())
    }
}

fn body(label: usize, number: usize) -> String {
    let mut body = json!({ "p": label, "i": number, "fill": "" });
    let fill = BODY_BYTES.saturating_sub(body.to_string().len());
    body["fill"] = "x".repeat(fill).into();
    body.to_string()
}

async fn with_node(
    topic: &Topic,
    options: &PublisherOptions,
    bodies: Vec<String>,
) -> Result<Vec<Place>> {
    let expires_in = options.expires_ms.map(Duration::from_millis);
    let given = PublishOptions { expires_in, timeout: Some(PATIENCE), ..Default::default() };
    let receipts = topic.publish_batch(bodies, given).await?;
    let place = |receipt: weald::Result<PublishReceipt>| {
        let receipt = receipt?;
        Ok((receipt.sequence.0, receipt.position.map(|position| position.0)))
    };
    receipts.into_iter().map(place).collect()
}

fn with_gateway(client: &Client, topic: &str, bodies: &[String]) -> Result<Vec<Place>> {
    let told = match bodies {
        [body] => vec![client.publish(topic, body)?],
        _ => client.publish_lines(topic, bodies)?,
    };
    let place = |told: &Value| {
        let sequence = told["sequence"].as_u64().with_context(|| format!("no sequence: {told}"))?;
        Ok((sequence, told["position"].as_u64()))
    };
    told.iter().map(place).collect()
}
