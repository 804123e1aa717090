//! The gateway's own headers, and the conditions of HTTP that it knows.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Response, header},
};
use weald_collections::tree::Expectation;

use super::problem::Problem;
use crate::{LogIndex, PartitionId, Position, Revision};

/// A place in a partition's log, `partition.index`; a read may send it back.
pub(crate) const POSITION: HeaderName = HeaderName::from_static("weald-position");
/// A revision.
pub(crate) const REVISION: HeaderName = HeaderName::from_static("weald-revision");
/// The caller's own id of a write in a request, the full id in an answer.
pub(crate) const TRANSACTION: HeaderName = HeaderName::from_static("weald-transaction-id");
/// Where the next page begins; absent on the last one.
pub(crate) const NEXT: HeaderName = HeaderName::from_static("weald-next");
/// One id through all logs.
pub(crate) const CORRELATION: HeaderName = HeaderName::from_static("weald-correlation-id");
/// The last event that a follower has seen.
pub(crate) const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");

/// Puts a header that is plain ASCII by construction.
pub(crate) fn put(response: &mut Response<Body>, name: HeaderName, value: &str) {
    let value = HeaderValue::from_str(value).expect("the gateway's values are visible ASCII");
    response.headers_mut().insert(name, value);
}

/// A position as text.
pub(crate) fn position_text(position: Position) -> String {
    format!("{}.{}", position.partition, position.index)
}

/// The text of a header; `None` when it is absent.
///
/// # Errors
/// When it is no text.
pub(crate) fn text<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'h str>, Problem> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let wrong = || Problem::invalid(format!("the header {name} is no text"), "send visible ASCII");
    std::str::from_utf8(value.as_bytes()).map(Some).map_err(|_| wrong())
}

/// The position from which on a read is to answer.
///
/// # Errors
/// When the header is there and no position.
pub(crate) fn position(headers: &HeaderMap) -> Result<Option<Position>, Problem> {
    let Some(text) = text(headers, &POSITION)? else { return Ok(None) };
    let parsed = text.split_once('.').and_then(|(partition, index)| {
        let partition = PartitionId(partition.parse().ok()?);
        Some(Position { partition, index: LogIndex(index.parse().ok()?) })
    });
    let next = "send back what an answer had in Weald-Position, such as `0.42`";
    parsed.map(Some).ok_or_else(|| Problem::invalid(format!("no position: {text:?}"), next))
}

/// The caller's own id of a write.
///
/// # Errors
/// When the header is no text; whether its length fits is the node's to say.
pub(crate) fn own_id(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    Ok(text(headers, &TRANSACTION)?.map(str::to_owned))
}

/// What a write of a key expects to find.
///
/// # Errors
/// When a condition is neither a revision nor `*`, or both are given.
pub(crate) fn condition(headers: &HeaderMap) -> Result<Expectation, Problem> {
    expectation(text(headers, &header::IF_MATCH)?, text(headers, &header::IF_NONE_MATCH)?)
}

/// What the two conditions of HTTP expect to find.
///
/// # Errors
/// As [`condition`].
pub(crate) fn expectation(
    matched: Option<&str>,
    unmatched: Option<&str>,
) -> Result<Expectation, Problem> {
    match (matched, unmatched) {
        (None, None) => Ok(Expectation::Any),
        (Some("*"), None) => Ok(Expectation::Present),
        (Some(text), None) => revision(text).map(Expectation::Revision),
        (None, Some("*")) => Ok(Expectation::Absent),
        (None, Some(_)) => {
            Err(Problem::invalid("If-None-Match has one form here", "send `If-None-Match: *`"))
        }
        (Some(_), Some(_)) => {
            Err(Problem::invalid("two conditions at once", "send If-Match or If-None-Match"))
        }
    }
}

/// A revision, bare or in the quotes of an entity tag.
fn revision(text: &str) -> Result<Revision, Problem> {
    let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let next = "send one revision, as Weald-Revision had it, or `*`";
    bare.parse()
        .map(Revision)
        .map_err(|_| Problem::invalid(format!("If-Match is no revision: {text:?}"), next))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_position_comes_back_as_it_went_out() {
        let at = Position { partition: PartitionId(3), index: LogIndex(42) };
        assert_eq!(position_text(at), "3.42");
        assert_eq!(position(&headers(&[(POSITION, "3.42")])).unwrap(), Some(at));
        assert_eq!(position(&headers(&[])).unwrap(), None);
        for wrong in ["", "3", "3.", ".42", "a.b", "3.42.1", "-1.2", "99999999999.1"] {
            let value = HeaderValue::from_static(wrong);
            assert!(position(&[(POSITION, value)].into_iter().collect()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn conditions_are_a_revision_or_a_star() {
        let check = |pairs: &[(HeaderName, &'static str)], expected: Option<Expectation>| {
            assert_eq!(condition(&headers(pairs)).ok(), expected, "{pairs:?}");
        };
        check(&[], Some(Expectation::Any));
        check(&[(header::IF_MATCH, "7")], Some(Expectation::Revision(Revision(7))));
        check(&[(header::IF_MATCH, "\"7\"")], Some(Expectation::Revision(Revision(7))));
        check(&[(header::IF_MATCH, "*")], Some(Expectation::Present));
        check(&[(header::IF_NONE_MATCH, "*")], Some(Expectation::Absent));
        check(&[(header::IF_NONE_MATCH, "7")], None);
        check(&[(header::IF_MATCH, "seven")], None);
        check(&[(header::IF_MATCH, "\"7")], None);
        check(&[(header::IF_MATCH, "7"), (header::IF_NONE_MATCH, "*")], None);
    }
}
