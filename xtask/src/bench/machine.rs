//! The machine that a benchmark ran on: a figure without it says nothing.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

/// What the operating system and the compiler tell; `null` where they tell nothing.
pub(super) fn describe() -> Value {
    json!({
        "cpu": cpu_model(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default()),
        "core_count": std::thread::available_parallelism().ok().map(usize::from),
        "memory_kib": memory_kib(&fs::read_to_string("/proc/meminfo").unwrap_or_default()),
        "kernel": first_line("uname", &["-sr"]),
        "rustc": first_line("rustc", &["--version"]),
        "commit": first_line("git", &["rev-parse", "--short", "HEAD"]),
    })
}

fn cpu_model(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, model)| model.trim().to_owned())
}

fn memory_kib(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find(|line| line.starts_with("MemTotal:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    String::from_utf8_lossy(&output.stdout).lines().next().map(String::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w197_proc_files_are_read() {
        assert_eq!(
            cpu_model("processor : 0\nmodel name\t: Some CPU @ 3GHz\n"),
            Some("Some CPU @ 3GHz".into())
        );
        assert_eq!(cpu_model(""), None);
        assert_eq!(memory_kib("MemTotal:       24684084 kB\nMemFree: 1 kB\n"), Some(24_684_084));
    }
}
