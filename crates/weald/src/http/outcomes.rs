//! What became of a transaction.

use axum::{extract::State, http::request::Parts};
use serde_json::{Value, json};

use super::{
    Gateway,
    answer::{self, Answer},
    call, headers,
    problem::Problem,
    query::Query,
    transactions::revisions_json,
};
use crate::{TransactionId, TransactionStatus};

/// How a caller names a transaction.
enum Named {
    /// By the full id, which every answer tells.
    Full(TransactionId),
    /// By the caller's own id, and the collection that its write began with.
    Own { collection: String, id: String, full: TransactionId },
}

/// `GET /v1/transactions/{id}`: what became of it, without changing anything.
pub(crate) async fn outcome(State(gateway): State<Gateway>, parts: Parts) -> Answer {
    let id = match gateway.named(&parts)? {
        Named::Full(id) | Named::Own { full: id, .. } => id,
    };
    Ok(tell(id, gateway.node.transaction_outcome(id).await?))
}

/// `POST /v1/transactions/{id}/resolve`: settles it. One that has not come is fenced under the
/// caller's own id; a full id that nothing is known of is told as forgotten.
pub(crate) async fn resolve(State(gateway): State<Gateway>, parts: Parts) -> Answer {
    match gateway.named(&parts)? {
        Named::Full(id) => Ok(tell(id, gateway.node.resolve(id).await?)),
        Named::Own { collection, id, full } => {
            Ok(tell(full, gateway.node.resolve_own(&collection, &id).await?))
        }
    }
}

impl Gateway {
    fn named(&self, parts: &Parts) -> Result<Named, Problem> {
        let query = Query::parse(parts.uri.query(), &["collection"])?;
        let next = "send the full id, or your own with ?collection=NAME";
        let id = String::from_utf8(call::segment(&parts.uri, 2)?)
            .map_err(|_| Problem::invalid("the id is no text", next))?;
        let Some(collection) = query.bytes("collection") else {
            let wrong = |error| Problem::invalid(format!("{error}"), next);
            return id.parse().map(Named::Full).map_err(wrong);
        };
        let name = call::name_of(collection.to_vec())?;
        let full = self.node.own_id(&name, &id)?;
        Ok(Named::Own { collection: name.as_str().to_owned(), id, full })
    }
}

fn tell(id: TransactionId, status: TransactionStatus) -> axum::http::Response<axum::body::Body> {
    let mut position = None;
    let told = match status {
        TransactionStatus::Committed(commit) => {
            position = Some(headers::position_text(commit.position));
            json!({
                "outcome": "committed",
                "time": commit.time.as_millis(),
                "revisions": revisions_json(&commit.revisions),
            })
        }
        TransactionStatus::Rejected(rejection) => {
            json!({ "outcome": "rejected", "detail": rejection.to_string() })
        }
        TransactionStatus::Pending => json!({ "outcome": "pending" }),
        TransactionStatus::Forgotten => json!({ "outcome": "forgotten" }),
    };
    let mut response = answer::json(&with_id(told, id));
    headers::put(&mut response, headers::TRANSACTION, &id.to_string());
    if let Some(position) = position {
        headers::put(&mut response, headers::POSITION, &position);
    }
    response
}

fn with_id(mut told: Value, id: TransactionId) -> Value {
    told["transaction"] = id.to_string().into();
    told
}
