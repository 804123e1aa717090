//! Diaries over HTTP.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::server::{Node, Place};

fn entries(node: &Node, query: &str) -> (Vec<(u64, Vec<u8>)>, Option<String>) {
    let answer = node.call(&format!("GET /v1/diaries/log/entries{query}")).done();
    let entry = |line: &serde_json::Value| {
        assert!(line["time"].as_u64().is_some_and(|time| time > 0), "{line}");
        let data = STANDARD.decode(line["data"].as_str().unwrap()).unwrap();
        (line["sequence"].as_u64().unwrap(), data)
    };
    let next = answer.header("weald-next").map(str::to_owned);
    (answer.lines().iter().map(entry).collect(), next)
}

#[test]
fn d62_entries_are_appended_and_read() {
    let place = Place::new();
    let node = place.start();
    node.call("GET /v1/diaries/log/entries").refused(404, "not_found");
    for number in 0..7u8 {
        let appended = node.send("POST /v1/diaries/log/entries", [number, 255]).done();
        assert_eq!(appended.json()["sequence"], number);
        assert_eq!(appended.json()["revision"], appended.revision());
        assert!(appended.header("weald-position").is_some());
        assert!(appended.header("weald-transaction-id").is_some());
    }
    let all: Vec<(u64, Vec<u8>)> = (0..7).map(|number: u8| (number.into(), vec![number, 255])).collect();
    assert_eq!(entries(&node, ""), (all.clone(), None));
    assert_eq!(entries(&node, "?from=5"), (all[5..].to_vec(), None));
    assert_eq!(entries(&node, "?from=7").0, []);
    assert_eq!(entries(&node, "?limit=2"), (all[..2].to_vec(), Some("2".into())));
    assert_eq!(entries(&node, "?limit=3&page=4"), (all[4..].to_vec(), None));
    let back: Vec<_> = all.iter().rev().cloned().collect();
    assert_eq!(entries(&node, "?reverse=true"), (back.clone(), None));
    assert_eq!(entries(&node, "?reverse=true&limit=3"), (back[..3].to_vec(), Some("3".into())));
    assert_eq!(entries(&node, "?reverse=true&limit=9&page=3"), (back[3..].to_vec(), None));
}

#[test]
fn expectations_of_an_append_hold_or_nothing_happens() {
    let place = Place::new();
    let node = place.start();
    let append = |expected: &str| {
        node.send(&format!("POST /v1/diaries/log/entries?expected={expected}"), "x")
    };
    append("exists").refused(412, "conflict");
    append("0").refused(412, "conflict");
    assert_eq!(node.call("GET /v1/status").json()["collections"], 0, "a failed condition makes none");
    append("empty").done();
    append("empty").refused(412, "conflict");
    append("exists").done();
    append("0").refused(412, "conflict");
    append("1").done();
    append("any").done();
    append("soon").refused(400, "invalid");
    assert_eq!(entries(&node, "").0.len(), 4);
}

#[test]
fn what_is_no_longer_kept_is_told_as_gone() {
    let place = Place::new();
    let node = place.start();
    let described = r#"{"type":"diary","retention":{"entries_max":3}}"#;
    node.send("PUT /v1/collections/log", described).done();
    for number in 0..10u8 {
        node.send("POST /v1/diaries/log/entries", [number]).done();
    }
    node.call("GET /v1/diaries/log/entries?from=0").refused(410, "gone");
    let (kept, _) = entries(&node, "");
    assert_eq!(kept.last().unwrap().0, 9);
    assert!(kept.first().unwrap().0 > 0, "without `from` it begins with what is kept");
    let listed = node.call("GET /v1/collections").done().json();
    assert_eq!(listed["collections"][0]["retention"]["entries_max"], 3);
}
