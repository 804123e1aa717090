//! Which crate may know which: the one table.

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Finding, Rule};

const ALL: &[&str] = &[
    "weald-core",
    "weald-collections",
    "weald-storage",
    "weald-cluster",
    "weald-p2p",
    "weald-pubsub",
    "weald",
    "weald-sim",
];

/// Each crate of the workspace with the crates of the workspace that it may use, in tests too.
const ARROWS: [(&str, &[&str]); 13] = [
    ("weald-core", &[]),
    ("weald-collections", &["weald-core"]),
    ("weald-storage", &["weald-core"]),
    ("weald-cluster", &["weald-core"]),
    ("weald-p2p", &["weald-core"]),
    ("weald-pubsub", &["weald-core", "weald-collections"]),
    (
        "weald",
        &[
            "weald-core",
            "weald-collections",
            "weald-storage",
            "weald-cluster",
            "weald-p2p",
            "weald-pubsub",
        ],
    ),
    ("weald-sim", ALL),
    ("weald-mesh", ALL),
    ("weald-tests", ALL),
    ("weald-benches", ALL),
    ("weald-fuzz", ALL),
    ("xtask", ALL),
];

/// Crates that take inputs and a time and return outputs: nothing that waits, draws or touches a machine.
pub(super) const PURE: [&str; 4] =
    ["weald-core", "weald-collections", "weald-cluster", "weald-pubsub"];
const IMPURE: [&str; 9] =
    ["tokio", "getrandom", "rand", "libc", "rustix", "mio", "fjall", "redb", "rocksdb"];

/// Compares what `cargo metadata` says with the tables.
pub(super) fn check(metadata: &Value) -> Result<Vec<Finding>> {
    let packages = metadata["packages"].as_array().context("cargo metadata has no packages")?;
    let mut findings = Vec::new();
    for package in packages {
        let name = package["name"].as_str().context("a package has no name")?;
        let dependencies =
            package["dependencies"].as_array().context("a package has no dependencies")?;
        for dependency in dependencies {
            findings.extend(refusal(name, dependency));
        }
        if !ARROWS.iter().any(|(known, _)| *known == name) {
            findings.push(finding(name, String::from("the crate is not in the table of arrows")));
        }
    }
    Ok(findings)
}

fn refusal(package: &str, dependency: &Value) -> Option<Finding> {
    let used = dependency["name"].as_str()?;
    let is_normal = dependency["kind"].is_null();
    if dependency["path"].is_string() {
        let allowed = ARROWS
            .iter()
            .find(|(name, _)| *name == package)
            .map_or(&[][..], |(_, allowed)| allowed);
        return (!allowed.contains(&used))
            .then(|| finding(package, format!("{package} must not know {used}")));
    }
    let impure = is_normal && PURE.contains(&package) && IMPURE.contains(&used);
    impure.then(|| finding(package, format!("{package} is pure and must not use {used}")))
}

fn finding(package: &str, message: String) -> Finding {
    Finding {
        rule: Rule::Arrow,
        path: format!("{package}/Cargo.toml"),
        line: 0,
        amount: 1,
        message,
    }
}
