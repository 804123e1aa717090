//! What a node tells of itself.

use std::time::{Duration, Instant};

use crate::{client::Request, server::Place};

#[test]
fn d56_a_node_tells_its_status_partitions_and_peers() {
    let place = Place::new();
    let node = place.start();
    node.send("PUT /v1/trees/t/a", "0").done();
    let status = node.call("GET /v1/status").done().json();
    assert_eq!(status["ready"], true);
    assert_eq!(status["collections"], 1);
    assert_eq!(status["peer_id"], node.card["peer_id"]);
    let partitions = node.call("GET /v1/partitions").done().json();
    let partition = &partitions["partitions"][0];
    assert_eq!(partition["role"], "coordinator");
    assert_eq!(partition["coordinator"], status["peer_id"]);
    assert_eq!(partition["applied"], partition["committed"]);
    assert_eq!(partition["digest"]["digest"].as_str().unwrap().len(), 64);
    assert_eq!(partition["members"][0]["match_index"], partition["applied"]);
    let peers = node.call("GET /v1/peers").done().json();
    assert_eq!(peers["peers"].as_array().unwrap().len(), 0);
}

#[test]
fn d60_health_readiness_and_metrics_are_served() {
    let place = Place::new();
    let node = place.start();
    assert_eq!(node.call("GET /healthz").done().text(), "ok\n");
    // It serves, and says that it is not as safe as it is to be.
    let ready = node.call("GET /readyz").done();
    assert_eq!(ready.text(), "ready\nvoters: 1 of 3, of which 1 must be up\n");
    let status = node.call("GET /v1/status").done().json();
    assert_eq!(status["voters"], serde_json::json!({ "fewest": 1, "wanted": 3 }));
    node.send("PUT /v1/trees/t/a", "0").done();
    node.call("GET /v1/trees/t/b").refused(404, "not_found");
    let answer = node.call("GET /metrics").done();
    assert!(answer.header("content-type").unwrap().starts_with("text/plain"));
    let value = |line: &str| {
        let found = answer.text().lines().find_map(|found| found.strip_prefix(line));
        found.unwrap_or_else(|| panic!("{line} is not in {}", answer.text())).trim().to_owned()
    };
    let call = "call=\"tree_entry\",method";
    assert_eq!(value(&format!("weald_http_requests_total{{{call}=\"PUT\",status=\"2xx\"}}")), "1");
    assert_eq!(value(&format!("weald_http_requests_total{{{call}=\"GET\",status=\"4xx\"}}")), "1");
    assert_eq!(value(&format!("weald_http_request_seconds_count{{{call}=\"PUT\"}}")), "1");
    assert_eq!(
        value(&format!("weald_http_request_seconds_bucket{{{call}=\"PUT\",le=\"+Inf\"}}")),
        "1"
    );
    assert_eq!(value("weald_ready"), "1");
    assert_eq!(value("weald_commit_gap{partition=\"0\"}"), "0");
    assert_ne!(value("weald_applied_index{partition=\"0\"}"), "0");
}

#[test]
fn d11_w179_what_log_members_and_network_have_done_is_measured() {
    let place = Place::new();
    let node = place.start();
    for number in 0..10u8 {
        node.send("POST /v1/diaries/log/entries", [number]).done();
    }
    let value = |line: &str| {
        let metrics = node.call("GET /metrics").done();
        let found = metrics.text().lines().find_map(|found| found.strip_prefix(line)?.parse().ok());
        found.unwrap_or_else(|| panic!("{line} is not in {}", metrics.text()))
    };
    let is_positive = |line: &str| assert_ne!(0u64, value(line), "{line}");
    for phase in ["sync", "commit", "apply"] {
        is_positive(&format!("weald_write_phase_seconds_count{{phase=\"{phase}\"}} "));
    }
    is_positive("weald_log_syncs_total ");
    is_positive("weald_log_written_bytes_total ");
    is_positive("weald_log_sync_microseconds_total ");
    is_positive("weald_members_proposed_total ");
    is_positive("weald_members_applied_total ");
    if cfg!(target_os = "linux") {
        is_positive("process_resident_memory_bytes ");
    }
    assert_eq!(value("weald_members_stops_total "), 0);
    assert_eq!(value("weald_network_sent_bytes_total "), 0, "there is nobody to send to");
    assert_eq!((value("weald_voters_fewest "), value("weald_voters_wanted ")), (1, 3));
    // It is looked at ten times a second.
    let patience = Instant::now() + Duration::from_secs(30);
    while value("weald_dirty_bytes ") == 0 {
        assert!(Instant::now() < patience, "what waits for a checkpoint is told");
    }
}

#[test]
fn w185_every_metric_is_explained_once() {
    let place = Place::new();
    let node = place.start();
    let metrics = node.call("GET /metrics").done();
    let mut known = std::collections::BTreeSet::new();
    for line in metrics.text().lines() {
        if let Some(named) = line.strip_prefix("# HELP ") {
            let (name, help) = named.split_once(' ').unwrap();
            assert!(known.insert(name.to_owned()) && help.ends_with('.'), "{line}");
        } else if !line.starts_with('#') {
            let name = line.split(['{', ' ']).next().unwrap();
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            assert!(known.contains(name) || known.contains(base.unwrap_or(name)), "{line}");
        }
    }
}

#[test]
fn d20_an_id_goes_through_with_the_request() {
    let place = Place::new();
    let node = place.start();
    let call = |id: &str| {
        Request::new("GET /v1/status").header("Weald-Correlation-Id", id).send(node.address).done()
    };
    assert_eq!(call("shop-42.a").header("weald-correlation-id"), Some("shop-42.a"));
    let own = call("with a space").header("weald-correlation-id").unwrap().to_owned();
    assert_ne!(own, "with a space");
    assert_ne!(node.call("GET /v1/status").header("weald-correlation-id"), Some(own.as_str()));
}

#[test]
fn everything_stored_is_checked_on_demand() {
    let place = Place::new();
    let node = place.start();
    node.send("PUT /v1/trees/t/a", "0").done();
    let report = node.call("POST /v1/verify").done().json();
    assert_eq!(report["collections"], 1);
    assert_eq!(report["damages"].as_array().unwrap().len(), 0);
}

#[test]
fn a_node_that_is_alone_has_nobody_to_hand_over_to() {
    let place = Place::new();
    let node = place.start();
    node.call("POST /v1/drain").refused(400, "invalid");
    let to = format!("{{\"to\":{}}}", node.card["peer_id"]);
    node.send("POST /v1/partitions/0/transfer", to).refused(400, "invalid");
    node.send("POST /v1/partitions/0/transfer", "{\"to\":\"me\"}").refused(400, "invalid");
    node.send("POST /v1/partitions/x/transfer", "{}").refused(400, "invalid");
}
