//! A directory serves a node of a network or a program, never both, and one process at a time.

use crate::{
    node::{self, Node},
    program::{Ended, Place},
};

/// Verbs that open a database; `verify` looks at either.
const VERBS: [&[&str]; 6] = [
    &["tree", "get", "t", "k"],
    &["tree", "put", "t", "k", "w"],
    &["diary", "append", "d", "e"],
    &["collections"],
    &["status"],
    &["export"],
];

#[test]
fn the_directory_of_a_node_is_its_own_whether_it_runs_or_not() {
    let place = Place::new();
    let node = Node::start(&place);
    assert_eq!(node.run(&place, &["tree", "put", "t", "k", "v"], b"").code, 0);
    let refused = || {
        for verb in VERBS {
            place.run(verb).refused(2, "belongs to a node of a network");
        }
    };
    refused();
    Ended::of(&mut node::command(&place)).refused(5, "another process");
    assert_eq!(node.run(&place, &["tree", "get", "t", "k"], b"").stdout, "v\n");
    drop(node);
    refused();
    let node = Node::start(&place);
    assert_eq!(node.run(&place, &["tree", "get", "t", "k"], b"").stdout, "v\n");
    assert_eq!(node.run(&place, &["verify"], b"").code, 0);
}

#[test]
fn the_directory_of_a_program_is_refused_to_a_node() {
    let place = Place::new();
    place.prints(&["tree", "put", "t", "k", "v"]);
    for _ in 0..2 {
        Ended::of(&mut node::command(&place)).refused(2, "export it and import it");
        assert_eq!(place.prints(&["tree", "get", "t", "k"]), "v\n");
    }
    assert_eq!(place.run(&["verify"]).code, 0);
    // The way that the refusal names.
    let (exported, other) = (place.prints(&["export"]), Place::new());
    let node = Node::start(&other);
    assert_eq!(node.run(&other, &["import"], exported.as_bytes()).code, 0);
    assert_eq!(node.run(&other, &["tree", "get", "t", "k"], b"").stdout, "v\n");
}

#[test]
fn what_cannot_be_started_makes_no_directory() {
    let place = Place::new();
    let refused = |arguments: &[&str], told: &str| {
        Ended::of(node::command(&place).args(arguments)).refused(2, told);
        assert!(!place.data().exists(), "{arguments:?}");
    };
    refused(&["--bootstrap", "127.0.0.1:4101"], "/ip4/127.0.0.1/tcp/");
    refused(&["--external", "/tcp/x"], "external");
    if !cfg!(feature = "rocksdb") {
        refused(&["--engine", "rocksdb"], "--features rocksdb");
    }
}

#[test]
fn a_directory_is_emptied_but_for_its_identity_only_when_that_is_said() {
    let place = Place::new();
    place.prints(&["tree", "put", "t", "k", "v"]);
    let identity = std::fs::read(place.data().join("identity.key")).ok();
    place.run(&["leave"]).refused(2, "--reset");
    assert_eq!(place.prints(&["tree", "get", "t", "k"]), "v\n");
    place.prints(&["leave", "--reset"]);
    assert_eq!(std::fs::read(place.data().join("identity.key")).ok(), identity);
    place.run(&["tree", "get", "t", "k"]).refused(1, "t");
    let other = Place::new();
    other.run(&["leave", "--reset"]).refused(1, "no store");
}
