//! What a gateway answers, and what it means for the caller.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::Found;

/// The caller's name of a write.
pub(super) const TRANSACTION: &str = "Weald-Transaction-Id";

/// An answer, or why there is none.
pub(crate) type Answer<T> = Result<T, Failure>;

/// Why a call did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// This call had no effect and will have none.
    Refused { status: u16, kind: String, is_retryable: bool, detail: String },
    /// It may have had an effect, or may still.
    Unknown {
        /// Whether the node itself says so; otherwise there is no answer.
        is_stated: bool,
        detail: String,
    },
}

impl Failure {
    pub(super) fn lost(error: &dyn std::error::Error) -> Self {
        Self::lost_by(error.to_string())
    }

    /// There is no answer that is understood.
    pub(crate) fn lost_by(detail: String) -> Self {
        Self::Unknown { is_stated: false, detail }
    }

    pub(crate) fn is_refused(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    /// Whether the node itself told what is known.
    pub(crate) fn is_stated(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::Unknown { is_stated: true, .. })
    }

    /// The kind of a refusal; empty otherwise.
    pub(crate) fn kind(&self) -> &str {
        match self {
            Self::Refused { kind, .. } => kind,
            Self::Unknown { .. } => "",
        }
    }
}

impl std::error::Error for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { status, kind, detail, .. } => write!(f, "{status} {kind}: {detail}"),
            Self::Unknown { detail, .. } => write!(f, "unknown: {detail}"),
        }
    }
}

/// A whole answer of any status.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) revision: Option<String>,
    /// `PARTITION.INDEX`.
    pub(super) position: Option<String>,
    /// Where the next page begins.
    pub(super) next: Option<String>,
    pub(super) bytes: Vec<u8>,
}

impl Reply {
    fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    pub(super) fn json(&self) -> Answer<Value> {
        serde_json::from_slice(&self.bytes).map_err(|error| Failure::lost(&error))
    }

    /// The revision, from the header or the body.
    pub(super) fn revision(&self) -> Option<u64> {
        let told = self.revision.as_ref().and_then(|text| text.trim_matches('"').parse().ok());
        told.or_else(|| self.json().ok()?.get("revision")?.as_u64())
    }

    pub(super) fn number(&self, field: &str) -> Answer<u64> {
        let number = self.json()?.get(field).and_then(Value::as_u64);
        number.ok_or_else(|| Failure::lost_by(format!("no `{field}` in {}", self.text())))
    }

    /// The partition that answered, and the index in its log.
    pub(super) fn position(&self) -> Answer<(u64, u64)> {
        let parse = |text: &String| {
            let (partition, index) = text.split_once('.')?;
            Some((partition.parse().ok()?, index.parse().ok()?))
        };
        let position = self.position.as_ref().and_then(parse);
        position.ok_or_else(|| Failure::lost_by(String::from("an answer has no position")))
    }

    fn lines(&self) -> Answer<Vec<Value>> {
        let text = self.text();
        let lines = text.lines().filter(|line| !line.is_empty());
        lines
            .map(|line| serde_json::from_str(line).map_err(|error| Failure::lost(&error)))
            .collect()
    }
}

/// The reply if its status is one of success; otherwise what it means.
pub(super) fn success(reply: Reply) -> Answer<Reply> {
    if reply.is_success() { Ok(reply) } else { Err(failure(&reply)) }
}

/// The kind of the problem that stands for proved absence.
const ABSENT: &str = "not_found";

/// What is at a key. Only a proved absence is none.
pub(super) fn found(reply: Reply) -> Answer<Option<Found>> {
    if is_absent(&reply) {
        return Ok(None);
    }
    let reply = success(reply)?;
    let revision = reply.revision();
    Ok(Some(Found { bytes: reply.bytes, revision }))
}

/// Entries of a diary. An absent diary has none.
pub(super) fn entries(reply: Reply) -> Answer<Vec<(u64, Vec<u8>)>> {
    if is_absent(&reply) {
        return Ok(Vec::new());
    }
    let lines = success(reply)?.lines()?;
    let entry = |line: &Value| Some((line.get("sequence")?.as_u64()?, bytes(line.get("data")?)?));
    lines.iter().filter(|line| line.get("sequence").is_some()).map(whole(entry)).collect()
}

/// Keys and values of a tree. An absent tree has none.
pub(super) fn pairs(reply: &Reply) -> Answer<Vec<(String, Vec<u8>)>> {
    if is_absent(reply) {
        return Ok(Vec::new());
    }
    if !reply.is_success() {
        return Err(failure(reply));
    }
    let lines = reply.lines()?;
    let pair =
        |line: &Value| Some((line.get("key")?.as_str()?.to_owned(), bytes(line.get("value")?)?));
    lines.iter().filter(|line| line.get("key").is_some()).map(whole(pair)).collect()
}

