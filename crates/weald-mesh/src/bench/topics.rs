//! Measures topics of a mesh, and of what they are compared with, in one run by one program.

mod arrivals;
mod bytes;
mod follower;
mod many;
mod nats;
mod rust;
mod shared;
mod slow;

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::process;
use super::weald::Mesh;
use crate::arguments::TopicBenchOptions;
use crate::report::Table;
use crate::statistics::Summary;
use arrivals::Arrivals;

/// Bytes of a message's body.
const BODY_BYTES: usize = 256;

const HEADING: [&str; 9] =
    ["system", "what", "of", "a second", "p50 ms", "p99 ms", "max ms", "CPU us", "MiB/node"];

/// A running system with topics.
trait Broker {
    /// What it is called in the table.
    fn name(&self) -> String;
    /// Process ids of the nodes.
    fn pids(&self) -> Vec<u32>;
    /// Makes a topic.
    fn create(&self, topic: &str) -> Result<()>;
    /// Has publishers publish for a while.
    fn publish(&self, topic: &str, load: Load) -> Result<Published>;
    /// Publishes so many messages as fast as it goes.
    fn fill(&self, topic: &str, count: usize) -> Result<()>;
    /// Has a new subscriber read the `count` messages that are there.
    fn replay(&self, topic: &str, count: usize) -> Result<Replayed>;
    /// Subscribes so often to what is published from now on; what comes is noted in `arrivals`.
    fn subscribe(
        &self,
        topic: &str,
        subscribers: usize,
        arrivals: &Arc<Arrivals>,
    ) -> Result<Box<dyn Audience + '_>>;
}

/// Subscribers, and a publisher on a node or connection of its own.
trait Audience {
    /// Publishes messages of these numbers at once and waits until all are acknowledged.
    fn publish(&mut self, numbers: Range<usize>) -> Result<()>;
    /// Ends the subscriptions.
    fn end(self: Box<Self>) -> Result<()>;
}

/// Publishers, each on a node or connection of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Load {
    publishers: usize,
    /// Publishes of each that wait for their acknowledgement.
    in_flight: usize,
    length: Duration,
}

/// What publishers did.
#[derive(Debug)]
struct Published {
    /// From a publish to its acknowledgement.
    times: Vec<Duration>,
    taken: Duration,
}

impl Published {
    fn per_second(&self) -> f64 {
        rate(self.times.len(), self.taken)
    }
}

/// What a late joiner saw.
#[derive(Clone, Copy, Debug)]
struct Replayed {
    /// From the call to the first message.
    first: Duration,
    /// From the call to the last message.
    all: Duration,
}

/// Count by time.
fn rate(count: usize, taken: Duration) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / taken.as_secs_f64()
}

/// Runs what is asked for and prints one table.
pub(crate) fn run(options: &TopicBenchOptions) -> Result<()> {
    let (directory, guard) = super::place(&options.directory)?;
    let mut table = Table::new(&HEADING);
    if options.nodes > 0 {
        let mesh = Mesh::start((&options.weald, options.nodes, None), &directory, &guard)?;
        let rust = rust::Rust::start(&mesh)?;
        shared::measure(&rust, options, &mut table)?;
        follower::measure(&rust, options, &mut table)?;
        slow::measure(&rust, options, &mut table)?;
        bytes::measure(&rust, options)?;
        many::measure(&rust, options)?;
    }
    for peer in &options.peers {
        match peer.as_str() {
            "nats" => match nats::Nats::start(&options.nats, &directory, &guard)? {
                Some(nats) => shared::measure(&nats, options, &mut table)?,
                None => println!("NATS is not on this machine: apt-get install nats-server"),
            },
            other => anyhow::bail!("nothing is known to compare with: {other}"),
        }
    }
    print!("{table}");
    Ok(())
}

/// Whether a measurement is asked for.
fn is_wanted(options: &TopicBenchOptions, name: &str) -> bool {
    options.only.is_empty() || options.only.iter().any(|one| one == name)
}

/// One line of the table.
struct Line<'a> {
    what: &'a str,
    /// Publishers, subscribers or messages: what the measurement is of.
    count: usize,
    per_second: Option<f64>,
    summary: Option<Summary>,
    /// Processor time of all nodes for one of what is counted a second.
    cost: Option<Duration>,
}

impl Line<'_> {
    fn tell(&self, broker: &dyn Broker, table: &mut Table) {
        let millis = |of: fn(&Summary) -> Duration| {
            let told = |one: &Summary| format!("{:.2}", of(one).as_secs_f64() * 1e3);
            self.summary.as_ref().map_or_else(|| "-".into(), told)
        };
        let cells = vec![
            broker.name(),
            self.what.to_owned(),
            self.count.to_string(),
            self.per_second.map_or_else(|| "-".into(), |rate| format!("{rate:.0}")),
            millis(|one| one.p50),
            millis(|one| one.p99),
            millis(|one| one.max),
            self.cost.map_or_else(|| "-".into(), |cost| format!("{:.1}", cost.as_secs_f64() * 1e6)),
            format!("{:.0}", resident_mib(broker)),
        ];
        println!("{}", cells.join("  "));
        table.line(cells);
    }
}

/// Processor time that all nodes have used.
fn effort(broker: &dyn Broker) -> Duration {
    broker.pids().into_iter().map(process::processor_time).sum()
}

/// What each of `count` took of the processor time since `before`.
fn cost(broker: &dyn Broker, before: Duration, count: usize) -> Option<Duration> {
    let used = effort(broker).saturating_sub(before);
    used.checked_div(u32::try_from(count).ok()?)
}

/// Memory of the largest node.
fn resident_mib(broker: &dyn Broker) -> f64 {
    broker.pids().into_iter().map(process::resident_mib).fold(0.0, f64::max)
}

/// How long each of these messages took until all subscribers had it, published one after the other.
fn one_by_one(
    audience: &mut dyn Audience,
    arrivals: &Arrivals,
    numbers: Range<usize>,
    pause: Duration,
) -> Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(numbers.len());
    for number in numbers {
        std::thread::sleep(pause);
        let started = Instant::now();
        audience.publish(number..number + 1)?;
        times.push(arrivals.wait(number)?.saturating_duration_since(started));
    }
    Ok(times)
}
