//! Trees over HTTP.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{client::Request, server::Place};

#[test]
fn d62_a_value_is_written_read_and_deleted_as_raw_bytes() {
    let place = Place::new();
    let node = place.start();
    let put = node.send("PUT /v1/trees/stock/apples", [0u8, 255, 10]).done();
    assert_eq!(put.json()["revision"], put.revision());
    assert_eq!(put.json()["replaced"], serde_json::Value::Null);
    let got = node.call("GET /v1/trees/stock/apples").done();
    assert_eq!(got.body, [0, 255, 10]);
    assert_eq!(got.revision(), put.revision());
    assert_eq!(got.header("content-type"), Some("application/octet-stream"));
    let again = node.send("PUT /v1/trees/stock/apples", "4").done();
    assert_eq!(again.json()["replaced"], put.revision());
    let deleted = node.call("DELETE /v1/trees/stock/apples").done();
    assert_eq!(deleted.json()["replaced"], again.revision());
    let gone = node.call("GET /v1/trees/stock/apples");
    assert!(gone.header("weald-position").is_some(), "{gone:?}");
    gone.refused(404, "not_found");
    let nothing = node.call("DELETE /v1/trees/stock/apples").done();
    assert_eq!(nothing.json()["replaced"], serde_json::Value::Null);
}

#[test]
fn a_write_makes_the_tree_and_a_read_does_not() {
    let place = Place::new();
    let node = place.start();
    node.call("GET /v1/trees/stock/apples").refused(404, "not_found");
    node.call("GET /v1/trees/stock").refused(404, "not_found");
    node.call("DELETE /v1/trees/stock/apples").refused(404, "not_found");
    let listed = node.call("GET /v1/collections").done().json();
    assert_eq!(listed["collections"].as_array().unwrap().len(), 0, "asking makes nothing");
    node.send("PUT /v1/trees/stock/apples", "3").done();
    assert_eq!(node.call("GET /v1/trees/stock/apples").done().text(), "3");
    node.call("GET /v1/trees/stock/pears").refused(404, "not_found");
}

#[test]
fn names_and_keys_are_any_bytes_percent_encoded() {
    let place = Place::new();
    let node = place.start();
    node.send("PUT /v1/trees/shop%2Fst%C3%B6ck/a%2Fb%00%FF", "1").done();
    node.send("PUT /v1/trees/shop%2Fst%C3%B6ck/", "empty key").done();
    assert_eq!(node.call("GET /v1/trees/shop%2fst%c3%b6ck/a%2fb%00%ff").done().text(), "1");
    assert_eq!(node.call("GET /v1/trees/shop%2Fst%C3%B6ck/").done().text(), "empty key");
    let lines = node.call("GET /v1/trees/shop%2Fst%C3%B6ck").done().lines();
    let keys: Vec<&str> = lines.iter().map(|line| line["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["", "a%2Fb%00%FF"]);
    let listed = node.call("GET /v1/collections").done().json();
    assert_eq!(listed["collections"][0]["name"], "shop%2Fst%C3%B6ck");
    let raw = node.call("GET /v1/trees/shop/stock/apples").refused(400, "invalid");
    assert!(raw["next"].as_str().unwrap().contains("%2F"), "{raw}");
}

#[test]
fn conditions_hold_or_nothing_happens() {
    let place = Place::new();
    let node = place.start();
    let put = |header: &str, value: &str, body: &str| {
        let put = Request::new("PUT /v1/trees/stock/apples").header(header, value);
        put.body(body).send(node.address)
    };
    put("If-Match", "7", "x").refused(412, "conflict");
    assert_eq!(node.call("GET /v1/status").json()["collections"], 0, "a failed condition makes none");
    let first = put("If-None-Match", "*", "1").done().revision();
    put("If-None-Match", "*", "2").refused(412, "already_exists");
    let second = put("If-Match", &first.to_string(), "2").done().revision();
    let refused = put("If-Match", &first.to_string(), "3").refused(412, "conflict");
    assert_eq!(refused["outcome"], "rejected");
    put("If-Match", &format!("\"{second}\""), "3").done();
    put("If-Match", "*", "4").done();
    assert_eq!(node.call("GET /v1/trees/stock/apples").done().text(), "4");
    put("If-Match", "soon", "5").refused(400, "invalid");
    put("If-None-Match", "7", "5").refused(400, "invalid");
    let delete = |revision: u64| {
        let delete = Request::new("DELETE /v1/trees/stock/apples");
        delete.header("If-Match", revision).send(node.address)
    };
    delete(second).refused(412, "conflict");
    let last = node.call("GET /v1/trees/stock/apples").done().revision();
    delete(last).done();
    delete(last).refused(412, "conflict");
}

#[test]
fn a_range_comes_as_lines_and_pages() {
    let place = Place::new();
    let node = place.start();
    for number in 10..35 {
        node.send(&format!("PUT /v1/trees/t/k{number}"), format!("v{number}")).done();
    }
    let keys = |query: &str| {
        let answer = node.call(&format!("GET /v1/trees/t{query}")).done();
        let keys: Vec<String> = answer
            .lines()
            .iter()
            .map(|line| line["key"].as_str().unwrap().to_owned())
            .collect();
        (keys, answer.header("weald-next").map(str::to_owned))
    };
    let all: Vec<String> = (10..35).map(|number| format!("k{number}")).collect();
    assert_eq!(keys(""), (all.clone(), None));
    assert_eq!(keys("?from=k12&to=k14").0, ["k12", "k13"]);
    assert_eq!(keys("?from=k14&to=k12"), (vec![], None));
    assert_eq!(keys("?to=k12&reverse=true").0, ["k11", "k10"]);
    for order in ["", "&reverse=true"] {
        let (mut found, mut page) = (Vec::new(), String::new());
        loop {
            let (keys, next) = keys(&format!("?limit=10{order}{page}"));
            assert!(keys.len() <= 10);
            found.extend(keys);
            let Some(next) = next else { break };
            page = format!("&page={next}");
        }
        if !order.is_empty() {
            found.reverse();
        }
        assert_eq!(found, all, "{order}");
    }
    let lines = node.call("GET /v1/trees/t?limit=1").done();
    assert_eq!(lines.header("content-type"), Some("application/x-ndjson"));
    let line = &lines.lines()[0];
    assert_eq!(STANDARD.decode(line["value"].as_str().unwrap()).unwrap(), b"v10");
    let entry = node.call("GET /v1/trees/t/k10").done().revision();
    assert_eq!(line["revision"], entry);
    assert!(lines.revision() > entry, "the page tells the tree's own revision");
}

#[test]
fn a_position_sent_back_is_read_from_at_least() {
    let place = Place::new();
    let node = place.start();
    let put = node.send("PUT /v1/trees/stock/apples", "3").done();
    let position = put.header("weald-position").unwrap().to_owned();
    let read = |position: &str| {
        let get = Request::new("GET /v1/trees/stock/apples");
        get.header("Weald-Position", position).send(node.address)
    };
    let got = read(&position).done();
    let index = |text: &str| text.split_once('.').unwrap().1.parse::<u64>().unwrap();
    assert!(index(got.header("weald-position").unwrap()) >= index(&position));
    let behind = read("0.4000000").refused(503, "behind");
    assert_eq!(behind["retryable"], true);
    read("here").refused(400, "invalid");
    read("7.1").refused(400, "invalid");
    for consistency in ["linearizable", "local", "stale", "stale&max_staleness_ms=50"] {
        let line = format!("GET /v1/trees/stock/apples?consistency={consistency}");
        assert_eq!(node.call(&line).done().text(), "3");
    }
}
