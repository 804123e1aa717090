//! Ranges of trees, a page at a time.

use std::ops::Bound;

use axum::{extract::State, http::request::Parts};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;
use weald_collections::btree::Entry;
use weald_core::hex;

use super::{
    Gateway,
    answer::{Answer, Page},
    call, limits, percent,
    problem::Problem,
    query::Query,
    reading,
};
use crate::{RawSnapshot, RawTree, Result};

const PARAMETERS: [&str; 7] =
    ["from", "to", "limit", "reverse", "page", "consistency", "max_staleness_ms"];

type Bounds = (Bound<Vec<u8>>, Bound<Vec<u8>>);

/// `GET /v1/trees/{name}`: entries from `from` to just below `to`.
pub(crate) async fn scan(State(gateway): State<Gateway>, parts: Parts) -> Answer {
    let name = call::name(&parts.uri, 2)?;
    let query = Query::parse(parts.uri.query(), &PARAMETERS)?;
    let wanted = Wanted::of(&query)?;
    let reading = reading::reading(&query, &parts.headers)?;
    let version = reading::view(&gateway.node, &name, &reading).await?;
    let position = version.position();
    let tree = RawTree::open_in(&gateway.node, name, &version).await;
    let tree = tree.map_err(|error| Problem::from(error).at(Some(position)))?;
    let snapshot = RawSnapshot::new(&tree, version);
    let (lines, next) = wanted.read(&snapshot).await?;
    let revision = snapshot.revision().await?;
    Ok(Page { lines, revision, position, next }.respond())
}

/// What part of a tree is asked for.
struct Wanted {
    bounds: Bounds,
    is_reverse: bool,
    limit: usize,
}

impl Wanted {
    fn of(query: &Query) -> std::result::Result<Self, Problem> {
        let limit = query.limit()?;
        let is_reverse = query.switch("reverse")?;
        let from = query.bytes("from").map(<[u8]>::to_vec);
        let to = query.bytes("to").map(<[u8]>::to_vec);
        let mut low = from.map_or(Bound::Unbounded, Bound::Included);
        let mut high = to.map_or(Bound::Unbounded, Bound::Excluded);
        if let Some(token) = query.text("page")? {
            let behind = Bound::Excluded(key_of(token)?);
            *if is_reverse { &mut high } else { &mut low } = behind;
        }
        Ok(Self { bounds: (low, high), is_reverse, limit })
    }

    /// The lines of the page, and the token of the next one.
    async fn read(&self, snapshot: &RawSnapshot) -> Result<(String, Option<String>)> {
        let mut page = Lines::default();
        if is_empty(&self.bounds) {
            return Ok((page.text, None));
        }
        let mut range = snapshot.range(self.bounds.clone()).limit(self.limit + 1);
        if self.is_reverse {
            range = range.reverse();
        }
        let mut pages = range.pages().await?;
        while let Some(entries) = pages.next().await? {
            for entry in entries {
                if page.count == self.limit || page.bytes >= limits::PAGE_BYTES {
                    return Ok((page.text, Some(token_of(&page.last))));
                }
                page.add(&entry);
            }
        }
        Ok((page.text, None))
    }
}

/// The lines of a page so far.
#[derive(Default)]
struct Lines {
    text: String,
    count: usize,
    bytes: usize,
    last: Vec<u8>,
}

impl Lines {
    fn add(&mut self, entry: &Entry) {
        let line = json!({
            "key": percent::encode(&entry.key),
            "value": STANDARD.encode(&entry.value),
            "revision": entry.revision.0,
        });
        self.text.push_str(&line.to_string());
        self.text.push('\n');
        self.count += 1;
        self.bytes += entry.key.len() + entry.value.len();
        self.last.clear();
        self.last.extend_from_slice(&entry.key);
    }
}

/// The token of the page behind `key`: opaque to clients, and safe in a query as it is.
fn token_of(key: &[u8]) -> String {
    format!("k{}", hex::encode(key))
}

fn key_of(token: &str) -> std::result::Result<Vec<u8>, Problem> {
    let wrong = || {
        let next = "send what an answer had in Weald-Next, with the same from, to and reverse";
        Problem::invalid(format!("no page {token:?}"), next)
    };
    token.strip_prefix('k').and_then(hex::decode).ok_or_else(wrong)
}

fn is_empty(bounds: &Bounds) -> bool {
    match bounds {
        (Bound::Included(low) | Bound::Excluded(low), Bound::Excluded(high)) => low >= high,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_the_key_it_was_made_of() {
        for key in [&b""[..], b"a", b"\x00\xff/"] {
            assert_eq!(key_of(&token_of(key)).unwrap(), key);
        }
        for wrong in ["", "61", "k6", "kzz", "k+1", "k\u{f6}\u{f6}"] {
            assert!(key_of(wrong).is_err(), "{wrong}");
        }
    }
}
