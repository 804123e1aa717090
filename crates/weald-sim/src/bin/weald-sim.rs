//! The simulator as a program, so that big batches run optimised: `cargo xtask sim`.
#![expect(clippy::print_stdout, reason = "a program reports on standard output")]

use std::process::ExitCode;

use clap::Parser;
use weald_sim::cli::{self, Arguments};

fn main() -> ExitCode {
    match cli::run(&Arguments::parse(), &mut |line| println!("{line}")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
