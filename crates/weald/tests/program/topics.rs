//! `weald topic`, on a directory and on a node.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use serde_json::Value;
use weald::{TopicPolicy, Weald};

use crate::{
    node::Node,
    program::{Ended, Place},
};

#[test]
fn ps86_messages_are_published_and_told() {
    let place = Place::new();
    assert_eq!(place.prints(&["topic", "pub", "chat", "hello"]), "chat: published message 1\n");
    let lines = place.run_with(&["topic", "pub", "chat", "--lines", "-"], b"one\ntwo\r\n\nfour\n");
    assert_eq!(lines.stdout, "chat: published 4, positions 2 to 5\n", "{lines:?}");
    let sub = |options: &[&str]| place.prints(&[&["topic", "sub", "chat"], options].concat());
    assert_eq!(sub(&["--until-caught-up"]), "1\thello\n2\tone\n3\ttwo\n4\t\n5\tfour\n");
    assert_eq!(sub(&["--from", "2", "--limit", "1"]), "2\tone\n");
    assert_eq!(sub(&["--from", "now", "--until-caught-up"]), "");
    let told = &place.json(&["topic", "pub", "chat", "six"])[0];
    assert_eq!((&told["position"], &told["queued"]), (&6.into(), &false.into()));
    let events = place.json(&["topic", "sub", "chat", "--from", "6", "--until-caught-up"]);
    assert_eq!((&events[0]["id"], &events[0]["body"]), (&told["id"], &"six".into()));
    assert_eq!(events[1]["caught_up"], true);
}

#[test]
fn ps1562_ps1740_a_durable_subscription_prints_each_message_in_one_of_its_runs() {
    let place = Place::new();
    place.run_with(&["topic", "pub", "chat", "--lines", "-"], b"one\ntwo\nthree\n");
    let sub = |options: &[&str]| {
        let durable = ["topic", "sub", "chat", "--durable", "printer", "--until-caught-up"];
        place.prints(&[&durable, options].concat())
    };
    assert_eq!(sub(&["--limit", "2"]), "1\tone\n2\ttwo\n");
    assert_eq!(sub(&[]), "3\tthree\n");
    assert_eq!(sub(&[]), "");
    place.prints(&["topic", "pub", "chat", "four"]);
    assert_eq!(sub(&["--from", "1"]), "4\tfour\n", "where it was counts");
    let other = ["topic", "sub", "chat", "--durable", "another", "--from", "4", "--limit", "1"];
    assert_eq!(place.prints(&other), "4\tfour\n", "while nothing is kept, `--from` counts");
}

#[test]
fn d63_each_message_of_a_group_is_printed_by_one_of_its_runs() {
    let place = Place::new();
    place.run_with(&["topic", "pub", "jobs", "--lines", "-"], b"one\ntwo\nthree\nfour\n");
    let sub =
        |limit: &'static str| ["topic", "sub", "jobs", "--group", "work/ers", "--limit", limit];
    assert_eq!(place.prints(&sub("2")), "1\tone\n2\ttwo\n");
    assert_eq!(place.prints(&sub("1")), "3\tthree\n", "what was not printed is given back");
    let place = Place::new();
    let node = Node::start(&place);
    node.run(&place, &["topic", "pub", "jobs", "--lines", "-"], b"one\ntwo\nthree\n");
    let ended = node.run(&place, &sub("3"), b"");
    assert_eq!((ended.code, &*ended.stdout), (0, "1\tone\n2\ttwo\n3\tthree\n"), "{ended:?}");
    let state = node.get("/v1/topics/jobs/groups/work%2Fers").unwrap();
    let state: Value = serde_json::from_str(&state).unwrap();
    assert_eq!((&state["next"], &state["given"]), (&4.into(), &Value::Array(Vec::new())));
}

#[test]
fn d62_a_topic_is_made_under_rules_that_stay() {
    let place = Place::new();
    let create = ["topic", "create", "queue", "--available"];
    assert_eq!(place.prints(&create), "queue: ready\n");
    assert_eq!(place.prints(&create), "queue: ready\n");
    place.run(&create[..3]).refused(1, "other rules");
    place.prints(&["topic", "pub", "queue", "hello"]);
    let told = &place.json(&["topic", "show", "queue"])[0];
    assert_eq!((&told["policy"]["availability"], &told["next"]), (&"available".into(), &2.into()));
}

#[test]
fn ps294_a_topic_is_shown_with_its_past() {
    let place = Place::new();
    for number in 1..=3 {
        place.prints(&["topic", "pub", "chat", &number.to_string()]);
    }
    place.prints(&["topic", "sub", "chat", "--until-caught-up"]);
    let shown = place.prints(&["topic", "show", "chat"]);
    assert!(shown.contains("state         active\nnext          4\n"), "{shown}");
    assert!(shown.contains("messages      3, version 3, "), "{shown}");
    assert!(shown.contains("policy        body_bytes_max 10240\n"), "{shown}");
    let told = &place.json(&["topic", "show", "chat"])[0];
    let is_live = |lease: &&Value| lease["live"] == true;
    let live = told["subscriptions"].as_array().unwrap().iter().filter(is_live).count();
    assert_eq!(live, 0, "who has seen enough does not subscribe any longer: {told}");
    let lineage = place.prints(&["topic", "lineage", "chat"]);
    let root = told["messages"]["root"].as_str().unwrap();
    assert!(lineage.contains(&format!("messages\t3\t{root}\n")), "{lineage}");
    let subscribers = told["subscribers"]["root"].as_str().unwrap();
    assert!(lineage.contains(&format!("\t{subscribers}\nsnapshots")), "{lineage}");
    assert!(lineage.ends_with("snapshots\t0\n"), "{lineage}");
}

