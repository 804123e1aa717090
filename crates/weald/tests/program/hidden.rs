//! Nodes that nobody can dial: they work together through one that carries for them.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    node::{self, Node},
    program::{Ended, Place},
};

/// How long anything may take on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(90);

/// A node of a network with a pre-shared key and three voters for its one partition.
struct Member {
    place: Place,
    node: Node,
}

impl Member {
    /// Starts it with these settings beside those that all have.
    fn start(settings: &[(&str, &str)]) -> Self {
        let place = Place::new();
        let key = place.path("key");
        fs::write(&key, "5a".repeat(32)).unwrap();
        let mut command: Command = node::command(&place);
        command.env("WEALD_MDNS", "false").env("WEALD_NETWORK", "hidden").env("WEALD_LOG", "warn");
        command.env("WEALD_PSK_FILE", key).envs(settings.iter().copied());
        let node = Node::begin(&mut command);
        Self { place, node }
    }

    /// One that listens nowhere and is reached at `relay`.
    fn hidden(relay: &str) -> Self {
        Self::start(&[("WEALD_LISTEN", ""), ("WEALD_BOOTSTRAP", relay), ("WEALD_RELAYS", relay)])
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        self.node.run(&self.place, arguments, b"")
    }

    /// What a verb prints that ends well, however often it has to be asked.
    fn prints(&self, arguments: &[&str]) -> String {
        until(&format!("{arguments:?} is done"), || {
            let ended = self.run(arguments);
            (ended.code == 0).then_some(ended.stdout)
        })
    }

    fn get(&self, path: &str) -> Value {
        self.node.get(path).and_then(|told| serde_json::from_str(&told).ok()).unwrap_or_default()
    }

    fn id(&self) -> &str {
        self.node.card["peer_id"].as_str().unwrap()
    }

    /// Whether this node reaches `other` through a relay; none while it does not.
    fn is_relayed(&self, other: &Self) -> Option<bool> {
        let peers = self.get("/v1/peers");
        let found = peers["peers"].as_array()?.iter().find(|peer| peer["peer_id"] == other.id());
        found?["relayed"].as_bool()
    }

    /// Who coordinates the partition, as this node knows.
    fn coordinator(&self) -> Value {
        self.get("/v1/partitions")["partitions"][0]["coordinator"].clone()
    }

    fn voter_count(&self) -> usize {
        let told = self.get("/v1/partitions");
        let members = told["partitions"][0]["members"].as_array().cloned().unwrap_or_default();
        members.iter().filter(|member| member["voter"] == true).count()
    }
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let patience = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < patience, "in vain: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// A node that carries for others. It has to know where it is reached.
fn relay() -> Member {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = format!("/ip4/127.0.0.1/tcp/{}", listener.local_addr().unwrap().port());
    drop(listener);
    Member::start(&[
        ("WEALD_LISTEN", &address),
        ("WEALD_EXTERNAL", &address),
        ("WEALD_SERVE_RELAY", "true"),
        ("WEALD_INIT", "true"),
    ])
}

#[test]
fn d59_nodes_that_nobody_can_dial_have_places_at_a_relay_and_ask_each_other_through_it() {
    let relay = relay();
    let address = relay.node.card["addresses"][0].as_str().unwrap().to_owned();
    let (one, other) = (Member::hidden(&address), Member::hidden(&address));
    for node in [&one, &other] {
        let told = until("it has a place", || {
            let told = node.get("/v1/status")["reachability"].clone();
            (told["relayed"] != Value::Array(Vec::new()) && !told.is_null()).then_some(told)
        });
        assert_eq!(told["direct"], Value::Null, "nobody was asked");
        let place = told["relayed"][0].as_str().unwrap();
        assert!(place.starts_with(&format!("{address}/p2p-circuit/")), "{place}");
        let status = node.prints(&["status"]);
        assert!(status.contains(&format!("reached       through a relay, at {place}")), "{status}");
    }
    assert_eq!(relay.get("/v1/status")["reachability"]["relayed"], Value::Array(Vec::new()));
    until("all vote", || (relay.voter_count() == 3).then_some(()));
    until("they reach each other", || one.is_relayed(&other).and(other.is_relayed(&one)));
    assert_eq!((one.is_relayed(&other), other.is_relayed(&one)), (Some(true), Some(true)));
    assert_eq!(one.is_relayed(&relay), Some(false));

    // Whoever writes at one hidden node asks the other, which coordinates.
    until("one coordinates", || {
        let coordinator = relay.coordinator();
        if coordinator == one.id() && other.coordinator() == one.id() {
            return Some(());
        }
        let member = [&relay, &other].into_iter().find(|member| coordinator == member.id())?;
        member.run(&["transfer", "0", "--to", one.id()]);
        None
    });
    other.prints(&["tree", "put", "stock", "apple", "3"]);
    assert_eq!(one.prints(&["tree", "get", "stock", "apple"]), "3\n");
}
