//! What the disk does by itself meanwhile: a file of nobody's that is synced all the time. A write that had to wait for
//! a disk which everybody waited for was not held up by rogues, and a report that has both tells them apart.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};

use crate::statistics::Summary;

/// From one sync to the next: few beside those of the nodes.
const PAUSE: Duration = Duration::from_millis(20);
/// What is written before each sync; the file does not grow, as the log's segments do not.
const SECTOR: [u8; 4096] = [7; 4096];

/// A thread that syncs until it is stopped.
#[derive(Debug)]
pub(super) struct DiskProbe {
    // Dropped, it stops the thread.
    stopping: Sender<()>,
    thread: JoinHandle<Result<Vec<Duration>>>,
}

impl DiskProbe {
    /// Syncs a file of its own in `directory`.
    pub(super) fn start(directory: &Path) -> Result<Self> {
        let path = directory.join("probe");
        let file =
            File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        file.write_all_at(&SECTOR, 0)?;
        file.sync_all()?;
        let (stopping, stopped) = mpsc::channel::<()>();
        let thread = thread::spawn(move || {
            let mut times = Vec::new();
            loop {
                let started = Instant::now();
                file.write_all_at(&SECTOR, 0)?;
                file.sync_data()?;
                times.push(started.elapsed());
                if stopped.recv_timeout(PAUSE) != Err(RecvTimeoutError::Timeout) {
                    return Ok(times);
                }
            }
        });
        Ok(Self { stopping, thread })
    }

    /// How long its syncs took, of which there is at least one.
    pub(super) fn stop(self) -> Result<Summary> {
        drop(self.stopping);
        let times = self.thread.join().map_err(|_| anyhow!("the probe of the disk panicked"))??;
        Summary::of(times).context("the disk was not synced")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_syncs_at_least_once_before_it_is_stopped() {
        let directory = tempfile::tempdir().unwrap();
        let summary = DiskProbe::start(directory.path()).unwrap().stop().unwrap();
        assert!(summary.count >= 1 && !summary.max.is_zero());
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        assert!(DiskProbe::start(&directory.path().join("none")).is_err());
    }
}
