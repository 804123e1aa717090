//! Durable cursors: a client is told by a stream and acknowledges by calls of its own.
//!
//! A position that was not told cannot be acknowledged. What a stream under a name has told is known
//! where it is served, and for a while after it has ended, so that its client acknowledges through the
//! same node. The cursor itself is kept with the topic: a stream under the name goes on behind it
//! through any node.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use axum::{
    extract::State,
    http::{StatusCode, Uri, request::Parts},
};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::json;

use super::{
    super::{
        Gateway,
        answer::{self, Answer},
        call::{self, Content},
        follow::Feed,
        limits,
        problem::Problem,
        query::Query,
    },
    name,
};
use crate::{
    Error, ErrorKind, Result, Subscription, Topic, TopicId, TopicPosition,
    topic::{Acknowledging, Bookmark, Farewell},
};

/// What to do about a position that was not told.
const ACKNOWLEDGE_TOLD: &str =
    "acknowledge what a stream with this `durable` name has told through this node";

/// `GET /v1/topics/{name}/cursors/{cursor}`: the position that is kept under the name.
pub(crate) async fn show(State(gateway): State<Gateway>, parts: Parts) -> Answer {
    Query::parse(parts.uri.query(), &[])?;
    let (name, cursor) = (name(&parts.uri)?, cursor(&parts.uri)?);
    let topic = gateway.handles.topic(&gateway.node, &name).await?;
    let kept = gateway.cursor(&name, topic.cursor(&cursor).await)?;
    kept.map(|kept| told(kept.position)).ok_or_else(unknown)
}

/// `POST /v1/topics/{name}/cursors/{cursor}`: the client is done with everything up to a position.
pub(crate) async fn acknowledge(
    State(gateway): State<Gateway>,
    parts: Parts,
    Content(body): Content,
) -> Answer {
    Query::parse(parts.uri.query(), &[])?;
    let (name, cursor) = (name(&parts.uri)?, cursor(&parts.uri)?);
    let position = position(&body)?;
    let topic = gateway.handles.topic(&gateway.node, &name).await?;
    match gateway.cursors.find(&(topic.id(), cursor.clone())) {
        Some(Teller::Open(stream)) => {
            check(position, stream.told().position)?;
            stream.acknowledge(position).await?;
            Ok(told(stream.cursor()))
        }
        Some(Teller::Ended(last, mut farewell)) => {
            check(position, last.position)?;
            farewell.over().await;
            let kept = topic.keep_cursor(&cursor, Bookmark { position, ..last }).await;
            Ok(told(gateway.cursor(&name, kept)?.position))
        }
        None => {
            let kept = gateway.cursor(&name, topic.cursor(&cursor).await)?.ok_or_else(unknown)?;
            check(position, kept.position)?;
            Ok(told(kept.position))
        }
    }
}

/// `DELETE /v1/topics/{name}/cursors/{cursor}`: forgets what is kept under the name.
pub(crate) async fn forget(State(gateway): State<Gateway>, parts: Parts) -> Answer {
    Query::parse(parts.uri.query(), &[])?;
    let (name, cursor) = (name(&parts.uri)?, cursor(&parts.uri)?);
    let topic = gateway.handles.topic(&gateway.node, &name).await?;
    let key = (topic.id(), cursor);
    match gateway.cursors.find(&key) {
        Some(Teller::Open(_)) => {
            let next = "end the stream with this `durable` name first";
            let (status, kind) = (StatusCode::CONFLICT, ErrorKind::Conflict.as_str());
            return Err(Problem::refused(status, kind, "a stream has the cursor", next));
        }
        Some(Teller::Ended(_, mut farewell)) => farewell.over().await,
        None => {}
    }
    let forgotten = gateway.cursor(&name, topic.forget_cursor(&key.1).await)?;
    gateway.cursors.forget(&key);
    forgotten.map(|kept| told(kept.position)).ok_or_else(unknown)
}

impl Gateway {
    /// What became of a call about a cursor of the topic `name`.
    fn cursor<T>(&self, name: &str, result: Result<T>) -> std::result::Result<T, Problem> {
        self.handles.heed_topic(name, result).map_err(|error: Error| match error.kind() {
            ErrorKind::Invalid => Problem::from(error).advise(NAME),
            _ => error.into(),
        })
    }
}

/// What a cursor may be called.
const NAME: &str = "a cursor's name is 1 to 128 bytes of UTF-8; `/` in it is written %2F";

/// The cursor's name in a path.
fn cursor(uri: &Uri) -> std::result::Result<String, Problem> {
    String::from_utf8(call::segment(uri, 4)?)
        .map_err(|_| Problem::invalid("the cursor's name is not UTF-8", NAME))
}

/// What a client is done with.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Done {
    position: u64,
}

fn position(body: &[u8]) -> std::result::Result<TopicPosition, Problem> {
    let wrong = |error| {
        let next = "send {\"position\": 7}";
        Problem::invalid(format!("the body names no position: {error}"), next)
    };
    let Done { position } = serde_json::from_slice(body).map_err(wrong)?;
    Ok(TopicPosition(position))
}

/// Refuses a position behind the last that was told.
fn check(position: TopicPosition, last: TopicPosition) -> std::result::Result<(), Problem> {
    if position <= last {
        return Ok(());
    }
    let detail = format!("the position was not told: position={position} last={last}");
    Err(Problem::refused(StatusCode::CONFLICT, "not_told", detail, ACKNOWLEDGE_TOLD))
}

