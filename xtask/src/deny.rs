//! What the dependencies may be, by the rules of deny.toml: licences, sources, banned crates; advisories where
//! cargo-deny is installed and their database can be reached.
//!
//! The file is cargo-deny's. The rules that need nothing but the tree of dependencies are judged here, so that a fresh
//! machine does not build that tool for minutes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use spdx::{Expression, ParseMode};

use crate::command::{self, cargo};
use crate::sources::Workspace;
use crate::tools;

/// Seconds until a machine without a way to the advisory database is taken to have none.
const FETCH_SECONDS_MAX: &str = "20";

/// Judges every package that the workspace is built from, on any machine and with any feature. A database of
/// advisories that cannot be fetched is reported and is no failure: the machine that releases has a network.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let rules = fs::read_to_string(workspace.root().join("deny.toml"));
    let rules = Rules::read(&rules.context("cannot read deny.toml")?);
    let rules = rules.context("deny.toml does not parse")?;
    let packages = packages(workspace)?;
    let manifest = fs::read_to_string(workspace.root().join("Cargo.toml"));
    let mut broken = any_version(&manifest.context("cannot read Cargo.toml")?)?;
    broken.extend(packages.iter().flat_map(|package| rules.broken_by(package, workspace.root())));
    for line in &broken {
        println!("  {line}");
    }
    ensure!(broken.is_empty(), "{} rules of deny.toml are broken", broken.len());
    println!("  {} packages: licences, sources and names are allowed", packages.len());
    advisories(workspace)
}

/// A package as `cargo tree` tells it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Package {
    name: String,
    version: String,
    /// Where it is from; nothing for the default registry.
    place: Option<String>,
    licence: String,
}

impl Package {
    /// Reads `name vVERSION (proc-macro) (PLACE)|LICENCE (*)`, of which what is in brackets may be absent.
    fn read(line: &str) -> Option<Self> {
        let (package, licence) = line.trim_end_matches(" (*)").split_once('|')?;
        let (name, rest) = package.split_once(" v")?;
        let (version, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let rest = rest.trim_start_matches("(proc-macro)").trim();
        let place = rest.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
        let [name, version, licence] = [name, version, licence].map(str::to_owned);
        Some(Self { name, version, place: place.map(str::to_owned), licence })
    }
}

fn packages(workspace: &Workspace) -> Result<BTreeSet<Package>> {
    let mut tree = cargo(["tree", "--workspace", "--all-features", "--target", "all", "--locked"]);
    tree.args(["--edges", "normal,build,dev", "--prefix", "none", "--format", "{p}|{l}"]);
    let told = tree.current_dir(workspace.root()).output().context("cannot run cargo tree")?;
    ensure!(told.status.success(), "cargo tree: {}", String::from_utf8_lossy(&told.stderr));
    let told = String::from_utf8(told.stdout).context("cargo tree tells no text")?;
    let lines = told.lines().filter(|line| !line.is_empty());
    lines.map(|line| Package::read(line).with_context(|| format!("no package: {line}"))).collect()
}

/// The dependencies of the workspace that are taken in any version; its crates name none of their own.
fn any_version(manifest: &str) -> Result<Vec<String>> {
    let manifest: toml::Table = manifest.parse().context("Cargo.toml does not parse")?;
    let dependencies =
        manifest.get("workspace").and_then(|table| table.get("dependencies")?.as_table());
    let dependencies = dependencies.context("there is no [workspace.dependencies]")?;
    let version = |dependency: &toml::Value| {
        let version = dependency.get("version").unwrap_or(dependency);
        version.as_str().map(str::to_owned)
    };
    let wild =
        dependencies.iter().filter(|(_, dependency)| version(dependency).as_deref() == Some("*"));
    Ok(wild.map(|(name, _)| format!("{name}: any version of it is taken")).collect())
}

/// The rules that are judged here.
struct Rules {
    licences: BTreeSet<String>,
    /// Crates that must not enter, and why.
    banned: BTreeMap<String, String>,
}

impl Rules {
    fn read(text: &str) -> Result<Self> {
        let file: toml::Table = text.parse()?;
        let list = |table: &str, key: &str| {
            let list = file.get(table).and_then(|table| table.get(key)?.as_array());
            list.with_context(|| format!("there is no list `{key}` under [{table}]"))
        };
        let licences = list("licenses", "allow")?.iter();
        let licences = licences.map(|name| name.as_str().map(str::to_owned)).collect::<Option<_>>();
        let ban = |ban: &toml::Value| {
            let text = |key: &str| Some(ban.get(key)?.as_str()?.to_owned());
            Some((text("crate")?, text("reason")?))
        };
        let banned = list("bans", "deny")?.iter().map(ban).collect::<Option<_>>();
        Ok(Self {
            licences: licences.context("a licence is a name")?,
            banned: banned.context("a ban needs `crate` and `reason`")?,
        })
    }

