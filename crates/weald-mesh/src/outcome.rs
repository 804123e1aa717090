//! The outcome of a write as a node tells it.

use serde_json::Value;

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resolution {
    Committed,
    /// It has and will have no effect.
    Rejected,
    /// It is under way.
    Pending,
    /// The node cannot tell any more.
    Unknown,
}

/// Reads the answer to a resolve.
pub(crate) fn resolution(answer: &Value) -> Resolution {
    match answer.get("outcome").and_then(Value::as_str) {
        Some("committed") => Resolution::Committed,
        Some("rejected") => Resolution::Rejected,
        Some("pending") => Resolution::Pending,
        _ => Resolution::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_is_stated_is_taken_for_certain() {
        let check = |outcome: &str, expect| {
            assert_eq!(resolution(&json!({ "outcome": outcome })), expect);
        };
        check("committed", Resolution::Committed);
        check("rejected", Resolution::Rejected);
        check("pending", Resolution::Pending);
        check("forgotten", Resolution::Unknown);
        assert_eq!(resolution(&json!({})), Resolution::Unknown);
    }
}
