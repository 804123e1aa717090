//! The check refuses what it should, on small documents.

use std::collections::BTreeSet;

use super::{problems, rows, shown, table};
use crate::sources::Source;

fn ids(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn tests_of(text: &str) -> shown::Tests {
    shown::by_tests(&[Source { path: "x.rs".into(), text: text.into() }])
}

#[test]
fn rows_of_each_document_are_found() {
    assert_eq!(
        rows::collections("- **A1** x\n- **A20** y\nA3\n- **Bold** z\n"),
        ids(&["A1", "A20"])
    );
    assert_eq!(rows::database("| id | x |\n| D1 [1] | x |\n| D50 | y |\n"), ids(&["D1", "D50"]));
    let protocol = "DONE\n- 5 x -> 3\n- 238 -> 35-37 | 239 -> 42-44,68 | not one\n| id | x |\n| R1 name | x |\n";
    assert_eq!(rows::write_protocol(protocol), ids(&["W5", "W238", "W239", "R1"]));
}

#[test]
fn topics_list_numbers_spans_and_headings() {
    let text = "- 7 before\n\n## Rows\n- 10,11 a\n- 19-21 b -> 1=5-9\n- 69 c -> 1 | 70 d -> 2\nFlow (30-40)\n- 31 x\n\
        API (50-60)\n- unnumbered\nClaimed (80-82): a=1; b=2; c=3\n";
    let found: Vec<String> =
        rows::topics(text).into_iter().filter(|id| id.starts_with("PS")).collect();
    let expected = ids(&[
        "PS10", "PS11", "PS19", "PS20", "PS21", "PS69", "PS70", "PS31", "PS50", "PS80", "PS81",
        "PS82",
    ]);
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
}

#[test]
fn a_table_that_agrees_passes() {
    let tests = tests_of("#[test]\nfn a1_x() {}\n#[test]\nfn a1_y() {}\n#[test]\nfn other() {}\n");
    let text = "# T\n\n| id | tests | note |\n|---|---|---|\n| A1 | `a1_x`, `a1_y` | read so |\n| A2 | open | later |\n";
    assert_eq!(problems(text, &tests, Some(&ids(&["A1", "A2"]))), [""; 0]);
}

#[test]
fn ps10_ps11_ps12_ps13_a_row_whose_tests_are_not_there_is_refused() {
    let tests = tests_of("#[test]\nfn a1_x() {}\n");
    let wanted = ids(&["A1"]);
    let cases = [
        ("", "A1: a row of the source documents is missing"),
        ("| A1 | `a1_x` | |\n| A9 | open | |\n", "A9: no such row in the source documents"),
        ("| A1 | `a1_x`, `a1_gone` | |\n", "A1: no test has the name a1_gone"),
        ("| A1 | | |\n", "A1: neither tests nor `open`"),
        ("| A1 | soon | |\n", "A1: neither tests nor `open`"),
        (
            "| A1 | open | |\n",
            "A1: the names of the tests say `a1_x`; run `cargo xtask requirements --sync`",
        ),
        ("| A1 | `a1_x` | |\n| A1 | `a1_x` | |\n", "A1: listed twice"),
    ];
    for (text, expected) in cases {
        let found = problems(text, &tests, Some(&wanted));
        assert!(found.iter().any(|problem| problem == expected), "text={text:?} found={found:?}");
    }
    let unknown = tests_of("#[test]\nfn a1_x() {}\n#[test]\nfn a99_x() {}\n");
    assert_eq!(
        problems("| A1 | `a1_x` | |\n", &unknown, None),
        ["A99: named by `a99_x` but not a row"]
    );
}

#[test]
fn a_row_that_names_others_is_shown_only_if_all_of_them_are() {
    let tests = tests_of("#[test]\nfn a1_a2_a4_x() {}\n");
    let check = |note: &str, expected: &str| {
        let text = format!(
            "| A1 | `a1_a2_a4_x` | |\n| A2 | `a1_a2_a4_x` | |\n| A3 | open | |\n\
             | A4 | `a1_a2_a4_x` | |\n| D1 | open | Names: A1. |\n| D2 | open | Names: D3. |\n\
             | D3 | open | Names: D2. |\n| D9 | open | {note} |\n"
        );
        let synced = table::with_tests(&text, &tests.by_id);
        let lines = table::lines(&synced);
        let of = |id: &str| lines.iter().find(|line| line.id == id).unwrap().tests.clone();
        assert_eq!(of("D9"), expected, "{note}");
        assert_eq!(of("D1"), "by the rows it names");
        assert_eq!((of("D2"), of("D3")), ("open".into(), "open".into()), "in a circle");
        assert_eq!(problems(&synced, &tests, None), [""; 0], "{note}");
    };
    check("Names: A1 and A4.", "by the rows it names");
    check("Names: A1 to A2, A4.", "by the rows it names");
    check("Names: A1 to A4.", "open");
    check("Names: A1, A3 and A4. And more.", "open");
    check("Names: D1. It names a row in turn.", "by the rows it names");
    check("Names: D2.", "open");
    check("It names A1.", "open");
}

#[test]
fn names_that_are_no_rows_and_a_claim_that_does_not_follow_are_refused() {
    let tests = tests_of("#[test]\nfn a1_a3_x() {}\n");
    let rows = "| A1 | `a1_a3_x` | |\n| A2 | open | |\n| A3 | `a1_a3_x` | |\n";
    let check = |row: &str, expected: &str| {
        let found = problems(&format!("{rows}{row}\n"), &tests, None);
        assert_eq!(found, [expected], "{row}");
    };
    check("| D9 | open | Names: A7. |", "D9: names A7, which is no row");
    check("| D9 | open | Names: A3 to A1. |", "D9: names no span: A3 to A1");
    check("| D9 | open | Names: A1 to D9. |", "D9: names no span: A1 to D9");
    check("| D9 | open | Names: A1 |", "D9: the rows that it names end with a full stop");
    let sync = "run `cargo xtask requirements --sync`";
    check(
        "| D9 | by the rows it names | Names: A1 and A2. |",
        &format!("D9: the names of the tests say open; {sync}"),
    );
    check(
        "| D9 | open | Names: A1 and A3. |",
        &format!("D9: the names of the tests say by the rows it names; {sync}"),
    );
}

#[test]
fn a_scenario_of_the_gate_shows_rows_as_a_test_does() {
    let mut tests = tests_of("#[test]\nfn a1_x() {}\n");
    tests.add("mesh-test", [("chaos", &["A1", "A2"][..])].into_iter());
    let text = "| A1 | `a1_x`, `mesh-test chaos` | |\n| A2 | `mesh-test chaos` | |\n";
    assert_eq!(problems(text, &tests, None), [""; 0]);
    tests.add("mesh-test", [("calm", &["A9"][..])].into_iter());
    assert_eq!(problems(text, &tests, None), ["A9: named by `mesh-test calm` but not a row"]);
}

#[test]
fn sync_writes_tests_and_keeps_ids_and_notes() {
    let tests = tests_of("#[test]\nfn a2_a1_x() {}\n");
    let text = "intro\n\n| id | tests | note |\n|---|---|---|\n| A1 | open | as | read |\n| A2 | `gone` | |\n| A3 | `gone` | n |\n";
    let expected = "intro\n\n| id | tests | note |\n|---|---|---|\n| A1 | `a2_a1_x` | as | read |\n| A2 | `a2_a1_x` | |\n| A3 | open | n |\n";
    assert_eq!(table::with_tests(text, &tests.by_id), expected);
    assert_eq!(table::with_tests(expected, &tests.by_id), expected);
}
