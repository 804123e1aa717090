//! How fresh the answer to a read has to be, and the version that it is read from.

use axum::http::HeaderMap;

use super::{
    headers,
    problem::Problem,
    query::{Consistency, Query},
};
use crate::{
    CollectionName, Error, ErrorKind, Position, Weald,
    node::{PARTITION, Version},
};

/// The parameters by which a read says how fresh it has to be.
pub(crate) const PARAMETERS: [&str; 2] = ["consistency", "max_staleness_ms"];

/// What a read asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    consistency: Consistency,
    at_least: Option<Position>,
}

/// One version of the state, and where in the log it is.
pub(crate) struct View {
    pub(crate) version: Version,
    pub(crate) position: Position,
}

impl Reading {
    /// What the query and the headers of a request ask for.
    ///
    /// # Errors
    /// When they are malformed.
    pub(crate) fn of(query: &Query, headers: &HeaderMap) -> Result<Self, Problem> {
        let (consistency, at_least) = (query.consistency()?, headers::position(headers)?);
        Ok(Self { consistency, at_least })
    }

    /// The version to read `name` from.
    ///
    /// # Errors
    /// When this node has not come so far, or cannot tell.
    pub(crate) async fn view(&self, node: &Weald, name: &CollectionName) -> crate::Result<View> {
        let view = latest(node, name)?;
        match self.at_least {
            Some(wanted) if wanted.partition != view.position.partition => {
                let (wanted, held) = (wanted.partition, view.position.partition);
                let what = format!("the position is of another partition: wanted={wanted} collection_in={held}");
                Err(Error::new(ErrorKind::Invalid, what))
            }
            Some(wanted) if wanted.index > view.position.index => {
                let (wanted, here) = (wanted.index, view.position.index);
                let what = format!("this node has not come so far: wanted={wanted} here={here}");
                Err(Error::new(ErrorKind::Unavailable, what))
            }
            _ => Ok(view),
        }
    }
}

/// What this node has of `name` without asking anybody.
pub(crate) fn latest(node: &Weald, _name: &CollectionName) -> crate::Result<View> {
    let version = node.latest()?;
    let position = Position { partition: PARTITION, index: version.index() };
    Ok(View { version, position })
}
