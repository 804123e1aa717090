//! Explores the replica, or a transaction over two partitions, within bounds given by name, or within all of them; started by
//! `cargo xtask explore`.

#![expect(clippy::print_stdout, reason = "a program reports on standard output")]

use std::{process::ExitCode, time::Duration};

use weald_sim::{
    model::{self, Bounds, Explored},
    spanning,
};

/// Bounds that take longer have grown past what anybody waits for.
const LIMIT: Duration = Duration::from_secs(3600);

/// An exploration by its name.
type Exploration = (&'static str, Box<dyn FnOnce() -> Explored>);

fn explorations() -> Vec<Exploration> {
    let of_replicas = Bounds::named().into_iter().map(|(name, bounds)| -> Exploration {
        (name, Box::new(move || model::check(bounds, 2, LIMIT)))
    });
    let of_transfers = spanning::Bounds::named().into_iter().map(|(name, bounds)| -> Exploration {
        (name, Box::new(move || spanning::check(bounds, 2, LIMIT)))
    });
    of_replicas.chain(of_transfers).collect()
}

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|other| other == name);
    let (chosen, others): (Vec<_>, Vec<_>) =
        explorations().into_iter().partition(|(name, _)| is_wanted(name));
    if chosen.len() < wanted.len() {
        let names: Vec<_> = chosen.iter().chain(&others).map(|(name, _)| *name).collect();
        println!("there are no such bounds; there are: {}", names.join(" "));
        return ExitCode::FAILURE;
    }
    let mut is_well = true;
    for (name, explore) in chosen {
        let explored = explore();
        println!("{name}: {explored}");
        is_well &= explored.failures.is_empty() && explored.is_complete;
    }
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
