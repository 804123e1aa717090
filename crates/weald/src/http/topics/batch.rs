//! Publishing several messages in one call.

use axum::{
    body::{Body, Bytes},
    http::Response,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

use super::{
    super::{Gateway, answer, limits, problem::Problem},
    problem_of, receipt_json,
};
use crate::{ErrorKind, PublishOptions, PublishReceipt, Result};

const FORMS: &str = "lines: each line of the body is a message; base64: each line is one in base64";

/// How the messages stand in the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Lines,
    Base64,
}

impl Form {
    /// Reads the parameter `batch`.
    pub(super) fn parse(text: &str) -> std::result::Result<Self, Problem> {
        match text {
            "lines" => Ok(Self::Lines),
            "base64" => Ok(Self::Base64),
            other => Err(Problem::invalid(format!("batch is no form: {other:?}"), FORMS)),
        }
    }

    /// The messages of `body`, which share its bytes where they stand in it as they are.
    pub(super) fn bodies(self, body: &Bytes) -> std::result::Result<Vec<Bytes>, Problem> {
        let text = body.strip_suffix(b"\n").unwrap_or(body);
        if text.is_empty() {
            return Err(Problem::invalid("there is no message in the body", FORMS));
        }
        let lines = text.split(|byte| *byte == b'\n');
        let bodies: std::result::Result<Vec<Bytes>, Problem> = match self {
            Self::Lines => Ok(lines.map(|line| body.slice_ref(line)).collect()),
            Self::Base64 => lines.map(decode).collect(),
        };
        let bodies = bodies?;
        let (count, max) = (bodies.len(), limits::MESSAGES_MAX);
        if count > max {
            let detail = format!("too many messages: {count} max={max}");
            return Err(Problem::invalid(detail, "send them in several calls"));
        }
        Ok(bodies)
    }
}

fn decode(line: &[u8]) -> std::result::Result<Bytes, Problem> {
    let decoded = STANDARD.decode(line);
    decoded.map(Bytes::from).map_err(|error| Problem::invalid(format!("base64: {error}"), FORMS))
}

impl Gateway {
    /// Publishes messages in order. The first call makes the topic.
    pub(super) async fn publish(
        &self,
        name: &str,
        bodies: Vec<Bytes>,
        options: PublishOptions,
    ) -> Result<Vec<Result<PublishReceipt>>> {
        let topic = self.handles.topic_made(&self.node, name).await?;
        let published = topic.publish_batch(bodies.clone(), options.clone()).await;
        let published = self.handles.heed_topic(name, published)?;
        let refused = published.iter().filter_map(|result| result.as_ref().err()).map(|e| e.kind());
        let refused: Vec<ErrorKind> = refused.collect();
        if refused.iter().any(|kind| matches!(kind, ErrorKind::NotFound | ErrorKind::Invalid)) {
            self.handles.forget_topic(name);
        }
        // It has ended since it was opened, and a publish makes a topic that is not there.
        let is_over = !published.is_empty() && refused.len() == published.len();
        if is_over && refused.iter().all(|kind| *kind == ErrorKind::NotFound) {
            let topic = self.handles.topic_made(&self.node, name).await?;
            return topic.publish_batch(bodies, options).await;
        }
        Ok(published)
    }
}

/// What has become of each message, one line for each: its receipt, or `error`.
pub(super) fn respond(
    gateway: &Gateway,
    results: Vec<Result<PublishReceipt>>,
) -> std::result::Result<Response<Body>, Problem> {
    let publisher = gateway.node.public_key()?.peer_id();
    let line = |result| match result {
        Ok(receipt) => format!("{}\n", receipt_json(&publisher, &receipt)),
        Err(error) => format!("{}\n", json!({ "error": problem_of(error, false).json() })),
    };
    let lines: String = results.into_iter().map(line).collect();
    let mut response = Response::new(Body::from(lines));
    answer::kind(&mut response, "application/x-ndjson");
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_cut_into_messages_by_its_lines() {
        let bodies =
            |form: Form, body: &'static str| form.bodies(&Bytes::from_static(body.as_bytes()));
        let lines = |body| bodies(Form::Lines, body).ok();
        assert_eq!(lines("one\ntwo"), Some(vec!["one".into(), "two".into()]));
        assert_eq!(lines("one\n\n two \n"), Some(vec!["one".into(), "".into(), " two ".into()]));
        assert_eq!((lines(""), lines("\n")), (None, None));
        assert_eq!(bodies(Form::Base64, "AAEK\nbTE=\n").ok(), {
            Some(vec![Bytes::from_static(&[0, 1, 10]), "m1".into()])
        });
        assert!(bodies(Form::Base64, "bTE=\n!").is_err());
    }

    #[test]
    fn a_batch_has_a_bound() {
        let body = |count| Bytes::from("m\n".repeat(count));
        assert!(Form::Lines.bodies(&body(limits::MESSAGES_MAX)).is_ok());
        assert!(Form::Lines.bodies(&body(limits::MESSAGES_MAX + 1)).is_err());
    }

    #[test]
    fn a_form_is_one_of_two() {
        assert_eq!(Form::parse("lines").ok(), Some(Form::Lines));
        assert_eq!(Form::parse("base64").ok(), Some(Form::Base64));
        assert!(Form::parse("json").is_err());
    }
}
