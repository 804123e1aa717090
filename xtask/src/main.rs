//! Tasks of the workspace: `cargo xtask TASK`, one module per task.
#![expect(clippy::print_stdout, reason = "a task reports on standard output")]

mod bench;
mod ci;

mod command;
mod deny;
mod explore;
mod fix;
mod fuzz;
mod mesh;
mod programs;
mod publish_check;
mod requirements;
mod rocksdb;
mod rust_text;
mod sim;
mod sources;
mod test_summary;
mod tidy;
mod tools;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::sources::Workspace;

/// Tasks of the Weald workspace.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Everything a change must pass; reads only
    Ci(ci::Options),
    /// Formats and applies what clippy can mend
    Fix,
    /// House rules: sizes, arrows between crates, names, module pages, links
    Tidy,
    /// Requirement ids against the tests that show them
    Requirements(requirements::Options),
    /// Runs the benchmarks and gathers their results in target/bench/results.json
    Bench(bench::Options),
    /// Explores the replica exhaustively, within bounds larger than those of a test run
    Explore(explore::Options),
    /// Fuzzes the decoders and the operation sequences
    Fuzz(fuzz::Options),
    /// Simulates clusters: seeds, scripts, takeovers, rules left out
    Sim(sim::Options),
    /// Runs scenarios of real nodes, with kills, pauses and cut links
    MeshTest(mesh::Options),
    /// Packages every crate as for a release, without uploading
    PublishCheck,
    /// Licences, sources, banned crates and, where reachable, advisories of the dependencies
    Deny,
    /// The storage suite on the RocksDB engine
    Rocksdb,
}

fn main() -> ExitCode {
    match run(&Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: &Task) -> Result<()> {
    let workspace = Workspace::locate()?;
    match task {
        Task::Ci(options) => ci::run(&workspace, options),
        Task::Fix => fix::run(&workspace),
        Task::Tidy => tidy::run(&workspace),
        Task::Requirements(options) => requirements::run(&workspace, options),
        Task::Bench(options) => bench::run(&workspace, options),
        Task::Explore(options) => explore::run(&workspace, options),
        Task::Fuzz(options) => fuzz::run(&workspace, options),
        Task::Sim(options) => sim::run(&workspace, options),
        Task::MeshTest(options) => mesh::run(&workspace, options),
        Task::PublishCheck => publish_check::run(&workspace),
        Task::Deny => deny::run(&workspace),
        Task::Rocksdb => rocksdb::run(&workspace).map(|_| ()),
    }
}
