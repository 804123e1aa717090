//! What the verbs for trees and diaries answer.

use std::fs;

use crate::program::Place;

#[test]
fn a_tree_keeps_its_keys_in_order() {
    let place = Place::new();
    for (key, value) in [("b", "2"), ("a", "1"), ("c", "3"), ("ab", "1.5")] {
        place.prints(&["tree", "put", "t", key, value]);
    }
    let scan = |options: &[&str]| place.prints(&[&["tree", "scan", "t"], options].concat());
    assert_eq!(scan(&[]), "a\t1\nab\t1.5\nb\t2\nc\t3\n");
    assert_eq!(scan(&["--reverse", "--limit", "2"]), "c\t3\nb\t2\n");
    assert_eq!(scan(&["--from", "ab", "--to", "c", "--keys-only"]), "ab\nb\n");
    assert_eq!(scan(&["--prefix", "a"]), "a\t1\nab\t1.5\n");
    assert_eq!(scan(&["--from", "c", "--to", "a"]), "");
    assert_eq!(scan(&["--limit", "0"]), "");
    place.prints(&["tree", "del", "t", "ab"]);
    assert_eq!(scan(&["--keys-only"]), "a\nb\nc\n");
    let entries = place.json(&["tree", "scan", "t", "--limit", "1"]);
    assert_eq!(entries[0]["key"], "a");
    assert_eq!(entries[0]["value"], "1");
    assert!(entries[0]["revision"].is_u64());
}

#[test]
fn values_come_from_the_argument_standard_input_or_a_file() {
    let place = Place::new();
    let bytes = [0, 0xff, b'\n', 7];
    fs::write(place.path("value"), bytes).unwrap();
    let file = place.path("value");
    place.prints(&["tree", "put", "t", "file", "--file", file.to_str().unwrap()]);
    assert_eq!(place.run_with(&["tree", "put", "t", "stdin", "-"], b"piped\n").code, 0);
    place.prints(&["tree", "put", "t", "argument", "-5"]);
    place.prints(&["tree", "put", "t", "empty", ""]);
    assert_eq!(place.prints(&["tree", "get", "t", "argument"]), "-5\n");
    assert_eq!(place.prints(&["tree", "get", "t", "empty", "--raw"]), "");
    assert_eq!(place.prints(&["tree", "get", "t", "stdin", "--raw"]), "piped\n");
    assert_eq!(place.prints(&["tree", "get", "t", "file"]), "0x00ff0a07\n");
    let raw = place.command(&["tree", "get", "t", "file", "--raw"]).output().unwrap();
    assert_eq!(raw.stdout, bytes);
    let json = place.json(&["tree", "get", "t", "file"]);
    assert_eq!(json[0]["value_base64"], "AP8KBw==");
}

#[test]
fn keys_may_be_hexadecimal() {
    let place = Place::new();
    place.prints(&["tree", "put", "t", "00ff", "v", "--hex"]);
    assert_eq!(place.prints(&["tree", "get", "t", "00FF", "--hex"]), "v\n");
    assert_eq!(place.prints(&["tree", "scan", "t", "--hex"]), "00ff\tv\n");
    assert_eq!(place.prints(&["tree", "scan", "t"]), "0x00ff\tv\n");
    assert_eq!(place.prints(&["tree", "scan", "t", "--hex", "--prefix", "00"]), "00ff\tv\n");
}

#[test]
fn a_diary_numbers_its_entries_without_a_gap() {
    let place = Place::new();
    assert_eq!(place.prints(&["diary", "append", "d", "first"]), "d: appended entry 0\n");
    let lines: String = (1..=1000).map(|number| format!("entry {number}\n")).collect();
    let ended = place.run_with(&["diary", "append", "d", "--lines", "-"], lines.as_bytes());
    assert_eq!(ended.stdout, "d: appended entries 1 to 1000\n", "{ended:?}");
    let ended = place.run_with(&["diary", "append", "d", "--lines", "-"], b"");
    assert_eq!(ended.stdout, "d: the input is empty, nothing appended\n", "{ended:?}");
    let all = place.prints(&["diary", "read", "d"]);
    let expected: String = std::iter::once("0\tfirst\n".to_owned())
        .chain((1..=1000).map(|number| format!("{number}\tentry {number}\n")))
        .collect();
    assert_eq!(all, expected);
    let read = |options: &[&str]| place.prints(&[&["diary", "read", "d"], options].concat());
    assert_eq!(read(&["--from", "999"]), "999\tentry 999\n1000\tentry 1000\n");
    assert_eq!(read(&["--from", "2000"]), "");
    assert_eq!(read(&["--reverse", "--limit", "1"]), "1000\tentry 1000\n");
    assert_eq!(read(&["--reverse", "--from", "1"]), "1\tentry 1\n0\tfirst\n");
    let backwards: String = expected.lines().rev().map(|line| format!("{line}\n")).collect();
    assert_eq!(read(&["--reverse"]), backwards);
    let json = place.json(&["diary", "read", "d", "--limit", "2"]);
    assert_eq!(json.len(), 2);
    assert_eq!(json[1]["sequence"], 1);
    assert_eq!(json[1]["entry"], "entry 1");
    assert!(json[1]["time_ms"].as_u64().unwrap() > 1_000_000_000_000);
}

#[test]
fn d53_a_diary_is_read_from_the_first_entry_that_is_kept_on() {
    let place = Place::new();
    let made = async {
        let node = weald::Weald::open(place.data()).await?;
        let retention = weald::Retention { entries_max: Some(2), ..weald::Retention::ALL };
        let options = weald::DiaryOptions { retention };
        let diary = node.raw_diary("d").options(options).create().await?;
        diary.append_many(["one", "two", "three", "four"]).await?;
        node.close().await
    };
    tokio::runtime::Runtime::new().unwrap().block_on(made).unwrap();
    assert_eq!(place.prints(&["diary", "read", "d"]), "2\tthree\n3\tfour\n");
    assert_eq!(place.prints(&["diary", "read", "d", "--reverse"]), "3\tfour\n2\tthree\n");
    assert_eq!(place.prints(&["diary", "read", "d", "--limit", "1"]), "2\tthree\n");
    place.run(&["diary", "read", "d", "--from", "0"]).refused(1, "no longer kept");
}

#[test]
fn collections_and_status_describe_the_database() {
    let place = Place::new();
    place.prints(&["tree", "put", "a/t", "k", "v"]);
    place.prints(&["diary", "append", "a/d", "e"]);
    let collections = place.json(&["collections"]);
    let shape: Vec<_> = collections
        .iter()
        .map(|c| (c["name"].as_str().unwrap(), c["type"].as_str().unwrap(), c["entries"].as_u64()))
        .collect();
    assert_eq!(shape, [("a/d", "diary", Some(1)), ("a/t", "tree", Some(1))]);
    assert!(place.prints(&["collections"]).starts_with("a/d\tdiary\trevision "));
    let status = &place.json(&["status"])[0];
    assert_eq!(status["collections"], 2);
    assert!(status["read_only"].is_null());
    assert!(place.prints(&["status"]).contains("writes        taken"));
}
