//! Benchmarks: runs them, and gathers what criterion measured together with the machine it ran on.

mod machine;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};

use crate::command::{self, cargo};
use crate::mesh;
use crate::sources::Workspace;

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    of_processes: Option<OfProcesses>,
    /// Gathers the results of an earlier run
    #[arg(long)]
    collect_only: bool,
    /// Only this file of `benches/benches`, which may be given several times
    #[arg(long, value_name = "NAME")]
    bench: Vec<String>,
    /// Only benchmarks whose name contains this
    filter: Option<String>,
}

/// Benchmarks of whole processes, which criterion cannot run.
#[derive(clap::Subcommand)]
enum OfProcesses {
    /// Puts and gets of real nodes, beside what they are compared with
    Mesh(mesh::BenchOptions),
    /// Topics of real nodes, beside what they are compared with
    Topics(mesh::TopicBenchOptions),
}

/// One benchmark as criterion left it. Times are nanoseconds for one iteration.
#[derive(Debug, PartialEq)]
struct Measurement {
    name: String,
    mean_ns: f64,
    median_ns: f64,
    low_ns: f64,
    high_ns: f64,
    element_count: Option<f64>,
    byte_count: Option<f64>,
}

/// Runs the benches and writes `target/bench/results.json`: `machine`, `benchmarks`, and `figures`, which holds
/// the JSON files that benches put into `target/bench/figures` for what is not a time (sizes, counts).
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    match &options.of_processes {
        Some(OfProcesses::Mesh(options)) => return mesh::bench(workspace, options),
        Some(OfProcesses::Topics(options)) => return mesh::bench_topics(workspace, options),
        None => {}
    }
    let target = workspace.root().join("target");
    if !options.collect_only {
        remove_earlier(&target)?;
        let mut bench = cargo(["bench", "--package", "weald-benches"]);
        bench.current_dir(workspace.root()).env("CARGO_TARGET_DIR", &target);
        bench.args(options.bench.iter().flat_map(|name| ["--bench", name.as_str()]));
        if let Some(filter) = &options.filter {
            bench.args(["--", filter]);
        }
        command::run(bench)?;
    }
    let measurements = collect(&target.join("criterion"))?;
    let figures = figures(&target.join("bench/figures"))?;
    let is_empty = measurements.is_empty() && figures.is_empty();
    ensure!(
        !is_empty,
        "there are no results, neither under target/criterion nor target/bench/figures"
    );
    print_table(&measurements);
    let results = json!({
        "machine": machine::describe(),
        "benchmarks": measurements.iter().map(Measurement::to_json).collect::<Vec<_>>(),
        "figures": figures,
    });
    let file = target.join("bench/results.json");
    fs::create_dir_all(target.join("bench"))?;
    fs::write(&file, format!("{results:#}\n"))
        .with_context(|| format!("cannot write {}", file.display()))?;
    println!("written: {}", file.display());
    Ok(())
}

/// Results of a bench that has since been renamed would look current.
fn remove_earlier(target: &Path) -> Result<()> {
    for folder in [target.join("criterion"), target.join("bench/figures")] {
        if folder.is_dir() {
            fs::remove_dir_all(&folder)
                .with_context(|| format!("cannot remove {}", folder.display()))?;
        }
    }
    Ok(())
}

fn collect(folder: &Path) -> Result<Vec<Measurement>> {
    let mut measurements = Vec::new();
    for new in folders_named_new(folder)? {
        let read = |name: &str| -> Result<Value> {
            let file = new.join(name);
            let text = fs::read_to_string(&file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            serde_json::from_str(&text).with_context(|| format!("not JSON: {}", file.display()))
        };
        let measurement = Measurement::parse(&read("benchmark.json")?, &read("estimates.json")?);
        measurements
            .push(measurement.with_context(|| format!("unexpected form under {}", new.display()))?);
    }
    measurements.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(measurements)
}

fn folders_named_new(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_path_buf()];
    while let Some(folder) = waiting.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry?.path();
            if path.file_name().is_some_and(|name| name == "new")
                && path.join("estimates.json").is_file()
            {
                found.push(path);
            } else if path.is_dir() {
                waiting.push(path);
            }
        }
    }
    Ok(found)
}

fn figures(folder: &Path) -> Result<Map<String, Value>> {
    let mut figures = Map::new();
    let Ok(entries) = fs::read_dir(folder) else { return Ok(figures) };
    for entry in entries {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path)?;
        figures.insert(
            name,
            serde_json::from_str(&text).with_context(|| format!("not JSON: {}", path.display()))?,
        );
    }
    Ok(figures)
}

