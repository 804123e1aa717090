//! Following a collection as server-sent events.
//!
//! An event's id is the revision or the sequence that it tells, so that a client which sends its
//! last one in `Last-Event-ID`, as browsers do by themselves, goes on behind it.

use std::future::Future;

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderValue, Response, header, request::Parts},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::{
    Gateway,
    answer::{self, Answer},
    call, diaries, headers, limits, percent,
    problem::Problem,
    query::Query,
};
use crate::{
    RawDiaryTail, RawTreeChange, RawTreeWatch, Result, Revision, Sequence, TailEvent, WatchEvent,
    stream::{Source, Steps},
};

/// `GET /v1/watch/trees/{name}`: the changes of a tree from revision `from` on.
pub(crate) async fn watch(State(gateway): State<Gateway>, parts: Parts) -> Answer {
    let name = call::name(&parts.uri, 3)?;
    let from = from(&parts, 1)?;
    let tree = gateway.handles.tree(&gateway.node, &name).await?;
    gateway.follow(tree.watch(Revision(from)))
}

/// `GET /v1/diaries/{name}/tail`: the entries of a diary from sequence `from` on.
pub(crate) async fn tail(State(gateway): State<Gateway>, parts: Parts) -> Answer {
    let name = call::name(&parts.uri, 2)?;
    let from = from(&parts, 0)?;
    let diary = gateway.handles.diary(&gateway.node, &name).await?;
    gateway.follow(diary.tail(Sequence(from)))
}

/// Where to begin: behind the last event that the client has seen, else at `from`.
fn from(parts: &Parts, first: u64) -> std::result::Result<u64, Problem> {
    let query = Query::parse(parts.uri.query(), &["from"])?;
    match last_event(&parts.headers)? {
        Some(last) => Ok(last.saturating_add(1)),
        None => Ok(query.number("from")?.unwrap_or(first)),
    }
}

/// The id of the last event that the client has seen.
///
/// # Errors
/// When it is none.
pub(super) fn last_event(sent: &HeaderMap) -> std::result::Result<Option<u64>, Problem> {
    let Some(text) = headers::text(sent, &headers::LAST_EVENT)? else { return Ok(None) };
    let next = "send the id of the last event, or leave the header out";
    let wrong = |_| Problem::invalid(format!("Last-Event-ID is no id: {text:?}"), next);
    text.parse().map(Some).map_err(wrong)
}

impl Gateway {
    fn follow(&self, feed: impl Feed) -> Answer {
        let permit = self.admit_stream()?;
        Ok(self.stream(feed, permit))
    }

    /// The events of `feed` as an answer that holds `permit` until its end.
    pub(super) fn stream(&self, feed: impl Feed, permit: OwnedSemaphorePermit) -> Response<Body> {
        let closing = self.closing.clone();
        let stream = Following { feed, closing, stage: Stage::Opening, _permit: permit };
        let mut response = Response::new(Body::from_stream(Steps::new(stream)));
        answer::kind(&mut response, "text/event-stream");
        let no_store = HeaderValue::from_static("no-store");
        response.headers_mut().insert(header::CACHE_CONTROL, no_store);
        response
    }
}

/// What is followed.
pub(super) trait Feed: Send + 'static {
    /// The next event as text; `None` at the end. May be dropped and called again without a loss.
    fn next(&mut self) -> impl Future<Output = Option<Result<String>>> + Send;
}

impl Feed for RawTreeWatch {
    async fn next(&mut self) -> Option<Result<String>> {
        let event = Self::next(self).await?;
        Some(event.map(|event| match event {
            WatchEvent::Change(change) => {
                text("change", Some(change.revision.0), &change_json(&change))
            }
            WatchEvent::CaughtUp => text("caught_up", None, &json!({})),
            WatchEvent::Gap { from, next } => gap(from.0, next.0),
        }))
    }
}

impl Feed for RawDiaryTail {
    async fn next(&mut self) -> Option<Result<String>> {
        let event = Self::next(self).await?;
        Some(event.map(|event| match event {
            TailEvent::Entry(entry) => {
                text("entry", Some(entry.sequence.0), &diaries::entry_json(&entry))
            }
            TailEvent::CaughtUp => text("caught_up", None, &json!({})),
            TailEvent::Gap { from, next } => gap(from.0, next.0),
        }))
    }
}

/// A client that has seen a gap goes on behind it.
pub(super) fn gap(from: u64, next: u64) -> String {
    text("gap", next.checked_sub(1), &json!({ "from": from, "next": next }))
}

fn change_json(change: &RawTreeChange) -> Value {
    let changes = change.changes.iter().map(|(key, value)| {
        let value = value.as_ref().map(|value| STANDARD.encode(value));
        json!({ "key": percent::encode(key), "value": value })
    });
    json!({
        "revision": change.revision.0,
        "transaction": change.transaction.to_string(),
        "time": change.time.as_millis(),
        "changes": changes.collect::<Vec<_>>(),
    })
}

/// One event as it travels. JSON has no line breaks, so one `data` line holds it.
pub(super) fn text(event: &str, id: Option<u64>, data: &Value) -> String {
    let id = id.map_or_else(String::new, |id| format!("id: {id}\n"));
    format!("event: {event}\n{id}data: {data}\n\n")
}

/// A stream of events under way.
struct Following<F> {
    feed: F,
    closing: watch::Receiver<bool>,
    stage: Stage,
    _permit: OwnedSemaphorePermit,
}

/// How far a stream has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing was sent.
    Opening,
    /// Events follow.
    Open,
    /// The last event was sent.
    Ended,
}

impl<F: Feed> Source for Following<F> {
    type Item = Bytes;

    async fn step(mut self) -> (Self, Option<Result<Bytes>>) {
        let event = match self.stage {
            Stage::Opening => {
                self.stage = Stage::Open;
                // The client learns at once that it is being served.
                Some(": weald\n\n".to_owned())
            }
            Stage::Open => self.event().await,
            Stage::Ended => None,
        };
        (self, event.map(|event| Ok(Bytes::from(event))))
    }
}

impl<F: Feed> Following<F> {
    /// The next event, a sign of life where there is none for a while; `None` when the node stops.
    async fn event(&mut self) -> Option<String> {
        tokio::select! {
            event = self.feed.next() => match event? {
                Ok(event) => Some(event),
                Err(error) => {
                    self.stage = Stage::Ended;
                    Some(text("error", None, &Problem::from(error).json()))
                }
            },
            () = tokio::time::sleep(limits::STREAM_SIGN_OF_LIFE) => Some(": alive\n\n".to_owned()),
            _ = self.closing.wait_for(|is_closing| *is_closing) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_three_lines_and_an_empty_one() {
        let event = text("entry", Some(7), &json!({ "data": "a\nb" }));
        assert_eq!(event, "event: entry\nid: 7\ndata: {\"data\":\"a\\nb\"}\n\n");
        assert_eq!(gap(3, 9), "event: gap\nid: 8\ndata: {\"from\":3,\"next\":9}\n\n");
        assert_eq!(text("caught_up", None, &json!({})), "event: caught_up\ndata: {}\n\n");
    }

    #[test]
    fn the_last_event_is_a_number() {
        let sent = |text: &'static str| {
            let value = HeaderValue::from_static(text);
            last_event(&[(headers::LAST_EVENT, value)].into_iter().collect())
        };
        assert_eq!(sent("8").unwrap(), Some(8));
        assert_eq!(last_event(&HeaderMap::new()).unwrap(), None);
        assert!(sent("").is_err() && sent("x").is_err() && sent("-1").is_err());
    }
}
