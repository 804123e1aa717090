//! Networks of three processes: what their users and their operators see.

use std::time::{Duration, Instant};

use serde_json::Value;
use weald::{NodeConfig, Weald};

use crate::mesh::{Mesh, NODES, Plan};

const REDIRECTS: &str = "weald_redirects_total";
const SENT: &str = "weald_requests_sent_total";

fn quiet(k: usize, partitions: usize) -> Plan {
    Plan { k, partitions, log: ["warn"; NODES] }
}

fn count(mesh: &Mesh, number: usize, name: &str) -> f64 {
    mesh.metric(number, name, "").unwrap_or_else(|| panic!("{name}"))
}

#[test]
fn d21_with_one_member_for_each_partition_every_node_serves_and_finds_the_way_once() {
    let mesh = Mesh::start(quiet(1, 16));
    for writer in 0..NODES {
        let diary = format!("diary-{writer}");
        mesh.prints(writer, &["diary", "append", &diary, "first"]);
        for reader in 0..NODES {
            assert_eq!(mesh.prints(reader, &["diary", "read", &diary]), "0\tfirst\n");
        }
    }
    // So many that other nodes keep some of them. Partitions move for a while, then whom to ask is known.
    let diaries: Vec<_> = (0..24).map(|number| format!("many-{number}")).collect();
    let mut rounds = 0;
    mesh.until("whom to ask is known", |mesh| {
        let (redirects, sent) = (count(mesh, 0, REDIRECTS), count(mesh, 0, SENT));
        for diary in &diaries {
            let ended = mesh.run(0, &["diary", "append", diary, "x"]);
            assert_eq!(ended.code, 0, "{ended:?}");
        }
        rounds += 1;
        let has_asked = count(mesh, 0, SENT) > sent;
        has_asked && count(mesh, 0, REDIRECTS) <= redirects
    });
    let expected: String = (0..rounds).map(|number| format!("{number}\tx\n")).collect();
    for diary in &diaries {
        assert_eq!(mesh.prints(2, &["diary", "read", diary]), expected);
    }
}

#[test]
fn d22_w53_w123_w178_w181_w182_three_members_lose_one_then_two_and_recover() {
    let mut mesh = Mesh::start(quiet(3, 1));
    mesh.prints(0, &["tree", "put", "stock", "apple", "1"]);
    let lost = mesh.coordinator(0);
    let others = [(lost + 1) % NODES, (lost + 2) % NODES];
    let before = others.map(|node| takeovers(&mesh, node));
    let first_run = run_of(&mesh, others[0], lost);
    mesh.until("all is well", |mesh| health(mesh, others[0]) == (0, "well".into()));

    // One member away: a quorum is left, and one of it takes over.
    mesh.kill(lost);
    mesh.prints(others[0], &["tree", "put", "stock", "apple", "2"]);
    let next = mesh.coordinator(0);
    let other = others.into_iter().find(|node| *node != next).unwrap();
    let timed = |mesh: &Mesh| {
        let after = others.map(|node| takeovers(mesh, node));
        after.iter().zip(before).map(|(after, before)| after - before).sum::<f64>()
    };
    mesh.until("a takeover is counted", |mesh| timed(mesh) >= 1.0);
    mesh.until("the coordinator is heard", |mesh| silence(mesh, other) < 1.0);
    mesh.until("a member is missed", |mesh| health(mesh, other) == (1, "degraded".into()));

    // Two away: what is asked is refused, and that nobody coordinates is told.
    mesh.kill(next);
    let refused = mesh.run(other, &["tree", "put", "stock", "apple", "lost?"]);
    assert!([4, 5].contains(&refused.code), "{refused:?}");
    mesh.until("silence is told", |mesh| silence(mesh, other) >= 2.0);
    mesh.until("it does not serve", |mesh| health(mesh, other) == (2, "failing".into()));

    // Back again: nothing that was acknowledged is lost, and all have the same.
    mesh.restart(next);
    mesh.restart(lost);
    mesh.prints(lost, &["tree", "put", "stock", "pear", "3"]);
    for node in 0..NODES {
        assert_eq!(mesh.prints(node, &["tree", "get", "stock", "pear"]), "3\n");
        let apple = mesh.prints(node, &["tree", "get", "stock", "apple"]);
        assert!(["2\n", "lost?\n"].contains(&&*apple), "{apple}");
    }
    mesh.until("all have applied the same", |mesh| {
        let digest = |node| mesh.prints(node, &["digest"]);
        (1..NODES).all(|node| digest(node) == digest(0))
    });
    // Who coordinates hears every member; a follower may not have heard another one since.
    mesh.until("the new run of the first is known", |mesh| {
        let again = run_of(mesh, mesh.coordinator(0), lost);
        again.0 > first_run.0 && again.1 > first_run.1
    });
    mesh.until("all is well again", |mesh| health(mesh, other) == (0, "well".into()));
}

/// What `weald health` says of a node: exit code and word.
/// It is told of one node, which sends it on to another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_keeps_nothing_finds_a_coordinator_that_it_was_not_told_of() {
    let mesh = Mesh::start(quiet(3, 1));
    let known = (mesh.coordinator(0) + 1) % NODES;
    let addresses = mesh.node(known).card["addresses"].as_array().unwrap();
    let config = NodeConfig {
        light: true,
        network: "mesh".into(),
        bootstrap: addresses.iter().map(|address| address.as_str().unwrap().to_owned()).collect(),
        mdns: false,
        ..NodeConfig::default()
    };
    let client = Weald::node(config).start().await.unwrap();
    let patience = Instant::now() + Duration::from_secs(60);
    while let Err(why) = client.readiness() {
        assert!(Instant::now() < patience, "not ready: {why}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let stock = client.raw_tree("stock").open_or_create().await.unwrap();
    stock.put("apple", "1").await.unwrap();
    client.close().await.unwrap();
    assert_eq!(mesh.prints(known, &["tree", "get", "stock", "apple"]), "1\n");
}

fn health(mesh: &Mesh, node: usize) -> (i32, String) {
    let ended = mesh.run(node, &["--json", "health"]);
    let told: Value = serde_json::from_str(&ended.stdout).unwrap();
    (ended.code, told["health"].as_str().unwrap().to_owned())
}

/// Takeovers that a node has timed.
fn takeovers(mesh: &Mesh, node: usize) -> f64 {
    count(mesh, node, "weald_takeover_seconds_count")
}

/// How long a node has not heard a coordinator of partition 0, in seconds.
fn silence(mesh: &Mesh, node: usize) -> f64 {
    let name = "weald_coordinator_last_contact_seconds";
    mesh.metric(node, name, "partition=\"0\"").unwrap_or(f64::NAN)
}

/// Which run of a node another one knows, and since when it runs.
fn run_of(mesh: &Mesh, asked: usize, node: usize) -> (u64, u64) {
    let peer = mesh.json(node, &["members"]);
    assert_eq!(peer.len(), NODES, "{peer:?}");
    let id = mesh.node(node).card["peer_id"].clone();
    let told = mesh.json(asked, &["members"]);
    let found = told.iter().find(|member| member["peer_id"] == id).unwrap();
    let number = |field: &str| found[field].as_u64().unwrap_or_default();
    assert_eq!(found["voter_of"], Value::from(1), "{found}");
    (number("incarnation"), number("started_at"))
}
