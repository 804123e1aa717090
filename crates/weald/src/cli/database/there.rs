//! The database of a node, over HTTP.

use std::{
    future::poll_fn,
    io::{BufRead as _, BufReader},
    ops::Bound,
    pin::Pin,
    thread,
};

use futures_core::Stream;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use weald::{
    CollectionInfo, ExpectedVersion, NodeStatus, PartitionId, PartitionInfo, PeerId, RawDiaryEntry,
    RawEntry, RawTreeChange, Retention, Revision, Sequence, TailEvent, TransactionId, VerifyReport,
    WatchEvent,
};

use super::{
    Client, DiaryRange, Done, Expected, Kind, ScanRange,
    client::{Call, Reply, strange},
    wire,
};
use crate::cli::{
    failure::{Class, Failure},
    session, shape,
};

/// The header with the id of a write.
pub(super) const ID: &str = "Weald-Transaction-Id";
/// Entries of a page of a scan.
const PAGE_ENTRIES: usize = 1000;
/// Events that wait to be printed.
const EVENTS_MAX: usize = 256;

fn entry_path(tree: &str, key: &[u8]) -> String {
    format!("/v1/trees/{}/{}", wire::segment(tree.as_bytes()), wire::segment(key))
}

fn diary_path(diary: &str, what: &str) -> String {
    format!("/v1/diaries/{}/{what}", wire::segment(diary.as_bytes()))
}

fn done(reply: &Reply) -> Result<Done, Failure> {
    let told = reply.json()?;
    let transaction = reply.header(ID).ok_or_else(|| strange("no transaction id"))?.to_owned();
    let revision = told["revision"].as_u64().ok_or_else(|| strange("no revision"))?;
    Ok(Done { revision, replaced: told["replaced"].as_u64(), transaction })
}

/// What a list of the answer has, read by `read`.
fn list<T>(told: &Value, read: impl Fn(&Value) -> Option<T>) -> Result<Vec<T>, Failure> {
    let all = told.as_array().map(|all| all.iter().map(read).collect::<Option<_>>());
    all.flatten().ok_or_else(|| strange("no list of the kind"))
}

pub(super) fn absent(kind: &str, name: &str, reply: Reply) -> Result<Reply, Failure> {
    if reply.is_absence() { Err(session::not_there(kind, name)) } else { reply.done() }
}

pub(super) fn put(
    client: &Client,
    tree: &str,
    (key, value): (&[u8], &[u8]),
    expected: Expected,
) -> Result<Done, Failure> {
    check_size(value)?;
    let call = Call::new("PUT", entry_path(tree, key)).body(value).header(ID, fresh_id()?);
    let call = match expected {
        Expected::Any => call,
        Expected::Absent => call.header("If-None-Match", "*"),
        Expected::Present => call.header("If-Match", "*"),
        Expected::Revision(revision) => call.header("If-Match", revision),
    };
    done(&client.call(&call)?.done()?)
}

pub(super) fn put_all(
    client: &Client,
    tree: &str,
    entries: &[(Vec<u8>, Vec<u8>)],
) -> Result<(), Failure> {
    let tree = wire::segment(tree.as_bytes());
    let operation = |(key, value): &(Vec<u8>, Vec<u8>)| json!({ "op": "put", "tree": tree, "key": wire::segment(key), "value": wire::base64(value) });
    commit(client, entries.iter().map(operation).collect()).map(drop)
}

/// Commits operations; their results.
fn commit(client: &Client, operations: Vec<Value>) -> Result<Vec<Value>, Failure> {
    let body = json!({ "operations": operations }).to_string();
    let call = Call::new("POST", "/v1/transactions").body(body.as_bytes()).header(ID, fresh_id()?);
    let told = client.call(&call)?.done()?.json()?;
    list(&told["results"], |result| Some(result.clone()))
}

pub(super) fn delete(client: &Client, tree: &str, key: &[u8]) -> Result<Done, Failure> {
    let call = Call::new("DELETE", entry_path(tree, key)).header(ID, fresh_id()?);
    done(&absent("tree", tree, client.call(&call)?)?)
}

