//! Transactions over several collections, and what became of a transaction.

use axum::{extract::State, http::request::Parts};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use weald_collections::{
    DiaryAnswer, RawDiary, RawTree,
    tree::{Expectation, KeyChange, TreeAnswer},
};

use super::{
    Gateway,
    answer::{self, Answer},
    call::{self, Content},
    diaries, headers, limits, percent,
    problem::Problem,
    query::Query,
};
use crate::{Acted, Action, CollectionName, Revision, write::undecodable};

/// A list of operations: all of them happen, or none.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    operations: Vec<Operation>,
}

/// One operation. Names and keys are percent-encoded as in a URL, bytes are base64.
#[derive(Debug, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
enum Operation {
    /// Sets a key of a tree.
    Put {
        tree: String,
        key: String,
        value: String,
        if_match: Option<Value>,
        if_none_match: Option<String>,
    },
    /// Removes a key of a tree.
    Delete { tree: String, key: String, if_match: Option<Value> },
    /// Appends to a diary.
    Append { diary: String, data: String, expected: Option<Value> },
}

/// An operation that has been read.
struct Step {
    name: CollectionName,
    action: Action,
    is_diary: bool,
}

/// `POST /v1/transactions`: commits a list of operations.
pub(crate) async fn commit(
    State(gateway): State<Gateway>,
    parts: Parts,
    Content(body): Content<{ limits::TRANSACTION_BODY_BYTES_MAX }>,
) -> Answer {
    Query::parse(parts.uri.query(), &[])?;
    let steps = steps_of(&body)?;
    for step in &steps {
        gateway.make(step).await?;
    }
    let kinds: Vec<bool> = steps.iter().map(|step| step.is_diary).collect();
    let home = steps[0].name.clone();
    let act = gateway.node.act(steps.into_iter().map(|step| step.action));
    let acted = gateway.write(&parts, &home, act).await.map_err(Problem::of_condition)?;
    let results = results(&acted, &kinds)?;
    let mut response = answer::json(&json!({
        "transaction": acted.transaction.to_string(),
        "time": acted.time.as_millis(),
        "revisions": revisions_json(&acted.revisions),
        "results": results,
    }));
    headers::put(&mut response, headers::POSITION, &headers::position_text(acted.position));
    headers::put(&mut response, headers::TRANSACTION, &acted.transaction.to_string());
    Ok(response)
}

impl Gateway {
    /// Makes the collection that a step writes, if it is not there.
    async fn make(&self, step: &Step) -> Result<(), Problem> {
        match step.is_diary {
            true => self.handles.diary_made(&self.node, &step.name).await.map(drop)?,
            false => self.handles.tree_made(&self.node, &step.name).await.map(drop)?,
        }
        Ok(())
    }
}

/// Revisions by collection.
pub(crate) fn revisions_json(revisions: &[(CollectionName, Revision)]) -> Value {
    let one = |(name, revision): &(CollectionName, Revision)| json!({ "collection": percent::encode(name.as_str().as_bytes()), "revision": revision.0 });
    revisions.iter().map(one).collect()
}

fn results(acted: &Acted, kinds: &[bool]) -> Result<Vec<Value>, Problem> {
    let one = |(answer, is_diary): (&Bytes, &bool)| {
        let wrong = |error| Problem::from(undecodable(&error));
        if *is_diary {
            let answer = DiaryAnswer::decode(answer).map_err(wrong)?;
            return Ok(json!({ "sequence": answer.first.0, "revision": answer.revision.0 }));
        }
        let answer = TreeAnswer::decode(answer).map_err(wrong)?;
        let replaced = answer.replaced.first().copied().flatten().map(|revision| revision.0);
        Ok(json!({ "revision": answer.revision.0, "replaced": replaced }))
    };
    acted.answers.iter().zip(kinds).map(one).collect()
}

fn steps_of(body: &[u8]) -> Result<Vec<Step>, Problem> {
    let next =
        "send {\"operations\": [{\"op\": \"put\", \"tree\": .., \"key\": .., \"value\": ..}, ..]}";
    let asked: Asked = serde_json::from_slice(body)
        .map_err(|error| Problem::invalid(format!("the body is no transaction: {error}"), next))?;
    let count = asked.operations.len();
    if count == 0 || count > limits::OPERATIONS_MAX {
        let max = limits::OPERATIONS_MAX;
        let detail = format!("the number of operations is out of range: {count} max={max}");
        return Err(Problem::invalid(detail, next));
    }
    asked.operations.iter().map(step_of).collect()
}

