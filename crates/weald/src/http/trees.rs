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
    reading,
};
use crate::{CollectionName, Write, Written, node};

/// `GET /v1/trees/{name}/{key}`: the value.
pub(crate) async fn get(State(gateway): State<Gateway>, parts: Parts) -> Answer {
    let (name, key) = entry_of(&parts)?;
    let query = Query::parse(parts.uri.query(), &reading::PARAMETERS)?;
    let reading = reading::reading(&query, &parts.headers)?;
    let version = reading::view(&gateway.node, &name, &reading).await?;
    let position = version.position();
    let code = weald_collections::RawTree::new(name);
    let found = node::read(&version, |reader| code.get(reader, &key)).await;
    let found = found.map_err(|error| Problem::from(error).at(Some(position)))?;
    let absent = || Problem::absent("the tree has no such key").at(Some(position));
    let entry = found.ok_or_else(absent)?;
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

