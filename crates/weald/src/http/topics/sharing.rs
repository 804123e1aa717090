//! A group as server-sent events: a stream gives messages, calls of `.../groups/{group}` acknowledge
//! them through the same node.
//!
//! What a stream has given and nobody has acknowledged is bounded; more comes once some of it is done, or
//! its deadline has passed. What is left when the stream ends is given to others at once. Its events have
//! no ids: a group knows by itself where it is, and what one client has seen says nothing about it.

use std::time::Duration;

use axum::http::request::Parts;
use tokio::runtime::Handle;

use super::{
    super::{
        Gateway,
        answer::Answer,
        follow::{Feed, last_event, text},
        limits,
        problem::Problem,
        query::Query,
    },
    groups::given_json,
};
use crate::{Result, SubscribeOptions, Subscription, TopicEvent};

/// The parameters of a group's stream.
pub(super) const PARAMETERS: [&str; 3] = ["group", "max", "deadline_ms"];

/// Follows the topic `name` as a consumer of `group`.
pub(super) async fn share(
    gateway: &Gateway,
    (parts, query): (&Parts, &Query),
    (name, group): (&str, &str),
) -> Answer {
    refuse_positions(parts, query)?;
    let options = options(query, group)?;
    // What is fetched is withheld from others: there has to be room for its stream first.
    let permit = gateway.admit_stream()?;
    let topic = gateway.node.topic(name).open().await?;
    let subscription = topic.subscribe(options).await?;
    Ok(gateway.stream(Sharing(Some(subscription)), permit))
}

/// Refuses what belongs to a group where none is named.
pub(super) fn refuse_without_group(query: &Query) -> std::result::Result<(), Problem> {
    for parameter in ["max", "deadline_ms"] {
        if query.bytes(parameter).is_some() {
            let detail = format!("{parameter} belongs to a group");
            let next = "name the `group` that the stream is for, or leave it out";
            return Err(Problem::invalid(detail, next));
        }
    }
    Ok(())
}

/// Refuses what says where a client is: a group has one position for all.
fn refuse_positions(parts: &Parts, query: &Query) -> std::result::Result<(), Problem> {
    let sent = [
        ("durable", query.bytes("durable").is_some()),
        ("from", query.bytes("from").is_some()),
        ("Last-Event-ID", last_event(&parts.headers)?.is_some()),
    ];
    let Some((what, _)) = sent.into_iter().find(|(_, is_sent)| *is_sent) else { return Ok(()) };
    let detail =
        format!("{what} has no meaning in a group: it knows which messages were given and done");
    let next = "leave it out; a new group begins with the oldest message, or where the first `fetch` for it says";
    Err(Problem::invalid(detail, next))
}

fn options(query: &Query, group: &str) -> std::result::Result<SubscribeOptions, Problem> {
    let credit = query.number("max")?.unwrap_or(limits::GROUP_FETCH).max(1);
    let deadline = query.number("deadline_ms")?.map(Duration::from_millis);
    Ok(SubscribeOptions {
        credit: credit.min(limits::STREAM_CREDIT),
        group: Some(group.to_owned()),
        acknowledge_within: deadline.unwrap_or(limits::GROUP_DEADLINE),
        ..SubscribeOptions::default()
    })
}

/// A consumer whose client acknowledges by calls; taken at its end.
struct Sharing(Option<Subscription>);

impl Feed for Sharing {
    async fn next(&mut self) -> Option<Result<String>> {
        let event = self.0.as_mut()?.next().await?;
        Some(event.map(|event| match event {
            TopicEvent::Message(message) => text("message", None, &given_json(&message)),
            // A group tells nothing else.
            _ => String::new(),
        }))
    }
}

impl Drop for Sharing {
    fn drop(&mut self) {
        let (Some(subscription), Ok(runtime)) = (self.0.take(), Handle::try_current()) else {
            return;
        };
        runtime.spawn(async move {
            if let Err(error) = subscription.unsubscribe().await {
                tracing::debug!(target: "weald::http", %error, "others wait for the deadlines");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn check(uri: &str, last: Option<&str>) -> std::result::Result<SubscribeOptions, String> {
        let mut request = Request::get(uri);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let parts = request.body(()).unwrap().into_parts().0;
        let known = [&["from", "durable"][..], &PARAMETERS].concat();
        let query = Query::parse(parts.uri.query(), &known).unwrap();
        let told = |problem: Problem| problem.json().to_string();
        refuse_positions(&parts, &query).map_err(told)?;
        options(&query, "g").map_err(told)
    }

    #[test]
    fn a_groups_stream_has_bounds_and_no_position_of_its_clients() {
        let of = |uri: &str| {
            let SubscribeOptions { credit, acknowledge_within, .. } = check(uri, None).unwrap();
            (credit, acknowledge_within.as_millis())
        };
        assert_eq!(of("/t?group=g"), (32, 30_000));
        assert_eq!(of("/t?group=g&max=2&deadline_ms=500"), (2, 500));
        assert_eq!(of("/t?group=g&max=0"), (1, 30_000));
        assert_eq!(of("/t?group=g&max=9999"), (256, 30_000));
        for (uri, last, what) in [
            ("/t?group=g&durable=d", None, "durable has no meaning"),
            ("/t?group=g&from=now", None, "from has no meaning"),
            ("/t?group=g", Some("3"), "Last-Event-ID has no meaning"),
            ("/t?group=g&max=many", None, "no number"),
        ] {
            let told = check(uri, last).unwrap_err();
            assert!(told.contains(what), "{uri}: {told}");
        }
        let query = Query::parse(Some("max=3"), &PARAMETERS).unwrap();
        assert!(refuse_without_group(&query).is_err());
        assert!(refuse_without_group(&Query::default()).is_ok());
    }
}
