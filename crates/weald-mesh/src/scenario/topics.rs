//! Scenarios of topics: publishers and subscribers are processes with a light node of their own.

mod account;
mod attack;
mod churn;
mod concurrent;
mod expiry;
mod late_joiner;
mod members;
mod outbox;
mod partition;
mod renewal;

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::{Defaults, Scenario};
use crate::mesh::{Mesh, Setup};
use crate::party::Party;
use account::{Heard, Sent};

pub(super) use attack::SCENARIO as ATTACK;
pub(super) use churn::SCENARIO as CHURN;
pub(super) use concurrent::SCENARIO as CONCURRENT;
pub(super) use expiry::SCENARIO as EXPIRY;
pub(super) use late_joiner::SCENARIO as LATE_JOINER;
pub(super) use members::SCENARIO as MEMBERS;
pub(super) use outbox::SCENARIO as OUTBOX;
pub(super) use partition::SCENARIO as PARTITION;
pub(super) use renewal::SCENARIO as RENEWAL;

/// The topic of a scenario.
const TOPIC: &str = "chat";
/// How long a process may take until it can publish or has subscribed.
const BEGIN_MAX: Duration = Duration::from_secs(30);
/// How long publishing may take besides the pauses.
const PUBLISH_MAX: Duration = Duration::from_secs(180);
/// What a subscriber is given after the last message.
const GRACE: Duration = Duration::from_secs(5);

/// What one publisher does.
#[derive(Clone, Copy, Debug)]
struct Publishes {
    label: usize,
    count: usize,
    /// From one message to the next, milliseconds, at least and at most.
    pause: (usize, usize),
    expires_ms: Option<u64>,
    /// Whether the topic is made with the policy `Available`.
    available: bool,
    /// Messages that are handed over at a time.
    batch: usize,
    /// The node whose gateway is published through; `None` for a light node of the publisher's own.
    through: Option<usize>,
}

impl Publishes {
    /// One by one, through a light node of the publisher's own.
    fn new(label: usize, count: usize, pause: (usize, usize)) -> Self {
        let (expires_ms, available, batch, through) = (None, false, 1, None);
        Self { label, count, pause, expires_ms, available, batch, through }
    }
}

/// How a subscriber subscribes.
#[derive(Clone, Debug, Default)]
struct Subscribes {
    durable: Option<String>,
    lease_ms: Option<u64>,
}

/// A mesh, and who publishes and subscribes on it.
struct Gathering {
    mesh: Mesh,
    setup: Setup,
    publishers: Vec<Party>,
    started: usize,
}

impl Gathering {
    fn found(setup: &Setup, mut mesh: Mesh) -> Result<Self> {
        mesh.found()?;
        Ok(Self { mesh, setup: setup.clone(), publishers: Vec::new(), started: 0 })
    }

    /// Starts publishers; they begin together once all are ready.
    fn publish(&mut self, plans: &[Publishes]) -> Result<()> {
        for plan in plans {
            let mut words = vec![String::from("publish")];
            words.extend(self.place());
            let mut option = |name: &str, value: String| words.extend([format!("--{name}"), value]);
            option("label", plan.label.to_string());
            option("count", plan.count.to_string());
            option("pause-min-ms", plan.pause.0.to_string());
            option("pause-max-ms", plan.pause.1.to_string());
            let seed = self.setup.seed.wrapping_add(u64::try_from(plan.label)?);
            option("seed", seed.to_string());
            option("batch", plan.batch.to_string());
            if let Some(place) = plan.through {
                option("through", self.mesh.nodes[place].file()?.http.clone());
            }
            if let Some(expires) = plan.expires_ms {
                option("expires-ms", expires.to_string());
            }
            if plan.available {
                words.push(String::from("--available"));
            }
            let party = self.start("publisher", &words)?;
            self.publishers.push(party);
        }
        for publisher in &mut self.publishers {
            publisher.wait_for("ready", BEGIN_MAX)?;
        }
        self.publishers.iter_mut().try_for_each(Party::go)
    }

    /// Starts a subscriber, from the beginning.
    fn subscribe(&mut self, how: &Subscribes) -> Result<Party> {
        let mut words = vec![String::from("subscribe")];
        words.extend(self.place());
        let mut option = |name: &str, value: String| words.extend([format!("--{name}"), value]);
        if let Some(name) = &how.durable {
            option("durable", name.clone());
        }
        if let Some(lease) = how.lease_ms {
            option("lease-ms", lease.to_string());
        }
        self.start("subscriber", &words)
    }

    /// Starts an attacker, which makes the topic; it begins once it is told to.
    fn attack(&mut self) -> Result<Party> {
        let mut words = vec![String::from("attack")];
        words.extend(self.place());
        let rounds = self.setup.round_count.to_string();
        words.extend([String::from("--rounds"), rounds]);
        words.extend([String::from("--seed"), self.setup.seed.to_string()]);
        self.start("attacker", &words)
    }

    fn start(&mut self, what: &str, words: &[String]) -> Result<Party> {
        self.started += 1;
        let name = format!("{what}-{}", self.started);
        Party::start(&self.setup.guard, self.mesh.directory(), &name, words)
    }

    /// Where the network and the topic are, as arguments.
    fn place(&self) -> Vec<String> {
        let files = self.mesh.nodes.iter().filter_map(|node| node.file().ok());
        let addresses = files.flat_map(|file| file.bootstrap());
        let mut words: Vec<String> =
            addresses.flat_map(|address| [String::from("--bootstrap"), address]).collect();
        words.extend([String::from("--topic"), String::from(TOPIC)]);
        words
    }

    /// Messages that are acknowledged so far.
    fn published(&self) -> usize {
        let is_one = |line: &&Value| line.get("published").is_some();
        self.publishers.iter().map(|party| party.told().iter().filter(is_one).count()).sum()
    }

    /// Waits until as many messages are acknowledged.
    fn wait_published(&self, count: usize) -> Result<()> {
        let started = std::time::Instant::now();
        while self.published() < count {
            ensure!(started.elapsed() < PUBLISH_MAX, "only {} are published", self.published());
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Waits until all publishers have published everything; what they were told.
    fn published_all(&mut self) -> Result<Sent> {
        let mut sent = Sent::default();
        for publisher in self.publishers.drain(..) {
            sent.take(&publisher.finish(PUBLISH_MAX)?);
        }
        Ok(sent)
    }
}

/// Gives a subscriber the time that is its due, ends it and takes what it has heard.
fn heard(subscriber: Party) -> Result<Heard> {
    std::thread::sleep(GRACE);
    Ok(Heard::of(&subscriber.end()?))
}