fn step_of(operation: &Operation) -> Result<Step, Problem> {
    match operation {
        Operation::Put { tree, key, value, if_match, if_none_match } => {
            let expected = condition(if_match.as_ref(), if_none_match.as_deref())?;
            let change = KeyChange::put(decoded(key)?, expected, bytes(value)?);
            let tree = RawTree::new(call::name_of(decoded(tree)?)?);
            Ok(tree_step(&tree, change))
        }
        Operation::Delete { tree, key, if_match } => {
            let change = KeyChange::delete(decoded(key)?, condition(if_match.as_ref(), None)?);
            let tree = RawTree::new(call::name_of(decoded(tree)?)?);
            Ok(tree_step(&tree, change))
        }
        Operation::Append { diary, data, expected } => {
            let expected = expected.as_ref().map_or_else(|| "any".to_owned(), text_of);
            let diary = RawDiary::new(call::name_of(decoded(diary)?)?);
            let action = diary.append(diaries::expected(&expected)?, vec![bytes(data)?]);
            Ok(Step { name: diary.name().clone(), action, is_diary: true })
        }
    }
}

fn tree_step(tree: &RawTree, change: KeyChange) -> Step {
    Step { name: tree.name().clone(), action: tree.batch(vec![change]), is_diary: false }
}

/// The conditions of HTTP, as fields of an operation.
fn condition(
    if_match: Option<&Value>,
    if_none_match: Option<&str>,
) -> Result<Expectation, Problem> {
    headers::expectation(if_match.map(text_of).as_deref(), if_none_match)
}

/// A number or a string of JSON as the text of a header.
fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn decoded(text: &str) -> Result<Vec<u8>, Problem> {
    let next = "percent-encode names and keys as in a URL";
    percent::decode(text).map_err(|error| Problem::invalid(error.to_string(), next))
}

fn bytes(text: &str) -> Result<Bytes, Problem> {
    let wrong = |error| Problem::invalid(format!("no base64: {error}"), "encode bytes as base64");
    STANDARD.decode(text).map(Bytes::from).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_operations_is_read_strictly() {
        let check = |body: &str, is_right: bool| {
            assert_eq!(steps_of(body.as_bytes()).is_ok(), is_right, "{body}");
        };
        let one = |operation: &str| format!("{{\"operations\":[{operation}]}}");
        check(&one(r#"{"op":"put","tree":"t","key":"a%00","value":"AA=="}"#), true);
        check(&one(r#"{"op":"put","tree":"t","key":"a","value":"","if_match":7}"#), true);
        check(&one(r#"{"op":"put","tree":"t","key":"a","value":"","if_none_match":"*"}"#), true);
        check(&one(r#"{"op":"delete","tree":"s%2Ft","key":"a","if_match":"*"}"#), true);
        check(&one(r#"{"op":"append","diary":"d","data":"AA==","expected":3}"#), true);
        check(&one(r#"{"op":"append","diary":"d","data":"AA==","expected":"empty"}"#), true);
        check("", false);
        check("{}", false);
        check(&one(""), false);
        check(&one(r#"{"op":"burn","tree":"t"}"#), false);
        check(&one(r#"{"op":"put","tree":"t","key":"a"}"#), false);
        check(&one(r#"{"op":"put","tree":"t","key":"a","value":"AA==","ttl":3}"#), false);
        check(&one(r#"{"op":"put","tree":"t","key":"%4","value":"AA=="}"#), false);
        check(&one(r#"{"op":"put","tree":"","key":"a","value":"AA=="}"#), false);
        check(&one(r#"{"op":"put","tree":"t","key":"a","value":"*"}"#), false);
        check(&one(r#"{"op":"put","tree":"t","key":"a","value":"","if_match":-1}"#), false);
        check(&one(r#"{"op":"append","diary":"d","data":"AA==","expected":"soon"}"#), false);
    }
}
