//! The RocksDB suite, and whether this machine can build that engine: its bindings are generated with libclang.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::command::{self, Finished};
use crate::sources::Workspace;
use crate::tools::{self, cache_folder};

/// The tests that differ with the engine: all of storage, and that every engine holds the same state.
const TESTS: &str = "package(weald-storage) | binary(determinism)";

/// Runs the tests that differ with the engine on RocksDB; `None` when libclang is missing, which is said.
pub(crate) fn run(workspace: &Workspace) -> Result<Option<Finished>> {
    let Some(library) = libclang() else {
        println!(
            "RocksDB suite: SKIPPED, no libclang on this machine; to run it: apt-get install -y libclang-dev"
        );
        return Ok(None);
    };
    println!("RocksDB suite: libclang at {}", library.display());
    let mut suite = tools::nextest()?;
    suite
        .args(["run", "--profile", "ci", "--package", "weald-storage", "--package", "weald-tests"])
        .args(["--features", "weald-storage/rocksdb,weald-tests/rocksdb", "--filterset", TESTS])
        .current_dir(workspace.root())
        // The engine's C++ takes ten minutes on two cores: built once per machine, not once per checkout.
        .env("CARGO_TARGET_DIR", cache_folder()?.join("rocksdb-target"));
    let finished = command::run_kept(suite)?;
    if !finished.success {
        bail!("the RocksDB suite failed");
    }
    Ok(Some(finished))
}

/// The first libclang found where the binding generator looks.
fn libclang() -> Option<PathBuf> {
    let named = std::env::var_os("LIBCLANG_PATH").map(PathBuf::from);
    if let Some(path) = named {
        return if path.is_file() { Some(path) } else { library_in(&path) };
    }
    asked("llvm-config", &["--libdir"])
        .and_then(|folder| library_in(Path::new(folder.trim())))
        .or_else(|| llvm_folders().iter().find_map(|folder| library_in(folder)))
        .or_else(|| asked("ldconfig", &["-p"]).and_then(|listed| library_in_linker_cache(&listed)))
}

fn asked(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    String::from_utf8(output.stdout).ok().filter(|_| output.status.success())
}

/// `/usr/lib/llvm-*/lib`, newest name last in the listing and first here.
fn llvm_folders() -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir("/usr/lib") else { return Vec::new() };
    let mut folders: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("llvm-"))
        .map(|entry| entry.path().join("lib"))
        .collect();
    folders.sort();
    folders.reverse();
    folders
}

fn library_in(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?;
    entries
        .flatten()
        .find(|entry| is_libclang(&entry.file_name().to_string_lossy()))
        .map(|entry| entry.path())
}

fn library_in_linker_cache(listed: &str) -> Option<PathBuf> {
    let line =
        listed.lines().find(|line| line.split_whitespace().next().is_some_and(is_libclang))?;
    line.split("=> ").nth(1).map(|path| PathBuf::from(path.trim()))
}

/// `libclang.so`, `libclang.so.14`, `libclang-14.so.1`; not `libclang-cpp.so`, not the static parts.
fn is_libclang(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("libclang") else { return false };
    let version = rest.strip_prefix('-').unwrap_or(rest);
    let behind = version.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    behind.is_empty() && name.contains(".so") || behind.starts_with("so")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shared_library_is_told_from_its_neighbours() {
        for name in [
            "libclang.so",
            "libclang.so.14",
            "libclang-14.so",
            "libclang-14.so.1",
            "libclang-14.0.6.so",
        ] {
            assert!(is_libclang(name), "name={name}");
        }
        for name in ["libclang-cpp.so.14", "libclangAST.a", "libclang.a", "libLLVM.so", "libclang"]
        {
            assert!(!is_libclang(name), "name={name}");
        }
    }

    #[test]
    fn the_linker_cache_names_the_path() {
        let listed = "2 libs\n\tlibc.so.6 (libc6) => /lib/libc.so.6\n\tlibclang-14.so.14 (libc6,x86-64) => /usr/lib/x/libclang-14.so.14\n";
        assert_eq!(
            library_in_linker_cache(listed),
            Some(PathBuf::from("/usr/lib/x/libclang-14.so.14"))
        );
        assert_eq!(library_in_linker_cache("0 libs\n"), None);
    }
}
