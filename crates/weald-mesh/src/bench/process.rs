//! What the operating system tells of a process.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// Memory that a process has in use; 0 when it is gone.
pub(super) fn resident_mib(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    resident_kib(&status).map_or(0.0, |kib| kib / 1024.0)
}

/// Processor time that a process has used; zero when it is gone.
pub(super) fn processor_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    ticks(&stat).map_or(Duration::ZERO, |ticks| Duration::from_millis(ticks * 10))
}

/// User and system time of `/proc/PID/stat`, in hundredths of a second.
fn ticks(stat: &str) -> Option<u64> {
    // The name of the program may have spaces; it stands in brackets.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

/// Bytes that this process has handed to the system for files.
pub(super) fn written_bytes() -> Result<f64> {
    let told = fs::read_to_string("/proc/self/io")?;
    let line = told.lines().find_map(|line| line.strip_prefix("wchar: "));
    Ok(line.context("Linux counts what is written")?.trim().parse()?)
}

fn resident_kib(status: &str) -> Option<f64> {
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_proc() {
        assert_eq!(resident_kib("VmPeak: 9 kB\nVmRSS:\t   2048 kB\n"), Some(2048.0));
        assert_eq!(resident_kib(""), None);
        assert!(resident_mib(std::process::id()) > 0.0);
        assert_eq!(ticks("7 (a b) S 1 2 3 4 5 6 7 8 9 10 250 50 0"), Some(300));
        assert_eq!(ticks(""), None);
        assert!(written_bytes().is_ok());
        assert!(resident_mib(u32::MAX).abs() < f64::EPSILON);
    }
}
