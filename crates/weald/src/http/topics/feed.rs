//! Following a topic as server-sent events.
//!
//! An event's id is the last position that it tells, so that a client which sends its last one in
//! `Last-Event-ID` goes on behind it. After a `reset`, which begins the topic's positions anew, that
//! is 0. A stream with a `durable` name begins where its cursor is, whatever the client says that it
//! has seen. One of a `group` shares what the topic has with the group's other consumers.

use axum::{extract::State, http::request::Parts};
use serde_json::json;

use super::{
    super::{
        Gateway,
        answer::Answer,
        follow::{Feed, gap, last_event, text},
        limits,
        problem::Problem,
        query::Query,
    },
    message_json, name, sharing,
};
use crate::{Result, StartAt, SubscribeOptions, Subscription, TopicEvent, TopicPosition};

/// `GET /v1/topics/{name}/subscribe`: what the topic retains from `from` on, then what comes.
pub(crate) async fn subscribe(State(gateway): State<Gateway>, parts: Parts) -> Answer {
    let name = name(&parts.uri)?;
    let known = [&["from", "durable"][..], &sharing::PARAMETERS].concat();
    let query = Query::parse(parts.uri.query(), &known)?;
    if let Some(group) = query.text("group")? {
        return sharing::share(&gateway, (&parts, &query), (&name, group)).await;
    }
    sharing::refuse_without_group(&query)?;
    let (from, durable) = (start(&parts, &query)?, query.text("durable")?.map(str::to_owned));
    // A subscription is noted in the topic: there has to be room for its stream first.
    let permit = gateway.admit_stream()?;
    let topic = gateway.node.topic(&name).open().await?;
    let credit = limits::STREAM_CREDIT;
    let options =
        SubscribeOptions { from, credit, durable: durable.clone(), ..SubscribeOptions::default() };
    let subscription = topic.subscribe(options).await?;
    Ok(match durable {
        Some(cursor) => gateway.stream(gateway.cursors.open(&topic, cursor, subscription), permit),
        None => gateway.stream(subscription, permit),
    })
}

/// Where to begin: behind the last event that the client has seen, else at `from`.
fn start(parts: &Parts, query: &Query) -> std::result::Result<StartAt, Problem> {
    if let Some(last) = last_event(&parts.headers)? {
        return Ok(StartAt::After(TopicPosition(last)));
    }
    start_at(query.text("from")?)
}

/// Where the parameter `from` begins.
pub(super) fn start_at(from: Option<&str>) -> std::result::Result<StartAt, Problem> {
    match from {
        None => Ok(StartAt::Beginning),
        Some("now") => Ok(StartAt::Now),
        Some(text) => {
            let wrong = |_| {
                let next = "send the position of the first message that is wanted, or now";
                Problem::invalid(format!("from is no position: {text:?}"), next)
            };
            let first: u64 = text.parse().map_err(wrong)?;
            Ok(StartAt::After(TopicPosition(first.saturating_sub(1))))
        }
    }
}

impl Feed for Subscription {
    async fn next(&mut self) -> Option<Result<String>> {
        let event = Self::next(self).await?;
        Some(event.map(|event| told(&event)))
    }
}

fn told(event: &TopicEvent) -> String {
    match event {
        TopicEvent::Message(message) => {
            text("message", Some(message.position.0), &message_json(message))
        }
        TopicEvent::Gap { first, last } => gap(first.0, last.next().0),
        TopicEvent::CaughtUp { next } => text("caught_up", None, &json!({ "next": next.0 })),
        TopicEvent::Lagged { next } => text("lagged", None, &json!({ "next": next.0 })),
        TopicEvent::Reset { generation } => {
            text("reset", Some(0), &json!({ "generation": generation }))
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    #[test]
    fn a_subscription_begins_behind_the_last_event_or_where_it_is_told() {
        let at = |uri: &str, last: Option<&str>| {
            let mut request = Request::get(uri);
            if let Some(last) = last {
                request = request.header("last-event-id", last);
            }
            let parts = request.body(()).unwrap().into_parts().0;
            start(&parts, &Query::parse(parts.uri.query(), &["from"]).ok()?).ok()
        };
        let after = |position| Some(StartAt::After(TopicPosition(position)));
        assert_eq!(at("/t", None), Some(StartAt::Beginning));
        assert_eq!(at("/t?from=now", None), Some(StartAt::Now));
        assert_eq!(at("/t?from=7", None), after(6));
        assert_eq!(at("/t?from=0", None), after(0));
        assert_eq!(at("/t?from=7", Some("9")), after(9));
        assert_eq!(at("/t", Some("0")), after(0));
        for wrong in ["/t?from=", "/t?from=-1", "/t?from=soon", "/t?until=1"] {
            assert_eq!(at(wrong, None), None, "{wrong}");
        }
        assert_eq!(at("/t", Some("x")), None);
    }

    #[test]
    fn an_events_id_is_the_last_position_that_it_tells() {
        let position = TopicPosition;
        let gap = TopicEvent::Gap { first: position(3), last: position(8) };
        assert_eq!(told(&gap), "event: gap\nid: 8\ndata: {\"from\":3,\"next\":9}\n\n");
        let caught_up = TopicEvent::CaughtUp { next: position(9) };
        assert_eq!(told(&caught_up), "event: caught_up\ndata: {\"next\":9}\n\n");
        let lagged = TopicEvent::Lagged { next: position(9) };
        assert_eq!(told(&lagged), "event: lagged\ndata: {\"next\":9}\n\n");
        let reset = TopicEvent::Reset { generation: 2 };
        assert_eq!(told(&reset), "event: reset\nid: 0\ndata: {\"generation\":2}\n\n");
    }
}
