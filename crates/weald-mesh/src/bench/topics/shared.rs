//! What every system is measured by.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::arrivals::Arrivals;
use super::{Broker, Line, Load, Replayed, cost, effort, is_wanted, one_by_one, rate};
use crate::arguments::TopicBenchOptions;
use crate::report::Table;
use crate::statistics::Summary;

/// Publishers that wait for each acknowledgement.
const PUBLISHERS: [usize; 3] = [1, 10, 64];
/// Publishes that one publisher has under way.
const PIPELINED: [usize; 2] = [64, 512];
/// Messages of which the delivery to one subscriber is measured: one after the other, and with pauses.
const DELIVERED: usize = 1000;
const DELIVERED_IDLE: usize = 50;
/// How long a topic is idle.
const IDLE: Duration = Duration::from_millis(100);
/// Messages of which each is delivered to all before the next is published.
const FANNED_OUT: usize = 50;
/// Deliveries of the messages that are published at once.
const DELIVERIES: usize = 200_000;

/// Measures a system.
pub(super) fn measure(
    broker: &dyn Broker,
    options: &TopicBenchOptions,
    table: &mut Table,
) -> Result<()> {
    println!("measuring {}", broker.name());
    if is_wanted(options, "publish") {
        PUBLISHERS.into_iter().try_for_each(|count| {
            publish(broker, options, table, ("publishers", count, count, 1))
        })?;
        PIPELINED.into_iter().try_for_each(|in_flight| {
            publish(broker, options, table, ("pipelined", in_flight, 1, in_flight))
        })?;
    }
    if is_wanted(options, "deliver") {
        deliver(broker, table, ("delivery", DELIVERED, Duration::ZERO))?;
        deliver(broker, table, ("delivery, idle topic", DELIVERED_IDLE, IDLE))?;
    }
    if is_wanted(options, "replay") {
        replay(broker, options, table)?;
    }
    if is_wanted(options, "fan-out") {
        options.subscribers.iter().try_for_each(|count| fan_out(broker, table, *count))?;
    }
    Ok(())
}

fn publish(
    broker: &dyn Broker,
    options: &TopicBenchOptions,
    table: &mut Table,
    (what, count, publishers, in_flight): (&str, usize, usize, usize),
) -> Result<()> {
    let load = Load { publishers, in_flight, length: Duration::from_secs(options.seconds) };
    let once = |run: usize| {
        let topic = format!("{what}-{count}-{run}");
        broker.create(&topic)?;
        let before = effort(broker);
        let published = broker.publish(&topic, load)?;
        let cost = cost(broker, before, published.times.len());
        Ok((published, cost))
    };
    let runs: Result<Vec<_>> = (0..options.runs.max(1)).map(once).collect();
    let (middle, cost) = median(runs?, |(run, _)| run.per_second())?;
    let per_second = Some(middle.per_second());
    Line { what, count, per_second, summary: Summary::of(middle.times), cost }.tell(broker, table);
    Ok(())
}

fn deliver(
    broker: &dyn Broker,
    table: &mut Table,
    (what, messages, pause): (&str, usize, Duration),
) -> Result<()> {
    let topic = what.replace([' ', ','], "-");
    broker.create(&topic)?;
    let arrivals = Arc::new(Arrivals::new(messages, 1));
    let mut audience = broker.subscribe(&topic, 1, &arrivals)?;
    let times = one_by_one(&mut *audience, &arrivals, 0..messages, pause)?;
    audience.end()?;
    let summary = Summary::of(times);
    Line { what, count: 1, per_second: None, summary, cost: None }.tell(broker, table);
    Ok(())
}

fn replay(broker: &dyn Broker, options: &TopicBenchOptions, table: &mut Table) -> Result<()> {
    let (topic, count) = ("replay", options.retained);
    broker.create(topic)?;
    broker.fill(topic, count)?;
    let before = effort(broker);
    let runs: Result<Vec<Replayed>> =
        (0..options.runs.max(1)).map(|_| broker.replay(topic, count)).collect();
    let runs = runs?;
    let cost = cost(broker, before, count * runs.len());
    let firsts = Summary::of(runs.iter().map(|run| run.first).collect());
    let middle = median(runs, |run| rate(count, run.all))?;
    let line = Line {
        what: "replay, first",
        count,
        per_second: Some(rate(count, middle.all)),
        summary: firsts,
        cost,
    };
    line.tell(broker, table);
    Ok(())
}

fn fan_out(broker: &dyn Broker, table: &mut Table, subscribers: usize) -> Result<()> {
    let topic = format!("fan-out-{subscribers}");
    broker.create(&topic)?;
    let at_once = DELIVERIES / subscribers.max(1);
    let messages = FANNED_OUT + at_once;
    let arrivals = Arc::new(Arrivals::new(messages, subscribers));
    let mut audience = broker.subscribe(&topic, subscribers, &arrivals)?;
    let times = one_by_one(&mut *audience, &arrivals, 0..FANNED_OUT, IDLE)?;
    let summary = Summary::of(times);
    Line { what: "publish to all", count: subscribers, per_second: None, summary, cost: None }
        .tell(broker, table);
    let (before, deliveries) = (effort(broker), at_once * subscribers);
    let started = Instant::now();
    audience.publish(FANNED_OUT..messages)?;
    let taken = arrivals.wait(messages - 1)?.saturating_duration_since(started);
    let (per_second, cost) = (Some(rate(deliveries, taken)), cost(broker, before, deliveries));
    Line { what: "deliveries", count: subscribers, per_second, summary: None, cost }
        .tell(broker, table);
    audience.end()
}

/// The run in the middle.
fn median<T>(mut runs: Vec<T>, rate: impl Fn(&T) -> f64) -> Result<T> {
    runs.sort_by(|one, other| rate(one).total_cmp(&rate(other)));
    let middle = runs.len() / 2;
    runs.into_iter().nth(middle).context("there was a run")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_run_in_the_middle() {
        assert!((median(vec![3.0, 1.0, 2.0], |rate| *rate).unwrap() - 2.0).abs() < f64::EPSILON);
        assert!(median(Vec::<f64>::new(), |rate| *rate).is_err());
    }
}