    /// What a package breaks, a line each.
    fn broken_by(&self, package: &Package, root: &Path) -> Vec<String> {
        let Package { name, version, place, licence } = package;
        let ban = self.banned.get(name).map(|reason| format!("it is banned: {reason}"));
        let place = place.as_ref().filter(|place| !Path::new(place).starts_with(root));
        let place = place.map(|place| format!("its source is not the default registry: {place}"));
        let broken = [self.licence_broken(licence), ban, place].into_iter().flatten();
        broken.map(|what| format!("{name} {version}: {what}")).collect()
    }

    fn licence_broken(&self, licence: &str) -> Option<String> {
        let Ok(expression) = Expression::parse_mode(licence, ParseMode::LAX) else {
            return Some(format!("its licence cannot be read: \"{licence}\""));
        };
        let is_allowed = expression.evaluate(|needed| self.licences.contains(&needed.to_string()));
        (!is_allowed).then(|| format!("its licence is not allowed: {licence}"))
    }
}

fn advisories(workspace: &Workspace) -> Result<()> {
    let Some(deny) = tools::installed("deny")? else {
        println!(
            "  advisories: NOT CHECKED, cargo-deny is not installed (cargo install --locked cargo-deny)"
        );
        return Ok(());
    };
    if !fetch_advisories(workspace, &deny)? {
        println!("  advisories: NOT CHECKED, their database cannot be reached from this machine");
        return Ok(());
    }
    let mut check = deny;
    check.current_dir(workspace.root()).args(["check", "--disable-fetch", "advisories"]);
    command::run(check)
}

fn fetch_advisories(workspace: &Workspace, deny: &Command) -> Result<bool> {
    let mut fetch = Command::new("timeout");
    fetch
        .arg(FETCH_SECONDS_MAX)
        .arg(deny.get_program())
        .args(deny.get_args())
        .args(["fetch", "db"]);
    fetch.current_dir(workspace.root()).env("GIT_TERMINAL_PROMPT", "0");
    let finished = command::run_kept(fetch)?;
    ensure!(finished.success || !finished.output.contains("deny.toml"), "deny.toml does not parse");
    Ok(finished.success)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(line: &str) -> Vec<String> {
        let rules = r#"
            [licenses]
            allow = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"]
            [bans]
            deny = [{ crate = "openssl-sys", reason = "needs a system library" }]
        "#;
        let package = Package::read(line).unwrap();
        Rules::read(rules).unwrap().broken_by(&package, Path::new("/here"))
    }

    #[test]
    fn what_the_rules_allow_breaks_none_of_them() {
        for line in [
            "x v1.0.0|MIT",
            "x v1.0.0-rc.1+2|MIT OR GPL-3.0",
            "x v1.0.0 (proc-macro)|MIT/Apache-2.0 (*)",
            "x v1.0.0 (proc-macro) (/here/crates/x)|MIT",
            "x v1.0.0 (/here/crates/x)|Apache-2.0 WITH LLVM-exception (*)",
        ] {
            assert_eq!(broken(line), Vec::<String>::new(), "{line}");
        }
    }

    #[test]
    fn each_rule_is_noticed_when_it_is_broken() {
        for (line, what) in [
            ("x v1.0.0|GPL-3.0", "licence is not allowed"),
            ("x v1.0.0|MIT AND GPL-3.0", "licence is not allowed"),
            ("x v1.0.0|", "licence cannot be read"),
            ("openssl-sys v1.0.0|MIT", "needs a system library"),
            ("x v1.0.0 (https://example.org/x#1a2b)|MIT", "not the default registry"),
            ("x v1.0.0 (registry `other`)|MIT", "not the default registry"),
            ("x v1.0.0 (/elsewhere/x)|MIT (*)", "not the default registry"),
        ] {
            let broken = broken(line);
            assert!(broken.len() == 1 && broken[0].contains(what), "{line}: {broken:?}");
        }
    }

    #[test]
    fn a_dependency_in_any_version_is_noticed() {
        let of = |line: &str| any_version(&format!("[workspace.dependencies]\n{line}\n")).unwrap();
        for good in ["x = \"1\"", "x = { version = \"1.2\" }", "x = { path = \"x\" }"] {
            assert_eq!(of(good), Vec::<String>::new(), "{good}");
        }
        for wild in ["x = \"*\"", "x = { version = \"*\", features = [] }"] {
            assert_eq!(of(wild), ["x: any version of it is taken"], "{wild}");
        }
        assert!(any_version("[package]").is_err());
    }

    #[test]
    fn a_file_without_the_rules_is_no_set_of_rules() {
        assert!(Rules::read("[licenses]\nallow = []").is_err());
        assert_eq!(Package::read("what is this?"), None);
    }
}
