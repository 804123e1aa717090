//! Explores the replica within bounds given by name; started by `cargo xtask explore`.

#![expect(clippy::print_stdout, reason = "a program reports on standard output")]

use std::{process::ExitCode, time::Duration};

use weald_sim::model::{Bounds, check, search};

/// Longer than any exploration that is of use here.
const LIMIT: Duration = Duration::from_secs(3600);

fn main() -> ExitCode {
    let names: Vec<String> = std::env::args().skip(1).collect();
    let chosen = Bounds::named();
    let chosen: Vec<_> =
        chosen.into_iter().filter(|(name, _)| names.iter().any(|wanted| wanted == name)).collect();
    if chosen.is_empty() {
        let all: Vec<_> = Bounds::named().into_iter().map(|(name, _)| name).collect();
        println!("explore BOUNDS..: one or more of {}", all.join(" "));
        return ExitCode::FAILURE;
    }
    let mut is_well = true;
    for (name, bounds) in chosen {
        let explored = match bounds.mutation {
            None => check(bounds, 2, LIMIT),
            Some(_) => search(bounds, 2, LIMIT),
        };
        println!("{name}: {explored}");
        is_well &= explored.failures.is_empty() && explored.is_complete;
    }
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
