//! What the hardware allows: a bare log of three processes without any consensus, by a program that is given.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::arguments::BenchOptions;
use crate::report::Table;

/// Runs the program once for preallocated files and takes over its lines.
pub(super) fn run(options: &BenchOptions, directory: &Path, table: &mut Table) -> Result<()> {
    let program = options.floor.as_ref().context("--floor PROGRAM names the bare log's program")?;
    println!("measuring {}", program.display());
    let output = Command::new(program)
        .arg("prealloc")
        .env("PEERS_DIR", directory)
        .output()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "the bare log failed: {text}");
    let lines: Vec<Vec<String>> = text.lines().filter_map(line).collect();
    ensure!(!lines.is_empty(), "the bare log told nothing that is understood: {text}");
    lines.into_iter().for_each(|line| table.line(line));
    Ok(())
}

/// `| name | call | clients | rate (rates) | p50 us | p99 us | syncs |` as a line of our table.
fn line(text: &str) -> Option<Vec<String>> {
    let cells: Vec<&str> = text.trim().trim_matches('|').split('|').map(str::trim).collect();
    let [_, _, clients, rates, p50, p99, ..] = cells[..] else { return None };
    let millis = |cell: &str| {
        let micros: f64 = cell.split(' ').next()?.parse().ok()?;
        Some(format!("{:.2}", micros / 1e3))
    };
    let rate = rates.split(' ').next()?;
    rate.parse::<f64>().ok()?;
    let cells = ["bare log x3", "put", clients, rate, &millis(p50)?, &millis(p99)?];
    let absent = std::iter::repeat_n("-", 4);
    Some(cells.into_iter().chain(absent).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_bare_log_is_read() {
        let text = "| floor: bare 3-replica log, prealloc | write 256 B | 16 | 27001 (26000 27001 28000) | 550 us | 2100 us | NaN |";
        let read = line(text).unwrap();
        assert_eq!(read[..6], ["bare log x3", "put", "16", "27001", "0.55", "2.10"]);
        assert_eq!(read.len(), super::super::HEADING.len());
        assert_eq!(line("| a | b |"), None);
        assert_eq!(line(""), None);
    }
}
