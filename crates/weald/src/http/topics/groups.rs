//! Groups: clients of a gateway share its node's part of the messages. The node is the consumer, so
//! that what is fetched through one gateway is acknowledged through the same.

use std::time::Duration;

use axum::{
    body::Body,
    extract::State,
    http::{Response, Uri, request::Parts},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    super::{
        Gateway,
        answer::{self, Answer},
        call::{self, Content},
        limits,
        problem::Problem,
        query::Query,
        reading,
    },
    feed::start_at,
    message_json, name,
};
use crate::{DeadLetter, GroupConsumer, GroupState, Result, TopicMessage, TopicPosition};

/// `GET /v1/topics/{name}/groups/{group}`: what was given, and the dead letters.
pub(crate) async fn state(State(gateway): State<Gateway>, parts: Parts) -> Answer {
    let query = Query::parse(parts.uri.query(), &reading::PARAMETERS)?;
    let reading = reading::reading(&query, &parts.headers)?;
    let (name, group) = (name(&parts.uri)?, group(&parts.uri)?);
    let topic = gateway.topic(&name, &reading).await?;
    let state = gateway.handles.heed_topic(&name, topic.consumer(&group).state().await)?;
    match state {
        Some(state) => Ok(answer::json(&state_json(&state))),
        None => Err(Problem::absent("the topic has no such group")
            .advise("fetch messages for the group first; the first fetch makes it")),
    }
}

/// `POST /v1/topics/{name}/groups/{group}/fetch`: gives messages to this gateway's clients.
pub(crate) async fn fetch(State(gateway): State<Gateway>, parts: Parts) -> Answer {
    let query = Query::parse(parts.uri.query(), &["max", "deadline_ms", "from"])?;
    let max = query.number("max")?.unwrap_or(limits::GROUP_FETCH);
    let max = usize::try_from(max).unwrap_or(usize::MAX);
    let within = query.number("deadline_ms")?.map_or(limits::GROUP_DEADLINE, Duration::from_millis);
    let start = start_at(query.text("from")?)?;
    let (name, consumer) = gateway.consumer(&parts).await?;
    let given = consumer.fetch(max, within, start).await;
    Ok(lines(&gateway.handles.heed_topic(&name, given)?))
}

/// `POST /v1/topics/{name}/groups/{group}/acknowledge`: these are done.
pub(crate) async fn acknowledge(
    State(gateway): State<Gateway>,
    parts: Parts,
    Content(body): Content,
) -> Answer {
    let positions = positions(&parts, &body)?;
    let (name, consumer) = gateway.consumer(&parts).await?;
    settled(&gateway, &name, consumer.acknowledge(positions).await)
}

/// `POST /v1/topics/{name}/groups/{group}/return`: others may do these at once.
pub(crate) async fn give_back(
    State(gateway): State<Gateway>,
    parts: Parts,
    Content(body): Content,
) -> Answer {
    let positions = positions(&parts, &body)?;
    let (name, consumer) = gateway.consumer(&parts).await?;
    settled(&gateway, &name, consumer.give_back(positions).await)
}

/// `POST /v1/topics/{name}/groups/{group}/bury`: takes dead letters off the list.
pub(crate) async fn bury(
    State(gateway): State<Gateway>,
    parts: Parts,
    Content(body): Content,
) -> Answer {
    let positions = positions(&parts, &body)?;
    let (name, consumer) = gateway.consumer(&parts).await?;
    settled(&gateway, &name, consumer.bury(positions).await)
}

impl Gateway {
    /// The topic that a path names, with this node as a consumer of the group that it names.
    async fn consumer(
        &self,
        parts: &Parts,
    ) -> std::result::Result<(String, GroupConsumer), Problem> {
        let (name, group) = (name(&parts.uri)?, group(&parts.uri)?);
        let topic = self.handles.topic(&self.node, &name).await?;
        Ok((name, topic.consumer(&group)))
    }
}

/// The group's name in a path.
fn group(uri: &Uri) -> std::result::Result<String, Problem> {
    let next = "a group's name is 1 to 64 bytes of UTF-8; `/` in it is written %2F";
    String::from_utf8(call::segment(uri, 4)?)
        .map_err(|_| Problem::invalid("the group's name is not UTF-8", next))
}

/// What a client says of some messages.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    positions: Vec<u64>,
}

fn positions(parts: &Parts, body: &[u8]) -> std::result::Result<Vec<TopicPosition>, Problem> {
    Query::parse(parts.uri.query(), &[])?;
    let wrong = |error| {
        let next = "send {\"positions\": [1, 2]}";
        Problem::invalid(format!("the body names no positions: {error}"), next)
    };
    let Named { positions } = serde_json::from_slice(body).map_err(wrong)?;
    Ok(positions.into_iter().map(TopicPosition).collect())
}

fn settled(gateway: &Gateway, name: &str, settled: Result<Vec<bool>>) -> Answer {
    let settled = gateway.handles.heed_topic(name, settled)?;
    Ok(answer::json(&json!({ "settled": settled })))
}

/// A message that was given, and how often it was.
pub(super) fn given_json(message: &TopicMessage) -> Value {
    let mut given = message_json(message);
    given["attempt"] = message.attempt.into();
    given
}

fn lines(given: &[TopicMessage]) -> Response<Body> {
    let line = |message| format!("{}\n", given_json(message));
    let mut response = Response::new(Body::from(given.iter().map(line).collect::<String>()));
    answer::kind(&mut response, "application/x-ndjson");
    response
}

fn state_json(state: &GroupState) -> Value {
    let given = state.given.iter().map(|(position, holding)| {
        json!({
            "position": position.0,
            "consumer": holding.consumer.to_string(),
            "deadline": holding.deadline.as_millis(),
            "attempt": holding.attempt,
        })
    });
    let dead =
        |letter: &DeadLetter| json!({ "position": letter.position.0, "attempts": letter.attempts });
    json!({
        "next": state.next.0,
        "given": given.collect::<Vec<_>>(),
        "dead": state.dead.iter().map(dead).collect::<Vec<_>>(),
        "used_at": state.used_at.as_millis(),
    })
}