/// What is the same on both sides: lines of JSON without ids, keys, counts and times.
fn comparable(text: &str) -> Vec<String> {
    let line = |line: &str| match serde_json::from_str::<Value>(line) {
        Ok(Value::Object(mut object)) => {
            for different in ["id", "publisher", "incarnation", "sequence", "published_at_ms"] {
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
    &["topic", "create", "team/queue", "--available"],
    &["--json", "topic", "create", "team/queue", "--available"],
    &["topic", "create", "team/queue"],
    &["topic", "create", ""],
    &["topic", "pub", "team/chat", "a"],
    &["--json", "topic", "pub", "team/chat", "b"],
    &["topic", "pub", "team/chat", "c", "--expires-in-ms", "3600000"],
    &["topic", "pub", "team/chat", "c", "--expires-in-ms", "soon"],
    &["topic", "pub", "", "c"],
    &["topic", "pub", "team/chat"],
    &["topic", "sub", "team/chat", "--until-caught-up"],
    &["--json", "topic", "sub", "team/chat", "--until-caught-up"],
    &["topic", "sub", "team/chat", "--from", "2", "--limit", "1"],
    &["topic", "sub", "team/chat", "--from", "4", "--until-caught-up"],
    &["topic", "sub", "team/chat", "--from", "now", "--until-caught-up"],
    &["topic", "sub", "team/chat", "--from", "9"],
    &["topic", "sub", "team/chat", "--from", "soon"],
    &["topic", "sub", "team/chat", "--durable", "the printer", "--limit", "2"],
    &["topic", "sub", "team/chat", "--durable", "the printer", "--until-caught-up"],
    &["topic", "sub", "team/chat", "--durable", "the printer", "--until-caught-up"],
    &["topic", "sub", "team/chat", "--durable", "late", "--from", "3", "--until-caught-up"],
    &["topic", "sub", "team/chat", "--durable", ""],
    &["topic", "sub", "team/chat", "--group", "the workers", "--limit", "2"],
    &["topic", "sub", "team/chat", "--group", "g", "--durable", "d"],
    &["topic", "sub", "team/chat", "--group", "g", "--from", "1"],
    &["topic", "sub", "team/chat", "--group", "g", "--until-caught-up"],
    &["topic", "sub", "team/chat", "--group", ""],
    &["topic", "sub", "none", "--group", "g"],
    &["topic", "sub", "none"],
    &["topic", "show", "none"],
    &["topic", "lineage", "none"],
    &["topic", "lineage", "team/chat", "--depth", "33"],
    &["topic", "sub", "none", "--limit", "0"],
];

#[test]
fn every_topic_verb_answers_the_same_from_a_directory_and_from_a_node() {
    let (here, there) = (Place::new(), Place::new());
    let node = Node::start(&there);
    let check = |arguments: &[&str], input: &[u8]| {
        let local = here.run_with(arguments, input);
        let remote = node.run(&there, arguments, input);
        assert_eq!(local.code, remote.code, "{arguments:?} {local:?} {remote:?}");
        let (said, answered) = (comparable(&local.stdout), comparable(&remote.stdout));
        assert_eq!(said, answered, "{arguments:?} {local:?} {remote:?}");
        assert_eq!(local.stderr.is_empty(), remote.stderr.is_empty(), "{local:?} {remote:?}");
    };
    for arguments in VERBS {
        check(arguments, b"");
    }
    check(&["topic", "pub", "lines", "--lines", "-"], b"a\nb\r\n\nc\n");
    check(&["topic", "pub", "none", "--lines", "-"], b"");
    check(&["topic", "pub", "lines", "-"], &[0xff, 0]);
    check(&["topic", "pub", "lines", "-"], &[b'x'; 20_000]);
    check(&["topic", "pub", "lines", "-"], &[b'x'; 3 << 20]);
    check(&["topic", "sub", "lines", "--until-caught-up"], b"");
    check(&["--json", "topic", "sub", "lines", "--until-caught-up"], b"");
    let fields = |text: &str| {
        let told: Value = serde_json::from_str(text).unwrap();
        let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect();
        let both: (Vec<String>, Vec<String>) = (names(&told), names(&told["policy"]));
        both
    };
    let show = ["--json", "topic", "show", "team/chat"];
    let (local, remote) = (here.run(&show), node.run(&there, &show, b""));
    assert_eq!(fields(&local.stdout), fields(&remote.stdout));
}

#[test]
fn what_a_topic_does_not_take_has_an_exit_code() {
    let place = Place::new();
    place.run(&["topic", "sub", "chat"]).refused(2, "no database");
    place.prints(&["topic", "pub", "chat", "hello"]);
    place.run(&["topic", "sub", "none"]).refused(1, "there is no topic named none");
    place.run(&["topic", "show", "none"]).refused(1, "weald topic pub");
    place.run_with(&["topic", "pub", "chat", "-"], &[b'x'; 20_000]).refused(3, "too large");
    place.run(&["topic", "sub", "chat", "--from", "3"]).refused(2, "position");
    place.run(&["topic", "pub", "chat", "--lines"]).refused(2, "VALUE");
}

/// Makes the topic `chat` with a message, owned by the directory's key or by nobody.
fn make(place: &Place, is_owned: bool) {
    let made = async {
        let node = Weald::open(place.data()).await?;
        let owner = if is_owned { Some(node.public_key()?) } else { None };
        let policy = TopicPolicy { owner, ..TopicPolicy::default() };
        node.topic("chat").policy(policy).create().await?.publish("hello").await?;
        node.close().await
    };
    tokio::runtime::Runtime::new().unwrap().block_on(made).unwrap();
}

/// Copies the directory; the copy's path.
fn copy(place: &Place) -> String {
    let copy = place.path("copy");
    let copied = Command::new("cp").arg("-a").args([&place.data(), &copy]).status().unwrap();
    assert!(copied.success());
    copy.to_str().unwrap().to_owned()
}

fn publish_in(place: &Place, directory: &str, body: &str) {
    let mut program = place.command(&["--data-dir", directory, "topic", "pub", "chat", body]);
    assert!(program.env_remove("WEALD_DATA_DIR").output().unwrap().status.success());
}

#[test]
fn a_recovery_brings_in_what_a_copy_has_and_nothing_twice() {
    let place = Place::new();
    make(&place, true);
    let copy = copy(&place);
    place.prints(&["topic", "pub", "chat", "here"]);
    publish_in(&place, &copy, "there");
    let recover = ["topic", "recover", "chat", "--from-dir", &copy];
    let told =
        |count: u64| format!("chat: {count} messages and 0 subscriptions brought in, 0 lost\n");
    assert_eq!(place.prints(&recover), told(1));
    assert_eq!(place.prints(&recover), told(0));
    let all = place.prints(&["topic", "sub", "chat", "--until-caught-up"]);
    assert_eq!(all, "1\thello\n2\there\n3\tthere\n");
}

#[test]
fn ps1588_a_dry_run_of_a_recovery_tells_what_each_lacks_and_changes_nothing() {
    let place = Place::new();
    make(&place, true);
    let copy = copy(&place);
    place.prints(&["topic", "pub", "chat", "here"]);
    publish_in(&place, &copy, "there");
    publish_in(&place, &copy, "and there");
    let recover = ["topic", "recover", "chat", "--from-dir", &copy, "--dry-run"];
    let told = format!(
        "chat: this one lacks 2 messages and 0 subscriptions\n\
         {copy} lacks 1 messages and 0 subscriptions\n"
    );
    assert_eq!(place.prints(&recover), told);
    assert_eq!(place.prints(&recover), told);
    let told = place.prints(&[&["--json"][..], &recover].concat());
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(
        (&told["lacks"]["messages"], &told["other_lacks"]["messages"]),
        (&2.into(), &1.into())
    );
    let all = place.prints(&["topic", "sub", "chat", "--until-caught-up"]);
    assert_eq!(all, "1\thello\n2\there\n");
}

#[test]
fn a_recovery_is_the_owners_and_needs_two_directories() {
    let place = Place::new();
    make(&place, false);
    let copy = copy(&place);
    publish_in(&place, &copy, "there");
    let recover = ["topic", "recover", "chat", "--from-dir", &copy];
    place.run(&recover).refused(3, "not allowed");
    assert_eq!(place.prints(&["topic", "sub", "chat", "--until-caught-up"]), "1\thello\n");
    place.run(&["topic", "recover", "chat", "--from-dir", "none"]).refused(2, "no database");
    let mut program = place.command(&["--node", "http://127.0.0.1:1"]);
    program.args(recover).env_remove("WEALD_DATA_DIR");
    Ended::of(&mut program).refused(2, "--data-dir");
}

#[cfg(unix)]
#[test]
fn a_subscription_tells_what_comes_until_ctrl_c() {
    let place = Place::new();
    let node = Node::start(&place);
    assert_eq!(node.run(&place, &["topic", "pub", "chat", "one"], b"").code, 0);
    let mut command = place.command(&["topic", "sub", "chat"]);
    command.env_remove("WEALD_DATA_DIR").env("WEALD_NODE", &node.url).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "1\tone");
    assert_eq!(node.run(&place, &["topic", "pub", "chat", "two"], b"").code, 0);
    assert_eq!(lines.next().unwrap().unwrap(), "2\ttwo");
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