pub(super) fn entry(client: &Client, tree: &str, key: &[u8]) -> Result<Option<RawEntry>, Failure> {
    let reply = client.call(&Call::new("GET", entry_path(tree, key)))?;
    if reply.is_absence() {
        // One answer for two things: ask which it was.
        let path = format!("/v1/trees/{}?limit=1", wire::segment(tree.as_bytes()));
        absent("tree", tree, client.call(&Call::new("GET", path))?)?;
        return Ok(None);
    }
    let reply = reply.done()?;
    let revision = reply.header("Weald-Revision").and_then(|text| text.parse().ok());
    let revision = Revision(revision.ok_or_else(|| strange("no revision"))?);
    let (key, value) = (key.to_vec().into(), reply.into_body().into());
    Ok(Some(RawEntry { key, value, revision }))
}

/// Pages of a scan, asked for one by one.
pub(crate) struct ScanPages {
    client: Client,
    tree: String,
    range: ScanRange,
    page: Option<String>,
    is_done: bool,
}

impl ScanPages {
    pub(super) fn new(client: &Client, tree: &str, range: ScanRange) -> Self {
        let (client, tree) = (client.clone(), tree.to_owned());
        Self { client, tree, range, page: None, is_done: false }
    }

    pub(super) fn next(&mut self) -> Result<Option<Vec<RawEntry>>, Failure> {
        if self.is_done {
            return Ok(None);
        }
        let reply = self.client.call(&Call::new("GET", self.path()))?;
        let reply = absent("tree", &self.tree, reply)?;
        let lines = reply.lines()?.iter().map(wire::entry).collect::<Option<Vec<_>>>();
        let lines = lines.ok_or_else(|| strange("no entries"))?;
        if let Some(limit) = &mut self.range.limit {
            *limit = limit.saturating_sub(lines.len());
        }
        self.page = reply.header("Weald-Next").map(str::to_owned);
        self.is_done = self.page.is_none() || self.range.limit == Some(0);
        Ok(Some(lines))
    }

    fn path(&self) -> String {
        let limit = self.range.limit.unwrap_or(PAGE_ENTRIES).min(PAGE_ENTRIES);
        let tree = wire::segment(self.tree.as_bytes());
        let mut path = format!("/v1/trees/{tree}?limit={limit}&reverse={}", self.range.is_reverse);
        if let Bound::Included(from) = &self.range.bounds.0 {
            path.push_str(&format!("&from={}", wire::segment(from)));
        }
        if let Bound::Excluded(to) = &self.range.bounds.1 {
            path.push_str(&format!("&to={}", wire::segment(to)));
        }
        if let Some(page) = &self.page {
            path.push_str(&format!("&page={page}"));
        }
        path
    }
}

pub(super) fn append(
    client: &Client,
    diary: &str,
    expected: ExpectedVersion,
    entries: Vec<Vec<u8>>,
) -> Result<u64, Failure> {
    let expected = expected_text(expected);
    let first = |told: &Value| told["sequence"].as_u64().ok_or_else(|| strange("no sequence"));
    if let [entry] = &*entries {
        let path = format!("{}?expected={expected}", diary_path(diary, "entries"));
        check_size(entry)?;
        let call = Call::new("POST", path).body(entry).header(ID, fresh_id()?);
        return first(&client.call(&call)?.done()?.json()?);
    }
    let name = wire::segment(diary.as_bytes());
    let operation = |(number, entry): (usize, &Vec<u8>)| {
        let expected = if number == 0 { expected.as_str() } else { "any" };
        json!({ "op": "append", "diary": name, "data": wire::base64(entry), "expected": expected })
    };
    let results = commit(client, entries.iter().enumerate().map(operation).collect())?;
    results.first().map(first).ok_or_else(|| strange("no results"))?
}

fn expected_text(expected: ExpectedVersion) -> String {
    match expected {
        ExpectedVersion::Any => "any".to_owned(),
        ExpectedVersion::Empty => "empty".to_owned(),
        ExpectedVersion::Exists => "exists".to_owned(),
        ExpectedVersion::Exact(last) => last.to_string(),
    }
}

pub(super) fn read(
    client: &Client,
    diary: &str,
    range: DiaryRange,
) -> Result<Vec<RawDiaryEntry>, Failure> {
    diary_entries(&absent("diary", diary, page(client, diary, range)?)?)
}

pub(super) fn kept(
    client: &Client,
    diary: &str,
    range: DiaryRange,
) -> Result<Option<Vec<RawDiaryEntry>>, Failure> {
    let reply = page(client, diary, range)?;
    if reply.is_gone() {
        return Ok(None);
    }
    diary_entries(&absent("diary", diary, reply)?).map(Some)
}