fn unknown() -> Problem {
    Problem::absent("nothing is kept under this name")
        .advise("subscribe with it as `durable` through this node, then acknowledge")
}

fn told(position: TopicPosition) -> axum::http::Response<axum::body::Body> {
    answer::json(&json!({ "position": position.0 }))
}

/// A topic and the name of a cursor of it.
type Key = (TopicId, String);

/// What was told under the names of cursors, by the youngest stream of each.
#[derive(Default)]
pub(crate) struct Cursors(Mutex<Tellers>);

#[derive(Default)]
struct Tellers {
    by_key: HashMap<Key, (u64, Teller)>,
    /// Those of streams that have ended, oldest first; some have been taken up again since.
    ended: VecDeque<(Key, u64)>,
    /// The number of the next stream.
    next: u64,
}

/// What knows how far was told.
#[derive(Clone)]
enum Teller {
    /// A stream.
    Open(Acknowledging),
    /// The last position of one that has ended, and when it keeps nothing any more.
    Ended(Bookmark, Farewell),
}

impl Cursors {
    /// A durable subscription as a stream, whose client acknowledges by calls.
    pub(super) fn open(
        self: &Arc<Self>,
        topic: &Topic,
        cursor: String,
        subscription: Subscription,
    ) -> Durable {
        let key = (topic.id(), cursor);
        let acknowledging = subscription.acknowledging().expect("it is in no group");
        let number = self.0.lock().open(&key, Teller::Open(acknowledging));
        Durable { subscription, cursors: Arc::clone(self), key, number }
    }

    fn find(&self, key: &Key) -> Option<Teller> {
        self.0.lock().by_key.get(key).map(|(_, teller)| teller.clone())
    }

    /// Forgets what a stream that has ended has told under a name.
    fn forget(&self, key: &Key) {
        let mut tellers = self.0.lock();
        if matches!(tellers.by_key.get(key), Some((_, Teller::Ended(..)))) {
            tellers.by_key.remove(key);
        }
    }
}

impl Tellers {
    fn open(&mut self, key: &Key, teller: Teller) -> u64 {
        let number = self.next;
        self.next += 1;
        self.by_key.insert(key.clone(), (number, teller));
        number
    }

    /// The stream of a number has ended. A younger one under the same name goes on.
    fn end(&mut self, key: &Key, ended: u64, last: Teller) {
        let Some((_, teller)) = self.by_key.get_mut(key).filter(|(number, _)| *number == ended)
        else {
            return;
        };
        *teller = last;
        self.ended.push_back((key.clone(), ended));
        if self.ended.len() > limits::CURSORS_ENDED_MAX {
            let (key, oldest) = self.ended.pop_front().expect("there is more than the bound");
            if self.by_key.get(&key).is_some_and(|(number, _)| *number == oldest) {
                self.by_key.remove(&key);
            }
        }
    }
}

/// A durable subscription under its name.
pub(super) struct Durable {
    subscription: Subscription,
    cursors: Arc<Cursors>,
    key: Key,
    number: u64,
}

impl Feed for Durable {
    async fn next(&mut self) -> Option<Result<String>> {
        Feed::next(&mut self.subscription).await
    }
}

impl Drop for Durable {
    fn drop(&mut self) {
        if let Some(stream) = self.subscription.acknowledging() {
            let last = Teller::Ended(stream.told(), stream.farewell());
            self.cursors.0.lock().end(&self.key, self.number, last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> Key {
        (TopicId::of("chat"), format!("c{number}"))
    }

    fn at(position: u64) -> Teller {
        let last = Bookmark { generation: 0, position: TopicPosition(position) };
        Teller::Ended(last, Farewell(tokio::sync::watch::channel(last).1))
    }

    /// What is known of a name, of streams that have ended.
    fn known(tellers: &Tellers, key: &Key) -> Option<u64> {
        tellers.by_key.get(key).and_then(|(_, teller)| match teller {
            Teller::Ended(last, _) => Some(last.position.0),
            Teller::Open(_) => None,
        })
    }

    #[test]
    fn what_the_youngest_stream_of_a_name_has_told_counts() {
        let mut tellers = Tellers::default();
        let first = tellers.open(&key(1), at(0));
        let second = tellers.open(&key(1), at(0));
        tellers.end(&key(1), first, at(9));
        assert_eq!(known(&tellers, &key(1)), Some(0));
        tellers.end(&key(1), second, at(4));
        assert_eq!(known(&tellers, &key(1)), Some(4));
    }

    #[test]
    fn the_oldest_of_those_that_have_ended_goes_when_the_bound_is_met() {
        let mut tellers = Tellers::default();
        let again = tellers.open(&key(0), at(0));
        tellers.end(&key(0), again, at(1));
        tellers.open(&key(0), at(2));
        for number in 1..=limits::CURSORS_ENDED_MAX + 1 {
            let stream = tellers.open(&key(number), at(0));
            tellers.end(&key(number), stream, at(7));
        }
        assert_eq!(known(&tellers, &key(0)), Some(2), "it was taken up again");
        assert_eq!(known(&tellers, &key(1)), None);
        assert_eq!(known(&tellers, &key(2)), Some(7));
        assert_eq!(tellers.ended.len(), limits::CURSORS_ENDED_MAX);
    }

    #[test]
    fn a_body_names_one_position() {
        let read = |body: &str| position(body.as_bytes()).ok().map(|position| position.0);
        assert_eq!(read(r#"{"position": 7}"#), Some(7));
        for wrong in ["", "7", "{}", r#"{"position": -1}"#, r#"{"position": 1, "at": 2}"#] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
