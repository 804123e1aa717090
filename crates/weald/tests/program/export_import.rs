//! `weald export` and `weald import`.

use crate::program::{Ended, Place, command};

/// A database with text, bytes that are not text, empty values and an empty collection.
fn filled() -> Place {
    let place = Place::new();
    place.prints(&["tree", "put", "a/t", "text", "größe\nzwei"]);
    place.prints(&["tree", "put", "a/t", "empty", ""]);
    assert_eq!(place.run_with(&["tree", "put", "a/t", "ff00", "-", "--hex"], &[0xfe, 0]).code, 0);
    place.prints(&["tree", "put", "gone", "k", "v"]);
    place.prints(&["tree", "del", "gone", "k"]);
    let lines: String = (0..700).map(|number| format!("line {number}\n")).collect();
    place.run_with(&["diary", "append", "a/d", "--lines", "-"], lines.as_bytes());
    assert_eq!(place.run_with(&["diary", "append", "a/d", "-"], &[0xff]).code, 0);
    place
}

fn export(place: &Place) -> String {
    place.prints(&["export"])
}

/// Diary lines hold the time of their first append, which an import does not keep.
fn without_times(export: &str) -> Vec<serde_json::Value> {
    let mut lines: Vec<serde_json::Value> =
        export.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &mut lines {
        line.as_object_mut().unwrap().remove("time_ms");
    }
    lines
}

#[test]
fn what_is_exported_is_imported_as_it_was() {
    let place = filled();
    let exported = export(&place);
    let copy = Place::new();
    let ended = copy.run_with(&["import"], exported.as_bytes());
    assert_eq!(
        ended.stdout,
        "a/d: 701 added, 0 changed, 0 the same\na/t: 3 added, 0 changed, 0 the same\n\
         gone: 0 added, 0 changed, 0 the same\n",
        "{ended:?}"
    );
    assert_eq!(without_times(&export(&copy)), without_times(&exported));
}

#[test]
fn importing_again_changes_nothing() {
    let place = filled();
    let file = place.path("export.jsonl");
    place.prints(&["export", "--output", file.to_str().unwrap()]);
    let before = place.json(&["collections"]);
    let told = place.prints(&["import", file.to_str().unwrap()]);
    assert_eq!(
        told,
        "a/d: 0 added, 0 changed, 701 the same\na/t: 0 added, 0 changed, 3 the same\n\
         gone: 0 added, 0 changed, 0 the same\n"
    );
    assert_eq!(place.json(&["collections"]), before);
    place.run(&["export", "--output", file.to_str().unwrap()]).refused(2, "export.jsonl");
}

#[test]
fn an_import_completes_what_an_earlier_one_began() {
    let place = filled();
    let exported = export(&place);
    let half: String = exported.lines().take(400).map(|line| format!("{line}\n")).collect();
    let copy = Place::new();
    assert_eq!(copy.run_with(&["import"], half.as_bytes()).code, 0);
    assert_eq!(copy.run_with(&["import"], exported.as_bytes()).code, 0);
    assert_eq!(without_times(&export(&copy)), without_times(&exported));
}

#[test]
fn a_tree_takes_other_values_and_a_diary_is_not_rewritten() {
    let place = filled();
    let exported = export(&place);
    let other = Place::new();
    other.prints(&["tree", "put", "a/t", "text", "other"]);
    let tree: String =
        exported.lines().filter(|line| !line.contains("a/d")).collect::<Vec<_>>().join("\n");
    let ended = other.run_with(&["import"], tree.as_bytes());
    assert!(ended.stdout.starts_with("a/t: 2 added, 1 changed, 0 the same\n"), "{ended:?}");
    other.prints(&["diary", "append", "a/d", "something else"]);
    let ended = other.run_with(&["import"], exported.as_bytes());
    ended.refused(3, "another entry 0");
    assert_eq!(other.prints(&["diary", "read", "a/d"]), "0\tsomething else\n");
}

#[test]
fn a_diary_whose_first_entries_are_gone_is_numbered_anew_and_only_once() {
    let place = filled();
    let exported = export(&place);
    let tail: Vec<&str> = exported
        .lines()
        .filter(|line| {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            value["diary"].is_null() || value["sequence"].as_u64() >= Some(690)
        })
        .collect();
    let tail = tail.join("\n");
    let copy = Place::new();
    assert_eq!(copy.run_with(&["import"], tail.as_bytes()).code, 0);
    let read = copy.prints(&["diary", "read", "a/d", "--limit", "1"]);
    assert_eq!(read, "0\tline 690\n");
    let again = copy.run_with(&["import"], tail.as_bytes());
    assert!(again.stdout.starts_with("a/d: 0 added, 0 changed, 11 the same\n"), "{again:?}");
}

#[test]
fn topics_are_not_exported_nor_the_cursors_of_their_subscribers() {
    let place = Place::new();
    place.prints(&["tree", "put", "t", "k", "v"]);
    place.prints(&["topic", "pub", "news", "one"]);
    let sub = ["topic", "sub", "news", "--durable", "reader", "--until-caught-up"];
    assert_eq!(place.prints(&sub), "1\tone\n");
    let ended = place.run(&["export"]);
    assert_eq!(ended.stderr, "weald: 1 topics are not exported\n");
    assert!(!ended.stdout.contains("cursors"), "{}", ended.stdout);
    let copy = Place::new();
    assert_eq!(copy.run_with(&["import"], ended.stdout.as_bytes()).code, 0);
    copy.prints(&["topic", "pub", "news", "other"]);
    assert_eq!(copy.prints(&sub), "1\tother\n");
}

#[test]
fn one_collection_may_be_exported_alone() {
    let place = filled();
    let exported = place.prints(&["export", "a/t"]);
    assert_eq!(exported.lines().count(), 2 + 3);
    assert!(exported.starts_with("{\"weald_export\":1}\n"), "{exported}");
}

#[test]
fn what_is_not_an_export_is_refused_with_its_line() {
    let place = Place::new();
    let check = |lines: &str, told: &str| {
        place.run_with(&["import"], lines.as_bytes()).refused(2, told);
    };
    check("", "weald_export");
    check("{\"tree\":\"t\",\"key\":\"k\",\"value\":\"v\"}", "weald_export");
    check("{\"weald_export\":2}", "format 2");
    assert!(!place.data().exists(), "nothing was made");
    check("{\"weald_export\":1}\nnot json", "line 2");
    check("{\"weald_export\":1}\n{\"tree\":\"t\",\"key\":\"k\",\"value\":\"v\"}", "line 2");
    let diary = "{\"weald_export\":1}\n{\"collection\":\"d\",\"type\":\"diary\"}\n";
    let entry =
        |sequence: u32| format!("{{\"diary\":\"d\",\"sequence\":{sequence},\"entry\":\"e\"}}\n");
    check(&format!("{diary}{}{}", entry(0), entry(2)), "line 4");
    let missing = place.path("nowhere/export.jsonl");
    place.prints(&["tree", "put", "t", "k", "v"]);
    let ended = place.run(&["export", "--output", missing.to_str().unwrap()]);
    ended.refused(2, "nowhere");
    let ended = Ended::of(&mut command(&place.data(), &["import", "/"]));
    ended.refused(2, "");
}
