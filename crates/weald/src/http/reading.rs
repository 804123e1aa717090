//! How fresh the answer to a read has to be, and the version that it is read from.

use axum::http::HeaderMap;
use weald_core::BlockId;

use super::{headers, problem::Problem, query::Query};
use crate::{
    CollectionName, Consistency, Position, Weald,
    backend::{Reading, Version},
};

/// The parameters by which a read says how fresh it has to be.
pub(crate) const PARAMETERS: [&str; 2] = ["consistency", "max_staleness_ms"];

/// What the query and the headers of a request ask for.
///
/// # Errors
/// When they are malformed.
pub(crate) fn reading(query: &Query, headers: &HeaderMap) -> Result<Reading, Problem> {
    Ok(Reading { consistency: query.consistency()?, at_least: headers::position(headers)? })
}

/// The version to read `name` from.
///
/// # Errors
/// When this node has not come so far, or cannot tell.
pub(crate) async fn view(
    node: &Weald,
    name: &CollectionName,
    reading: &Reading,
) -> Result<Version, Problem> {
    Ok(node.version(BlockId::header(name), reading).await?)
}

/// How far this node is with `name`, without asking others; `None` when it cannot tell.
pub(crate) async fn position(node: &Weald, name: &CollectionName) -> Option<Position> {
    let reading = Reading { consistency: Consistency::Local, at_least: None };
    let version = node.version(BlockId::header(name), &reading).await;
    version.ok().map(|version| version.position())
}
