//! What nodes log, by what `WEALD_LOG` asks of them.

use std::{collections::BTreeSet, fs, path::Path};

use crate::mesh::{Mesh, Plan};

/// In all that users write here; it stands in no log.
const SECRET: &str = "b7f3-what-users-wrote";

/// What a node tells of each checkpoint.
const CHECKPOINT: &str = "a checkpoint is written";

/// The targets that a section of the page for operators lists.
fn documented(section: &str) -> BTreeSet<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/observing.md");
    let page = fs::read_to_string(page).unwrap();
    let text = page.split("\n## ").find(|text| text.starts_with(section)).unwrap();
    let target = |line: &str| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned());
    let targets: BTreeSet<_> = text.lines().filter_map(target).collect();
    assert!(!targets.is_empty(), "no table in {section:?}");
    targets
}

/// The target of a line: `TIME LEVEL SPANS TARGET: MESSAGE`.
fn target(line: &str) -> &str {
    let mut words = line.split(' ').filter(|word| !word.is_empty());
    let is_target = |word: &&str| word.starts_with("weald::") && word.ends_with(':');
    let found = words.find(is_target).unwrap_or_else(|| panic!("no target in {line:?}"));
    found.trim_end_matches(':')
}

fn targets(log: &str) -> BTreeSet<String> {
    log.lines().map(|line| target(line).to_owned()).collect()
}

/// Whatever makes a node speak: writes, transactions over partitions, a fence, a topic, a kill.
fn live(mesh: &mut Mesh) {
    for node in 0..3 {
        let tree = format!("tree-{node}");
        mesh.prints(node, &["tree", "put", &tree, SECRET, SECRET]);
        mesh.prints(node, &["tree", "get", &tree, SECRET]);
        mesh.prints(node, &["diary", "append", "diary", SECRET]);
    }
    // Names fall into partitions by chance: so many are in more than one.
    let operation = |number: u32| {
        format!(
            r#"{{"op":"append","diary":"spread-{number}","data":"YjdmMy13aGF0LXVzZXJzLXdyb3Rl"}}"#
        )
    };
    let operations: Vec<_> = (0..12).map(operation).collect();
    let body = format!(r#"{{"operations":[{}]}}"#, operations.join(","));
    mesh.until("a transaction is committed", |mesh| {
        mesh.node(0).post("/v1/transactions", &body).0 == 200
    });
    mesh.until("a transaction that nobody has sent is fenced", |mesh| {
        let path = "/v1/transactions/never-sent/resolve?collection=diary";
        mesh.node(1).post(path, "").1.contains("rejected")
    });
    mesh.prints(0, &["topic", "pub", "chat", SECRET]);
    mesh.prints(0, &["topic", "sub", "chat", "--until-caught-up"]);
    mesh.kill(2);
    mesh.prints(0, &["tree", "put", "tree-0", SECRET, SECRET]);
    mesh.restart(2);
    mesh.until("it serves again", |mesh| mesh.node(2).get("/readyz").is_some());
    // Soon after a start, once a quorum is known to have the same.
    mesh.until("what it applied anew is kept", |mesh| mesh.log(2).contains(CHECKPOINT));
}

#[test]
fn d18_each_target_speaks_when_asked_and_none_tells_what_users_wrote() {
    let chosen = "weald::storage=debug,weald::transaction=debug";
    let log = ["weald=trace", "weald=trace", chosen];
    let mut mesh = Mesh::start(Plan { k: 3, partitions: 4, log });
    live(&mut mesh);
    mesh.stop(2);

    let (ordinary, rare) = (documented("What a node tells"), documented("Seldom"));
    let heard = targets(&(mesh.log(0) + &mesh.log(1)));
    let silent: Vec<_> = ordinary.difference(&heard).collect();
    assert!(silent.is_empty(), "silent though asked: {silent:?}");
    let unknown: Vec<_> =
        heard.iter().filter(|t| !ordinary.contains(*t) && !rare.contains(*t)).collect();
    assert!(unknown.is_empty(), "not on the page: {unknown:?}");

    let log = mesh.log(2);
    let asked = ["weald::storage", "weald::transaction"].map(str::to_owned);
    assert_eq!(targets(&log), BTreeSet::from(asked), "what was not asked for is silent");
    for told in [
        "the stores are open",
        "the log is whole",
        CHECKPOINT,
        "a part is prepared",
        "a transaction over several partitions is decided",
        "a part is resolved",
        "a transaction is fenced",
    ] {
        assert!(log.contains(told), "{told:?} is not told:\n{log}");
    }
    for node in 0..3 {
        assert!(!mesh.log(node).contains(SECRET), "node {node} has told what users wrote");
    }
}