fn page(client: &Client, diary: &str, range: DiaryRange) -> Result<Reply, Failure> {
    let mut path = diary_path(diary, "entries");
    path.push_str(&format!("?limit={}&reverse={}", range.limit, range.is_reverse));
    match range.from {
        Some(from) => path.push_str(&format!("&from={from}")),
        // What is no longer kept is told, as by the library.
        None if !range.is_reverse => path.push_str("&from=0"),
        None => {}
    }
    client.call(&Call::new("GET", path))
}

fn diary_entries(reply: &Reply) -> Result<Vec<RawDiaryEntry>, Failure> {
    let entries = reply.lines()?.iter().map(wire::diary_entry).collect::<Option<Vec<_>>>();
    entries.ok_or_else(|| strange("no entries"))
}

pub(super) fn make(
    client: &Client,
    name: &str,
    kind: Kind,
    retention: Retention,
) -> Result<(), Failure> {
    let kind = match kind {
        Kind::Tree => "tree",
        Kind::Diary => "diary",
    };
    let body = json!({ "type": kind, "retention": shape::retention(&retention) }).to_string();
    let path = format!("/v1/collections/{}", wire::segment(name.as_bytes()));
    client.call(&Call::new("PUT", path).body(body.as_bytes()))?.done().map(drop)
}

pub(super) fn collections(client: &Client) -> Result<Vec<CollectionInfo>, Failure> {
    list(&get(client, "/v1/collections")?["collections"], wire::collection)
}

pub(super) fn status(client: &Client) -> Result<NodeStatus, Failure> {
    wire::status(&get(client, "/v1/status")?).ok_or_else(|| strange("no status"))
}

pub(super) fn readiness(client: &Client) -> Result<(Option<String>, Result<(), String>), Failure> {
    let told = get(client, "/v1/status")?;
    let text = |field: &str| told[field].as_str().map(str::to_owned);
    let readiness = match told["ready"].as_bool() {
        Some(true) => Ok(()),
        Some(false) => Err(text("not_ready").unwrap_or_else(|| "it is not ready".to_owned())),
        None => return Err(strange("no readiness")),
    };
    Ok((text("peer_id"), readiness))
}

pub(super) fn collection_count(client: &Client) -> Result<Option<usize>, Failure> {
    let count = get(client, "/v1/status")?["collections"].as_u64();
    Ok(count.and_then(|count| usize::try_from(count).ok()))
}

pub(super) fn resolve(client: &Client, id: TransactionId) -> Result<Value, Failure> {
    let path = format!("/v1/transactions/{id}/resolve");
    client.call(&Call::new("POST", path))?.done()?.json()
}

pub(super) fn partitions(client: &Client) -> Result<Vec<PartitionInfo>, Failure> {
    list(&get(client, "/v1/partitions")?["partitions"], wire::partition)
}

pub(super) fn peers(client: &Client) -> Result<Vec<Value>, Failure> {
    list(&get(client, "/v1/peers")?["peers"], |peer| Some(peer.clone()))
}

fn get(client: &Client, path: &str) -> Result<Value, Failure> {
    client.call(&Call::new("GET", path))?.done()?.json()
}

pub(super) fn transfer(
    client: &Client,
    partition: PartitionId,
    target: PeerId,
) -> Result<(), Failure> {
    let body = json!({ "to": target.to_string() }).to_string();
    let path = format!("/v1/partitions/{partition}/transfer");
    client.call(&Call::new("POST", path).body(body.as_bytes()))?.done().map(drop)
}

pub(super) fn drain(client: &Client) -> Result<(), Failure> {
    client.call(&Call::new("POST", "/v1/drain"))?.done().map(drop)
}

/// Has a node check everything that it keeps. It tells no progress.
pub(crate) fn verify(client: &Client) -> Result<VerifyReport, Failure> {
    let told = client.call(&Call::new("POST", "/v1/verify"))?.done()?.json()?;
    wire::report(&told).ok_or_else(|| strange("no report"))
}

/// An id under which a write can be asked for if no answer comes.
fn fresh_id() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::internal(format_args!("no random bytes: {error}")))?;
    Ok(weald_core::hex::encode(&bytes))
}

/// News of a collection.
pub(crate) enum Feed<T> {
    /// From the library.
    Here(Pin<Box<dyn Stream<Item = weald::Result<T>> + Send>>),
    /// From a thread that reads a node's answer.
    There(mpsc::Receiver<Result<T, Failure>>),
}

