//! Whether subscribers that read nothing change another's latency.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use super::arrivals::{Arrivals, body};
use super::rust::{Rust, begin, fill};
use super::{Broker as _, Line, is_wanted, one_by_one};
use crate::arguments::TopicBenchOptions;
use crate::report::Table;
use crate::statistics::Summary;

const TOPIC: &str = "slow";
/// Messages whose delivery is measured each time.
const MESSAGES: usize = 1000;
/// Subscribers that read nothing.
const SLOW: usize = 8;
/// Messages by which they fall behind: more than a subscription takes ahead of its application.
const BEHIND: usize = 5000;

/// Measures delivery without and with them.
pub(super) fn measure(
    rust: &Rust<'_>,
    options: &TopicBenchOptions,
    table: &mut Table,
) -> Result<()> {
    if !is_wanted(options, "slow") {
        return Ok(());
    }
    rust.create(TOPIC)?;
    deliver(rust, ("without slow ones", 0), table)?;
    let topic = rust.topic(2, TOPIC)?;
    let held: Result<Vec<_>> =
        (0..SLOW).map(|_| rust.runtime().block_on(begin(&topic, weald::StartAt::Now))).collect();
    let held = held?;
    let publisher = rust.topic(0, TOPIC)?;
    rust.runtime().block_on(fill(&publisher, 0..BEHIND))?;
    deliver(rust, ("with slow ones", SLOW), table)?;
    for subscription in held {
        rust.runtime().block_on(subscription.unsubscribe())?;
    }
    Ok(())
}

fn deliver(rust: &Rust<'_>, (what, count): (&str, usize), table: &mut Table) -> Result<()> {
    let arrivals = Arc::new(Arrivals::new(MESSAGES, 1));
    let topic = rust.topic(0, TOPIC)?;
    rust.runtime().block_on(topic.publish(body(0)))?;
    let mut audience = rust.subscribe(TOPIC, 1, &arrivals)?;
    let times = one_by_one(&mut *audience, &arrivals, 0..MESSAGES, Duration::ZERO)?;
    audience.end()?;
    let summary = Summary::of(times);
    Line { what, count, per_second: None, summary, cost: None }.tell(rust, table);
    Ok(())
}
