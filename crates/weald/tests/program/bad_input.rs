//! Whatever is wrong, the answer is one line that says what to do and the exit code of its class.

use std::fs;

use crate::program::{Ended, Place, command};

#[test]
fn a_wrong_command_line_is_refused_in_one_line() {
    let place = Place::new();
    let check = |arguments: &[&str], told: &str| {
        place.run(arguments).refused(2, told);
        assert!(!place.data().exists(), "{arguments:?} makes no database");
    };
    check(&[], "--help");
    check(&["tree"], "--help");
    check(&["plant"], "plant");
    check(&["tree", "put", "t"], "KEY");
    check(&["tree", "put", "t", "k"], "VALUE");
    check(&["tree", "put", "t", "k", "v", "--expect", "maybe"], "absent");
    check(&["tree", "scan", "t", "--limit", "many"], "many");
    check(&["tree", "scan", "t", "--prefix", "a", "--from", "b"], "--from");
    check(&["diary", "append", "d", "e", "--expect", "-1"], "-1");
    check(&["diary", "append", "d", "e", "--expect", "soon"], "sequence");
    check(&["tree", "put", "t", "abc", "v", "--hex"], "hex");
    check(&["tree", "put", "t", "k", "--file", "/no/such/file"], "/no/such/file");
    check(&["diary", "append", "d", "--lines", "/no/such/file"], "/no/such/file");
    check(&["import", "/no/such/file"], "/no/such/file");
    check(&["demo", "--callers", "0"], "--callers");
}

#[test]
fn a_database_that_is_not_there_is_not_made_by_reading() {
    let place = Place::new();
    for arguments in [
        &["tree", "get", "t", "k"][..],
        &["tree", "scan", "t"],
        &["diary", "read", "d"],
        &["collections"],
        &["verify"],
        &["export"],
        &["status"],
    ] {
        place.run(arguments).refused(2, "--data-dir");
        assert!(!place.data().exists(), "{arguments:?}");
    }
}

#[test]
fn a_folder_with_other_files_is_left_alone() {
    let place = Place::new();
    fs::create_dir(place.data()).unwrap();
    fs::write(place.data().join("letter.txt"), "dear").unwrap();
    place.run(&["tree", "put", "t", "k", "v"]).refused(5, "letter.txt");
    fs::write(place.path("file"), "x").unwrap();
    let ended = Ended::of(&mut command(&place.path("file"), &["tree", "put", "t", "k", "v"]));
    ended.refused(5, "file");
}

#[test]
fn d50_what_is_not_there_is_told_and_is_not_empty() {
    let place = Place::new();
    place.prints(&["tree", "put", "t", "k", "v"]);
    place.run(&["tree", "get", "u", "k"]).refused(1, "no tree named u");
    place.run(&["tree", "scan", "u"]).refused(1, "no tree named u");
    place.run(&["tree", "watch", "u"]).refused(1, "no tree named u");
    place.run(&["diary", "read", "d"]).refused(1, "no diary named d");
    place.run(&["diary", "tail", "d"]).refused(1, "no diary named d");
    place.run(&["tree", "get", "t", "other"]).refused(1, "no key other");
    place.run(&["tree", "del", "t", "other"]).refused(1, "no key other");
    place.run(&["export", "u"]).refused(1, "no collection named u");
    assert_eq!(place.json(&["collections"]).len(), 1, "asking makes nothing");
}

#[test]
fn names_types_and_sizes_that_do_not_fit_are_refused() {
    let place = Place::new();
    place.prints(&["tree", "put", "t", "k", "v"]);
    let ended = place.run(&["diary", "append", "t", "e"]);
    assert!([2, 3].contains(&ended.code), "{ended:?}");
    ended.refused(ended.code, "another type");
    place.run(&["tree", "put", "a//b", "k", "v"]).refused(2, "name");
    let huge = vec![b'x'; 3 << 20];
    let ended = place.run_with(&["tree", "put", "t", "k", "-"], &huge);
    assert!([2, 3].contains(&ended.code), "{ended:?}");
    ended.refused(ended.code, "max=");
    assert_eq!(place.prints(&["tree", "get", "t", "k"]), "v\n");
}

#[test]
fn expectations_that_do_not_hold_change_nothing() {
    let place = Place::new();
    place.prints(&["tree", "put", "t", "k", "1", "--expect", "absent"]);
    place.run(&["tree", "put", "t", "k", "2", "--expect", "absent"]).refused(1, "");
    place.run(&["tree", "put", "t", "other", "2", "--expect", "present"]).refused(1, "");
    place.run(&["tree", "put", "t", "k", "2", "--expect", "77"]).refused(1, "77");
    assert_eq!(place.prints(&["tree", "scan", "t"]), "k\t1\n");
    place.prints(&["diary", "append", "d", "a", "--expect", "empty"]);
    place.run(&["diary", "append", "d", "b", "--expect", "empty"]).refused(1, "");
    place.run(&["diary", "append", "d", "b", "--expect", "7"]).refused(1, "7");
    place.prints(&["diary", "append", "d", "b", "--expect", "0"]);
    assert_eq!(place.prints(&["diary", "read", "d"]), "0\ta\n1\tb\n");
}

#[test]
fn failures_are_json_where_json_is_asked_for() {
    let place = Place::new();
    for arguments in [&["--json", "status"][..], &["--json", "plant"]] {
        let ended = place.run(arguments);
        let error: serde_json::Value = serde_json::from_str(&ended.stderr).unwrap();
        assert_eq!(error["error"]["class"], "usage");
        assert_eq!(error["error"]["exit_code"], 2);
        assert_eq!(ended.code, 2);
        assert!(error["error"]["message"].as_str().is_some_and(|text| !text.is_empty()));
    }
}

#[test]
fn the_help_tells_the_exit_codes() {
    let help = Place::new().prints(&["--help"]);
    for line in ["  0   done", "  5   the data directory", "  70  a defect"] {
        assert!(help.contains(line), "{line:?} is not in {help}");
    }
}

#[cfg(unix)]
#[test]
fn a_reader_that_goes_away_ends_the_program_quietly() {
    let place = Place::new();
    let lines = "a line of the diary that fills the pipe\n".repeat(20_000);
    place.run_with(&["diary", "append", "d", "--lines", "-"], lines.as_bytes());
    let mut child = place
        .command(&["diary", "read", "d"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ended = Ended::from(child.wait_with_output().unwrap());
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
}
