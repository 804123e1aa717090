//! Making a topic under rules of the caller's. Without this call the first publish makes it, under the
//! default ones.

use std::time::Duration;

use axum::{
    extract::State,
    http::{StatusCode, request::Parts},
};
use serde::Deserialize;
use serde_json::json;

use super::{
    super::{
        Gateway,
        answer::{self, Answer},
        call::Content,
        problem::Problem,
        query::Query,
    },
    name, shape,
};
use crate::{Availability, ErrorKind, TopicPolicy};

/// Rules of a new topic by the names that `GET` tells them under; what is not said is as by default.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    availability: Option<Reach>,
    strict: Option<bool>,
    body_bytes_max: Option<usize>,
    ttl_max_ms: Option<u64>,
    messages_max: Option<u64>,
    bytes_max: Option<u64>,
    subscribers_max: Option<u64>,
    inactivity_ms: Option<u64>,
    attempts_max: Option<u32>,
}

/// What becomes of a publish while the topic's home cannot be reached.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Reach {
    Consistent,
    Available,
}

/// `PUT /v1/topics/{name}`: makes the topic under the rules of the body; one that is there under these
/// stays as it is.
pub(crate) async fn create(
    State(gateway): State<Gateway>,
    parts: Parts,
    Content(body): Content,
) -> Answer {
    let name = name(&parts.uri)?;
    Query::parse(parts.uri.query(), &[])?;
    let policy = policy(&body)?;
    let topic = gateway.node.topic(&name).policy(policy.clone()).open_or_create().await?;
    gateway.handles.forget_topic(&name);
    if *topic.policy() != policy {
        let (status, kind) = (StatusCode::CONFLICT, ErrorKind::AlreadyExists.as_str());
        let next = "use the topic as it is, or another name: the rules of a topic are fixed";
        return Err(Problem::refused(status, kind, "the topic is there under other rules", next));
    }
    let told = json!({ "topic": topic.id().to_string(), "policy": shape::rules(&policy) });
    Ok(answer::json(&told))
}

fn policy(body: &[u8]) -> std::result::Result<TopicPolicy, Problem> {
    let wrong = |error| {
        let next = "send {} or rules such as {\"availability\": \"available\"}";
        Problem::invalid(format!("the body describes no rules: {error}"), next)
    };
    let rules: Rules = match body {
        [] => Rules::default(),
        body => serde_json::from_slice(body).map_err(wrong)?,
    };
    let plain = TopicPolicy::default();
    let millis = |given: Option<u64>, plain| given.map_or(plain, Duration::from_millis);
    Ok(TopicPolicy {
        availability: match rules.availability {
            None => plain.availability,
            Some(Reach::Consistent) => Availability::Consistent,
            Some(Reach::Available) => Availability::Available,
        },
        is_strict: rules.strict.unwrap_or(plain.is_strict),
        body_bytes_max: rules.body_bytes_max.unwrap_or(plain.body_bytes_max),
        ttl_max: millis(rules.ttl_max_ms, plain.ttl_max),
        messages_max: rules.messages_max.unwrap_or(plain.messages_max),
        bytes_max: rules.bytes_max.unwrap_or(plain.bytes_max),
        subscribers_max: rules.subscribers_max.unwrap_or(plain.subscribers_max),
        inactivity: millis(rules.inactivity_ms, plain.inactivity),
        attempts_max: rules.attempts_max.unwrap_or(plain.attempts_max),
        ..plain
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_as_by_default() {
        let read = |body: &str| policy(body.as_bytes()).ok();
        assert_eq!(read(""), Some(TopicPolicy::default()));
        assert_eq!(read("{}"), Some(TopicPolicy::default()));
        let expected = TopicPolicy {
            availability: Availability::Available,
            ttl_max: Duration::from_secs(60),
            messages_max: 5,
            ..TopicPolicy::default()
        };
        let body = r#"{"availability": "available", "ttl_max_ms": 60000, "messages_max": 5}"#;
        assert_eq!(read(body), Some(expected));
        for wrong in ["[]", r#"{"availability": "always"}"#, r#"{"ttl": 5}"#, r#"{"strict": 1}"#] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
