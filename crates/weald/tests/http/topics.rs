//! Topics over HTTP.

use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use crate::{
    client::{Event, Open, Request},
    server::{Node, Place},
};

fn publish(node: &Node, body: &str) -> Value {
    node.send("POST /v1/topics/chat/messages", body).done().json()
}

fn subscribe(node: &Node, query: &str) -> Open {
    let open = Request::new(&format!("GET /v1/topics/chat/subscribe{query}")).open(node.address);
    assert_eq!(open.answer.status, 200);
    open
}

fn resume(node: &Node, last: u64) -> Open {
    let request = Request::new("GET /v1/topics/chat/subscribe?from=1");
    request.header("Last-Event-ID", last).open(node.address)
}

/// The position and the body of the next event, which is a message.
fn message(stream: &mut Open) -> (u64, String) {
    let Event { id, data, .. } = stream.expect("message");
    assert_eq!(id, data["position"].as_u64(), "the id of an event is its position");
    let body = STANDARD.decode(data["data"].as_str().unwrap()).unwrap();
    (id.unwrap(), String::from_utf8(body).unwrap())
}

#[test]
fn ps134_ps1706_d62_a_late_joiner_gets_the_history_then_catches_up_then_lives() {
    let place = Place::new();
    let node = place.start();
    let first = publish(&node, "m1");
    assert_eq!((&first["position"], &first["queued"]), (&1.into(), &false.into()));
    assert_eq!(first["publisher"], node.card["peer_id"], "the gateway's node publishes");
    for number in 2..=5 {
        let next = publish(&node, &format!("m{number}"));
        assert_eq!((&next["position"], &next["sequence"]), (&number.into(), &number.into()));
        assert_eq!(next["incarnation"], first["incarnation"]);
    }
    let mut late = subscribe(&node, "");
    assert_eq!(late.answer.header("content-type"), Some("text/event-stream"));
    let told = late.expect("message");
    assert_eq!((told.id, told.data["data"].as_str()), (Some(1), Some("bTE=")));
    for field in ["position", "id", "publisher", "sequence"] {
        assert_eq!(told.data[field], first[field], "{field}");
    }
    assert!(told.data["published_at"].as_u64().is_some_and(|time| time > 1 << 40));
    for number in 2..=5 {
        assert_eq!(message(&mut late), (number, format!("m{number}")));
    }
    let caught_up = late.expect("caught_up");
    assert_eq!((caught_up.id, &caught_up.data["next"]), (None, &6.into()));
    publish(&node, "m6");
    assert_eq!(message(&mut late), (6, "m6".to_owned()));
}

#[test]
fn ps1562_a_subscriber_resumes_behind_the_last_event_it_saw() {
    let place = Place::new();
    let node = place.start();
    for number in 1..=5 {
        publish(&node, &format!("m{number}"));
    }
    let mut stream = subscribe(&node, "?from=1");
    let seen: Vec<u64> = (0..3).map(|_| message(&mut stream).0).collect();
    assert_eq!(seen, [1, 2, 3]);
    drop(stream);
    let mut stream = resume(&node, 3);
    assert_eq!(message(&mut stream), (4, "m4".to_owned()));
    assert_eq!(message(&mut stream), (5, "m5".to_owned()));
    stream.expect("caught_up");
    let mut all_seen = resume(&node, 5);
    assert_eq!(all_seen.expect("caught_up").data["next"], 6);
    let mut live = subscribe(&node, "?from=now");
    live.expect("caught_up");
    let mut some = subscribe(&node, "?from=4");
    assert_eq!(message(&mut some).0, 4);
    publish(&node, "m6");
    for stream in [&mut stream, &mut all_seen, &mut live] {
        assert_eq!(message(stream), (6, "m6".to_owned()));
    }
}

