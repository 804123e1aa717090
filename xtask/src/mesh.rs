//! Scenarios of real nodes: builds the node and the program that runs them, and runs it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use serde_json::Value;

use crate::command::{self, cargo};
use crate::programs;
use crate::sources::Workspace;

/// Options of `cargo xtask mesh-test`: all but one are the program's, see `--help` behind a scenario.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// `SCENARIO.. | all | list`, --nodes N, --k K, --engine E, --rounds N, --operations N, --seed S, --keep
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Options of `cargo xtask bench mesh`.
#[derive(clap::Args)]
pub(crate) struct BenchOptions {
    /// What to measure beside the nodes: `etcd` where the machine has it, `floor` with --floor
    #[arg(long, value_name = "NAMES")]
    peers: Option<String>,
    /// `Cargo.toml` of a program that is a bare log of three processes
    #[arg(long, value_name = "MANIFEST")]
    floor: Option<PathBuf>,
    /// More for the program: --clients 1,16 --seconds N --runs N --nodes N --k K --directory D
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// Options of `cargo xtask bench topics`.
#[derive(clap::Args)]
pub(crate) struct TopicBenchOptions {
    /// What to measure beside the nodes: `nats` where the machine has it
    #[arg(long, value_name = "NAMES")]
    peers: Option<String>,
    /// More for the program: --only publish,replay --seconds N --runs N --topic-seconds N --directory D
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// Scenarios that the gate runs together.
struct Smoke {
    /// Each with the rows of docs/requirements.md that it shows.
    scenarios: &'static [(&'static str, &'static [&'static str])],
    /// What cuts them short.
    options: &'static [&'static str],
}

/// What the gate runs: a few kills under load, then topics as their rows ask for them.
const SMOKES: [Smoke; 3] = [
    Smoke {
        scenarios: &[("k3", &["D22", "W6"]), ("kill-leader", &["W194"])],
        options: &["--rounds", "5", "--operations", "1500"],
    },
    Smoke {
        scenarios: &[
            ("topic-concurrent", &["T2", "PS1476", "PS1477", "PS1478", "PS1479", "PS1480"]),
            ("topic-late-joiner", &["T1", "PS1378", "PS1379", "PS1380"]),
        ],
        options: &[],
    },
    Smoke { scenarios: &[("topic-members", &["PS136"])], options: &["--rounds", "4"] },
];
/// How long one of these may take: a bound for what hangs. They take a minute or two, and five were seen where the
/// disk was slow and packages were built beside them.
const SMOKE_MAX: Duration = Duration::from_secs(600);

/// Each scenario that the gate runs, with the rows that it shows.
pub(crate) fn shown_by_smoke() -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
    SMOKES.iter().flat_map(|smoke| smoke.scenarios.iter().copied())
}

/// Builds and runs; a scenario that fails is an error.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let weald = programs::for_release(workspace, "weald")?;
    let mesh = programs::for_release(workspace, "weald-mesh")?;
    let mut run = Command::new(mesh);
    run.arg("test").arg("--weald").arg(weald).args(&options.arguments);
    run.current_dir(workspace.root());
    command::run(run)
}

/// Scenarios for the gate, with the programs as the tests have built them, while `beside` works: nodes wait for each
/// other most of the time.
pub(crate) fn smoke(
    workspace: &Workspace,
    beside: impl FnOnce() -> Result<()> + Send,
) -> Result<()> {
    let programs = programs::as_tested(workspace, &["weald", "weald-mesh"])?;
    let run_one = |smoke: &Smoke| {
        let mut run = Command::new(programs.join("weald-mesh"));
        run.arg("test").args(smoke.scenarios.iter().map(|(name, _)| name)).args(smoke.options);
        run.arg("--weald").arg(programs.join("weald")).current_dir(workspace.root());
        command::run_within(run, SMOKE_MAX)
    };
    thread::scope(|scope| {
        let beside = scope.spawn(beside);
        let ran = SMOKES.iter().try_for_each(run_one);
        let worked =
            beside.join().map_err(|_| anyhow!("what works beside the nodes has panicked"))?;
        ran.and(worked)
    })
}

/// Builds as for a release and measures.
pub(crate) fn bench(workspace: &Workspace, options: &BenchOptions) -> Result<()> {
    let mut run = measuring(workspace, "mesh", options.peers.as_deref())?;
    if let Some(manifest) = &options.floor {
        run.arg("--floor").arg(build_floor(workspace, manifest)?);
    }
    run.args(&options.arguments);
    command::run(run)
}

/// Builds as for a release and measures topics.
pub(crate) fn bench_topics(workspace: &Workspace, options: &TopicBenchOptions) -> Result<()> {
    let mut run = measuring(workspace, "topics", options.peers.as_deref())?;
    run.args(&options.arguments);
    command::run(run)
}

/// The program that measures, built as for a release, with nodes built alike.
fn measuring(workspace: &Workspace, what: &str, peers: Option<&str>) -> Result<Command> {
    let weald = programs::for_release(workspace, "weald")?;
    let mesh = programs::for_release(workspace, "weald-mesh")?;
    let mut run = Command::new(mesh);
    run.args(["bench", what, "--weald"]).arg(weald);
    run.args(peers.iter().flat_map(|peers| ["--peers", peers]));
    let directory = workspace.root().join("target/bench");
    std::fs::create_dir_all(&directory)?;
    run.arg("--directory").arg(directory);
    run.current_dir(workspace.root());
    Ok(run)
}

/// A program from outside the workspace, built into the workspace's target folder.
fn build_floor(workspace: &Workspace, manifest: &Path) -> Result<PathBuf> {
    let mut metadata = cargo(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"]);
    metadata.arg(manifest);
    let metadata: Value = serde_json::from_str(&command::output_of(metadata)?)?;
    let name = metadata.pointer("/packages/0/targets/0/name").and_then(Value::as_str);
    let name = name.with_context(|| format!("no program in {}", manifest.display()))?;
    let target = workspace.root().join("target/floor");
    let mut build = cargo(["build", "--release", "--manifest-path"]);
    build.arg(manifest).env("CARGO_TARGET_DIR", &target);
    command::run(build)?;
    Ok(target.join("release").join(name))
}
