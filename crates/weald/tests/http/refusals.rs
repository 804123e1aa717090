//! Whatever is wrong with a request is told, and nothing happens.

use std::{fs, path::Path};

use crate::{
    client::Request,
    server::{Node, Place},
};

#[test]
fn d68_malformed_requests_are_refused() {
    let place = Place::new();
    let node = place.start();
    node.send("PUT /v1/trees/t/a", "0").done();
    for line in [
        "GET /v1/trees/t/%4",
        "GET /v1/trees/t/%zz",
        "GET /v1/trees/%ff/a",
        "GET /v1/trees/a%2F%2Fb/a",
        "GET /v1/trees/t/a?consistency=weak",
        "GET /v1/trees/t/a?max_staleness_ms=5",
        "GET /v1/trees/t/a?fresh=true",
        "GET /v1/trees/t?limit=0",
        "GET /v1/trees/t?limit=many",
        "GET /v1/trees/t?limit=1&limit=2",
        "GET /v1/trees/t?page=x",
        "GET /v1/trees/t?from=%",
        "GET /v1/trees/t?reverse=perhaps",
        "GET /v1/diaries/t/entries",
        "GET /v1/status?verbose=1",
        "GET /v1/nothing",
        "GET /",
        "PUT /v1/trees/t/a?ttl=5",
    ] {
        node.call(line).refused(400, "invalid");
    }
    for line in ["POST /v1/trees/t/a", "DELETE /v1/trees/t", "PUT /v1/status", "POST /healthz"] {
        node.call(line).refused(405, "method");
    }
    assert_eq!(node.call("GET /v1/trees/t/a").done().text(), "0");
}

#[test]
fn values_and_keys_that_are_too_large_are_refused() {
    let place = Place::new();
    let node = place.start();
    let most = vec![b'x'; 1 << 20];
    node.send("PUT /v1/trees/t/a", most.clone()).done();
    assert_eq!(node.call("GET /v1/trees/t/a").done().body, most);
    node.send("PUT /v1/trees/t/a", vec![b'x'; (1 << 20) + 1]).refused(413, "too_large");
    node.send("POST /v1/diaries/d/entries", vec![b'x'; (1 << 20) + 1]).refused(413, "too_large");
    let huge = Request::new("PUT /v1/trees/t/a").header("Content-Length", 1u64 << 40);
    huge.send(node.address).refused(413, "too_large");
    let key = "k".repeat(2000);
    let refused = node.send(&format!("PUT /v1/trees/t/{key}"), "v");
    assert!([400, 413].contains(&refused.status), "{refused:?}");
    let name = "n".repeat(600);
    node.send(&format!("PUT /v1/trees/{name}/k"), "v").refused(400, "invalid");
}

#[test]
fn another_type_is_not_absence() {
    let place = Place::new();
    let node = place.start();
    node.send("PUT /v1/trees/c/a", "0").done();
    let refused = node.send("POST /v1/diaries/c/entries", "x");
    assert_eq!(refused.status, 400, "{refused:?}");
    node.send("PUT /v1/collections/c", "{\"type\":\"diary\"}").refused(400, "invalid");
    node.send("PUT /v1/collections/d", "{\"type\":\"queue\"}").refused(400, "invalid");
    node.send("PUT /v1/collections/d", "{\"type\":\"tree\",\"ttl\":1}").refused(400, "invalid");
}

#[test]
fn pages_of_other_hosts_are_kept_out() {
    let place = Place::new();
    let node = place.start();
    let call = |name: &str, value: &str| {
        Request::new("GET /v1/status").header(name, value).send(node.address)
    };
    call("Host", "evil.example").refused(403, "forbidden");
    call("Origin", "http://evil.example").refused(403, "forbidden");
    call("Origin", "http://localhost:3000").done();
}

#[test]
fn a_token_is_demanded_where_others_could_call() {
    let place = Place::new();
    let open = place.command(&["node", "--http", "0.0.0.0:0"]).output().unwrap();
    assert_eq!(open.status.code(), Some(2), "{open:?}");
    assert!(String::from_utf8_lossy(&open.stderr).contains("token"), "{open:?}");
    fs::write(place.path("token"), "hush\n").unwrap();
    let token = place.path("token").display().to_string();
    let node = Node::start(place.command(&["--json", "node", "--token-file", &token]));
    node.call("GET /v1/status").refused(401, "unauthorized");
    node.call("GET /metrics").refused(401, "unauthorized");
    node.call("GET /v1/nothing").refused(401, "unauthorized");
    node.call("GET /healthz").done();
    node.call("GET /readyz").done();
    let call = |value: &str| {
        Request::new("GET /v1/status").header("Authorization", value).send(node.address)
    };
    call("Bearer hush").done();
    call("Bearer hus").refused(401, "unauthorized");
    call("Basic hush").refused(401, "unauthorized");
}

/// What is in all files below this folder.
fn contents(folder: &Path) -> Vec<Vec<u8>> {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    files
        .flat_map(
            |path| if path.is_dir() { contents(&path) } else { vec![fs::read(path).unwrap()] },
        )
        .collect()
}

#[test]
fn ps1224_a_node_keeps_no_token_whether_it_was_right_or_wrong() {
    let place = Place::new();
    fs::write(place.path("token"), "the-right-token\n").unwrap();
    let token = place.path("token").display().to_string();
    let node = Node::start(place.command(&["--json", "node", "--token-file", &token]));
    let put = |bearer: &str, value: &str| {
        let request = Request::new("PUT /v1/trees/t/a").header("Authorization", bearer);
        request.body(value.as_bytes().to_vec()).send(node.address)
    };
    put("Bearer the-right-token", "this-is-kept").done();
    put("Bearer some-wrong-token", "this-is-not").refused(401, "unauthorized");
    node.stop();
    let kept = contents(&place.data());
    let holds = |text: &str| {
        kept.iter().any(|file| file.windows(text.len()).any(|part| part == text.as_bytes()))
    };
    assert!(holds("this-is-kept"), "what is kept is found");
    for text in ["this-is-not", "the-right-token", "some-wrong-token"] {
        assert!(!holds(text), "{text} is kept");
    }
}
