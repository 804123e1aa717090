//! Tells what it hears of a topic.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use weald::{StartAt, SubscribeOptions, Subscription, TopicEvent, TopicMessage};

use super::{next_word, runtime, tell};
use crate::arguments::SubscriberOptions;
use crate::light;

/// Messages from one acknowledgement to the next: each is a durable write.
const ACKNOWLEDGE_EVERY: u64 = 16;

/// Subscribes until it is told to end.
pub(crate) fn subscribe(options: &SubscriberOptions) -> Result<()> {
    runtime()?.block_on(run(options))
}

async fn run(options: &SubscriberOptions) -> Result<()> {
    let begun = Instant::now();
    let node = light::start(options.bootstrap.clone()).await?;
    let topic = node.topic(&options.topic).open().await?;
    let subscribed = topic.subscribe(given(options)).await?;
    tell(&json!({ "subscribed": true }));
    hear(subscribed, options.durable.is_some(), begun).await?;
    node.close().await?;
    Ok(())
}

fn given(options: &SubscriberOptions) -> SubscribeOptions {
    let default = SubscribeOptions::default();
    SubscribeOptions {
        from: options
            .after
            .map_or(StartAt::Beginning, |position| StartAt::After(weald::TopicPosition(position))),
        durable: options.durable.clone(),
        lease: options.lease_ms.map_or(default.lease, Duration::from_millis),
        ..default
    }
}

async fn hear(mut subscribed: Subscription, is_durable: bool, begun: Instant) -> Result<()> {
    let mut end = std::pin::pin!(next_word());
    loop {
        let event = tokio::select! {
            _ = &mut end => break,
            event = subscribed.next() => event,
        };
        let event = event.context("the subscription has ended")??;
        tell(&line(&event, begun)?);
        let TopicEvent::Message(message) = event else { continue };
        if is_durable && message.position.0.is_multiple_of(ACKNOWLEDGE_EVERY) {
            tell(&json!({ "acknowledging": message.position.0 }));
            subscribed.acknowledge(message.position).await?;
            tell(&json!({ "acknowledged": message.position.0 }));
        }
    }
    subscribed.unsubscribe().await?;
    Ok(())
}

fn line(event: &TopicEvent, begun: Instant) -> Result<Value> {
    Ok(match event {
        TopicEvent::Message(message) => json!({ "message": message_line(message)? }),
        TopicEvent::Gap { first, last } => json!({ "gap": [first.0, last.0] }),
        TopicEvent::CaughtUp { next } => {
            json!({ "caught_up": next.0, "took_ms": u64::try_from(begun.elapsed().as_millis())? })
        }
        TopicEvent::Lagged { next } => json!({ "lagged": next.0 }),
        TopicEvent::Reset { generation } => json!({ "reset": generation }),
    })
}

fn message_line(message: &TopicMessage) -> Result<Value> {
    let body: Value = serde_json::from_slice(&message.body)?;
    Ok(json!({
        "position": message.position.0,
        "publisher": message.publisher.to_string(),
        "incarnation": message.incarnation.0,
        "sequence": message.sequence.0,
        "passed": message.passed,
        "p": body["p"],
        "i": body["i"],
    }))
}
