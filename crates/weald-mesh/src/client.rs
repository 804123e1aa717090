//! A client of one node's gateway.

mod answer;
mod path;

use std::time::Duration;

use serde_json::Value;
use ureq::http::{Method, Request};
use ureq::{Agent, Body};

pub(crate) use answer::{Answer, Failure};
pub(crate) use path::encoded;

/// How long a call may take where the caller does not say.
const CALL_MAX: Duration = Duration::from_secs(10);
/// Bytes of an answer.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Entries of one page of a scan.
const SCAN_PAGE: usize = 1000;

/// Calls one node.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    agent: Agent,
    base: String,
    token: Option<String>,
    call_max: Duration,
}

/// A condition of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    Always,
    /// The entry was last written by this revision.
    Revision(u64),
    /// There is no entry.
    Absent,
}

/// What is found at a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) bytes: Vec<u8>,
    pub(crate) revision: Option<u64>,
}

/// One call, before it is sent.
#[derive(Debug)]
struct Call {
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Call {
    fn new(method: Method, path: String) -> Self {
        Self { method, path, headers: Vec::new(), body: Vec::new() }
    }

    fn with(mut self, header: &'static str, value: impl ToString) -> Self {
        self.headers.push((header, value.to_string()));
        self
    }

    fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}

impl Client {
    /// A client of the gateway at `address`, `HOST:PORT`.
    pub(crate) fn new(address: &str, token: Option<&str>) -> Self {
        let config = Agent::config_builder().http_status_as_error(false).max_redirects(0);
        let agent = config.build().new_agent();
        let (base, token) = (format!("http://{address}"), token.map(str::to_owned));
        Self { agent, base, token, call_max: CALL_MAX }
    }

    /// The same client with another bound for each call.
    pub(crate) fn within(mut self, call_max: Duration) -> Self {
        self.call_max = call_max;
        self
    }

    /// `PUT /v1/trees/{tree}/{key}`; the revision.
    pub(crate) fn put(
        &self,
        entry: (&str, &str),
        value: &[u8],
        condition: Condition,
        transaction: &str,
    ) -> Answer<Option<u64>> {
        let call = Call::new(Method::PUT, entry_path(entry)).with_body(value);
        self.written(conditional(call, condition).with(answer::TRANSACTION, transaction))
    }

    /// The same without a condition; the partition, and the index in its log.
    pub(crate) fn put_placed(
        &self,
        entry: (&str, &str),
        value: &[u8],
        transaction: &str,
    ) -> Answer<(u64, u64)> {
        let call = Call::new(Method::PUT, entry_path(entry)).with_body(value);
        let answered = self.send(call.with(answer::TRANSACTION, transaction));
        answered.and_then(answer::success).and_then(|reply| reply.position())
    }

    /// `DELETE /v1/trees/{tree}/{key}`; the revision.
    pub(crate) fn delete(&self, entry: (&str, &str), transaction: &str) -> Answer<Option<u64>> {
        let call = Call::new(Method::DELETE, entry_path(entry));
        self.written(call.with(answer::TRANSACTION, transaction))
    }

    /// `GET /v1/trees/{tree}/{key}`, linearizable unless `query` says otherwise.
    pub(crate) fn get(&self, entry: (&str, &str), query: &str) -> Answer<Option<Found>> {
        let path = format!("{}{query}", entry_path(entry));
        self.send(Call::new(Method::GET, path)).and_then(answer::found)
    }

    /// `POST /v1/diaries/{diary}/entries`; the sequence.
    pub(crate) fn append(&self, diary: &str, entry: &[u8], transaction: &str) -> Answer<u64> {
        let path = format!("/v1/diaries/{}/entries", encoded(diary));
        let call = Call::new(Method::POST, path).with_body(entry);
        let answered = self.send(call.with(answer::TRANSACTION, transaction));
        answered.and_then(answer::success).and_then(|reply| reply.number("sequence"))
    }

    /// `GET /v1/diaries/{diary}/entries`: sequences and entries from `from` on.
    pub(crate) fn entries(
        &self,
        diary: &str,
        from: u64,
        limit: usize,
    ) -> Answer<Vec<(u64, Vec<u8>)>> {
        let path = format!("/v1/diaries/{}/entries?from={from}&limit={limit}", encoded(diary));
        self.send(Call::new(Method::GET, path)).and_then(answer::entries)
    }

    /// `GET /v1/trees/{tree}`: all keys, percent-encoded, and values.
    pub(crate) fn scan(&self, tree: &str) -> Answer<Vec<(String, Vec<u8>)>> {
        let path = format!("/v1/trees/{}?limit={SCAN_PAGE}", encoded(tree));
        let (mut pairs, mut page) = (Vec::new(), path.clone());
        loop {
            let reply = self.send(Call::new(Method::GET, page))?;
            let next = reply.next.clone();
            pairs.extend(answer::pairs(&reply)?);
            let Some(token) = next else { return Ok(pairs) };
            page = format!("{path}&page={}", encoded(&token));
        }
    }

    /// The number of the partition that a collection is in.
    pub(crate) fn partition_of(&self, tree: &str) -> Answer<u64> {
        self.send(Call::new(Method::GET, entry_path((tree, "-"))))
            .and_then(|reply| reply.position())
            .map(|(partition, _)| partition)
    }

    /// `GET /v1/topics/{name}`: how the topic is.
    pub(crate) fn topic(&self, name: &str) -> Answer<Value> {
        self.json(&topic_path(name))
    }

