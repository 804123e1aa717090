//! A cluster of three NATS servers with JetStream, where the machine has them.

mod client;

use std::fmt::Write as _;
use std::fs;
use std::net::{Shutdown, TcpStream};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Barrier, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde_json::{Value, json};

use super::arrivals::{Arrivals, body, number_of};
use super::{Audience, Broker, Load, Published, Replayed};
use crate::bench::etcd::free_ports;
use crate::guard::Guard;
use client::Client;

const NODE_COUNT: usize = 3;
/// How long the servers may take until they make a stream.
const READY_MAX: Duration = Duration::from_secs(30);
/// How long one attempt may take: servers that have no leader yet do not answer.
const TRY_MAX: Duration = Duration::from_secs(2);
/// Between two looks at it.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Subscriptions over one connection.
const SUBSCRIPTIONS_MAX: usize = 16;
/// Publishes under way where many are published.
const FILLING: usize = 512;
/// How long the subscribers of a connection may take to begin.
const BEGIN_MAX: Duration = Duration::from_secs(60);

/// The processes, which end with this.
#[derive(Debug)]
pub(super) struct Nats {
    children: Vec<Child>,
    addresses: Vec<String>,
    is_synced: bool,
    guard: Arc<Guard>,
}

impl Nats {
    /// Starts a cluster and waits until it makes streams; none where there is no such program.
    pub(super) fn start(
        program: &Path,
        directory: &Path,
        guard: &Arc<Guard>,
    ) -> Result<Option<Self>> {
        let asked = Command::new(program).arg("--version").stdout(Stdio::null()).status();
        if !asked.is_ok_and(|status| status.success()) {
            return Ok(None);
        }
        let ports = free_ports(2 * NODE_COUNT)?;
        let (clients, routes) = ports.split_at(NODE_COUNT);
        let is_synced = syncs_always(program, directory)?;
        let (addresses, guard) = (clients.to_vec(), Arc::clone(guard));
        let mut nats = Self { children: Vec::new(), addresses, is_synced, guard };
        for node in 0..NODE_COUNT {
            let file = directory.join(format!("nats-{node}.conf"));
            fs::write(&file, configuration((node, is_synced), directory, clients, routes)?)?;
            let mut command = Command::new(program);
            command.arg("-c").arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
            let child = command.spawn().context("NATS cannot be started")?;
            nats.guard.watch(child.id());
            nats.children.push(child);
        }
        nats.wait_ready()?;
        Ok(Some(nats))
    }

    fn wait_ready(&self) -> Result<()> {
        let started = Instant::now();
        for node in 0..NODE_COUNT {
            loop {
                let client = Client::open_within(&self.addresses[node], TRY_MAX);
                let made = client.and_then(|mut client| {
                    client.stream_request(
                        "CREATE",
                        &format!("ready-{node}"),
                        &stream("ready", node),
                    )
                });
                match made {
                    Ok(_) => break,
                    Err(error) if started.elapsed() > READY_MAX => {
                        return Err(error.context("NATS makes no stream"));
                    }
                    Err(_) => thread::sleep(LOOK_EVERY),
                }
            }
        }
        Ok(())
    }

    fn client(&self, number: usize) -> Result<Client> {
        Client::open(&self.addresses[number % NODE_COUNT])
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        for child in &mut self.children {
            // The guard ends what this does not.
            let _ = child.kill();
            let _ = child.wait();
            self.guard.forget(child.id());
        }
    }
}

/// Whether the server knows how to sync each write; older ones sync every two minutes.
fn syncs_always(program: &Path, directory: &Path) -> Result<bool> {
    let file: PathBuf = directory.join("nats-try.conf");
    fs::write(&file, "jetstream { sync_interval: always }\n")?;
    let mut command = Command::new(program);
    command.arg("-t").arg("-c").arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command.status()?.success())
}

fn configuration(
    (node, is_synced): (usize, bool),
    directory: &Path,
    clients: &[String],
    routes: &[String],
) -> Result<String> {
    let mut text = String::new();
    let store = directory.join(format!("nats-{node}"));
    let sync = if is_synced { ", sync_interval: always" } else { "" };
    writeln!(text, "server_name: n{node}\nlisten: {:?}", clients[node])?;
    writeln!(text, "jetstream {{ store_dir: {store:?}{sync} }}")?;
    let all: Vec<String> = routes.iter().map(|route| format!("\"nats://{route}\"")).collect();
    let (listen, all) = (&routes[node], all.join(", "));
    writeln!(text, "cluster {{ name: bench, listen: {listen:?}, routes: [{all}] }}")?;
    Ok(text)
}

/// A stream of three copies on disk, for one subject.
fn stream(name: &str, number: usize) -> Value {
    let name = format!("{name}-{number}");
    json!({
        "name": name, "subjects": [subject(&name)], "retention": "limits", "storage": "file",
        "num_replicas": NODE_COUNT, "discard": "old",
    })
}

