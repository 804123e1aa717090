//! A client of NATS over one connection: enough of its text protocol to publish to a stream and to be a consumer
//! that keeps order, as its own clients do both.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::bench::topics::arrivals::body;

/// How long the server may be silent; it asks for a sign of life every two minutes.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// The subscription that answers come to; those of consumers follow.
const INBOX: usize = 1;
/// How often a consumer hears of the server when there is nothing else.
const HEARTBEAT_NANOS: u64 = 5_000_000_000;

static CLIENTS: AtomicU64 = AtomicU64::new(0);

/// One connection that is kept.
#[derive(Debug)]
pub(super) struct Client {
    reader: BufReader<TcpStream>,
    out: Vec<u8>,
    /// What its subjects begin with.
    name: String,
    line: String,
    payload: Vec<u8>,
    /// Bodies that came before the answer to a question.
    early: VecDeque<Vec<u8>>,
}

/// A message that was received; its payload is the client's.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Received {
    subscription: usize,
    subject: String,
    reply: Option<String>,
    /// Bytes of the payload that are headers.
    header: usize,
    length: usize,
}

impl Received {
    /// `MSG subject sid [reply] length` or `HMSG subject sid [reply] header length`; none for another line.
    fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let number = |word: &str| word.parse().ok();
        let (subject, sid, reply, header, length) = match words[..] {
            ["MSG", subject, sid, length] => (subject, sid, None, "0", length),
            ["MSG", subject, sid, reply, length] => (subject, sid, Some(reply), "0", length),
            ["HMSG", subject, sid, header, length] => (subject, sid, None, header, length),
            ["HMSG", subject, sid, reply, header, length] => {
                (subject, sid, Some(reply), header, length)
            }
            _ => return None,
        };
        let (subscription, subject) = (number(sid)?, subject.to_owned());
        let (header, length) = (number(header)?, number(length)?);
        let reply = reply.map(str::to_owned);
        (header <= length).then_some(Self { subscription, subject, reply, header, length })
    }
}

impl Client {
    pub(super) fn open(address: &str) -> Result<Self> {
        Self::open_within(address, ANSWER_MAX)
    }

