//! Entries of trees: read, write, delete one.

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{Response, request::Parts},
};
use serde_json::json;
use weald_collections::tree::{Expectation, KeyChange};

use super::{
    Gateway,
    answer::{self, Answer},
    call::{self, Content},
    headers,
    problem::Problem,
    query::Query,
    reading::{self, Reading},
};
use crate::{CollectionName, RawSnapshot, Write, Written};

/// `GET /v1/trees/{name}/{key}`: the value.
pub(crate) async fn get(State(gateway): State<Gateway>, parts: Parts) -> Answer {
    let (name, key) = entry_of(&parts)?;
    let query = Query::parse(parts.uri.query(), &reading::PARAMETERS)?;
    let view = Reading::of(&query, &parts.headers)?.view(&gateway.node, &name).await?;
    let position = view.position;
    let at = |problem: Problem| problem.at(Some(position));
    let tree = gateway.handles.tree(&gateway.node, &name).await;
    let tree = tree.map_err(|error| at(error.into()))?;
    let found = RawSnapshot::new(&tree, view.version).entry(&key).await;
    let found = gateway.handles.heed(&name, found).map_err(|error| at(error.into()))?;
    let entry = found.ok_or_else(|| at(Problem::absent("the tree has no such key")))?;
    let mut response = Response::new(Body::from(entry.value));
    answer::kind(&mut response, "application/octet-stream");
    headers::put(&mut response, headers::REVISION, &entry.revision.to_string());
    headers::put(&mut response, headers::POSITION, &headers::position_text(position));
    Ok(response)
}

/// `PUT /v1/trees/{name}/{key}`: sets the value to the body.
pub(crate) async fn put(
    State(gateway): State<Gateway>,
    parts: Parts,
    Content(value): Content,
) -> Answer {
    let (name, key) = entry_of(&parts)?;
    Query::parse(parts.uri.query(), &[])?;
    let expected = headers::condition(&parts.headers)?;
    // A condition on what is there cannot hold in a tree that is not, and must not make one.
    let must_exist = matches!(expected, Expectation::Present | Expectation::Revision(_));
    let tree = match must_exist {
        true => gateway.handles.tree(&gateway.node, &name).await,
        false => gateway.handles.tree_made(&gateway.node, &name).await,
    };
    let tree = tree.map_err(|error| unmet(error.into(), must_exist))?;
    let write = tree.apply(vec![KeyChange::put(Bytes::from(key), expected, value)]);
    gateway.write_entry(&parts, &name, write).await
}

/// `DELETE /v1/trees/{name}/{key}`: removes the entry; there may be none.
pub(crate) async fn delete(State(gateway): State<Gateway>, parts: Parts) -> Answer {
    let (name, key) = entry_of(&parts)?;
    Query::parse(parts.uri.query(), &[])?;
    let expected = headers::condition(&parts.headers)?;
    if expected == Expectation::Absent {
        let next = "send `If-Match`, or no condition";
        return Err(Problem::invalid("nothing is deleted where nothing may be", next));
    }
    let tree = gateway.handles.tree(&gateway.node, &name).await?;
    let write = tree.apply(vec![KeyChange::delete(Bytes::from(key), expected)]);
    gateway.write_entry(&parts, &name, write).await
}

impl Gateway {
    async fn write_entry(
        &self,
        parts: &Parts,
        name: &CollectionName,
        write: Write<Written>,
    ) -> Answer {
        let written = self.write(parts, name, write).await.map_err(Problem::of_condition)?;
        let replaced = written.replaced.map(|revision| revision.0);
        let body = json!({ "revision": written.revision.0, "replaced": replaced });
        Ok(answer::written(&written, &body))
    }
}

/// The absence of a tree, where the request states what must be in it.
fn unmet(problem: Problem, must_exist: bool) -> Problem {
    if must_exist && problem.is_absence() { problem.precondition() } else { problem }
}

/// Name and key of `/v1/trees/{name}/{key}`.
fn entry_of(parts: &Parts) -> Result<(CollectionName, Vec<u8>), Problem> {
    Ok((call::name(&parts.uri, 2)?, call::segment(&parts.uri, 3)?))
}