fn subject(topic: &str) -> String {
    format!("bench.{topic}")
}

impl Broker for Nats {
    fn name(&self) -> String {
        let synced = if self.is_synced { "sync always" } else { "not synced" };
        format!("jetstream x{NODE_COUNT} {synced}")
    }

    fn pids(&self) -> Vec<u32> {
        self.children.iter().map(Child::id).collect()
    }

    fn create(&self, topic: &str) -> Result<()> {
        let mut settings = stream(topic, 0);
        settings["name"] = topic.into();
        settings["subjects"] = json!([subject(topic)]);
        self.client(0)?.stream_request("CREATE", topic, &settings).map(|_| ())
    }

    fn publish(&self, topic: &str, load: Load) -> Result<Published> {
        let clients: Result<Vec<Client>> = (0..load.publishers)
            .map(|number| {
                let mut client = self.client(number)?;
                client.publish_all(&subject(topic), 1, |number| number == 0)?;
                Ok(client)
            })
            .collect();
        let barrier = Barrier::new(load.publishers);
        thread::scope(|scope| {
            let publishers: Vec<_> = clients?
                .into_iter()
                .map(|mut client| {
                    let barrier = &barrier;
                    scope.spawn(move || {
                        barrier.wait();
                        let begin = Instant::now();
                        let goes_on = |_| begin.elapsed() < load.length;
                        let times = client.publish_all(&subject(topic), load.in_flight, goes_on)?;
                        anyhow::Ok((times, begin.elapsed()))
                    })
                })
                .collect();
            let mut published = Published { times: Vec::new(), taken: Duration::ZERO };
            for publisher in publishers {
                let joined = publisher.join().map_err(|_| anyhow!("a publisher panicked"))?;
                let (times, taken) = joined?;
                published.times.extend(times);
                published.taken = published.taken.max(taken);
            }
            Ok(published)
        })
    }

    fn fill(&self, topic: &str, count: usize) -> Result<()> {
        let mut client = self.client(0)?;
        client.publish_all(&subject(topic), FILLING, |number| number < count).map(|_| ())
    }

    fn replay(&self, topic: &str, count: usize) -> Result<Replayed> {
        let mut client = self.client(1)?;
        let started = Instant::now();
        client.consume(topic, "all", 0)?;
        let mut first = Duration::ZERO;
        for seen in 0..count {
            let number = number_of(client.next_delivery()?)?;
            ensure!(number == seen, "message {number} came in place of {seen}");
            if seen == 0 {
                first = started.elapsed();
            }
        }
        Ok(Replayed { first, all: started.elapsed() })
    }

    fn subscribe(
        &self,
        topic: &str,
        subscribers: usize,
        arrivals: &Arc<Arrivals>,
    ) -> Result<Box<dyn Audience + '_>> {
        let publisher = self.client(0)?;
        let (ready, begun) = mpsc::channel();
        let mut audience =
            NatsAudience { publisher, subject: subject(topic), sockets: vec![], readers: vec![] };
        let connections = subscribers.div_ceil(SUBSCRIPTIONS_MAX).max(1);
        for connection in 0..connections {
            let mut client = self.client(connection + 1)?;
            audience.sockets.push(client.socket()?);
            let (topic, ready) = (topic.to_owned(), ready.clone());
            let arrivals = Arc::clone(arrivals);
            let count = (connection..subscribers).step_by(connections).count();
            audience.readers.push(thread::spawn(move || {
                (0..count).try_for_each(|number| client.consume(&topic, "new", number))?;
                ready.send(())?;
                listen(&mut client, &arrivals)
            }));
        }
        for _ in 0..connections {
            begun.recv_timeout(BEGIN_MAX).context("a consumer did not begin")?;
        }
        Ok(Box::new(audience))
    }
}

/// Notes what comes until the connection is closed.
fn listen(client: &mut Client, arrivals: &Arrivals) -> Result<()> {
    while let Ok(body) = client.next_delivery() {
        arrivals.note(body)?;
    }
    Ok(())
}

struct NatsAudience {
    publisher: Client,
    subject: String,
    sockets: Vec<TcpStream>,
    readers: Vec<JoinHandle<Result<()>>>,
}

impl Audience for NatsAudience {
    fn publish(&mut self, numbers: Range<usize>) -> Result<()> {
        let (first, count) = (numbers.start, numbers.len());
        self.publisher.publish_bodies(&self.subject, FILLING, |number| {
            (number < count).then(|| body(first + number))
        })?;
        Ok(())
    }

    fn end(self: Box<Self>) -> Result<()> {
        for socket in &self.sockets {
            // The server may have closed it.
            let _ = socket.shutdown(Shutdown::Both);
        }
        for reader in self.readers {
            match reader.join() {
                Ok(done) => done?,
                Err(_) => bail!("a subscriber panicked"),
            }
        }
        Ok(())
    }
}
