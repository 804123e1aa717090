//! Durable cursors over HTTP: a stream tells, calls acknowledge.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    client::{Answer, Open, Request},
    server::{Node, Place},
};

const CURSOR: &str = "/v1/topics/chat/cursors/work%2Fer";

fn publish(node: &Node, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        node.send("POST /v1/topics/chat/messages", format!("m{number}")).done();
    }
}

fn subscribe(node: &Node, query: &str) -> Open {
    let line = format!("GET /v1/topics/chat/subscribe?durable=work%2Fer{query}");
    let open = Request::new(&line).open(node.address);
    assert_eq!(open.answer.status, 200);
    open
}

/// The positions of the next messages.
fn told(stream: &mut Open, count: usize) -> Vec<u64> {
    (0..count).map(|_| stream.expect("message").data["position"].as_u64().unwrap()).collect()
}

fn acknowledge(node: &Node, position: u64) -> Answer {
    node.send(&format!("POST {CURSOR}"), json!({ "position": position }).to_string())
}

fn position(answer: Answer) -> Value {
    answer.done().json()["position"].clone()
}

fn kept(node: &Node) -> Value {
    position(node.call(&format!("GET {CURSOR}")))
}

#[test]
fn ps1562_ps1740_d62_a_client_acknowledges_by_calls_and_goes_on_behind_its_cursor() {
    let place = Place::new();
    let node = place.start();
    publish(&node, 1..=5);
    let mut stream = subscribe(&node, "");
    assert_eq!(told(&mut stream, 3), [1, 2, 3]);
    assert_eq!(position(acknowledge(&node, 2)), 2);
    assert_eq!(position(acknowledge(&node, 1)), 2, "a cursor never goes back");
    assert_eq!(kept(&node), 2);
    drop(stream);
    let mut stream = subscribe(&node, "&from=now");
    assert_eq!(told(&mut stream, 3), [3, 4, 5], "where the cursor is counts, not `from`");
    stream.expect("caught_up");
    drop(stream);
    assert_eq!(position(acknowledge(&node, 4)), 4, "it was told, by a stream that has ended");
    node.kill();
    let node = place.start();
    assert_eq!(kept(&node), 4);
    assert_eq!(position(acknowledge(&node, 3)), 4);
    let problem = acknowledge(&node, 5).refused(409, "not_told");
    assert!(problem["next"].as_str().unwrap().contains("durable"), "{problem}");
    let request = Request::new("GET /v1/topics/chat/subscribe?durable=work%2Fer");
    let mut stream = request.header("Last-Event-ID", 1).open(node.address);
    assert_eq!(told(&mut stream, 1), [5]);
    assert_eq!(position(acknowledge(&node, 5)), 5);
}

#[test]
fn d62_a_cursor_is_refused_what_was_not_told_and_is_forgotten() {
    let place = Place::new();
    let node = place.start();
    node.call(&format!("GET {CURSOR}")).refused(404, "not_found");
    publish(&node, 1..=3);
    for method in ["GET", "DELETE"] {
        node.call(&format!("{method} {CURSOR}")).refused(404, "not_found");
    }
    acknowledge(&node, 1).refused(404, "not_found");
    let mut stream = subscribe(&node, "&from=2");
    assert_eq!(told(&mut stream, 2), [2, 3], "nothing is kept under the name yet");
    let problem = acknowledge(&node, 4).refused(409, "not_told");
    assert_eq!((&problem["retryable"], &problem["outcome"]), (&false.into(), &"rejected".into()));
    node.call(&format!("GET {CURSOR}")).refused(404, "not_found");
    assert_eq!(position(acknowledge(&node, 3)), 3);
    node.call(&format!("DELETE {CURSOR}")).refused(409, "conflict");
    drop(stream);
    let patience = Instant::now() + Duration::from_secs(30);
    // The node learns that a client is gone when it next says something to it.
    while node.call(&format!("DELETE {CURSOR}")).status != 200 {
        assert!(Instant::now() < patience, "the stream is still there");
        node.send("POST /v1/topics/chat/messages", "more").done();
        std::thread::sleep(Duration::from_millis(50));
    }
    node.call(&format!("GET {CURSOR}")).refused(404, "not_found");
    assert_eq!(told(&mut subscribe(&node, ""), 1), [1], "it begins again");
}

#[test]
fn a_cursor_has_a_name_and_a_body_names_a_position() {
    let place = Place::new();
    let node = place.start();
    publish(&node, 1..=1);
    let long = "x".repeat(129);
    for name in [long.as_str(), "%ff"] {
        let path = format!("/v1/topics/chat/cursors/{name}");
        for method in ["GET", "DELETE"] {
            node.call(&format!("{method} {path}")).refused(400, "invalid");
        }
        node.send(&format!("POST {path}"), r#"{"position": 1}"#).refused(400, "invalid");
        let line = format!("GET /v1/topics/chat/subscribe?durable={name}");
        node.call(&line).refused(400, "invalid");
    }
    node.call("GET /v1/topics/chat/subscribe?durable=").refused(400, "invalid");
    for body in ["", "1", "{}", r#"{"position": "1"}"#, r#"{"position": 1, "at": 1}"#] {
        node.send(&format!("POST {CURSOR}"), body).refused(400, "invalid");
    }
    node.call(&format!("GET {CURSOR}?consistency=local")).refused(400, "invalid");
    node.call(&format!("PUT {CURSOR}")).refused(405, "method");
    node.call("GET /v1/topics/none/cursors/c").refused(404, "not_found");
}
