//! What Linux tells of this process.

use std::{fs, io, path::Path, time::Duration};

/// The unit of processor time in `/proc`: a hundredth of a second.
const TICK: Duration = Duration::from_millis(10);

/// What this process has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Effort {
    /// Time on a processor, in the program and in the system, in steps of 10 ms.
    pub processor: Duration,
    /// How often a thread that still runs gave up its processor because it had to wait.
    pub switches: u64,
}

impl Effort {
    /// As of now.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn now() -> io::Result<Self> {
        let stat = fs::read_to_string("/proc/self/stat")?;
        // The name before may hold spaces; user and system time are the 12th and 13th word after it.
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let ticks = after_name.split_whitespace().skip(11).take(2).map(str::parse::<u32>);
        let ticks: u32 = ticks.sum::<Result<u32, _>>().map_err(io::Error::other)?;
        let mut effort = Self { processor: TICK * ticks, switches: 0 };
        for task in fs::read_dir("/proc/self/task")? {
            effort.switches += field(&task?.path().join("status"), "voluntary_ctxt_switches:")?;
        }
        Ok(effort)
    }

    /// What was used since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            processor: self.processor.saturating_sub(earlier.processor),
            switches: self.switches.saturating_sub(earlier.switches),
        }
    }
}

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
    field(Path::new("/proc/self/io"), "wchar:")
}

/// Resident bytes now.
///
/// # Errors
/// When the system does not tell.
pub fn resident_bytes() -> io::Result<u64> {
    field(Path::new("/proc/self/status"), "VmRSS:").map(|kib| kib * 1024)
}

/// The most resident bytes since [`forget_peak`].
///
/// # Errors
/// When the system does not tell.
pub fn resident_peak_bytes() -> io::Result<u64> {
    field(Path::new("/proc/self/status"), "VmHWM:").map(|kib| kib * 1024)
}

/// Lets the peak begin anew.
///
/// # Errors
/// When the system does not allow it.
pub fn forget_peak() -> io::Result<()> {
    fs::write("/proc/self/clear_refs", "5")
}

fn field(file: &Path, name: &str) -> io::Result<u64> {
    let text = fs::read_to_string(file)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    let missing = || io::Error::other(format!("not told: {name}"));
    number.ok_or_else(missing)?.parse().map_err(io::Error::other)
}