impl Measurement {
    fn parse(benchmark: &Value, estimates: &Value) -> Option<Self> {
        let mean = estimates.get("mean")?;
        let interval = mean.get("confidence_interval")?;
        let throughput = benchmark.get("throughput");
        let (element_count, byte_count) = throughput.map_or((None, None), per_iteration);
        Some(Self {
            name: benchmark.get("full_id")?.as_str()?.to_owned(),
            mean_ns: mean.get("point_estimate")?.as_f64()?,
            median_ns: estimates.get("median")?.get("point_estimate")?.as_f64()?,
            low_ns: interval.get("lower_bound")?.as_f64()?,
            high_ns: interval.get("upper_bound")?.as_f64()?,
            element_count,
            byte_count,
        })
    }

    fn per_second(&self, count: f64) -> f64 {
        count * 1e9 / self.mean_ns
    }

    fn to_json(&self) -> Value {
        json!({
            "name": self.name,
            "mean_ns": self.mean_ns,
            "median_ns": self.median_ns,
            "mean_interval_ns": [self.low_ns, self.high_ns],
            "elements_per_second": self.element_count.map(|count| self.per_second(count)),
            "bytes_per_second": self.byte_count.map(|count| self.per_second(count)),
        })
    }
}

/// Elements and bytes of one iteration.
fn per_iteration(throughput: &Value) -> (Option<f64>, Option<f64>) {
    let both = throughput.get("ElementsAndBytes");
    let number = |value: Option<&Value>| value.and_then(Value::as_f64);
    let elements = throughput.get("Elements").or_else(|| both?.get("elements"));
    let bytes = ["Bytes", "BytesDecimal"].iter().find_map(|unit| throughput.get(unit));
    (number(elements), number(bytes.or_else(|| both?.get("bytes"))))
}

fn print_table(measurements: &[Measurement]) {
    let width = measurements.iter().map(|m| m.name.len()).max().unwrap_or(0);
    println!(
        "{:width$}  {:>12}  {:>12}  {:>14}  {:>10}",
        "benchmark", "mean us", "median us", "elements/s", "MB/s"
    );
    for measurement in measurements {
        let rate = |count: Option<f64>, unit: f64| {
            count.map_or(String::from("-"), |count| {
                format!("{:.1}", measurement.per_second(count) / unit)
            })
        };
        println!(
            "{:width$}  {:>12.3}  {:>12.3}  {:>14}  {:>10}",
            measurement.name,
            measurement.mean_ns / 1e3,
            measurement.median_ns / 1e3,
            rate(measurement.element_count, 1.0),
            rate(measurement.byte_count, 1e6),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimates() -> Value {
        let estimate = |point: f64| {
            json!({"confidence_interval": {"confidence_level": 0.95, "lower_bound": point - 1.0, "upper_bound": point + 1.0},
                "point_estimate": point, "standard_error": 0.1})
        };
        json!({"mean": estimate(2000.0), "median": estimate(1900.0), "slope": null, "std_dev": estimate(5.0)})
    }

    #[test]
    fn w197_a_result_of_criterion_is_read() {
        let benchmark = json!({"group_id": "g", "full_id": "g/put/64", "throughput": {"ElementsAndBytes": {"elements": 10, "bytes": 640}}});
        let read = Measurement::parse(&benchmark, &estimates()).unwrap();
        assert_eq!(read.name, "g/put/64");
        assert_eq!(read.to_json()["elements_per_second"], json!(5e6));
        assert_eq!(read.to_json()["bytes_per_second"], json!(3.2e8));
        assert_eq!(read.to_json()["mean_interval_ns"], json!([1999.0, 2001.0]));
    }

    #[test]
    fn a_result_without_throughput_has_no_rates() {
        let read =
            Measurement::parse(&json!({"full_id": "x", "throughput": null}), &estimates()).unwrap();
        assert_eq!((read.element_count, read.byte_count), (None, None));
        let bytes = per_iteration(&json!({"Bytes": 7}));
        assert_eq!(bytes, (None, Some(7.0)));
    }

    #[test]
    fn a_result_of_another_form_is_refused() {
        assert_eq!(Measurement::parse(&json!({"full_id": "x"}), &json!({"mean": 3})), None);
    }
}
