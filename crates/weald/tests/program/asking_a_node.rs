//! Every verb answers the same whether it opens a directory or asks a node.

use serde_json::Value;

use crate::{
    node::Node,
    program::{Ended, Place},
};

/// What is the same on both sides: lines of JSON without ids and times, other lines as they are.
fn comparable(text: &str) -> Vec<String> {
    let line = |line: &str| match serde_json::from_str::<Value>(line) {
        Ok(Value::Object(mut object)) => {
            for different in ["transaction", "time_ms", "log_time_ms", "coordinator", "members"] {
                object.remove(different);
            }
            Value::Object(object).to_string()
        }
        _ => line.to_owned(),
    };
    text.lines().map(line).collect()
}

/// What is asked of both, in this order.
const VERBS: &[&[&str]] = &[
    &["tree", "put", "shop/stock", "a b/ö", "12"],
    &["--json", "tree", "put", "shop/stock", "a b/ö", "12"],
    &["tree", "put", "shop/stock", "empty", ""],
    &["tree", "put", "shop/stock", "c", "1", "--expect", "absent"],
    &["tree", "put", "shop/stock", "none", "1", "--expect", "present"],
    &["tree", "put", "shop/stock", "c", "1", "--expect", "9999"],
    &["tree", "put", "shop/stock", "ff00", "7", "--hex"],
    &["tree", "put", "a//b", "k", "v"],
    &["tree", "get", "shop/stock", "a b/ö"],
    &["--json", "tree", "get", "shop/stock", "a b/ö"],
    &["tree", "get", "shop/stock", "ff00", "--hex"],
    &["tree", "get", "shop/stock", "none"],
    &["tree", "get", "none", "none"],
    &["tree", "scan", "shop/stock"],
    &["--json", "tree", "scan", "shop/stock"],
    &["tree", "scan", "shop/stock", "--reverse", "--limit", "2"],
    &["tree", "scan", "shop/stock", "--prefix", "a"],
    &["tree", "scan", "shop/stock", "--from", "b", "--to", "d", "--keys-only"],
    &["tree", "scan", "shop/stock", "--limit", "0"],
    &["tree", "scan", "none"],
    &["tree", "scan", "none", "--limit", "0"],
    &["tree", "watch", "shop/stock", "--until-caught-up"],
    &["--json", "tree", "watch", "shop/stock", "--until-caught-up"],
    &["tree", "watch", "shop/stock", "--from", "3", "--limit", "1"],
    &["tree", "watch", "none"],
    &["diary", "append", "log", "one"],
    &["diary", "append", "log", "two", "--expect", "empty"],
    &["diary", "append", "log", "two", "--expect", "exists"],
    &["diary", "append", "shop/stock", "two"],
    &["diary", "read", "log"],
    &["--json", "diary", "read", "log"],
    &["diary", "read", "log", "--from", "1", "--limit", "1"],
    &["diary", "read", "log", "--reverse"],
    &["diary", "read", "none"],
    &["diary", "tail", "log", "--until-caught-up"],
    &["--json", "diary", "tail", "log", "--until-caught-up"],
    &["diary", "tail", "log", "--from", "1", "--limit", "1"],
    &["diary", "tail", "none"],
    &["tree", "del", "shop/stock", "c"],
    &["tree", "del", "shop/stock", "none"],
    &["tree", "del", "none", "none"],
    &["resolve", "0000000000000001-00000000000000000000000000000002"],
    &["--json", "resolve", "0000000000000001-00000000000000000000000000000002"],
    &["resolve", "7"],
    &["collections"],
    &["--json", "collections"],
    &["export"],
    &["export", "none"],
    &["peers"],
    &["leader", "7"],
    &["transfer", "0", "--to", "me"],
    &["drain"],
];

