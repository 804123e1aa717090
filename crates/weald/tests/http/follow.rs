//! Watches and tails.

use serde_json::json;

use crate::{client::Request, server::Place};

#[test]
fn d52_a_watch_tells_history_then_catches_up_then_lives() {
    let place = Place::new();
    let node = place.start();
    node.send("PUT /v1/trees/t/a%2F1", "x").done();
    let second = node.call("DELETE /v1/trees/t/a%2F1").done();
    let mut watch = Request::new("GET /v1/watch/trees/t?from=2").open(node.address);
    assert_eq!(watch.answer.status, 200);
    assert_eq!(watch.answer.header("content-type"), Some("text/event-stream"));
    let put = watch.expect("change");
    assert_eq!(put.id, Some(2));
    assert_eq!(put.data["changes"], json!([{ "key": "a%2F1", "value": "eA==" }]));
    let delete = watch.expect("change");
    assert_eq!(delete.data["changes"], json!([{ "key": "a%2F1", "value": null }]));
    assert_eq!(delete.data["transaction"], second.header("weald-transaction-id").unwrap());
    assert_eq!(watch.expect("caught_up").id, None);
    let live = node.send("PUT /v1/trees/t/b", "y").done();
    let change = watch.expect("change");
    assert_eq!((change.id, &change.data["revision"]), (Some(live.revision()), &json!(live.revision())));
}

#[test]
fn d52_a_follower_resumes_behind_the_last_event_it_saw() {
    let place = Place::new();
    let node = place.start();
    for number in 0..5u8 {
        node.send("POST /v1/diaries/log/entries", [b'0' + number]).done();
        node.send("PUT /v1/trees/t/k", [b'0' + number]).done();
    }
    let mut tail = Request::new("GET /v1/diaries/log/tail").open(node.address);
    let seen: Vec<_> = (0..3).map(|_| tail.expect("entry").id.unwrap()).collect();
    assert_eq!(seen, [0, 1, 2]);
    drop(tail);
    let resume = |line: &str, last: u64| {
        Request::new(line).header("Last-Event-ID", last).open(node.address)
    };
    let mut tail = resume("GET /v1/diaries/log/tail?from=0", 2);
    let entry = tail.expect("entry");
    assert_eq!((entry.id, entry.data["data"].as_str()), (Some(3), Some("Mw==")));
    assert_eq!(tail.expect("entry").id, Some(4));
    tail.expect("caught_up");
    let mut watch = resume("GET /v1/watch/trees/t", 4);
    assert_eq!(watch.expect("change").id, Some(5));
    let wrong = Request::new("GET /v1/watch/trees/t").header("Last-Event-ID", "last");
    wrong.send(node.address).refused(400, "invalid");
}

#[test]
fn d52_what_is_no_longer_kept_is_an_exact_gap() {
    let place = Place::new();
    let node = place.start();
    let described = r#"{"type":"diary","retention":{"entries_max":2}}"#;
    node.send("PUT /v1/collections/log", described).done();
    for number in 0..9u8 {
        node.send("POST /v1/diaries/log/entries", [number]).done();
    }
    let mut tail = Request::new("GET /v1/diaries/log/tail?from=1").open(node.address);
    let gap = tail.expect("gap");
    assert_eq!(gap.data["from"], 1);
    let next = gap.data["next"].as_u64().unwrap();
    assert_eq!(gap.id, Some(next - 1), "who resumes with this id goes on behind the gap");
    let entry = tail.expect("entry");
    assert_eq!(entry.id, Some(next));
}

#[test]
fn what_is_not_there_cannot_be_followed() {
    let place = Place::new();
    let node = place.start();
    node.call("GET /v1/watch/trees/t").refused(404, "not_found");
    node.call("GET /v1/diaries/log/tail").refused(404, "not_found");
    node.send("PUT /v1/trees/t/k", "v").done();
    node.call("GET /v1/diaries/t/tail").refused(400, "invalid");
    node.call("GET /v1/watch/trees/t?from=soon").refused(400, "invalid");
    node.call("GET /v1/watch/trees/t?until=5").refused(400, "invalid");
}
