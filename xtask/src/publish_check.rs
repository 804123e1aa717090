//! Packages the crates of the workspace as a release would, and builds each package.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::ci::workspace_profile;
use crate::command::{self, cargo};
use crate::sources::Workspace;

/// Cargo packages the crates in order of their dependencies and lets each see the ones before it, so that crates
/// which no registry knows yet can be checked together.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    forget_packaged_crates(&workspace.root().join("target/debug"))?;
    if let Some(home) = cargo_home() {
        forget_unpacked_crates(&home.join("registry/src"))?;
    }
    let mut publish = cargo(["publish", "--workspace", "--dry-run", "--locked"]);
    // A package is built outside the workspace: with the same profile it finds its dependencies built.
    publish
        .args(workspace_profile(workspace)?)
        .current_dir(workspace.root())
        .env("CARGO_INCREMENTAL", "0");
    publish.env("CARGO_TARGET_DIR", workspace.root().join("target"));
    command::run(publish)
}

/// Cargo takes a packaged crate for one of a registry, which never changes under one version, and would build the
/// next against what an earlier check has built of it.
fn forget_packaged_crates(build: &Path) -> Result<()> {
    let Ok(entries) = fs::read_dir(build.join("deps")) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(unit) = name.strip_suffix(".d").filter(|unit| unit.starts_with("weald")) else {
            continue;
        };
        let inputs =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        if is_packaged(&inputs) {
            let fingerprint = build.join(".fingerprint").join(fingerprint_name(unit));
            if fingerprint.is_dir() {
                fs::remove_dir_all(&fingerprint)
                    .with_context(|| format!("cannot remove {}", fingerprint.display()))?;
            }
        }
    }
    Ok(())
}

/// Cargo also unpacks the packages of a check beside those of real registries, under a folder without a name before
/// its `-`, and does not unpack them again.
fn forget_unpacked_crates(unpacked: &Path) -> Result<()> {
    for registry in folders(unpacked).filter(|registry| begins_with(registry, "-")) {
        for package in folders(&registry).filter(|package| begins_with(package, "weald")) {
            fs::remove_dir_all(&package)
                .with_context(|| format!("cannot remove {}", package.display()))?;
        }
    }
    Ok(())
}

fn cargo_home() -> Option<PathBuf> {
    let named = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    named.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
}

fn folders(path: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(path)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
}

fn begins_with(path: &Path, beginning: &str) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(beginning))
}

/// Whether a list of inputs is that of a crate unpacked from a registry.
fn is_packaged(inputs: &str) -> bool {
    inputs.contains("/registry/src/")
}

/// `weald_core-0123` is the crate `weald-core`: the name of a package has hyphens.
fn fingerprint_name(unit: &str) -> String {
    unit.replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_unpacked_is_forgotten() {
        let build =
            std::env::temp_dir().join(format!("weald-publish-check-{}", std::process::id()));
        let write = |name: &str, text: &str| {
            fs::create_dir_all(build.join("deps")).unwrap();
            fs::create_dir_all(build.join(".fingerprint").join(fingerprint_name(name))).unwrap();
            fs::write(build.join("deps").join(format!("{name}.d")), text).unwrap();
        };
        write(
            "weald_core-01",
            "x.rlib: /home/me/.cargo/registry/src/-0/weald-core-0.1.0/src/lib.rs\n",
        );
        write("weald_core-02", "x.rlib: crates/weald-core/src/lib.rs\n");
        write("serde-03", "x.rlib: /home/me/.cargo/registry/src/-0/serde-1.0.0/src/lib.rs\n");
        forget_packaged_crates(&build).unwrap();
        let left = |name: &str| build.join(".fingerprint").join(name).is_dir();
        assert_eq!(
            [left("weald-core-01"), left("weald-core-02"), left("serde-03")],
            [false, true, true]
        );
        fs::remove_dir_all(&build).unwrap();
    }

    #[test]
    fn only_packages_of_a_check_are_removed() {
        let unpacked = std::env::temp_dir().join(format!("weald-unpacked-{}", std::process::id()));
        let packages = [
            "-0123/weald-core-0.1.0",
            "-0123/serde-1.0.0",
            "index.crates.io-0123/weald-core-0.1.0",
        ];
        packages.iter().for_each(|package| fs::create_dir_all(unpacked.join(package)).unwrap());
        forget_unpacked_crates(&unpacked).unwrap();
        assert_eq!(packages.map(|package| unpacked.join(package).is_dir()), [false, true, true]);
        fs::remove_dir_all(&unpacked).unwrap();
    }
}
