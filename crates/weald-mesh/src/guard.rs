//! Leaves nothing behind: a process beside the run that ends its nodes and removes its directory once the run is
//! gone, whatever ended it.
//!
//! The guard reads what the run tells it from a pipe. The pipe's end is the run's end: by itself, by a panic, by
//! `^C` or by `kill -9`.

use std::collections::BTreeSet;
use std::io::{self, BufRead, Write};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

/// The run's side.
#[derive(Debug)]
pub(crate) struct Guard {
    child: Child,
    /// None once the run has ended.
    input: Mutex<Option<ChildStdin>>,
}

impl Guard {
    /// Starts a guard over `directory`, which it removes at the end.
    pub(crate) fn start(directory: &Path) -> Result<Self> {
        let program = std::env::current_exe().context("this program's path is unknown")?;
        let mut command = Command::new(program);
        command.arg("guard").arg(directory).stdin(Stdio::piped());
        // `^C` is sent to a whole process group.
        command.process_group(0);
        let mut child = command.spawn().context("the guard cannot be started")?;
        let input = child.stdin.take();
        Ok(Self { child, input: Mutex::new(input) })
    }

    /// The guard ends this process if it is there at the end.
    pub(crate) fn watch(&self, pid: u32) {
        self.say(&format!("watch {pid}"));
    }

    /// This process has ended.
    pub(crate) fn forget(&self, pid: u32) {
        self.say(&format!("forget {pid}"));
    }

    /// The directory stays.
    pub(crate) fn keep(&self) {
        self.say("keep");
    }

    fn say(&self, line: &str) {
        let mut input = self.input.lock().expect("nobody panics while writing a line");
        if let Some(input) = input.as_mut() {
            // A guard that is gone cannot be helped, and the nodes are ended by the run as well.
            let _ = writeln!(input, "{line}");
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.input.lock().ok().and_then(|mut input| input.take()));
        let _ = self.child.wait();
    }
}

/// What the guard was told.
#[derive(Debug, Default, PartialEq, Eq)]
struct Orders {
    pids: BTreeSet<i32>,
    is_kept: bool,
}

impl Orders {
    fn take(&mut self, line: &str) {
        let mut words = line.split_whitespace();
        let order = words.next();
        let pid = words.next().and_then(|word| word.parse().ok());
        match (order, pid) {
            (Some("watch"), Some(pid)) => {
                self.pids.insert(pid);
            }
            (Some("forget"), Some(pid)) => {
                self.pids.remove(&pid);
            }
            (Some("keep"), None) => self.is_kept = true,
            _ => {}
        }
    }
}

/// The guard's side: stands until the run is gone, then cleans up.
pub(crate) fn stand(directory: &PathBuf) -> Result<()> {
    let mut orders = Orders::default();
    for line in io::stdin().lock().lines() {
        orders.take(&line?);
    }
    for pid in &orders.pids {
        if is_ours(*pid, directory)
            && let Some(pid) = Pid::from_raw(*pid)
        {
            // It may have ended meanwhile.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    if !orders.is_kept && directory.is_dir() {
        std::fs::remove_dir_all(directory)
            .with_context(|| format!("cannot remove {}", directory.display()))?;
    }
    Ok(())
}

/// Process ids are used again: a process of the run names the run's directory on its command line.
fn is_ours(pid: i32, directory: &Path) -> bool {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).contains(&*directory.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_taken_line_by_line() {
        let mut orders = Orders::default();
        for line in ["watch 7", "watch 8", "forget 7", "", "watch", "watch x", "dance 9"] {
            orders.take(line);
        }
        assert_eq!(orders, Orders { pids: BTreeSet::from([8]), is_kept: false });
        orders.take("keep");
        assert!(orders.is_kept);
    }

    #[test]
    fn only_a_process_that_names_the_directory_is_ours() {
        let me = i32::try_from(std::process::id()).unwrap();
        let program = std::env::current_exe().unwrap();
        assert!(is_ours(me, program.parent().unwrap()));
        assert!(!is_ours(me, Path::new("/no/such/run")));
        assert!(!is_ours(i32::MAX, Path::new("/")));
    }
}
