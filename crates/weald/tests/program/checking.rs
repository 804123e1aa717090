//! The report of `weald verify`, for programs.

use std::fs;

use serde_json::Value;

use crate::{node::Node, program::Place};

#[test]
fn w141_w144_a_check_reports_in_json_what_it_has_found_and_ends_by_it() {
    let place = Place::new();
    place.prints(&["tree", "put", "t", "k", "v"]);
    let report = place.json(&["verify"]);
    assert_eq!(report.len(), 1, "{report:?}");
    assert_eq!((&report[0]["collections"], &report[0]["damages"]), (&1.into(), &0.into()));
    assert!(report[0]["blocks"].as_u64().unwrap() > 0 && report[0]["log_batches"].is_u64());

    flip_identity(&place);
    let ended = place.run(&["--json", "verify"]);
    assert_eq!(ended.code, 5, "{ended:?}");
    let report: Vec<Value> =
        ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (last, damages) = report.split_last().unwrap();
    assert!(damages.iter().all(|damage| damage["damaged"].is_string()), "{damages:?}");
    assert_eq!(last["damages"].as_u64().unwrap(), damages.len() as u64, "as many as are named");
    assert!(!damages.is_empty() && last["collections"] == 1, "and the rest was checked, too");
}

#[test]
fn w141_what_a_stopped_node_keeps_is_checked_and_serves_on() {
    let place = Place::new();
    let node = Node::start(&place);
    assert_eq!(node.run(&place, &["tree", "put", "t", "k", "v"], b"").code, 0);
    let locked = place.run(&["verify"]);
    assert_eq!(locked.code, 5, "a running node has its directory for itself: {locked:?}");
    drop(node);
    let report = place.json(&["verify"]);
    assert_eq!(report[0]["damages"], 0, "{report:?}");
    assert!(report[0]["log_batches"].as_u64().unwrap() > 0, "{report:?}");
    let node = Node::start(&place);
    assert_eq!(node.run(&place, &["tree", "get", "t", "k"], b"").stdout, "v\n");
    drop(node);
    flip_identity(&place);
    assert_eq!(place.run(&["verify"]).code, 5);
}

#[test]
fn c11_a_check_tells_of_a_log_that_is_gone() {
    let place = Place::new();
    place.prints(&["tree", "put", "t", "k", "v"]);
    std::fs::remove_dir_all(place.data().join("log")).unwrap();
    let ended = place.run(&["verify"]);
    assert_eq!(ended.code, 5, "{ended:?}");
    assert!(ended.stdout.contains("damaged: log: its end is missing"), "{ended:?}");
}

fn flip_identity(place: &Place) {
    let identity = place.data().join(weald_storage::header::IDENTITY_FILE);
    let mut bytes = fs::read(&identity).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&identity, bytes).unwrap();
}
