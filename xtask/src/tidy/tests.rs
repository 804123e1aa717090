//! Every rule refuses a known bad snippet and passes a good one.

use serde_json::json;

use super::exceptions::Exceptions;
use super::{Finding, Rule, arrows, bans, check_source, links, sizes};
use crate::sources::Source;

fn source(path: &str, text: &str) -> Source {
    Source { path: path.into(), text: text.into() }
}

fn rules(path: &str, text: &str) -> Vec<Rule> {
    check_source(&source(path, text)).iter().map(|finding| finding.rule).collect()
}

#[track_caller]
fn refused(path: &str, text: &str, rule: Rule) {
    assert_eq!(rules(path, text), [rule], "path={path} text={text:?}");
}

#[track_caller]
fn passes(path: &str, text: &str) {
    assert_eq!(check_source(&source(path, text)), [], "path={path} text={text:?}");
}

const X: &str = "crates/weald/src/x.rs";

fn file_of(line_count: usize, tail: &str) -> String {
    format!("//! x\n{}{tail}", "const A: u8 = 0;\n".repeat(line_count - 1))
}

fn function_of(line_count: usize) -> String {
    format!("//! x\nfn f() {{\n{}}}\n", "    g();\n".repeat(line_count - 2))
}

#[test]
fn long_files_are_refused_and_test_modules_do_not_count() {
    let tests = "#[cfg(test)]\nmod tests {\n    fn f() {}\n}\n";
    passes(X, &file_of(sizes::FILE_LINES_MAX, ""));
    passes(X, &file_of(sizes::FILE_LINES_MAX, tests));
    refused(X, &file_of(sizes::FILE_LINES_MAX + 1, ""), Rule::FileLines);
    // Code behind a declaration or behind a test module is production code.
    refused(
        X,
        &format!("//! x\n#[cfg(test)]\nmod tests;\n{}", file_of(sizes::FILE_LINES_MAX, "")),
        Rule::FileLines,
    );
    refused(X, &format!("//! x\n{tests}{}", file_of(sizes::FILE_LINES_MAX, "")), Rule::FileLines);
}

#[test]
fn test_files_have_their_own_limit() {
    passes("crates/weald/src/x/tests.rs", &file_of(sizes::TEST_FILE_LINES_MAX, ""));
    refused(
        "crates/weald/tests/x.rs",
        &file_of(sizes::TEST_FILE_LINES_MAX + 1, ""),
        Rule::FileLines,
    );
}

#[test]
fn long_functions_are_refused() {
    passes(X, &function_of(sizes::FUNCTION_LINES_MAX));
    refused(X, &function_of(sizes::FUNCTION_LINES_MAX + 1), Rule::FunctionLines);
}

#[test]
fn a_file_without_a_page_is_refused() {
    passes(X, "#![expect(dead_code, reason = \"x\")]\n\n//! What it is.\n");
    refused(X, "use std::fmt;\n", Rule::ModulePage);
    refused(X, "// What it is.\n", Rule::ModulePage);
    refused(X, "//!\nfn f() {}\n", Rule::ModulePage);
    refused(X, "", Rule::ModulePage);
}

#[test]
fn tickets_and_marks_are_refused() {
    let bad =
        ["see issue 12", "(Issue #12)", "fixes #12.", "ticket 7", "TODO: x", "// FIXME", "XXX"];
    for line in bad {
        refused("docs/x.md", &format!("{line}\n"), Rule::TicketId);
        refused(X, &format!("//! x\n// {line}\n"), Rule::TicketId);
    }
    for line in [
        "## 2 Heading",
        "issues of 12 bytes",
        "color #a1b2c3",
        "{:#010x}",
        "rows A12 and W35",
        "TODOS",
    ] {
        passes("docs/x.md", &format!("{line}\n"));
    }
}

#[test]
fn tests_that_escape_are_refused() {
    refused(X, "//! x\n#[ignore]\nfn f() {}\n", Rule::TestEscape);
    refused(X, "//! x\n#[ignore = \"slow\"]\nfn f() {}\n", Rule::TestEscape);
    refused(X, "//! x\n#[cfg_attr(debug_assertions, ignore)]\nfn f() {}\n", Rule::TestEscape);
    refused(X, "//! x\n#[should_panic(expected = \"y\")]\nfn f() {}\n", Rule::TestEscape);
    passes(
        X,
        "//! x\n// #[ignore]\nfn f() { let ignore = (1, ignore); ignore(\"#[should_panic]\"); }\n",
    );
}

#[test]
fn names_that_say_nothing_are_refused() {
    refused("crates/weald/src/utils.rs", "//! x\n", Rule::ModuleName);
    refused("crates/weald/src/block_manager.rs", "//! x\n", Rule::ModuleName);
    refused("crates/weald/src/common/x.rs", "//! x\n", Rule::ModuleName);
    refused(X, "//! x\nmod helpers {}\n", Rule::ModuleName);
    refused(X, "//! x\npub(crate) struct BlockManager;\n", Rule::TypeName);
    refused(X, "//! x\ntrait WriteHandler {}\n", Rule::TypeName);
    passes(X, "//! x\nmod commonplace {}\nstruct ManagerRow;\nfn handler() {}\n");
}

