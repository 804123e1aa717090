//! The workspace on disk: its root and the files that belong to it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The checkout that this xtask was built from.
pub(crate) struct Workspace {
    root: PathBuf,
}

/// One text file, by its path from the root with `/` between the parts.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Workspace {
    /// Finds the root as the folder above xtask's own.
    pub(crate) fn locate() -> Result<Self> {
        let own = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = own.parent().context("xtask has no folder above it")?;
        ensure!(root.join("Cargo.toml").is_file(), "no Cargo.toml path={}", root.display());
        Ok(Self { root: root.to_path_buf() })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Lets a crate outside the workspace begin with the versions of the workspace, so that it has none of its own
    /// and what both use is built once. Cargo adds what else it needs.
    pub(crate) fn share_lock_file(&self, folder: &Path) -> Result<()> {
        let copied = fs::copy(self.root.join("Cargo.lock"), folder.join("Cargo.lock"));
        copied.with_context(|| format!("cannot copy Cargo.lock to {}", folder.display()))?;
        Ok(())
    }

    /// The files that git tracks or would track, with one of `extensions`, in order of their paths.
    pub(crate) fn sources(&self, extensions: &[&str]) -> Result<Vec<Source>> {
        let mut sources = Vec::new();
        for path in self.paths()? {
            let wanted = path.rsplit_once('.').is_some_and(|(_, end)| extensions.contains(&end));
            if wanted {
                let text = fs::read_to_string(self.root.join(&path))
                    .with_context(|| format!("cannot read {path}"))?;
                sources.push(Source { path, text });
            }
        }
        Ok(sources)
    }

    /// Paths of all files that git tracks or would track and that are there, sorted.
    pub(crate) fn paths(&self) -> Result<Vec<String>> {
        let listed = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(&self.root)
            .output()
            .context("cannot start git")?;
        ensure!(
            listed.status.success(),
            "git ls-files failed: {}",
            String::from_utf8_lossy(&listed.stderr)
        );
        let listed = String::from_utf8(listed.stdout).context("a path is not UTF-8")?;
        let mut paths: Vec<String> = listed
            .split('\0')
            .filter(|path| !path.is_empty() && self.root.join(path).is_file())
            .map(String::from)
            .collect();
        paths.sort();
        paths.dedup();
        Ok(paths)
    }
}
