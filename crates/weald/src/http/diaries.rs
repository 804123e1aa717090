//! Entries of diaries: append one, read a page.

use axum::{extract::State, http::request::Parts};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use weald_collections::{ChainEntry, CollectionState, RawDiary, chain::ReadLimit};

use super::{
    Gateway,
    answer::{self, Answer, Page},
    call::{self, Content},
    limits,
    problem::Problem,
    query::Query,
    reading,
};
use crate::{ExpectedVersion, RawDiaryEntry, Result, Sequence, backend::Version, node};

const PARAMETERS: [&str; 6] =
    ["from", "limit", "reverse", "page", "consistency", "max_staleness_ms"];

/// `POST /v1/diaries/{name}/entries`: appends the body.
pub(crate) async fn append(
    State(gateway): State<Gateway>,
    parts: Parts,
    Content(entry): Content,
) -> Answer {
    let name = call::name(&parts.uri, 2)?;
    let query = Query::parse(parts.uri.query(), &["expected"])?;
    let expected = expected(query.text("expected")?.unwrap_or("any"))?;
    let must_exist = matches!(expected, ExpectedVersion::Exists | ExpectedVersion::Exact(_));
    let diary = match must_exist {
        true => gateway.handles.diary(&gateway.node, &name).await,
        false => gateway.handles.diary_made(&gateway.node, &name).await,
    };
    let diary = diary.map_err(|error| {
        let problem = Problem::from(error);
        if must_exist && problem.is_absence() { problem.precondition() } else { problem }
    })?;
    let appended = gateway.write(&parts, &name, diary.append_expecting(expected, [entry])).await;
    let appended = appended.map_err(Problem::of_condition)?;
    let revision = appended.written.revision.0;
    let body = json!({ "sequence": appended.first.0, "revision": revision });
    Ok(answer::written(&appended.written, &body))
}

/// `GET /v1/diaries/{name}/entries`: entries from `from` on, or from `from` down.
pub(crate) async fn read(State(gateway): State<Gateway>, parts: Parts) -> Answer {
    let name = call::name(&parts.uri, 2)?;
    let query = Query::parse(parts.uri.query(), &PARAMETERS)?;
    let from = query.number("page")?.or(query.number("from")?).map(Sequence);
    let wanted = Wanted { from, limit: query.limit()?, is_reverse: query.switch("reverse")? };
    let reading = reading::reading(&query, &parts.headers)?;
    let version = reading::view(&gateway.node, &name, &reading).await?;
    let page = wanted.page(&RawDiary::new(name), &version).await;
    Ok(page.map_err(|error| Problem::from(error).at(Some(version.position())))?.respond())
}

/// An entry as JSON.
pub(crate) fn entry_json(entry: &RawDiaryEntry) -> Value {
    json!({
        "sequence": entry.sequence.0,
        "time": entry.time.as_millis(),
        "revision": entry.revision.0,
        "transaction": entry.transaction.to_string(),
        "data": STANDARD.encode(&entry.entry),
    })
}

/// What an append expects of the diary.
///
/// # Errors
/// When the text is none of the four forms.
pub(crate) fn expected(text: &str) -> std::result::Result<ExpectedVersion, Problem> {
    match text {
        "any" => Ok(ExpectedVersion::Any),
        "empty" => Ok(ExpectedVersion::Empty),
        "exists" => Ok(ExpectedVersion::Exists),
        _ => text.parse().map(|last| ExpectedVersion::Exact(Sequence(last))).map_err(|_| {
            let next = "send any, empty, exists, or the sequence of the last entry";
            Problem::invalid(format!("expected is none of its forms: {text:?}"), next)
        }),
    }
}

/// What part of a diary is asked for.
struct Wanted {
    from: Option<Sequence>,
    limit: usize,
    is_reverse: bool,
}

impl Wanted {
    async fn page(&self, diary: &RawDiary, version: &Version) -> Result<Page> {
        let limit = ReadLimit { entries_max: self.limit, bytes_max: limits::PAGE_BYTES };
        let (state, entries) = node::read(version, |reader| {
            let first = diary.ends(reader)?.first;
            let entries = if self.is_reverse {
                diary.read_back(reader, self.from, limit)?
            } else {
                diary.read(reader, self.from.unwrap_or(first), limit)?
            };
            Ok((CollectionState::read(reader, diary.name())?, entries))
        })
        .await?;
        let next = entries.last().and_then(|last| self.next(last, &state));
        let lines: String = entries
            .into_iter()
            .map(|entry| format!("{}\n", entry_json(&RawDiaryEntry::from(entry))))
            .collect();
        let (revision, position) = (state.revision, version.position());
        Ok(Page { lines, revision, position, next })
    }

    /// The token of the page behind `last`: the sequence with which it begins.
    fn next(&self, last: &ChainEntry, state: &CollectionState) -> Option<String> {
        let (kept, last) = (&state.chain, last.sequence);
        let next = if self.is_reverse { last.0.checked_sub(1)? } else { last.0 + 1 };
        (kept.first.0..kept.next.0).contains(&next).then(|| next.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expectations_have_four_forms() {
        let check = |text: &str, form: Option<ExpectedVersion>| {
            assert_eq!(expected(text).ok(), form, "{text:?}");
        };
        check("any", Some(ExpectedVersion::Any));
        check("empty", Some(ExpectedVersion::Empty));
        check("exists", Some(ExpectedVersion::Exists));
        check("7", Some(ExpectedVersion::Exact(Sequence(7))));
        for wrong in ["", "some", "-1", "1.5", "18446744073709551616"] {
            check(wrong, None);
        }
    }
}
