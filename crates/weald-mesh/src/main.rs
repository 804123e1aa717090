//! Real nodes under load and faults: scenarios, judges, measurements. `cargo xtask mesh-test` builds and runs it.
#![expect(clippy::print_stdout, reason = "it reports on standard output")]

mod arguments;
mod bench;
mod client;
mod clock;
mod guard;
mod isolation;
mod judge;
mod light;
mod load;
mod mesh;
mod metrics;
mod namespaces;
mod node;
mod outcome;
mod partitions;
mod party;
mod proxy;
mod random;
mod report;
mod scenario;
mod statistics;

use std::io::Read as _;
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Parser as _;

use arguments::{Arguments, Bench, Task};

/// How long a connection between namespaces may take.
const REACH_MAX: Duration = Duration::from_millis(700);

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether everything passed.
fn run(arguments: Arguments) -> Result<bool> {
    match arguments.task {
        Task::Test(options) => scenario::run(&options),
        Task::Bench(Bench::Mesh(options)) => bench::run(&options).map(|()| true),
        Task::Bench(Bench::Topics(options)) => bench::run_topics(&options).map(|()| true),
        Task::Guard { directory } => guard::stand(&directory).map(|()| true),
        Task::Keeper => keep_namespace().map(|()| true),
        Task::Publish(options) => party::publish(&options).map(|()| true),
        Task::Attack(options) => party::attack(&options).map(|()| true),
        Task::Subscribe(options) => party::subscribe(&options).map(|()| true),
        Task::Reach { address } => Ok(TcpStream::connect_timeout(&address, REACH_MAX).is_ok()),
    }
}

/// Holds the network namespace that it was started in, as long as its starter lives.
fn keep_namespace() -> Result<()> {
    println!("{}", namespaces::KEEPER_READY);
    std::io::stdin().lock().read_to_end(&mut Vec::new())?;
    Ok(())
}
