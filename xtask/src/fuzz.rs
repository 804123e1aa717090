//! Fuzzing of every decoder and of operation sequences. The targets are plain functions in `fuzz/src`.
//!
//! Two ways to drive them. Guided by coverage: libFuzzer over code instrumented by the compiler that builds
//! everything else; needs a C++ compiler. Plain: a small runner that mutates the kept inputs without guidance;
//! needs nothing, and is what the gate runs.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::command::{self, cargo};
use crate::programs;
use crate::sources::Workspace;

/// The passes of the compiler that libFuzzer needs. They are part of stable Rust; only the sanitizers are not, and
/// those find nothing in code without `unsafe`.
const INSTRUMENTATION: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks";

/// Options of `cargo xtask fuzz`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// One target; all of them when absent
    target: Option<String>,
    /// Seconds for each target
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Without guidance by coverage, as the gate does it
    #[arg(long)]
    plain: bool,
    /// Adds inputs that reached new code to the kept ones
    #[arg(long)]
    keep: bool,
}

/// Fuzzes for a bounded time; an input that makes a target panic is saved under `fuzz/artifacts`.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let guided = !options.plain && has_cpp_compiler();
    println!("fuzz: {}", if guided { "guided by coverage (libFuzzer)" } else { "plain mutation" });
    if guided {
        let targets = targets(workspace)?;
        let chosen: Vec<&String> = targets
            .iter()
            .filter(|target| options.target.as_ref().is_none_or(|wanted| wanted == *target))
            .collect();
        ensure!(!chosen.is_empty(), "no such target; there are: {}", targets.join(", "));
        build_guided(workspace, &chosen)?;
        return chosen.into_iter().try_for_each(|target| run_guided(workspace, target, options));
    }
    plain(workspace, options.seconds, options.target.as_deref())
}

/// The gate's share.
pub(crate) fn smoke(workspace: &Workspace, seconds: u64) -> Result<()> {
    plain(workspace, seconds, None)
}

fn plain(workspace: &Workspace, seconds: u64, target: Option<&str>) -> Result<()> {
    let programs = programs::as_tested(workspace, &["mutate"])?;
    let mut runner = Command::new(programs.join("mutate"));
    runner.arg(seconds.to_string()).args(target).current_dir(folder(workspace));
    command::run(runner)
}

fn build_guided(workspace: &Workspace, targets: &[&String]) -> Result<()> {
    let mut build = cargo(["build", "--release", "--features", "guided", "--locked"]);
    build.args(targets.iter().flat_map(|target| ["--bin", target.as_str()]));
    // A named target keeps the instrumentation out of build scripts and macros.
    build
        .args(["--target", &host()?])
        .current_dir(folder(workspace))
        .env("RUSTFLAGS", INSTRUMENTATION);
    build.env("CARGO_TARGET_DIR", target_folder(workspace));
    command::run(build)
}

fn run_guided(workspace: &Workspace, target: &str, options: &Options) -> Result<()> {
    let found = target_folder(workspace).join("corpus").join(target);
    let kept = folder(workspace).join("corpus").join(target);
    let artifacts = folder(workspace).join("artifacts").join(target);
    for folder in [&found, &kept, &artifacts] {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let program = target_folder(workspace).join(host()?).join("release").join(target);
    let mut fuzz = Command::new(&program);
    fuzz.arg(&found).arg(&kept);
    fuzz.arg(format!("-max_total_time={}", options.seconds))
        .arg(format!("-artifact_prefix={}/", artifacts.display()));
    fuzz.args([
        "-print_final_stats=1",
        "-verbosity=1",
        "-timeout=10",
        "-rss_limit_mb=2048",
        "-max_len=16384",
    ]);
    command::run(fuzz)?;
    if options.keep {
        let mut merge = Command::new(&program);
        // Reaching code counts, not how often: the kept inputs stay few.
        merge.args(["-merge=1", "-use_counters=0"]).arg(&kept).arg(&found);
        command::run(merge)?;
    }
    Ok(())
}

/// Every target has a file in `fuzz/fuzz_targets`, as cargo-fuzz wants it.
fn targets(workspace: &Workspace) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder(workspace).join("fuzz_targets"))
        .context("cannot list fuzz/fuzz_targets")?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_string_lossy().into_owned()))
        .collect();
    names.sort();
    Ok(names)
}

fn folder(workspace: &Workspace) -> PathBuf {
    workspace.root().join("fuzz")
}

fn target_folder(workspace: &Workspace) -> PathBuf {
    folder(workspace).join("target")
}

fn host() -> Result<String> {
    let mut rustc = Command::new("rustc");
    rustc.arg("-vV");
    let told = command::output_of(rustc)?;
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(String::from).context("rustc names no host")
}

fn has_cpp_compiler() -> bool {
    let program = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    let asked =
        Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}
