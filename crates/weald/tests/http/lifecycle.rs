//! Starting, stopping, dying.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
};

use serde_json::Value;

use crate::{client::Request, server::Place};

#[test]
fn a_node_says_where_it_is_and_takes_it_back() {
    let place = Place::new();
    let node = place.start();
    let file = place.data().join("node.json");
    let card: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(card, node.card);
    assert_eq!(card["http"], format!("http://{}", node.address));
    assert_eq!(card["peer_id"].as_str().unwrap().len(), 64);
    assert_eq!(card["network"], "weald");
    let peer = card["peer_id"].clone();
    node.stop();
    assert!(!file.exists());
    assert_eq!(place.start().card["peer_id"], peer, "it stays who it is");
}

#[test]
fn what_was_acknowledged_is_there_after_a_kill() {
    let place = Place::new();
    let node = place.start();
    for number in 0..20u8 {
        node.send("POST /v1/diaries/log/entries", [number]).done();
    }
    node.kill();
    let node = place.start();
    assert_eq!(node.call("GET /v1/diaries/log/entries").done().lines().len(), 20);
    assert_eq!(node.send("POST /v1/diaries/log/entries", "x").done().json()["sequence"], 20);
}

#[test]
fn stopping_finishes_what_is_under_way_and_ends_streams() {
    let place = Place::new();
    let node = place.start();
    node.send("POST /v1/diaries/log/entries", "0").done();
    let mut tail = Request::new("GET /v1/diaries/log/tail?from=1").open(node.address);
    tail.expect("caught_up");
    let (address, is_stopping) = (node.address, Arc::new(AtomicBool::new(false)));
    let told = Arc::clone(&is_stopping);
    let writer = thread::spawn(move || {
        let mut acknowledged = 0;
        while std::net::TcpStream::connect(address).is_ok() {
            let append = Request::new("POST /v1/diaries/log/entries").body("x");
            let answer = std::panic::catch_unwind(|| append.send(address));
            match answer {
                Ok(answer) if answer.status == 200 => acknowledged += 1,
                // The gateway closed before it read the request, or the node refused it.
                _ if told.load(Relaxed) => break,
                other => panic!("{other:?}"),
            }
        }
        acknowledged
    });
    for _ in 0..20 {
        tail.expect("entry");
    }
    is_stopping.store(true, Relaxed);
    node.signal("-TERM");
    let mut told = 20;
    while tail.event().is_some() {
        told += 1;
    }
    assert!(node.ended().success());
    let acknowledged = writer.join().unwrap();
    let node = place.start();
    let kept = node.call("GET /v1/diaries/log/entries?limit=10000").done().lines().len();
    assert!(kept > acknowledged, "{kept} kept, {acknowledged} acknowledged after the first");
    assert!(kept > told, "{told} told");
}

#[test]
fn ctrl_c_stops_a_node_as_well() {
    let place = Place::new();
    let node = place.start();
    node.signal("-INT");
    assert!(node.ended().success());
}

#[test]
fn two_nodes_do_not_share_a_directory() {
    let place = Place::new();
    let node = place.start();
    let second = place.command(&["node"]).output().unwrap();
    assert_eq!(second.status.code(), Some(5), "{second:?}");
    let told = String::from_utf8_lossy(&second.stderr);
    assert!(told.contains("data") && told.lines().count() == 1, "{told}");
    node.call("GET /readyz").done();
    let file = place.data().join("node.json");
    assert!(file.exists(), "the second takes nothing from the first");
}

#[test]
fn two_nodes_do_not_share_an_address() {
    let (first, second) = (Place::new(), Place::new());
    let node = first.start();
    let address = node.address.to_string();
    let refused = second.command(&["node", "--http", &address]).output().unwrap();
    assert_eq!(refused.status.code(), Some(5), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains(&address), "{refused:?}");
}

#[test]
fn d16_options_come_from_flag_environment_and_file() {
    let place = Place::new();
    fs::write(place.path("w.toml"), "network = \"filed\"\nresponsibility_k = 5\n").unwrap();
    let file = place.path("w.toml").display().to_string();
    let mut command = place.command(&["--json", "config", "--config", &file, "--mdns=false"]);
    let output = command.env("WEALD_PARTITIONS", "8").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let told: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let check = |name: &str, value: &str, source: &str| {
        let found = told.iter().find(|setting| setting["name"] == name).unwrap();
        assert_eq!(found["value"], value, "{found}");
        assert!(found["source"].as_str().unwrap().starts_with(source), "{found}");
    };
    check("network", "filed", "file ");
    check("responsibility-k", "5", "file ");
    check("partitions", "8", "environment WEALD_PARTITIONS");
    check("mdns", "false", "command line");
    check("engine", "redb", "default");
    fs::write(place.path("w.toml"), "netwrok = \"filed\"\n").unwrap();
    let output = place.command(&["node", "--config", &file]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean network?"));
    assert!(!place.data().exists(), "a wrong option makes no database");
}