#[test]
fn d62_a_batch_is_published_in_order_and_tells_what_became_of_each() {
    let place = Place::new();
    let node = place.start();
    let large = "x".repeat(20 * 1024);
    let lines = format!("m1\n{large}\nm2\n");
    let told = node.send("POST /v1/topics/chat/messages?batch=lines", lines).done().lines();
    assert_eq!((&told[0]["position"], &told[2]["position"]), (&1.into(), &2.into()));
    assert_eq!((&told[0]["sequence"], &told[2]["sequence"]), (&1.into(), &2.into()));
    assert_eq!(told[1]["error"]["status"], 413, "it is larger than the topic takes");
    let told = node.send("POST /v1/topics/chat/messages?batch=base64", "bTM=\nAAo=").done().lines();
    assert_eq!((told.len(), &told[1]["position"]), (2, &4.into()));
    let page = node.call("GET /v1/topics/chat/messages").done().lines();
    let bodies: Vec<_> = page.iter().map(|line| line["data"].as_str().unwrap()).collect();
    assert_eq!(bodies, ["bTE=", "bTI=", "bTM=", "AAo="]);
    for (query, body) in [("json", "m"), ("lines", ""), ("base64", "!")] {
        let line = format!("POST /v1/topics/chat/messages?batch={query}");
        node.send(&line, body).refused(400, "invalid");
    }
    let own = Request::new("POST /v1/topics/chat/messages?batch=lines");
    let own = own.header("Weald-Transaction-Id", "mine").body("m5\nm6").send(node.address);
    own.refused(400, "invalid");
    assert_eq!(node.call("GET /v1/topics/chat").done().json()["next"], 5);
}

