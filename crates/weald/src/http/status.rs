//! What the node tells about itself.

use axum::{
    extract::State,
    http::{Response, StatusCode, request::Parts},
};
use serde_json::{Value, json};
use weald_core::millis;

use super::{
    Gateway,
    answer::{self, Answer},
    limits, percent,
    problem::Problem,
    query::Query,
    shape,
};
use crate::{CollectionInfo, PartitionInfo};

/// `GET /v1/status`: how the node is.
pub(crate) async fn status(State(gateway): State<Gateway>, parts: Parts) -> Answer {
    Query::parse(parts.uri.query(), &[])?;
    let status = gateway.node.status();
    let readiness = gateway.node.readiness();
    // A node tells of itself also where nobody can tell it what there is.
    let counted = tokio::time::timeout(limits::COUNT_TIME_MAX, gateway.node.collection_count());
    let collections = counted.await.ok().and_then(Result::ok);
    Ok(answer::json(&json!({
        "version": env!("CARGO_PKG_VERSION"),
        "peer_id": gateway.node.peer_id().map(|peer| peer.to_string()),
        "ready": readiness.is_ok(),
        "not_ready": readiness.err(),
        "read_only": status.read_only,
        "applied": status.applied.0,
        "checkpointed": status.checkpointed.0,
        "dirty_bytes": status.dirty_bytes,
        "writes_waiting": status.writes_waiting,
        "partitions": status.partitions,
        "leaderless": status.leaderless,
        "voters": status.voters.map(shape::voters),
        "reachability": status.reachability.as_ref().map(shape::reachability),
        "collections": collections,
    })))
}

/// `GET /v1/peers`: the peers that are connected.
pub(crate) async fn peers(State(gateway): State<Gateway>, parts: Parts) -> Answer {
    Query::parse(parts.uri.query(), &[])?;
    let peers: Vec<Value> = gateway.node.peers().iter().map(shape::peer).collect();
    Ok(answer::json(&json!({ "peers": peers })))
}

/// `GET /v1/partitions`: the partitions that this node knows, each with its members.
pub(crate) async fn partitions(State(gateway): State<Gateway>, parts: Parts) -> Answer {
    Query::parse(parts.uri.query(), &[])?;
    let partitions = gateway.node.partitions().await?;
    let partitions: Vec<Value> = partitions.iter().map(partition_json).collect();
    Ok(answer::json(&json!({ "partitions": partitions })))
}

fn partition_json(info: &PartitionInfo) -> Value {
    json!({
        "partition": info.partition.0,
        "role": info.role.as_str(),
        "coordinator": info.coordinator.map(|peer| peer.to_string()),
        "last_contact_ms": info.last_contact.map(millis),
        "epoch": info.epoch,
        "last": info.last.0,
        "committed": info.committed.0,
        "applied": info.applied.0,
        "checkpointed": info.checkpointed.0,
        "log_time": info.log_time.as_millis(),
        "digest": { "index": info.digest_index.0, "digest": info.digest.to_string() },
        "recovery": info.recovery.as_ref().map(shape::recovery),
        "trouble": info.trouble,
        "members": info.members.iter().map(shape::member).collect::<Vec<_>>(),
    })
}

/// `GET /v1/collections`: all collections, in the order of their names.
pub(crate) async fn collections(State(gateway): State<Gateway>, parts: Parts) -> Answer {
    Query::parse(parts.uri.query(), &[])?;
    let collections = gateway.node.collections().await?;
    let collections: Vec<Value> = collections.iter().map(collection_json).collect();
    Ok(answer::json(&json!({ "collections": collections })))
}

fn collection_json(info: &CollectionInfo) -> Value {
    json!({
        "name": percent::encode(info.name.as_str().as_bytes()),
        "type": info.type_name.as_str(),
        "revision": info.revision.0,
        "entries": info.entries,
        "retention": shape::retention(&info.retention),
    })
}

/// `GET /healthz`: whether the process serves.
pub(crate) async fn healthz() -> Response<axum::body::Body> {
    plain("ok\n")
}

/// `GET /readyz`: whether the node takes reads and writes. A node whose partitions do not have all
/// their voters yet is ready: it serves. How many there are is told in a line of its own.
pub(crate) async fn readyz(State(gateway): State<Gateway>) -> Answer {
    match gateway.node.readiness() {
        Ok(()) if !*gateway.closing.borrow() => {
            let voters = gateway.node.status().voters;
            let line = voters.map_or_else(String::new, |voters| format!("voters: {voters}\n"));
            Ok(plain(format!("ready\n{line}")))
        }
        Ok(()) => Err(not_ready("the node is stopping")),
        Err(reason) => Err(not_ready(&reason)),
    }
}

fn not_ready(reason: &str) -> Problem {
    let next = "wait, or ask another node";
    Problem::refused(StatusCode::SERVICE_UNAVAILABLE, "not_ready", reason, next).for_now()
}

fn plain(text: impl Into<axum::body::Body>) -> Response<axum::body::Body> {
    let mut response = Response::new(text.into());
    answer::kind(&mut response, "text/plain; charset=utf-8");
    response
}
