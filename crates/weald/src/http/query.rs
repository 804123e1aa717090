//! Queries, read strictly: a parameter that a call does not have is an error, not ignored.

use std::{collections::BTreeMap, time::Duration};

use super::{limits, percent, problem::Problem};
use crate::Consistency;

/// The parameters of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query(BTreeMap<String, Vec<u8>>);

impl Query {
    /// Reads the part of a URL behind `?`; `+` stands for a space there.
    ///
    /// # Errors
    /// When a parameter is not one of `known`, comes twice, or is not percent-encoded.
    pub(crate) fn parse(text: Option<&str>, known: &[&str]) -> Result<Self, Problem> {
        let mut found = BTreeMap::new();
        for pair in text.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent::decode(&value.replace('+', "%20"))
                .map_err(|error| Problem::invalid(format!("{name}: {error}"), ENCODE))?;
            if !known.contains(&name) {
                let next = match known {
                    [] => "this call has no parameters".to_owned(),
                    _ => format!("this call has {}", known.join(", ")),
                };
                return Err(Problem::invalid(format!("no parameter {name:?}"), next));
            }
            if found.insert(name.to_owned(), value).is_some() {
                return Err(Problem::invalid(format!("{name} comes twice"), "say it once"));
            }
        }
        Ok(Self(found))
    }

    /// The bytes of a parameter.
    pub(crate) fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(Vec::as_slice)
    }

    /// The text of a parameter.
    ///
    /// # Errors
    /// When it is not UTF-8.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, Problem> {
        let Some(bytes) = self.bytes(name) else { return Ok(None) };
        std::str::from_utf8(bytes)
            .map(Some)
            .map_err(|_| Problem::invalid(format!("{name} is not UTF-8"), ENCODE))
    }

    /// The number of a parameter.
    ///
    /// # Errors
    /// When it is none.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, Problem> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let wrong = |_| Problem::invalid(format!("{name} is no number: {text:?}"), "send digits");
        text.parse().map(Some).map_err(wrong)
    }

    /// Whether a switch is on: `true`, `1` or nothing behind it.
    ///
    /// # Errors
    /// When it says something else than `true`, `false`, `1`, `0`.
    pub(crate) fn switch(&self, name: &str) -> Result<bool, Problem> {
        match self.text(name)? {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1" | "") => Ok(true),
            Some(other) => {
                Err(Problem::invalid(format!("{name} is no switch: {other:?}"), "send true"))
            }
        }
    }

    /// How many entries a page may have.
    ///
    /// # Errors
    /// When it is no number, or over the bound.
    pub(crate) fn limit(&self) -> Result<usize, Problem> {
        let Some(limit) = self.number("limit")? else { return Ok(limits::PAGE_ENTRIES) };
        match usize::try_from(limit) {
            Ok(limit) if (1..=limits::PAGE_ENTRIES_MAX).contains(&limit) => Ok(limit),
            _ => {
                let max = limits::PAGE_ENTRIES_MAX;
                let next = format!("ask for 1 to {max} and go on from Weald-Next");
                Err(Problem::invalid(format!("limit is out of range: {limit}"), next))
            }
        }
    }

    /// How fresh a read has to be.
    ///
    /// # Errors
    /// When it is none of the three, or a bound is given that does not belong to it.
    pub(crate) fn consistency(&self) -> Result<Consistency, Problem> {
        let bound = self.number("max_staleness_ms")?;
        match (self.text("consistency")?, bound) {
            (None | Some("linearizable"), None) => Ok(Consistency::Linearizable),
            (Some("local"), None) => Ok(Consistency::Local),
            (Some("stale"), bound) => {
                let bound = bound.unwrap_or(limits::STALENESS_MS);
                Ok(Consistency::Stale(Duration::from_millis(bound)))
            }
            (None | Some("linearizable" | "local"), Some(_)) => {
                let next = "send consistency=stale with it";
                Err(Problem::invalid("max_staleness_ms belongs to stale reads", next))
            }
            (Some(other), _) => {
                let next = "send linearizable, stale or local";
                Err(Problem::invalid(format!("no consistency {other:?}"), next))
            }
        }
    }
}

const ENCODE: &str = "percent-encode bytes as %XX";

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 4] = ["limit", "from", "consistency", "max_staleness_ms"];

    fn parse(text: &str) -> Result<Query, Problem> {
        Query::parse(Some(text), &KNOWN)
    }

    #[test]
    fn parameters_are_bytes() {
        let query = parse("from=%ff%00+x&limit=").unwrap();
        assert_eq!(query.bytes("from"), Some(&b"\xff\x00 x"[..]));
        assert_eq!(query.bytes("limit"), Some(&b""[..]));
        assert_eq!(query.bytes("to"), None);
        assert_eq!(Query::parse(None, &[]).unwrap(), Query::default());
    }

    #[test]
    fn what_a_call_does_not_have_is_refused() {
        for wrong in ["form=a", "limit=1&limit=2", "from=%4", "consistency", "=1"] {
            let parsed = parse(wrong).and_then(|query| query.consistency());
            assert!(parsed.is_err(), "{wrong}");
        }
    }

    #[test]
    fn limits_have_a_range() {
        let limit = |text: &str| parse(text).unwrap().limit().ok();
        assert_eq!(limit(""), Some(limits::PAGE_ENTRIES));
        assert_eq!(limit("limit=10000"), Some(10_000));
        for wrong in ["limit=0", "limit=10001", "limit=-1", "limit=many", "limit="] {
            assert_eq!(limit(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn consistency_is_one_of_three() {
        let read = |text: &str| parse(text).unwrap().consistency().ok();
        let stale = |millis| Some(Consistency::Stale(Duration::from_millis(millis)));
        assert_eq!(read(""), Some(Consistency::Linearizable));
        assert_eq!(read("consistency=local"), Some(Consistency::Local));
        assert_eq!(read("consistency=stale"), stale(1000));
        assert_eq!(read("consistency=stale&max_staleness_ms=5"), stale(5));
        assert_eq!(read("max_staleness_ms=5"), None);
        assert_eq!(read("consistency=local&max_staleness_ms=5"), None);
        assert_eq!(read("consistency=weak"), None);
        assert_eq!(read("consistency=stale&max_staleness_ms=x"), None);
    }
}