#[test]
fn d63_d62_a_group_is_fetched_acknowledged_and_given_back_over_http() {
    let place = Place::new();
    let node = place.start();
    for number in 1..=4 {
        publish(&node, &format!("m{number}"));
    }
    let group = "/v1/topics/chat/groups/work%2Fers";
    node.call(&format!("GET {group}")).refused(404, "not_found");
    let fetch = |query: &str| node.send(&format!("POST {group}/fetch{query}"), "").done().lines();
    let given = fetch("?max=3&deadline_ms=60000");
    let positions = |given: &[Value]| -> Vec<_> {
        given.iter().map(|line| (line["position"].clone(), line["attempt"].clone())).collect()
    };
    let once = |position: u64| (Value::from(position), Value::from(1));
    assert_eq!(positions(&given), [once(1), once(2), once(3)]);
    assert_eq!(given[0]["data"], "bTE=");
    let say = |what: &str, body: &str| node.send(&format!("POST {group}/{what}"), body);
    let done = say("acknowledge", r#"{"positions": [1, 9]}"#).done().json();
    assert_eq!(done["settled"], serde_json::json!([true, false]));
    let back = say("return", r#"{"positions": [3]}"#).done().json();
    assert_eq!(back["settled"], serde_json::json!([true]));
    assert_eq!(positions(&fetch("")), [(3.into(), 2.into()), once(4)]);
    let state = node.call(&format!("GET {group}")).done().json();
    assert_eq!((&state["next"], state["given"].as_array().unwrap().len()), (&5.into(), 3));
    assert_eq!(say("bury", r#"{"positions": [3]}"#).done().json()["settled"][0], false);
    for (what, body) in [("acknowledge", ""), ("return", "[1]"), ("bury", r#"{"at": [1]}"#)] {
        say(what, body).refused(400, "invalid");
    }
    node.send("POST /v1/topics/none/groups/g/fetch", "").refused(404, "not_found");
}

#[test]
fn d63_d62_a_group_is_streamed_as_far_as_it_is_acknowledged_and_given_to_others_at_the_end() {
    let place = Place::new();
    let node = place.start();
    for number in 1..=5 {
        publish(&node, &format!("m{number}"));
    }
    let group = "/v1/topics/chat/groups/work%2Fers";
    let state = || node.call(&format!("GET {group}")).done().json();
    let acknowledge = |positions: &[u64]| {
        let body = serde_json::json!({ "positions": positions }).to_string();
        let settled = node.send(&format!("POST {group}/acknowledge"), body).done().json();
        assert_eq!(settled["settled"], serde_json::json!(vec![true; positions.len()]));
    };
    let mut stream = subscribe(&node, "?group=work%2Fers&max=2&deadline_ms=600000");
    let given = |stream: &mut Open| {
        let Event { id, data, .. } = stream.expect("message");
        assert_eq!(id, None, "what a client has seen says nothing about its group");
        (data["position"].as_u64().unwrap(), data["attempt"].as_u64().unwrap())
    };
    assert_eq!([given(&mut stream), given(&mut stream)], [(1, 1), (2, 1)]);
    assert_eq!((&state()["next"], state()["given"].as_array().unwrap().len()), (&3.into(), 2));
    // One is done, so one more comes; nothing is given twice.
    acknowledge(&[1]);
    assert_eq!(given(&mut stream), (3, 1));
    assert_eq!((&state()["next"], state()["given"].as_array().unwrap().len()), (&4.into(), 2));
    acknowledge(&[3, 2]);
    assert_eq!([given(&mut stream), given(&mut stream)], [(4, 1), (5, 1)]);
    acknowledge(&[4]);
    // What is left is another's once the stream has ended, long before its deadline.
    drop(stream);
    let patience = Instant::now() + Duration::from_secs(30);
    let again = loop {
        let fetch = format!("POST {group}/fetch?deadline_ms=600000");
        let given = node.send(&fetch, "").done().lines();
        if let Some(again) = given.into_iter().find(|given| given["position"] == 5) {
            break again;
        }
        assert!(Instant::now() < patience, "the stream is still there");
        // The node learns that a client is gone when it next says something to it.
        publish(&node, "more");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(again["attempt"], 2);
}

#[test]
fn a_groups_stream_refuses_what_says_where_a_client_is_and_tells_why() {
    let place = Place::new();
    let node = place.start();
    publish(&node, "m1");
    let call = |query: &str| node.call(&format!("GET /v1/topics/chat/subscribe?{query}"));
    for query in ["group=g&durable=d", "group=g&from=now", "group=g&from=1"] {
        let problem = call(query).refused(400, "invalid");
        assert!(problem["detail"].as_str().unwrap().contains("group"), "{problem}");
        assert!(problem["next"].as_str().unwrap().contains("leave it out"), "{problem}");
    }
    let resumed = Request::new("GET /v1/topics/chat/subscribe?group=g").header("Last-Event-ID", 1);
    resumed.send(node.address).refused(400, "invalid");
    for query in ["max=3", "deadline_ms=500", "group=g&max=x", "group=g&deadline_ms=0"] {
        call(query).refused(400, "invalid");
    }
    for query in ["group=", &format!("group={}", "x".repeat(65))] {
        call(query).refused(400, "invalid");
    }
    node.call("GET /v1/topics/chat/groups/g").refused(404, "not_found");
    node.call("GET /v1/topics/none/subscribe?group=g").refused(404, "not_found");
}

#[test]
fn what_has_expired_is_an_exact_gap() {
    let place = Place::new();
    let node = place.start();
    for number in 1..=3 {
        let line = "POST /v1/topics/chat/messages?expires_in_ms=2000";
        node.send(line, format!("m{number}")).done();
    }
    publish(&node, "m4");
    let patience = Instant::now() + Duration::from_secs(30);
    loop {
        let lines = node.call("GET /v1/topics/chat/messages").done().lines();
        if lines.len() == 2 {
            assert_eq!(lines[0]["gap"]["from"], 1);
            assert_eq!(lines[0]["gap"]["next"], 4);
            assert_eq!(lines[1]["position"], 4);
            break;
        }
        assert!(Instant::now() < patience, "{lines:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
    // The log's time decides what is delivered, and a publish moves it on.
    publish(&node, "m5");
    let mut late = subscribe(&node, "");
    let gap = late.expect("gap");
    assert_eq!((&gap.data["from"], &gap.data["next"]), (&1.into(), &4.into()));
    assert_eq!(gap.id, Some(3), "who resumes with this id goes on behind the gap");
    assert_eq!(message(&mut late), (4, "m4".to_owned()));
    assert_eq!(message(&mut late), (5, "m5".to_owned()));
    late.expect("caught_up");
}

#[test]
fn messages_are_read_in_pages() {
    let place = Place::new();
    let node = place.start();
    for number in 1..=7 {
        publish(&node, &format!("m{number}"));
    }
    let page = |query: &str| {
        let answer = node.call(&format!("GET /v1/topics/chat/messages{query}")).done();
        let next = answer.header("weald-next").map(str::to_owned);
        let positions = answer.lines().into_iter().map(|line| line["position"].as_u64().unwrap());
        (positions.collect::<Vec<_>>(), next)
    };
    assert_eq!(page(""), ((1..=7).collect(), None));
    assert_eq!(page("?limit=3"), (vec![1, 2, 3], Some("4".into())));
    assert_eq!(page("?limit=3&page=4"), (vec![4, 5, 6], Some("7".into())));
    assert_eq!(page("?limit=3&page=7"), (vec![7], None));
    assert_eq!(page("?from=6"), (vec![6, 7], None));
    assert_eq!(page("?from=8"), (vec![], None));
    assert_eq!(page("?from=0&limit=1&consistency=local"), (vec![1], Some("2".into())));
}

#[test]
fn ps1683_ps1686_a_topic_tells_its_head_and_its_past() {
    let place = Place::new();
    let node = place.start();
    for number in 1..=20 {
        publish(&node, &format!("m{number}"));
    }
    let stream = subscribe(&node, "?from=now");
    let patience = Instant::now() + Duration::from_secs(30);
    let head = loop {
        let head = node.call("GET /v1/topics/chat").done().json();
        if head["subscribers"]["count"] == 1 {
            break head;
        }
        assert!(Instant::now() < patience, "{head}");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!((&head["state"], &head["next"]), (&"active".into(), &21.into()));
    let messages = &head["messages"];
    assert_eq!((&messages["count"], &messages["version"]), (&20.into(), &20.into()));
    assert_eq!(messages["root"].as_str().unwrap().len(), 64);
    assert_eq!(head["policy"]["publishers"], "anyone");
    assert_eq!(head["policy"]["body_bytes_max"], 10 * 1024);
    let lease = &head["subscriptions"][0];
    assert_eq!((&lease["peer_id"], &lease["live"]), (&node.card["peer_id"], &true.into()));
    drop(stream);
    let lineage = node.call("GET /v1/topics/chat/lineage").done().json();
    let versions = lineage["messages"].as_array().unwrap();
    assert_eq!(versions.last().unwrap()["root"], messages["root"]);
    let numbers: Vec<u64> =
        versions.iter().map(|entry| entry["version"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=20).collect::<Vec<_>>());
    assert_eq!(lineage["snapshots"].as_array().unwrap().len(), 1);
    let recent = node.call("GET /v1/topics/chat/lineage?depth=0").done().json();
    assert_eq!(recent["snapshots"].as_array().unwrap().len(), 0);
    assert!(recent["messages"].as_array().unwrap().len() < 20);
}

#[test]
fn a_name_is_any_text_and_stays_in_the_path() {
    let place = Place::new();
    let node = place.start();
    node.send("POST /v1/topics/team%2Fgr%C3%BC%C3%9Fe%2F%2F/messages", "hello").done();
    let lines = node.call("GET /v1/topics/team%2Fgr%C3%BC%C3%9Fe%2F%2F/messages").done().lines();
    assert_eq!(lines[0]["data"], "aGVsbG8=");
    node.call("GET /v1/topics/team").refused(404, "not_found");
    let problem = node.call("GET /v1/topics/team/chat").refused(400, "invalid");
    assert!(problem["next"].as_str().unwrap().contains("%2F"), "{problem}");
    let listed = node.call("GET /v1/collections").done();
    assert!(!listed.text().contains("team"), "nodes know a digest of the name");
}

#[test]
fn ps299_what_is_wrong_is_told_and_publishes_nothing() {
    let place = Place::new();
    let node = place.start();
    for what in ["", "/messages", "/subscribe", "/lineage"] {
        node.call(&format!("GET /v1/topics/chat{what}")).refused(404, "not_found");
    }
    publish(&node, "m1");
    let large = vec![b'x'; 10 * 1024 + 1];
    node.send("POST /v1/topics/chat/messages", large).refused(413, "invalid");
    node.send("POST /v1/topics/chat/messages", vec![b'x'; (1 << 20) + 1]).refused(413, "too_large");
    let long = "x".repeat(129);
    let own = Request::new("POST /v1/topics/chat/messages").header("Weald-Transaction-Id", long);
    own.body("m2").send(node.address).refused(400, "invalid");
    for query in ["expires_in_ms=soon", "ttl=5"] {
        let line = format!("POST /v1/topics/chat/messages?{query}");
        node.send(&line, "m2").refused(400, "invalid");
    }
    for line in [
        "subscribe?from=soon",
        "subscribe?from=-1",
        "subscribe?from=3",
        "subscribe?until=5",
        "messages?from=x",
        "messages?limit=0",
        "lineage?depth=33",
        "lineage?depth=x",
    ] {
        node.call(&format!("GET /v1/topics/chat/{line}")).refused(400, "invalid");
    }
    let ahead = Request::new("GET /v1/topics/chat/subscribe").header("Last-Event-ID", 2);
    ahead.send(node.address).refused(400, "invalid");
    node.call("DELETE /v1/topics/chat").refused(405, "method");
    let head = node.call("GET /v1/topics/chat").done().json();
    assert_eq!((&head["next"], &head["messages"]["count"]), (&2.into(), &1.into()));
}

#[test]
fn ps558_a_publish_repeated_under_its_id_has_the_first_result_and_no_second_position() {
    let place = Place::new();
    let node = place.start();
    let own = |id: &str, body: &str| {
        let request = Request::new("POST /v1/topics/chat/messages");
        request.header("Weald-Transaction-Id", id).body(body).send(node.address)
    };
    publish(&node, "m1");
    let first = own("mine", "m2").done().json();
    assert_eq!((&first["position"], &first["queued"]), (&2.into(), &false.into()));
    assert_eq!(own("mine", "m2").done().json(), first);
    own("mine", "another").refused(409, "identity");
    assert_eq!(own("yours", "m2").done().json()["position"], 3);
    assert_eq!(own("mine", "m2").done().json(), first);
    let head = node.call("GET /v1/topics/chat").done().json();
    assert_eq!((&head["next"], &head["messages"]["count"]), (&4.into(), &3.into()));
}

#[test]
fn a_topic_outlives_its_node() {
    let place = Place::new();
    let node = place.start();
    publish(&node, "m1");
    let mut stream = subscribe(&node, "");
    assert_eq!(message(&mut stream).0, 1);
    node.kill();
    let node = place.start();
    let second = publish(&node, "m2");
    assert_eq!(second["position"], 2);
    let mut stream = resume(&node, 1);
    assert_eq!(message(&mut stream), (2, "m2".to_owned()));
}

#[test]
fn d62_a_topic_is_made_under_rules_of_the_callers() {
    let place = Place::new();
    let node = place.start();
    let make = |name: &str, body: &str| node.send(&format!("PUT /v1/topics/{name}"), body);
    let rules = r#"{"availability": "available", "messages_max": 2, "strict": true}"#;
    let told = make("few", rules).done().json();
    assert_eq!(make("few", rules).done().json(), told, "it is there as it is asked for");
    let policy = node.call("GET /v1/topics/few").done().json()["policy"].clone();
    assert_eq!(policy, told["policy"]);
    let field = |name: &str| policy[name].clone();
    assert_eq!((field("availability"), field("strict")), ("available".into(), true.into()));
    assert_eq!((field("messages_max"), field("body_bytes_max")), (2.into(), (10 * 1024).into()));
    for number in 1..=4 {
        node.send("POST /v1/topics/few/messages", format!("m{number}")).done();
    }
    let lines = node.call("GET /v1/topics/few/messages").done().lines();
    assert_eq!((&lines[0]["gap"]["next"], &lines[1]["position"]), (&3.into(), &3.into()));
    for other in ["", "{}", r#"{"messages_max": 3}"#] {
        make("few", other).refused(409, "already_exists");
    }
    publish(&node, "m1");
    make("chat", "").done();
    make("chat", rules).refused(409, "already_exists");
    for wrong in ["1", r#"{"availability": "always"}"#, r#"{"messages_max": 0}"#, r#"{"ttl": 1}"#] {
        make("none", wrong).refused(400, "invalid");
    }
    node.call("GET /v1/topics/none").refused(404, "not_found");
}