fn is_absent(reply: &Reply) -> bool {
    reply.status == 404 && failure(reply).kind() == ABSENT
}

fn whole<T>(read: impl Fn(&Value) -> Option<T>) -> impl Fn(&Value) -> Answer<T> {
    move |line| read(line).ok_or_else(|| Failure::lost_by(format!("not understood: {line}")))
}

fn bytes(value: &Value) -> Option<Vec<u8>> {
    STANDARD.decode(value.as_str()?).ok()
}

fn failure(reply: &Reply) -> Failure {
    let problem = reply.json().unwrap_or_default();
    let word = |name: &str| {
        problem.get(name).and_then(Value::as_str).map(str::to_owned).unwrap_or_default()
    };
    // Without a problem document nothing is certain but that a client's own mistake had no effect.
    let is_certain = match word("outcome").as_str() {
        "unknown" => false,
        "rejected" => true,
        _ => (400..500).contains(&reply.status) && reply.status != 408,
    };
    if !is_certain {
        let is_stated = word("outcome") == "unknown";
        let detail = format!("{} {}", reply.status, reply.text());
        return Failure::Unknown { is_stated, detail };
    }
    let is_retryable = problem.get("retryable").and_then(Value::as_bool).unwrap_or(false);
    Failure::Refused {
        status: reply.status,
        kind: word("kind"),
        is_retryable,
        detail: word("detail"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, text: &str) -> Reply {
        let bytes = text.as_bytes().to_vec();
        Reply { status, revision: None, position: None, next: None, bytes }
    }

    fn revised(status: u16, revision: &str, text: &str) -> Reply {
        Reply { revision: Some(revision.into()), ..reply(status, text) }
    }

    #[test]
    fn only_a_stated_outcome_is_certain() {
        let check = |status, text: &str, is_refused| {
            let failure = success(reply(status, text)).unwrap_err();
            assert_eq!(failure.is_refused(), is_refused, "{status} {text}");
        };
        check(503, r#"{"kind":"busy","retryable":true,"outcome":"rejected"}"#, true);
        check(504, r#"{"kind":"unknown","outcome":"unknown"}"#, false);
        check(412, r#"{"kind":"condition","outcome":"rejected"}"#, true);
        check(400, "", true);
        check(500, "", false);
        check(502, "bad gateway", false);
        check(408, "", false);
    }

    #[test]
    fn absence_is_none_and_nothing_else_is() {
        assert_eq!(found(reply(404, r#"{"kind":"not_found"}"#)), Ok(None));
        assert!(found(reply(404, r#"{"kind":"invalid"}"#)).is_err());
        assert!(found(reply(404, "no such route")).is_err());
        assert!(found(reply(503, "{}")).is_err());
        let there = found(revised(200, "\"7\"", "v")).unwrap().unwrap();
        assert_eq!((there.bytes.as_slice(), there.revision), (&b"v"[..], Some(7)));
    }

    #[test]
    fn lines_of_json_are_read() {
        let text = "{\"sequence\":0,\"time\":1,\"data\":\"MQ==\"}\n{\"sequence\":1,\"data\":\"Mg==\"}\n{\"next\":\"x\"}\n";
        let read = entries(reply(200, text)).unwrap();
        assert_eq!(read, [(0, b"1".to_vec()), (1, b"2".to_vec())]);
        assert_eq!(entries(reply(404, r#"{"kind":"not_found"}"#)), Ok(Vec::new()));
        assert!(entries(reply(200, "{\"sequence\":0,\"data\":\"%\"}")).is_err());
        let pair = pairs(&reply(200, "{\"key\":\"k\",\"value\":\"MQ==\",\"revision\":3}")).unwrap();
        assert_eq!(pair, [(String::from("k"), b"1".to_vec())]);
    }

    #[test]
    fn a_revision_is_read_from_the_header_or_the_body() {
        assert_eq!(reply(200, r#"{"revision":4}"#).revision(), Some(4));
        assert_eq!(revised(200, "9", "").revision(), Some(9));
        assert_eq!(reply(200, "").revision(), None);
        assert_eq!(reply(200, r#"{"sequence":4}"#).number("sequence"), Ok(4));
        assert!(reply(200, "{}").number("sequence").is_err());
        let placed = Reply { position: Some("3.42".into()), ..reply(200, "") };
        assert_eq!(placed.position(), Ok((3, 42)));
        assert!(reply(200, "").position().is_err());
    }
}
