//! The gate: everything a change must pass, in the order that finds cheap mistakes first. Reads only.
//!
//! Steps share one target folder and one profile, so that a dependency is built once for checking and once for
//! running, and not again for each step.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::command::{self, Finished, cargo};
use crate::sources::Workspace;
use crate::test_summary::{Counts, closing_lines};
use crate::{deny, fuzz, mesh, publish_check, requirements, rocksdb, tidy, tools};

/// A crate outside the workspace that uses what the workspace publishes.
const EXAMPLE: &str = "examples/counter-queue";
/// Seconds of fuzzing for each target: replays the kept inputs and some thousand mutations of them.
const FUZZ_SECONDS: u64 = 2;

/// Steps that show rows of docs/requirements.md themselves: everything is there, and passes.
const SHOWN_BY_STEPS: [(&str, &[&str]); 3] =
    [("docs", &["PS1587"]), ("tests", &["W201"]), ("doc tests", &["PS1585", "PS1593"])];

/// Options of `cargo xtask ci`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Begins at this step, to go on after a mended one; the gate itself is a whole run
    #[arg(long, value_name = "STEP")]
    from: Option<String>,
}

/// What a step does with the tests it ran.
type Step<'a> = (&'static str, Box<dyn Fn(&mut Tests) -> Result<()> + 'a>);

/// Test results gathered over all steps.
#[derive(Default)]
struct Tests {
    counts: Counts,
    closing_lines: Vec<String>,
}

/// Each step that shows rows itself, with these.
pub(crate) fn shown_by_steps() -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
    SHOWN_BY_STEPS.into_iter()
}

/// Runs every step; the first that fails ends the run.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let started = Instant::now();
    let mut tests = Tests::default();
    let steps = steps(workspace);
    let first = match &options.from {
        Some(wanted) => {
            steps.iter().position(|(name, _)| name == wanted).context("no step has this name")?
        }
        None => 0,
    };
    for (index, (name, step)) in steps.iter().enumerate().skip(first) {
        println!("\n== {}/{} {name}", index + 1, steps.len());
        let step_started = Instant::now();
        let result = step(&mut tests);
        println!("== {name}: {:.1} s", step_started.elapsed().as_secs_f64());
        if let Err(error) = result {
            println!("\nFAILED at step `{name}`: {error:#}");
            println!("{}", tests.counts);
            bail!("ci failed at step `{name}`");
        }
    }
    let passed = steps.len() - first;
    println!(
        "\n{passed} of {} steps passed in {:.0} s",
        steps.len(),
        started.elapsed().as_secs_f64()
    );
    for line in &tests.closing_lines {
        println!("{line}");
    }
    println!("{}", tests.counts);
    Ok(())
}

fn steps(workspace: &Workspace) -> Vec<Step<'_>> {
    let plain = |arguments: &'static [&'static str]| {
        move |_: &mut Tests| command::run(in_workspace(workspace, cargo(arguments)))
    };
    vec![
        ("fmt", Box::new(plain(&["fmt", "--all", "--check"]))),
        ("tidy", Box::new(|_| tidy::run(workspace))),
        (
            "requirements",
            Box::new(|_| requirements::run(workspace, &requirements::Options::check())),
        ),
        (
            "clippy",
            Box::new(plain(&[
                "clippy",
                "--workspace",
                "--all-targets",
                "--locked",
                "--",
                "-D",
                "warnings",
            ])),
        ),
        (
            // What a program that embeds Weald builds.
            "library alone",
            Box::new(plain(&[
                "clippy",
                "--package",
                "weald",
                "--lib",
                "--no-default-features",
                "--locked",
                "--",
                "-D",
                "warnings",
            ])),
        ),
        ("docs", Box::new(|_| docs(workspace))),
        ("tests", Box::new(|tests| workspace_tests(workspace, tests))),
        ("doc tests", Box::new(|tests| doc_tests(workspace, tests))),
        ("example", Box::new(|tests| example(workspace, tests))),
        ("fuzz smoke", Box::new(|_| fuzz::smoke(workspace, FUZZ_SECONDS))),
        ("deny", Box::new(|_| deny::run(workspace))),
        (
            "mesh smoke beside publish check",
            Box::new(|_| mesh::smoke(workspace, || publish_check::run(workspace))),
        ),
        ("RocksDB suite", Box::new(|tests| rocksdb_suite(workspace, tests))),
    ]
}