    /// A connection whose server may be silent only so long.
    pub(super) fn open_within(address: &str, silence: Duration) -> Result<Self> {
        let stream =
            TcpStream::connect(address).with_context(|| format!("cannot reach {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(silence))?;
        let number = CLIENTS.fetch_add(1, Ordering::Relaxed);
        let mut client = Self {
            reader: BufReader::with_capacity(64 * 1024, stream),
            out: Vec::new(),
            name: format!("_BENCH.{}.{number}", std::process::id()),
            line: String::new(),
            payload: Vec::new(),
            early: VecDeque::new(),
        };
        let settings = json!({
            "verbose": false, "pedantic": false, "lang": "bench", "version": "0", "protocol": 1,
            "headers": true, "no_responders": true,
        });
        let inbox = format!("{}.*", client.name);
        client.out.extend(format!("CONNECT {settings}\r\nSUB {inbox} {INBOX}\r\nPING\r\n").bytes());
        client.flush()?;
        while client.next_line()? != "PONG" {}
        Ok(client)
    }

    /// Another handle on the connection, to close it with.
    pub(super) fn socket(&self) -> Result<TcpStream> {
        Ok(self.reader.get_ref().try_clone()?)
    }

    /// A question about a stream; the answer, which is no error.
    pub(super) fn stream_request(&mut self, verb: &str, name: &str, ask: &Value) -> Result<Value> {
        self.request(&format!("$JS.API.STREAM.{verb}.{name}"), ask)
    }

    /// Becomes an ordered consumer of a stream: nothing is acknowledged, the server holds back what is too much.
    pub(super) fn consume(&mut self, stream: &str, from: &str, number: usize) -> Result<()> {
        let subject = format!("{}.deliver.{number}", self.name);
        let subscription = INBOX + 1 + number;
        self.out.extend(format!("SUB {subject} {subscription}\r\n").bytes());
        let settings = json!({
            "deliver_subject": subject, "deliver_policy": from, "ack_policy": "none", "max_deliver": 1,
            "replay_policy": "instant", "flow_control": true, "idle_heartbeat": HEARTBEAT_NANOS,
            "mem_storage": true, "num_replicas": 1,
        });
        let ask = json!({ "stream_name": stream, "config": settings });
        self.request(&format!("$JS.API.CONSUMER.CREATE.{stream}"), &ask).map(|_| ())
    }

    /// The body of the next message of a consumer.
    pub(super) fn next_delivery(&mut self) -> Result<&[u8]> {
        if let Some(early) = self.early.pop_front() {
            self.payload = early;
            return Ok(&self.payload);
        }
        loop {
            let received = self.next()?;
            if received.subscription == INBOX {
                continue;
            }
            if received.header == 0 {
                return Ok(&self.payload);
            }
            self.answer_status(&received)?;
        }
    }

    /// Publishes while `goes_on` with the number of the next message, with so many under way; how long each took.
    pub(super) fn publish_all(
        &mut self,
        subject: &str,
        in_flight: usize,
        goes_on: impl Fn(usize) -> bool,
    ) -> Result<Vec<Duration>> {
        self.publish_bodies(subject, in_flight, |number| goes_on(number).then(|| body(number)))
    }

    /// Publishes the bodies that `next` gives for numbers from 0 on, until it gives none.
    pub(super) fn publish_bodies(
        &mut self,
        subject: &str,
        in_flight: usize,
        next: impl Fn(usize) -> Option<Vec<u8>>,
    ) -> Result<Vec<Duration>> {
        let (mut times, mut number, mut waiting) = (Vec::new(), 0, 0);
        let mut started = vec![Instant::now(); in_flight];
        let mut free: Vec<usize> = (0..in_flight).collect();
        loop {
            while let Some(slot) = free.pop() {
                let Some(body) = next(number) else { break };
                started[slot] = Instant::now();
                let reply = format!("{}.{slot}", self.name);
                self.publish(subject, &reply, &body);
                (number, waiting) = (number + 1, waiting + 1);
            }
            if waiting == 0 {
                return Ok(times);
            }
            self.flush()?;
            // All answers that have come are taken before the next messages are sent.
            loop {
                let slot = self.next_acknowledged()?;
                times.push(started.get(slot).context("an answer to nothing")?.elapsed());
                free.push(slot);
                waiting -= 1;
                if self.reader.buffer().is_empty() || waiting == 0 {
                    break;
                }
            }
        }
    }

    fn request(&mut self, subject: &str, ask: &Value) -> Result<Value> {
        let reply = format!("{}.0", self.name);
        self.publish(subject, &reply, ask.to_string().as_bytes());
        self.flush()?;
        loop {
            let received = self.next()?;
            if received.subscription != INBOX {
                match received.header {
                    0 => self.early.push_back(std::mem::take(&mut self.payload)),
                    _ => self.answer_status(&received)?,
                }
                continue;
            }
            ensure!(received.header == 0, "nobody answers: {}", self.text());
            let answer: Value = serde_json::from_slice(&self.payload)?;
            match answer.get("error") {
                Some(error) => bail!("{subject}: {error}"),
                None => return Ok(answer),
            }
        }
    }

    /// The slot of the next message that was acknowledged.
    fn next_acknowledged(&mut self) -> Result<usize> {
        let received = self.next()?;
        ensure!(received.header == 0, "nobody takes a message: {}", self.text());
        let text = self.text();
        ensure!(!text.contains("\"error\""), "a message was refused: {text}");
        let slot = received.subject.rsplit('.').next().and_then(|slot| slot.parse().ok());
        slot.context("an answer to another question")
    }

    /// The server asks whether the client has come this far, or says that it waits for that.
    fn answer_status(&mut self, received: &Received) -> Result<()> {
        let text = self.text();
        let stalled = text.lines().find_map(|line| line.strip_prefix("Nats-Consumer-Stalled: "));
        let asked = received.reply.clone().or_else(|| stalled.map(|line| line.trim().to_owned()));
        if let Some(subject) = asked {
            self.out.extend(format!("PUB {subject} 0\r\n\r\n").bytes());
            self.flush()?;
        }
        Ok(())
    }

    fn publish(&mut self, subject: &str, reply: &str, payload: &[u8]) {
        self.out.extend(format!("PUB {subject} {reply} {}\r\n", payload.len()).bytes());
        self.out.extend_from_slice(payload);
        self.out.extend_from_slice(b"\r\n");
    }

    fn flush(&mut self) -> Result<()> {
        self.reader.get_mut().write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }

    /// The next message, with its payload.
    fn next(&mut self) -> Result<Received> {
        loop {
            self.next_line()?;
            if let Some(received) = Received::parse(&self.line) {
                self.payload.resize(received.length + 2, 0);
                self.reader.read_exact(&mut self.payload)?;
                self.payload.truncate(received.length);
                return Ok(received);
            }
            match self.line.split_ascii_whitespace().next() {
                Some("PING") => {
                    self.out.extend_from_slice(b"PONG\r\n");
                    self.flush()?;
                }
                Some("-ERR") => bail!("the server says {}", self.line),
                _ => {}
            }
        }
    }

    fn next_line(&mut self) -> Result<&str> {
        self.line.clear();
        ensure!(self.reader.read_line(&mut self.line)? > 0, "the connection was closed");
        self.line.truncate(self.line.trim_end().len());
        Ok(&self.line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_with_and_without_headers_and_replies() {
        let received = |reply: Option<&str>, header, length| {
            let (subject, reply) = (String::from("a.b"), reply.map(str::to_owned));
            Some(Received { subscription: 7, subject, reply, header, length })
        };
        assert_eq!(Received::parse("MSG a.b 7 11"), received(None, 0, 11));
        assert_eq!(Received::parse("MSG a.b 7 r 11"), received(Some("r"), 0, 11));
        assert_eq!(Received::parse("HMSG a.b 7 4 11"), received(None, 4, 11));
        assert_eq!(Received::parse("HMSG a.b 7 r 4 11"), received(Some("r"), 4, 11));
    }

    #[test]
    fn what_is_no_message_is_none() {
        for line in ["", "PING", "+OK", "MSG a 7", "MSG a x 11", "HMSG a 7 12 11", "INFO {}"] {
            assert_eq!(Received::parse(line), None, "{line}");
        }
    }
}
