//! What the operating system tells of a process.

use std::fs;

/// Memory that a process has in use; 0 when it is gone.
pub(super) fn resident_mib(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    resident_kib(&status).map_or(0.0, |kib| kib / 1024.0)
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
        assert!(resident_mib(u32::MAX).abs() < f64::EPSILON);
    }
}
