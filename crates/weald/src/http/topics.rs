//! Topics: publish a message, read a page of them, the head and its past.
//!
//! A topic's name is any text. Nodes know a digest of it, and the gateway sends no more than that to
//! them. The gateway's node is the publisher of what comes through it.

mod batch;
pub(crate) mod cursors;
mod feed;
pub(crate) mod groups;
mod making;
mod shape;
mod sharing;

use std::time::Duration;

use axum::{
    body::Body,
    extract::State,
    http::{Response, StatusCode, Uri, request::Parts},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use self::batch::Form;
pub(crate) use self::cursors::Cursors;
pub(crate) use self::{feed::subscribe, making::create};
use super::{
    Gateway,
    answer::{self, Answer},
    call::{self, Content},
    headers, limits,
    problem::Problem,
    query::Query,
    reading,
};
use crate::{
    Error, ErrorKind, PeerId, Position, PublishOptions, PublishReceipt, Result, Topic, TopicEvent,
    TopicMessage, TopicPosition, TopicVersion, backend::Reading,
};

/// `POST /v1/topics/{name}/messages`: publishes the body, or with `batch` each line of it; the first
/// one makes the topic.
pub(crate) async fn publish(
    State(gateway): State<Gateway>,
    parts: Parts,
    Content(body): Content,
) -> Answer {
    let name = name(&parts.uri)?;
    let query = Query::parse(parts.uri.query(), &["batch", "expires_in_ms"])?;
    let expires_in = query.number("expires_in_ms")?.map(Duration::from_millis);
    let transaction_id = headers::own_id(&parts.headers)?;
    let is_own = transaction_id.is_some();
    let options = PublishOptions { expires_in, transaction_id, ..PublishOptions::default() };
    if let Some(form) = query.text("batch")? {
        let bodies = Form::parse(form)?.bodies(&body)?;
        return batch::respond(&gateway, gateway.publish(&name, bodies, options).await?);
    }
    let published = gateway.publish(&name, vec![body], options).await;
    let result = published.and_then(|mut results| results.pop().expect("a message has a result"));
    let receipt = result.map_err(|error| problem_of(error, is_own))?;
    let publisher = gateway.node.public_key()?.peer_id();
    let mut response = answer::json(&receipt_json(&publisher, &receipt));
    if receipt.is_queued() {
        *response.status_mut() = StatusCode::ACCEPTED;
    }
    Ok(response)
}

/// `GET /v1/topics/{name}`: the head, the policy, who subscribes.
pub(crate) async fn head(State(gateway): State<Gateway>, parts: Parts) -> Answer {
    let name = name(&parts.uri)?;
    let query = Query::parse(parts.uri.query(), &reading::PARAMETERS)?;
    let reading = reading::reading(&query, &parts.headers)?;
    let mut topic = gateway.topic(&name, &reading).await?;
    let (head, position) = gateway.handles.heed_topic(&name, topic.head_at().await)?;
    if head.policy != topic.policy().digest() {
        // It has begun anew under its name since it was opened.
        gateway.handles.forget_topic(&name);
        topic = gateway.topic(&name, &reading).await?;
    }
    let mut leases = topic.subscribers(TopicVersion::ZERO).await?;
    leases.truncate(limits::PAGE_ENTRIES);
    let mut response = answer::json(&shape::topic(topic.policy(), &head, &leases));
    headers::put(&mut response, headers::POSITION, &headers::position_text(position));
    Ok(response)
}

/// `GET /v1/topics/{name}/messages`: messages from position `from` on.
pub(crate) async fn page(State(gateway): State<Gateway>, parts: Parts) -> Answer {
    let name = name(&parts.uri)?;
    let known = [&["from", "limit", "page"][..], &reading::PARAMETERS].concat();
    let query = Query::parse(parts.uri.query(), &known)?;
    let from = query.number("page")?.or(query.number("from")?).unwrap_or(1).max(1);
    let (limit, reading) = (query.limit()?, reading::reading(&query, &parts.headers)?);
    let topic = gateway.topic(&name, &reading).await?;
    let page = Page::read(&topic, TopicPosition(from), limit).await;
    Ok(gateway.handles.heed_topic(&name, page)?.respond())
}

/// `GET /v1/topics/{name}/lineage`: all versions that the head and `depth` snapshots remember.
pub(crate) async fn lineage(State(gateway): State<Gateway>, parts: Parts) -> Answer {
    let name = name(&parts.uri)?;
    let known = [&["depth"][..], &reading::PARAMETERS].concat();
    let query = Query::parse(parts.uri.query(), &known)?;
    let (depth, reading) = (depth(&query)?, reading::reading(&query, &parts.headers)?);
    let topic = gateway.topic(&name, &reading).await?;
    let history = gateway.handles.heed_topic(&name, topic.history(depth).await)?;
    let snapshots = topic.lineage(depth).await?;
    Ok(answer::json(&shape::lineage(&history, &snapshots)))
}

/// What to do about a publish whose fate is not known.
const UNKNOWN: &str = "do not publish it again: this node brings it to the topic until it expires, \
     once; read the topic to see whether it came";

/// The same for a publish under an id of the caller's.
const UNKNOWN_OWN: &str = "publish the same again under the same id: it comes once";

/// Why a message is not known to be published, under an id of the caller's own or not.
fn problem_of(error: Error, is_own: bool) -> Problem {
    let is_unknown = error.kind() == ErrorKind::Unknown;
    let problem = Problem::from(error);
    match (is_unknown, is_own) {
        (false, _) => problem,
        (true, false) => problem.advise(UNKNOWN),
        (true, true) => problem.advise(UNKNOWN_OWN),
    }
}

fn receipt_json(publisher: &PeerId, receipt: &PublishReceipt) -> Value {
    json!({
        "id": receipt.id.to_string(),
        "publisher": publisher.to_string(),
        "incarnation": receipt.incarnation.0,
        "sequence": receipt.sequence.0,
        "position": receipt.position.map(|position| position.0),
        "queued": receipt.is_queued(),
    })
}

/// The topic's name in a path.
fn name(uri: &Uri) -> std::result::Result<String, Problem> {
    let next = "a topic's name is UTF-8 and not empty; `/` in it is written %2F";
    match String::from_utf8(call::segment(uri, 2)?) {
        Ok(name) if !name.is_empty() => Ok(name),
        Ok(_) => Err(Problem::invalid("the topic has no name", next)),
        Err(_) => Err(Problem::invalid("the topic's name is not UTF-8", next)),
    }
}

fn depth(query: &Query) -> std::result::Result<usize, Problem> {
    let max = weald_pubsub::limits::SNAPSHOTS_MAX;
    let Some(depth) = query.number("depth")? else { return Ok(max) };
    usize::try_from(depth).ok().filter(|depth| *depth <= max).ok_or_else(|| {
        let detail = format!("depth is out of range: {depth}");
        Problem::invalid(detail, format!("no more than {max} snapshots are kept"))
    })
}

impl Gateway {
    /// The topic `name`, which must be there, as it is to be read.
    async fn topic(&self, name: &str, reading: &Reading) -> Result<Topic> {
        let topic = self.handles.topic(&self.node, name).await?;
        let topic = topic.consistency(reading.consistency);
        Ok(reading.at_least.map_or(topic.clone(), |position| topic.at_least(position)))
    }
}

/// A message as JSON.
fn message_json(message: &TopicMessage) -> Value {
    json!({
        "position": message.position.0,
        "id": message.id.to_string(),
        "publisher": message.publisher.to_string(),
        "sequence": message.sequence.0,
        "published_at": message.published_at.as_millis(),
        "data": STANDARD.encode(&message.body),
    })
}

/// A page of messages.
struct Page {
    lines: String,
    count: usize,
    /// The position behind the last line.
    next: TopicPosition,
    /// The position that the topic's next message gets.
    end: TopicPosition,
    /// Where in the log that is.
    position: Position,
}

impl Page {
    /// Up to `limit` lines from `from` on.
    async fn read(topic: &Topic, from: TopicPosition, limit: usize) -> Result<Self> {
        let (head, position) = topic.head_at().await?;
        let end = head.next;
        let mut page = Self { lines: String::new(), count: 0, next: from, end, position };
        while page.next < end && page.count < limit && page.lines.len() < limits::PAGE_BYTES {
            let events = topic.read(page.next, limit - page.count).await?;
            if events.is_empty() {
                break;
            }
            page.add(&events, limit);
        }
        Ok(page)
    }

    fn add(&mut self, events: &[TopicEvent], limit: usize) {
        for event in events {
            let (line, last) = match event {
                TopicEvent::Message(message) => (message_json(message), message.position),
                TopicEvent::Gap { first, last } => {
                    (json!({ "gap": { "from": first.0, "next": last.next().0 } }), *last)
                }
                // Only a subscription tells the others.
                _ => continue,
            };
            if self.count == limit {
                return;
            }
            self.lines.push_str(&format!("{line}\n"));
            self.count += 1;
            self.next = last.next();
        }
    }

    fn respond(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.lines));
        answer::kind(&mut response, "application/x-ndjson");
        headers::put(&mut response, headers::POSITION, &headers::position_text(self.position));
        if self.next < self.end {
            headers::put(&mut response, headers::NEXT, &self.next.to_string());
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LogIndex, PartitionId};

    #[test]
    fn a_name_is_one_segment_of_any_text() {
        let check = |path: &'static str, expected: Option<&str>| {
            assert_eq!(name(&Uri::from_static(path)).ok().as_deref(), expected, "{path}");
        };
        check("/v1/topics/chat", Some("chat"));
        check("/v1/topics/a%2F%2Fb/messages", Some("a//b"));
        check("/v1/topics/gr%C3%BC%C3%9Fe", Some("grüße"));
        check("/v1/topics/%ff", None);
        check("/v1/topics//messages", None);
    }

    #[test]
    fn a_page_ends_at_its_limit_and_tells_where_it_goes_on() {
        let gap = |position| TopicEvent::Gap {
            first: TopicPosition(position),
            last: TopicPosition(position + 1),
        };
        let (next, end) = (TopicPosition(1), TopicPosition(7));
        let position = Position { partition: PartitionId(0), index: LogIndex(9) };
        let mut page = Page { lines: String::new(), count: 0, next, end, position };
        page.add(&[gap(1), gap(3), gap(5)], 2);
        assert_eq!((page.count, page.next.0), (2, 5));
        assert_eq!(page.respond().headers()[headers::NEXT], "5");
    }
}
