//! Packages the crates of the workspace as a release would, and checks that each package compiles by itself.
//!
//! `cargo publish --dry-run` generates code for each package with all that it depends on, for nobody; here the
//! packages are unpacked and type-checked, which finds the same mistakes (a file that is not packaged, a feature
//! that only a neighbour switches on) in a third of the time.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::ci::workspace_profile;
use crate::command::{self, cargo};
use crate::sources::Workspace;

/// A crate of the workspace that is published.
#[derive(Debug, PartialEq, Eq)]
struct Package {
    name: String,
    version: String,
}

impl Package {
    /// The name of its archive without the ending, and of the folder in it.
    fn stem(&self) -> String {
        format!("{}-{}", self.name, self.version)
    }

    fn archive_in(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{}.crate", self.stem()))
    }
}

/// Asks cargo whether the crates can be published, then checks each package on its own: with the features that it
/// asks for itself, and with its neighbours as packages, too.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let packages = published(workspace)?;
    let target = workspace.root().join("target");
    // Whatever is there is of another run.
    empty(&target.join("package"))?;
    let mut publish = cargo(["publish", "--workspace", "--dry-run", "--no-verify", "--locked"]);
    publish.current_dir(workspace.root()).env("CARGO_TARGET_DIR", &target);
    command::run(publish)?;
    let archives = archives(workspace, &packages, &target.join("package"))?;
    let unpacked = target.join("package/unpacked");
    empty(&unpacked)?;
    for package in &packages {
        unpack(package, &archives, &unpacked)?;
    }
    workspace.share_lock_file(&unpacked)?;
    let manifest = unpacked.join("Cargo.toml");
    fs::write(&manifest, one_workspace(&packages))
        .with_context(|| format!("cannot write {}", manifest.display()))?;
    let profile = workspace_profile(workspace)?;
    packages.iter().try_for_each(|package| {
        // By itself: features that only a neighbour asks for are not switched on.
        let mut check = cargo(["check", "--package", package.name.as_str()]);
        check.args(&profile).current_dir(&unpacked);
        check.env("CARGO_INCREMENTAL", "0").env("CARGO_TARGET_DIR", &target);
        command::run(check)
    })
}

/// The folder of the archives. A rehearsal of a release leaves them where a release reads them, in this version of cargo;
/// where they are not there, they are made once more.
fn archives(workspace: &Workspace, packages: &[Package], folder: &Path) -> Result<PathBuf> {
    let rehearsed = folder.join("tmp-crate");
    if packages.iter().all(|package| package.archive_in(&rehearsed).is_file()) {
        return Ok(rehearsed);
    }
    let mut package = cargo(["package", "--no-verify", "--locked"]);
    package.args(packages.iter().flat_map(|package| ["--package", package.name.as_str()]));
    package.current_dir(workspace.root()).env("CARGO_TARGET_DIR", workspace.root().join("target"));
    command::run(package)?;
    Ok(folder.to_owned())
}

/// An empty folder, whatever was there.
fn empty(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))
}

fn unpack(package: &Package, archives: &Path, unpacked: &Path) -> Result<()> {
    // Files of now: cargo would take those of an earlier check for the same.
    let mut tar = Command::new("tar");
    tar.arg("-xzmf").arg(package.archive_in(archives));
    tar.arg("-C").arg(unpacked);
    command::run(tar)
}

/// A workspace of the packages, in which each finds its neighbours, which no registry knows yet, among the others;
/// what two of them use is checked once.
fn one_workspace(packages: &[Package]) -> String {
    let members: Vec<String> = packages.iter().map(Package::stem).collect();
    let patches = packages
        .iter()
        .map(|package| format!("{} = {{ path = {:?} }}\n", package.name, package.stem()));
    format!(
        "[workspace]\nresolver = \"3\"\nmembers = {members:?}\n\n[patch.crates-io]\n{}",
        patches.collect::<String>()
    )
}

/// The crates that are published, by name.
fn published(workspace: &Workspace) -> Result<Vec<Package>> {
    let mut metadata = cargo(["metadata", "--no-deps", "--format-version", "1"]);
    metadata.current_dir(workspace.root());
    let packages = published_of(&command::output_of(metadata)?)?;
    ensure!(!packages.is_empty(), "no crate of the workspace is published");
    Ok(packages)
}

/// The crates that `cargo metadata` says are published.
fn published_of(metadata: &str) -> Result<Vec<Package>> {
    let metadata: Value = serde_json::from_str(metadata).context("cargo metadata is no JSON")?;
    let Some(listed) = metadata["packages"].as_array() else {
        bail!("cargo metadata lists no packages");
    };
    // An empty list of registries is what `publish = false` becomes.
    let kept =
        listed.iter().filter(|one| one["publish"].as_array().is_none_or(|to| !to.is_empty()));
    let text = |one: &Value, field: &str| one[field].as_str().unwrap_or_default().to_owned();
    let mut packages: Vec<Package> = kept
        .map(|one| Package { name: text(one, "name"), version: text(one, "version") })
        .collect();
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(packages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_published_is_not_packaged() {
        let metadata = r#"{"packages": [
            {"name": "b", "version": "0.2.0", "publish": null},
            {"name": "tool", "version": "0.0.0", "publish": []},
            {"name": "a", "version": "0.1.0"}]}"#;
        let package =
            |name: &str, version: &str| Package { name: name.into(), version: version.into() };
        assert_eq!(published_of(metadata).unwrap(), [package("a", "0.1.0"), package("b", "0.2.0")]);
        assert!(published_of("{}").is_err());
    }

    #[test]
    fn a_package_finds_its_neighbours_among_the_packages() {
        let package = |name: &str| Package { name: name.into(), version: "1.0.0".into() };
        assert_eq!(
            one_workspace(&[package("a"), package("b")]),
            "[workspace]\nresolver = \"3\"\nmembers = [\"a-1.0.0\", \"b-1.0.0\"]\n\n[patch.crates-io]\n\
             a = { path = \"a-1.0.0\" }\nb = { path = \"b-1.0.0\" }\n"
        );
    }
}