#[test]
fn crates_behind_a_wall_are_not_named_outside_it() {
    for name in ["libp2p", "bincode", "fjall", "redb", "rocksdb", "tokio"] {
        let text = format!("//! x\nuse {name}::X;\n");
        refused("crates/weald-collections/src/x.rs", &text, Rule::ConfinedCrate);
    }
    passes("crates/weald-core/src/codec.rs", "//! x\nuse bincode::serde;\n");
    passes("crates/weald-storage/src/engine/fjall.rs", "//! x\nuse fjall::Keyspace;\n");
    passes(X, "//! over libp2p\n#[cfg(feature = \"rocksdb\")]\nfn f() -> MyRedb { redb_like() }\n");
}

#[test]
fn w263_arrows_outside_the_table_are_refused() {
    let metadata = |name: &str, dependency: serde_json::Value| json!({"packages": [{"name": name, "dependencies": [dependency]}]});
    let inner = |name: &str, kind: Option<&str>| json!({"name": name, "kind": kind, "path": "/x"});
    let outer = |name: &str, kind: Option<&str>| json!({"name": name, "kind": kind});
    let count = |name: &str, dependency| arrows::check(&metadata(name, dependency)).unwrap().len();

    assert_eq!(count("weald-pubsub", inner("weald-collections", None)), 0);
    assert_eq!(count("weald-storage", inner("weald-collections", None)), 1);
    assert_eq!(count("weald-storage", inner("weald-collections", Some("dev"))), 1);
    assert_eq!(count("weald-core", inner("weald", Some("build"))), 1);
    assert_eq!(count("weald-cluster", outer("tokio", None)), 1);
    assert_eq!(count("weald-cluster", outer("tokio", Some("dev"))), 0);
    assert_eq!(count("weald", outer("tokio", None)), 0);
    assert_eq!(count("weald-new", outer("serde", None)), 1);
}

#[test]
fn w263_a_pure_crate_that_loses_a_ban_is_refused() {
    let bans = "unwrap = true\ndisallowed-types = []\ndisallowed-methods = []\n";
    let count = |changed: &str, text: &str| {
        let files = arrows::PURE.map(|name| format!("crates/{name}/clippy.toml"));
        let mut sources: Vec<Source> = files.iter().map(|path| source(path, bans)).collect();
        sources.push(source("clippy.toml", "# why\nunwrap = true\n"));
        sources
            .iter_mut()
            .filter(|source| source.path == changed)
            .for_each(|source| source.text = text.into());
        bans::check(&sources).len()
    };
    assert_eq!(count("", ""), 0);
    assert_eq!(
        count("crates/weald-cluster/clippy.toml", "unwrap = true\ndisallowed-types = []\n"),
        1
    );
    assert_eq!(count("crates/weald-cluster/clippy.toml", ""), 2);
    assert_eq!(count("clippy.toml", "unwrap = true\nlines = 70\n"), 4);
}

#[test]
fn documents_are_reached_and_links_lead_somewhere() {
    let paths =
        ["README.md", "docs/a.md", "docs/b.md", "docs/decisions/0001-x.md"].map(String::from);
    let found = |readme: &str| -> Vec<(Rule, String)> {
        let sources = [
            source("README.md", readme),
            source("docs/a.md", "[up](../README.md#x) [web](https://x.y/z)\n"),
        ];
        links::check(&sources, &paths)
            .into_iter()
            .map(|finding| (finding.rule, finding.path))
            .collect()
    };
    let all = "[a](docs/a.md) [b](./docs/b.md#part) [d](docs/decisions/)\n";
    assert_eq!(found(all), []);
    assert_eq!(
        found(&format!("{all}[c](docs/c.md)")),
        [(Rule::BrokenLink, String::from("README.md"))]
    );
    let unlinked = found("[a](docs/a.md) [d](docs/decisions)\n");
    assert_eq!(unlinked, [(Rule::UnlinkedDocument, String::from("docs/b.md"))]);
}

fn long_function(line_count: usize) -> Finding {
    Finding {
        rule: Rule::FunctionLines,
        path: X.into(),
        line: 3,
        amount: line_count,
        message: String::from("long"),
    }
}

#[test]
fn an_exception_covers_what_is_there_and_no_more() {
    let findings = [long_function(80), long_function(90)];
    let complaints = |list: &str| {
        let exceptions = Exceptions::parse(list);
        [exceptions.errors(), exceptions.apply(&findings)].concat().len()
    };
    assert_eq!(complaints(""), 2);
    assert_eq!(
        complaints("# c\n\ncrates/weald/src/x.rs function-lines 90 one match over a closed enum\n"),
        0
    );
    assert_eq!(
        complaints("crates/weald/src/x.rs function-lines 85 one match over a closed enum\n"),
        1
    );
    assert_eq!(
        complaints("crates/weald/src/x.rs function-lines 91 one match over a closed enum\n"),
        1
    );
    assert_eq!(
        complaints("crates/weald/src/y.rs function-lines 90 one match over a closed enum\n"),
        3
    );
    assert_eq!(complaints("crates/weald/src/x.rs function-lines 90 because\n"), 3);
    assert_eq!(
        complaints("crates/weald/src/x.rs no-such-rule 90 one match over a closed enum\n"),
        3
    );
}

#[test]
fn exceptions_of_other_rules_count_places() {
    let place = |line| Finding {
        rule: Rule::TypeName,
        path: X.into(),
        line,
        amount: 1,
        message: String::from("name"),
    };
    let list =
        Exceptions::parse("crates/weald/src/x.rs type-name 2 names of the protocol document\n");
    assert_eq!(list.apply(&[place(1), place(2)]), [""; 0]);
    assert_eq!(list.apply(&[place(1), place(2), place(3)]).len(), 3);
    assert_eq!(list.apply(&[place(1)]).len(), 1);
}
