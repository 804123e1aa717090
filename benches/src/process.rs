//! What Linux tells of this process.

use std::{fs, io, time::Duration};

/// Processor time that the calling thread has had, which does not depend on what else runs. Up to 4 ms
/// late.
///
/// # Errors
/// When the system does not tell.
pub fn processor_time() -> io::Result<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos = text.split_whitespace().next().and_then(|nanos| nanos.parse().ok());
    let missing = || io::Error::other("not told: the processor time of a thread");
    nanos.map(Duration::from_nanos).ok_or_else(missing)
}

/// Bytes that this process has handed to the system to write. What the system says it wrote
/// (`write_bytes`) counts a whole folio of the page cache, up to megabytes, for each sector in it.
///
/// # Errors
/// When the system does not tell.
pub fn written_bytes() -> io::Result<u64> {
    field("/proc/self/io", "wchar:")
}

/// Resident bytes now.
///
/// # Errors
/// When the system does not tell.
pub fn resident_bytes() -> io::Result<u64> {
    field("/proc/self/status", "VmRSS:").map(|kib| kib * 1024)
}

/// The most resident bytes since [`forget_peak`].
///
/// # Errors
/// When the system does not tell.
pub fn resident_peak_bytes() -> io::Result<u64> {
    field("/proc/self/status", "VmHWM:").map(|kib| kib * 1024)
}

/// Lets the peak begin anew.
///
/// # Errors
/// When the system does not allow it.
pub fn forget_peak() -> io::Result<()> {
    fs::write("/proc/self/clear_refs", "5")
}

fn field(file: &str, name: &str) -> io::Result<u64> {
    let text = fs::read_to_string(file)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    let missing = || io::Error::other(format!("not told: {name}"));
    number.ok_or_else(missing)?.parse().map_err(io::Error::other)
}