impl<T> Feed<T> {
    /// The next one; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Result<T, Failure>> {
        match self {
            Self::Here(stream) => {
                poll_fn(|cx| stream.as_mut().poll_next(cx)).await.map(|next| Ok(next?))
            }
            Self::There(events) => events.recv().await,
        }
    }
}

pub(super) fn watch(
    client: &Client,
    tree: &str,
    from: u64,
) -> Result<Feed<WatchEvent<RawTreeChange>>, Failure> {
    let path = format!("/v1/watch/trees/{}?from={from}", wire::segment(tree.as_bytes()));
    follow(client, path, ("tree", tree), |name, data| match name {
        "change" => wire::change(data).map(WatchEvent::Change),
        "caught_up" => Some(WatchEvent::CaughtUp),
        "gap" => {
            let revision = |field: &str| data[field].as_u64().map(Revision);
            Some(WatchEvent::Gap { from: revision("from")?, next: revision("next")? })
        }
        _ => None,
    })
}

pub(super) fn tail(
    client: &Client,
    diary: &str,
    from: u64,
) -> Result<Feed<TailEvent<RawDiaryEntry>>, Failure> {
    let path = format!("{}?from={from}", diary_path(diary, "tail"));
    follow(client, path, ("diary", diary), |name, data| match name {
        "entry" => wire::diary_entry(data).map(TailEvent::Entry),
        "caught_up" => Some(TailEvent::CaughtUp),
        "gap" => {
            let sequence = |field: &str| data[field].as_u64().map(Sequence);
            Some(TailEvent::Gap { from: sequence("from")?, next: sequence("next")? })
        }
        _ => None,
    })
}

/// Reads events on a thread of its own, so that whoever waits for them can be interrupted.
pub(super) fn follow<T: Send + 'static>(
    client: &Client,
    path: String,
    (kind, name): (&str, &str),
    read: impl Fn(&str, &Value) -> Option<T> + Send + 'static,
) -> Result<Feed<T>, Failure> {
    let response = client.stream(&Call::new("GET", path)).map_err(|failure| match failure {
        Failure::Told { class: crate::cli::failure::Class::NotFound, .. } => {
            session::not_there(kind, name)
        }
        other => other,
    })?;
    let (sender, events) = mpsc::channel(EVENTS_MAX);
    let mut reader = BufReader::new(response.into_body().into_reader());
    let work = move || {
        let mut name = String::new();
        let mut line = String::new();
        loop {
            line.clear();
            match reader.read_line(&mut line) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) => {
                    let message = format_args!("the node has gone: {error}");
                    let failure = Failure::new(crate::cli::failure::Class::Storage, message);
                    // Who has gone needs no reason.
                    sender.blocking_send(Err(failure)).ok();
                    return;
                }
            }
            let told = event(&line, &mut name, &read);
            if told.is_some_and(|told| sender.blocking_send(told).is_err()) {
                return;
            }
        }
    };
    let started = thread::Builder::new().name("weald-follow".to_owned()).spawn(work);
    started.map_err(|error| Failure::internal(format_args!("no thread: {error}")))?;
    Ok(Feed::There(events))
}

/// What a line of the stream completes. The name of the event under way is kept in `name`.
fn event<T>(
    line: &str,
    name: &mut String,
    read: impl Fn(&str, &Value) -> Option<T>,
) -> Option<Result<T, Failure>> {
    let line = line.trim_end();
    if let Some(told) = line.strip_prefix("event: ") {
        told.clone_into(name);
    }
    let data: Value = match serde_json::from_str(line.strip_prefix("data: ")?) {
        Ok(data) => data,
        Err(_) => return Some(Err(strange("no JSON in an event"))),
    };
    if name == "error" {
        let detail = data["detail"].as_str().unwrap_or_default();
        let class = crate::cli::failure::Class::Storage;
        return Some(Err(Failure::new(class, detail)));
    }
    // Events that this program does not know are passed over.
    read(name, &data).map(Ok)
}

/// Refuses here what no node takes, and would not read to its end.
pub(super) fn check_size(value: &[u8]) -> Result<(), Failure> {
    if value.len() <= weald::VALUE_BYTES_MAX {
        return Ok(());
    }
    let (bytes, max) = (value.len(), weald::VALUE_BYTES_MAX);
    Err(Failure::new(Class::Rejected, format_args!("too large: value bytes={bytes} max={max}")))
}