#[test]
fn every_verb_answers_the_same_from_a_directory_and_from_a_node() {
    let (here, there) = (Place::new(), Place::new());
    let node = Node::start(&there);
    let check = |arguments: &[&str], input: &[u8]| {
        let local = here.run_with(arguments, input);
        let remote = node.run(&there, arguments, input);
        assert_eq!(local.code, remote.code, "{arguments:?} {local:?} {remote:?}");
        assert_eq!(
            comparable(&local.stdout),
            comparable(&remote.stdout),
            "{arguments:?} {local:?} {remote:?}"
        );
        assert_eq!(local.stderr.is_empty(), remote.stderr.is_empty(), "{local:?} {remote:?}");
    };
    for arguments in VERBS {
        check(arguments, b"");
    }
    check(&["diary", "append", "lines", "--lines", "-"], b"a\nb\r\n\nc\n");
    check(&["tree", "put", "shop/stock", "big", "-"], &[b'x'; 100_000]);
    check(&["tree", "put", "shop/stock", "huge", "-"], &[b'x'; 3 << 20]);
    check(&["tree", "get", "shop/stock", "big"], b"");
    let verified = node.run(&there, &["--json", "verify"], b"");
    assert_eq!(verified.code, 0, "{verified:?}");
    let status = node.run(&there, &["status"], b"");
    assert!(status.stdout.contains(&node.url), "{status:?}");
    assert!(status.stdout.contains("voters        1 of 3, of which 1 must be up"), "{status:?}");
}

#[test]
fn what_became_of_a_write_is_told_by_its_id() {
    let place = Place::new();
    let put = place.json(&["tree", "put", "t", "k", "v"]);
    let id = put[0]["transaction"].as_str().unwrap();
    assert_eq!(place.prints(&["resolve", id]), format!("{id}: committed\n"));
    let there = Place::new();
    let node = Node::start(&there);
    let put = node.run(&place, &["--json", "tree", "put", "t", "k", "v"], b"");
    let put: Value = serde_json::from_str(&put.stdout).unwrap();
    let id = put["transaction"].as_str().unwrap();
    assert_eq!(node.run(&place, &["resolve", id], b"").stdout, format!("{id}: committed\n"));
}

#[test]
fn an_export_goes_from_a_directory_through_a_node_and_back() {
    let (here, there) = (Place::new(), Place::new());
    here.run_with(&["diary", "append", "log", "--lines", "-"], b"a\nb\nc\n");
    for number in 0..700 {
        if number % 100 == 0 {
            here.prints(&["tree", "put", "t", &format!("k{number}"), &number.to_string()]);
        }
    }
    let exported = here.prints(&["export"]);
    let node = Node::start(&there);
    for added in ["3 added", "0 added"] {
        let imported = node.run(&there, &["import"], exported.as_bytes());
        assert_eq!(imported.code, 0, "{imported:?}");
        assert!(imported.stdout.contains(added), "{imported:?}");
    }
    let again = node.run(&there, &["export"], b"");
    assert_eq!(comparable(&again.stdout), comparable(&exported));
}

#[test]
fn a_node_that_is_not_there_is_told_in_one_line() {
    let place = Place::new();
    let refused = |arguments: &[&str], code: i32, told: &str| {
        let mut command = place.command(arguments);
        Ended::of(command.env_remove("WEALD_DATA_DIR")).refused(code, told);
        assert!(!place.data().exists());
    };
    // Port 1 is nobody's.
    refused(&["--node", "http://127.0.0.1:1", "tree", "get", "t", "k"], 5, "cannot be reached");
    refused(
        &["--node", "http://127.0.0.1:1", "tree", "put", "t", "k", "v"],
        5,
        "cannot be reached",
    );
    refused(&["--node", "localhost", "status"], 2, "http://HOST:PORT");
    refused(&["--node", "http://127.0.0.1:1", "--data-dir", "d", "status"], 2, "--data-dir");
}

#[test]
fn the_operators_verbs_tell_of_a_node_that_is_alone() {
    let place = Place::new();
    place.prints(&["tree", "put", "t", "k", "v"]);
    let partition = &place.json(&["partitions"])[0];
    assert_eq!(partition["role"], "coordinator");
    let leader = &place.json(&["leader", "0"])[0];
    assert_eq!(leader["coordinator"], partition["coordinator"]);
    let log = &place.json(&["log"])[0];
    assert_eq!(log["applied"], log["committed"]);
    let digest = place.json(&["digest"]);
    place.prints(&["tree", "put", "t", "k", "w"]);
    assert_ne!(digest, place.json(&["digest"]), "a write changes the digest");
    assert_eq!(place.prints(&["peers"]), "");
    place.run(&["leader", "1"]).refused(1, "no partition 1");
    place.run(&["drain"]).refused(2, "alone");
}
