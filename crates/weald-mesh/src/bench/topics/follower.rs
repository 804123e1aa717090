//! Delivery at the nodes themselves: a subscriber at each node's gateway, the one that coordinates the topic's
//! partition and those that follow.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::arrivals::{Arrivals, body};
use super::rust::Rust;
use super::{Broker as _, Line, is_wanted};
use crate::arguments::TopicBenchOptions;
use crate::partitions;
use crate::report::Table;
use crate::statistics::Summary;

const TOPIC: &str = "followed";
const MESSAGES: usize = 100;
/// How long the topic is idle before each message.
const IDLE: Duration = Duration::from_millis(50);
/// How long a gateway may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Publishes through the Rust client to an idle topic and measures the way to a subscriber at each node.
pub(super) fn measure(
    rust: &Rust<'_>,
    options: &TopicBenchOptions,
    table: &mut Table,
) -> Result<()> {
    if !is_wanted(options, "follower") {
        return Ok(());
    }
    rust.create(TOPIC)?;
    let topic = rust.topic(0, TOPIC)?;
    rust.runtime().block_on(topic.publish(body(0)))?;
    let mesh = rust.mesh().nodes();
    let coordinator =
        partitions::coordinator_of(mesh, mesh.nodes[0].client()?.partition_of_topic(TOPIC)?);
    let listeners: Result<Vec<Listener>> =
        mesh.nodes.iter().map(|node| Listener::start(&node.file()?.http)).collect();
    let listeners = listeners?;
    let mut times = vec![Vec::with_capacity(MESSAGES); listeners.len()];
    for number in 0..MESSAGES {
        thread::sleep(IDLE);
        let started = Instant::now();
        rust.runtime().block_on(topic.publish(body(number)))?;
        for (listener, times) in listeners.iter().zip(&mut times) {
            times.push(listener.arrivals.wait(number)?.saturating_duration_since(started));
        }
    }
    listeners.into_iter().try_for_each(Listener::end)?;
    let parts: [(&str, &dyn Fn(usize) -> bool); 2] = [
        ("idle, at the coordinator", &|place| Some(place) == coordinator),
        ("idle, at followers", &|place| Some(place) != coordinator),
    ];
    for (what, is_meant) in parts {
        let meant: Vec<&Vec<Duration>> = times
            .iter()
            .enumerate()
            .filter(|(place, _)| is_meant(*place))
            .map(|one| one.1)
            .collect();
        let summary = Summary::of(meant.iter().flat_map(|times| times.iter().copied()).collect());
        Line { what, count: meant.len(), per_second: None, summary, cost: None }.tell(rust, table);
    }
    Ok(())
}

/// A subscriber at one gateway, from the next message on.
struct Listener {
    socket: TcpStream,
    arrivals: Arc<Arrivals>,
    reader: JoinHandle<Result<()>>,
}

impl Listener {
    fn start(address: &str) -> Result<Self> {
        let mut socket =
            TcpStream::connect(address).with_context(|| format!("cannot reach {address}"))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(SILENCE_MAX))?;
        // Over HTTP/1.0 events come as they are, without chunks.
        let head = format!("GET /v1/topics/{TOPIC}/subscribe?from=now HTTP/1.0\r\n\r\n");
        socket.write_all(head.as_bytes())?;
        let mut lines = BufReader::new(socket.try_clone()?);
        wait_caught_up(&mut lines)?;
        let arrivals = Arc::new(Arrivals::new(MESSAGES, 1));
        let noted = Arc::clone(&arrivals);
        let reader = thread::spawn(move || listen(lines, &noted));
        Ok(Self { socket, arrivals, reader })
    }

    fn end(self) -> Result<()> {
        // The gateway may have closed it.
        let _ = self.socket.shutdown(Shutdown::Both);
        self.reader.join().ok().context("a subscriber panicked")?
    }
}

fn wait_caught_up(lines: &mut BufReader<TcpStream>) -> Result<()> {
    let mut line = String::new();
    while line.trim_end() != "event: caught_up" {
        line.clear();
        ensure!(lines.read_line(&mut line)? > 0, "a gateway ended a subscription");
    }
    Ok(())
}

/// Notes the messages until the connection is closed.
fn listen(lines: BufReader<TcpStream>, arrivals: &Arrivals) -> Result<()> {
    for line in lines.lines().map_while(Result::ok) {
        if let Some(body) = line.strip_prefix("data: ").and_then(body_of) {
            arrivals.note(&body)?;
        }
    }
    Ok(())
}

/// The body in the data of an event, where it is a message.
fn body_of(data: &str) -> Option<Vec<u8>> {
    let event: Value = serde_json::from_str(data).ok()?;
    STANDARD.decode(event.get("data")?.as_str()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_found_in_the_data_of_a_message() {
        assert_eq!(body_of(r#"{"position":1,"data":"bTE="}"#), Some(b"m1".to_vec()));
        assert_eq!(body_of(r#"{"next":7}"#), None);
        assert_eq!(body_of("nonsense"), None);
    }
}