/// What every step of the gate runs with: a clean checkout gains nothing from incremental files.
fn in_workspace(workspace: &Workspace, mut command: Command) -> Command {
    command.current_dir(workspace.root()).env("CARGO_INCREMENTAL", "0");
    command
}

fn docs(workspace: &Workspace) -> Result<()> {
    let mut docs = in_workspace(workspace, cargo(["doc", "--workspace", "--no-deps", "--locked"]));
    docs.env("RUSTDOCFLAGS", "-D warnings");
    command::run(docs)
}

fn workspace_tests(workspace: &Workspace, tests: &mut Tests) -> Result<()> {
    let mut nextest = in_workspace(workspace, tools::nextest()?);
    nextest.args(["run", "--workspace", "--profile", "ci", "--locked"]);
    tests.take(command::run_kept(nextest)?)
}

fn doc_tests(workspace: &Workspace, tests: &mut Tests) -> Result<()> {
    let doc_tests = cargo(["test", "--workspace", "--doc", "--locked"]);
    tests.take(command::run_kept(in_workspace(workspace, doc_tests))?)
}

fn example(workspace: &Workspace, tests: &mut Tests) -> Result<()> {
    let folder = workspace.root().join(EXAMPLE);
    if !folder.is_dir() {
        println!("no {EXAMPLE} in this checkout");
        return Ok(());
    }
    workspace.share_lock_file(&folder)?;
    let mut test = in_workspace(workspace, cargo(["test"]));
    test.args(workspace_profile(workspace)?);
    // These have features of their own in the workspace's tests; here they are built anew, and run for a moment.
    for package in ["weald-cluster", "weald-storage"] {
        test.arg("--config").arg(format!("profile.dev.package.{package}.opt-level=0"));
    }
    test.current_dir(folder).env("CARGO_TARGET_DIR", workspace.root().join("target"));
    tests.take(command::run_kept(test)?)
}

fn rocksdb_suite(workspace: &Workspace, tests: &mut Tests) -> Result<()> {
    rocksdb::run(workspace)?.map_or(Ok(()), |finished| tests.take(finished))
}

/// Arguments by which a crate outside the workspace is built with the workspace's profile, so that what both use
/// is built once.
pub(crate) fn workspace_profile(workspace: &Workspace) -> Result<[PathBuf; 2]> {
    let manifest = fs::read_to_string(workspace.root().join("Cargo.toml"))
        .context("cannot read Cargo.toml")?;
    let target = workspace.root().join("target");
    fs::create_dir_all(&target).context("cannot create target")?;
    let file = target.join("workspace-profile.toml");
    fs::write(&file, profile_tables(&manifest))
        .with_context(|| format!("cannot write {}", file.display()))?;
    Ok([PathBuf::from("--config"), file])
}

/// The tables `[profile.dev...]` of a manifest.
fn profile_tables(manifest: &str) -> String {
    let mut is_wanted = false;
    let mut tables = String::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            is_wanted = line.starts_with("[profile.dev");
        }
        if is_wanted {
            tables.push_str(line);
            tables.push('\n');
        }
    }
    tables
}

impl Tests {
    fn take(&mut self, finished: Finished) -> Result<()> {
        self.counts += Counts::read(&finished.output);
        self.closing_lines.extend(closing_lines(&finished.output));
        if !finished.success {
            bail!("tests failed, their names are above");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_of_the_profile_are_taken_from_the_manifest() {
        let manifest = "[workspace]\na = 1\n[profile.dev]\nopt-level = 1\n[profile.dev.package.\"*\"]\ndebug = false\n\
                        [profile.release]\nlto = true\n";
        assert_eq!(
            profile_tables(manifest),
            "[profile.dev]\nopt-level = 1\n[profile.dev.package.\"*\"]\ndebug = false\n"
        );
    }

    #[test]
    fn counts_are_kept_when_a_run_fails() {
        let mut tests = Tests::default();
        let output = String::from("Summary [ 0.1s] 2 tests run: 1 passed, 1 failed, 0 skipped\n");
        assert!(tests.take(Finished { success: false, output }).is_err());
        assert_eq!(tests.counts.to_string(), "1 passed, 1 failed");
    }
}
