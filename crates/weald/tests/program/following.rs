//! `watch` and `tail`.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use crate::program::Place;

#[test]
fn a_watch_tells_the_history_and_ends_when_asked() {
    let place = Place::new();
    place.prints(&["tree", "put", "t", "a", "1"]);
    place.prints(&["tree", "put", "t", "a", "2"]);
    place.prints(&["tree", "del", "t", "a"]);
    let watch = |options: &[&str]| place.prints(&[&["tree", "watch", "t"], options].concat());
    let all = watch(&["--until-caught-up"]);
    let changes: Vec<&str> = all.lines().map(|line| line.split_once('\t').unwrap().1).collect();
    assert_eq!(changes, ["put\ta\t1", "put\ta\t2", "del\ta"]);
    let events = place.json(&["tree", "watch", "t", "--until-caught-up"]);
    assert_eq!(events.last().unwrap()["caught_up"], true);
    let revisions: Vec<u64> = events.iter().filter_map(|e| e["revision"].as_u64()).collect();
    let last = *revisions.last().unwrap();
    assert!(revisions.windows(2).all(|pair| pair[1] == pair[0] + 1), "{revisions:?}");
    let from_last = watch(&["--from", &last.to_string(), "--limit", "1"]);
    assert_eq!(from_last, format!("{last}\tdel\ta\n"));
}

#[test]
fn a_tail_tells_the_entries_and_ends_when_asked() {
    let place = Place::new();
    place.run_with(&["diary", "append", "d", "--lines", "-"], b"a\nb\nc\n");
    let tail = |options: &[&str]| place.prints(&[&["diary", "tail", "d"], options].concat());
    assert_eq!(tail(&["--until-caught-up"]), "0\ta\n1\tb\n2\tc\n");
    assert_eq!(tail(&["--from", "1", "--limit", "1"]), "1\tb\n");
    assert_eq!(tail(&["--from", "3", "--until-caught-up"]), "");
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_following_like_its_natural_end() {
    let place = Place::new();
    place.prints(&["diary", "append", "d", "a"]);
    let mut child = place.command(&["diary", "tail", "d"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "0\ta\n", "what is there comes without waiting for more");
    let signal = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(signal.success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