    /// Publishes a message; what the node tells of it.
    pub(crate) fn publish(&self, topic: &str, body: &str) -> Answer<Value> {
        let path = format!("{}/messages", topic_path(topic));
        let answered = self.send(Call::new(Method::POST, path).with_body(body.as_bytes()));
        answered.and_then(answer::success).and_then(|reply| reply.json())
    }

    /// Publishes several messages, none of which has a line break; what the node tells of each.
    pub(crate) fn publish_lines(&self, topic: &str, bodies: &[String]) -> Answer<Vec<Value>> {
        let path = format!("{}/messages?batch=lines", topic_path(topic));
        let answered = self.send(Call::new(Method::POST, path).with_body(bodies.join("\n")));
        let text = answered.and_then(answer::success)?.text();
        text.lines().map(|line| serde_json::from_str(line).map_err(|e| Failure::lost(&e))).collect()
    }

    /// Has the coordinator of `partition`, whose gateway this is, hand it over to a peer.
    pub(crate) fn transfer(&self, partition: u64, to: &str) -> Answer<Value> {
        let path = format!("/v1/partitions/{partition}/transfer");
        let body = serde_json::json!({ "to": to }).to_string();
        let answered = self.send(Call::new(Method::POST, path).with_body(body));
        answered.and_then(answer::success).and_then(|reply| reply.json())
    }

    /// Has the node of this gateway hand over everything that it does for the network.
    pub(crate) fn drain(&self) -> Answer<Value> {
        let answered = self.send(Call::new(Method::POST, String::from("/v1/drain")));
        answered.and_then(answer::success).and_then(|reply| reply.json())
    }

    /// The partition that has the topic.
    pub(crate) fn partition_of_topic(&self, name: &str) -> Answer<u64> {
        let answered = self.send(Call::new(Method::GET, topic_path(name)));
        answered.and_then(|reply| reply.position()).map(|(partition, _)| partition)
    }

    /// `POST /v1/transactions` with this list of operations.
    pub(crate) fn transact(&self, operations: &Value, transaction: &str) -> Answer<Value> {
        let call = Call::new(Method::POST, String::from("/v1/transactions"));
        let call = call.with("Content-Type", "application/json");
        let call = call.with_body(operations.to_string()).with(answer::TRANSACTION, transaction);
        self.send(call).and_then(answer::success).and_then(|reply| reply.json())
    }

    /// `POST /v1/transactions/{id}/resolve`: the outcome of a caller's id, which is final from then on.
    pub(crate) fn resolve(&self, transaction: &str, collection: &str) -> Answer<Value> {
        let (id, collection) = (encoded(transaction), encoded(collection));
        let path = format!("/v1/transactions/{id}/resolve?collection={collection}");
        let answered = self.send(Call::new(Method::POST, path));
        answered.and_then(answer::success).and_then(|reply| reply.json())
    }

    /// Any `GET` that answers JSON.
    pub(crate) fn json(&self, path: &str) -> Answer<Value> {
        let answered = self.send(Call::new(Method::GET, path.to_owned()));
        answered.and_then(answer::success).and_then(|reply| reply.json())
    }

    /// Any `GET` that answers text.
    pub(crate) fn text(&self, path: &str) -> Answer<String> {
        let answered = self.send(Call::new(Method::GET, path.to_owned()));
        answered.and_then(answer::success).map(|reply| reply.text())
    }

    /// `GET /readyz`; why it is not ready.
    pub(crate) fn ready(&self) -> Result<(), String> {
        self.text("/readyz").map(|_| ()).map_err(|failure| failure.to_string())
    }

    fn written(&self, call: Call) -> Answer<Option<u64>> {
        self.send(call).and_then(answer::success).map(|reply| reply.revision())
    }

    fn send(&self, call: Call) -> Answer<answer::Reply> {
        let mut builder =
            Request::builder().method(call.method).uri(format!("{}{}", self.base, call.path));
        if let Some(token) = &self.token {
            builder = builder.header("Authorization", format!("Bearer {token}"));
        }
        for (name, value) in &call.headers {
            builder = builder.header(*name, value);
        }
        let request = builder.body(call.body).map_err(|error| Failure::lost(&error))?;
        let request = self.agent.configure_request(request).allow_non_standard_methods(true);
        let request = request.timeout_global(Some(self.call_max)).build();
        let response = self.agent.run(request).map_err(|error| Failure::lost(&error))?;
        received(response)
    }
}

fn received(response: ureq::http::Response<Body>) -> Answer<answer::Reply> {
    let (parts, mut body) = response.into_parts();
    let header = |name: &str| {
        let value = parts.headers.get(name);
        value.and_then(|value| value.to_str().ok()).map(str::to_owned)
    };
    let bytes = body.with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
    let bytes = bytes.map_err(|error| Failure::lost(&error))?;
    Ok(answer::Reply {
        status: parts.status.as_u16(),
        revision: header("Weald-Revision"),
        position: header("Weald-Position"),
        next: header("Weald-Next"),
        bytes,
    })
}

fn conditional(call: Call, condition: Condition) -> Call {
    match condition {
        Condition::Always => call,
        Condition::Revision(revision) => call.with("If-Match", revision),
        Condition::Absent => call.with("If-None-Match", "*"),
    }
}

fn topic_path(name: &str) -> String {
    format!("/v1/topics/{}", encoded(name))
}

fn entry_path((tree, key): (&str, &str)) -> String {
    format!("/v1/trees/{}/{}", encoded(tree), encoded(key))
}
