//! Calls for operators: making a collection with a policy, checking, handing over.

use std::time::Duration;

use axum::{extract::State, http::request::Parts};
use serde::Deserialize;
use serde_json::json;
use weald_core::PartitionId;

use super::{
    Gateway,
    answer::{self, Answer},
    call::{self, Content},
    problem::Problem,
    query::Query,
};
use crate::{DiaryOptions, PeerId, Retention, TreeOptions};

/// What a new collection is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Described {
    #[serde(rename = "type")]
    type_name: String,
    #[serde(default)]
    retention: Kept,
}

/// How much of it is kept; what is not said is no bound.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    age_max_ms: Option<u64>,
    entries_max: Option<u64>,
    bytes_max: Option<u64>,
}

/// `PUT /v1/collections/{name}`: makes a tree or a diary with a policy; one that is there stays as
/// it is.
pub(crate) async fn create(
    State(gateway): State<Gateway>,
    parts: Parts,
    Content(body): Content,
) -> Answer {
    let name = call::name(&parts.uri, 2)?;
    Query::parse(parts.uri.query(), &[])?;
    let next =
        "send {\"type\": \"tree\"} or {\"type\": \"diary\"}, with a \"retention\" if you like";
    let wrong =
        |error| Problem::invalid(format!("the body describes no collection: {error}"), next);
    let Described { type_name, retention } = serde_json::from_slice(&body).map_err(wrong)?;
    let retention = Retention {
        age_max: retention.age_max_ms.map(Duration::from_millis),
        entries_max: retention.entries_max,
        bytes_max: retention.bytes_max,
    };
    match type_name.as_str() {
        "tree" => {
            let options = TreeOptions { retention, ..TreeOptions::default() };
            gateway.node.raw_tree(name.as_str()).options(options).open_or_create().await?;
        }
        "diary" => {
            let options = DiaryOptions { retention };
            gateway.node.raw_diary(name.as_str()).options(options).open_or_create().await?;
        }
        other => return Err(Problem::invalid(format!("no type {other:?}"), next)),
    }
    Ok(answer::json(&json!({ "name": super::percent::encode(name.as_str().as_bytes()) })))
}

/// `POST /v1/verify`: reads everything that this node keeps and checks it.
pub(crate) async fn verify(State(gateway): State<Gateway>, parts: Parts) -> Answer {
    Query::parse(parts.uri.query(), &[])?;
    let report = gateway.node.verify(|_| {}).await?;
    let damages: Vec<_> = report
        .damages
        .iter()
        .map(|damage| json!({ "damaged": damage.place, "detail": damage.detail }))
        .collect();
    Ok(answer::json(&json!({
        "collections": report.collections,
        "blocks": report.blocks,
        "log_batches": report.log_batches,
        "damages": damages,
    })))
}

/// `POST /v1/partitions/{id}/transfer`: hands the coordination over to the peer in the body.
pub(crate) async fn transfer(
    State(gateway): State<Gateway>,
    parts: Parts,
    Content(body): Content,
) -> Answer {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Target {
        to: String,
    }
    Query::parse(parts.uri.query(), &[])?;
    let next = "send {\"to\": PEER_ID}, as /v1/partitions lists its members";
    let partition = String::from_utf8(call::segment(&parts.uri, 2)?).ok();
    let partition = partition.and_then(|text| text.parse().ok()).map(PartitionId);
    let partition = partition.ok_or_else(|| Problem::invalid("no partition", next))?;
    let wrong = |error| Problem::invalid(format!("the body names no peer: {error}"), next);
    let Target { to } = serde_json::from_slice(&body).map_err(wrong)?;
    let target: PeerId =
        to.parse().map_err(|_| Problem::invalid(format!("no peer id: {to:?}"), next))?;
    gateway.node.transfer(partition, target).await?;
    Ok(answer::json(&json!({ "partition": partition.0, "to": to })))
}

/// `POST /v1/drain`: begins to hand over everything that this node does for the network.
pub(crate) async fn drain(State(gateway): State<Gateway>, parts: Parts) -> Answer {
    Query::parse(parts.uri.query(), &[])?;
    gateway.node.drain().await?;
    Ok(answer::json(&json!({ "draining": true })))
}
