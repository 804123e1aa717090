//! One `weald node` process: started, killed, paused, stopped, started again on its directory.

mod arguments;
mod file;

use std::fs::{self, File, OpenOptions};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

pub(crate) use arguments::Arguments;
pub(crate) use file::NodeFile;

use crate::client::Client;
use crate::guard::Guard;

/// How long a node may take until it says where it is.
const START_MAX: Duration = Duration::from_secs(30);
/// How long a node may take until it is ready, and to end after SIGTERM.
pub(crate) const READY_MAX: Duration = Duration::from_secs(60);
const STOP_MAX: Duration = Duration::from_secs(30);
/// Between two looks at a node that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Lines of a log that are shown when a scenario fails.
const LOG_LINES_SHOWN: usize = 25;

/// A node of a mesh, running or not.
#[derive(Debug)]
pub(crate) struct Node {
    name: String,
    arguments: Arguments,
    log: PathBuf,
    guard: Arc<Guard>,
    child: Option<Child>,
    file: Option<NodeFile>,
}

impl Node {
    /// A node that is not started. Its output goes to `log`.
    pub(crate) fn new(name: String, arguments: Arguments, log: PathBuf, guard: Arc<Guard>) -> Self {
        Self { name, arguments, log, guard, child: None, file: None }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn data_dir(&self) -> &Path {
        &self.arguments.data_dir
    }

    /// What it is started with next.
    pub(crate) fn arguments_mut(&mut self) -> &mut Arguments {
        &mut self.arguments
    }

    /// What it said of itself when it was started last.
    pub(crate) fn file(&self) -> Result<&NodeFile> {
        self.file.as_ref().with_context(|| format!("{} was never started", self.name))
    }

    /// A client of its gateway.
    pub(crate) fn client(&self) -> Result<Client> {
        Ok(Client::new(&self.file()?.http, self.arguments.token.as_deref()))
    }

    pub(crate) fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// Process id, while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Starts the process without waiting for anything.
    pub(crate) fn spawn(&mut self) -> Result<()> {
        if self.is_running() {
            bail!("{} runs already", self.name);
        }
        // The file of an earlier run would be taken for this one's.
        let _ = fs::remove_file(self.data_dir().join("node.json"));
        let words = self.arguments.command_line();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::null());
        command.stdout(self.log_file()?).stderr(self.log_file()?);
        command.process_group(0);
        // Options come from the command line only, whatever this program was started with.
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_option(name)) {
            command.env_remove(name);
        }
        if let Some(log) = &self.arguments.log {
            command.env("WEALD_LOG", log);
        }
        let child = command.spawn().with_context(|| format!("{} cannot be started", words[0]))?;
        self.guard.watch(child.id());
        self.child = Some(child);
        Ok(())
    }

    /// Waits until the process has said where it is; the next start uses the same addresses.
    pub(crate) fn wait_started(&mut self) -> Result<()> {
        let started = Instant::now();
        let file = loop {
            if let Some(file) = NodeFile::read(self.data_dir()) {
                break file;
            }
            if let Some(status) = self.has_ended()? {
                bail!("{} ended while starting ({status})\n{}", self.name, self.log_end());
            }
            if started.elapsed() > START_MAX {
                bail!("{} wrote no node.json within {START_MAX:?}", self.name);
            }
            thread::sleep(LOOK_EVERY);
        };
        self.arguments.listen = file.listen();
        self.arguments.http.clone_from(&file.http);
        self.file = Some(file);
        Ok(())
    }

    /// Waits until it is ready to serve; how long that took.
    pub(crate) fn wait_ready(&mut self, within: Duration) -> Result<Duration> {
        let started = Instant::now();
        let client = self.client()?;
        loop {
            let answer = client.ready();
            if answer.is_ok() {
                return Ok(started.elapsed());
            }
            if let Some(status) = self.has_ended()? {
                bail!("{} ended before it was ready ({status})\n{}", self.name, self.log_end());
            }
            if started.elapsed() > within {
                let why = answer.err().unwrap_or_default();
                bail!("{} is not ready after {within:?}: {why}", self.name);
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Starts it and waits until it is ready.
    pub(crate) fn start(&mut self) -> Result<Duration> {
        let started = Instant::now();
        self.spawn()?;
        self.wait_started()?;
        self.wait_ready(READY_MAX)?;
        Ok(started.elapsed())
    }

    /// `kill -9`, and waits until it is gone.
    pub(crate) fn kill(&mut self) -> Result<()> {
        let mut child =
            self.child.take().with_context(|| format!("{} is not running", self.name))?;
        child.kill()?;
        child.wait()?;
        self.guard.forget(child.id());
        Ok(())
    }

    /// SIGTERM, and waits for its end; how long that took.
    pub(crate) fn stop(&mut self) -> Result<Duration> {
        let started = Instant::now();
        self.signal(Signal::TERM)?;
        while started.elapsed() < STOP_MAX {
            if let Some(status) = self.has_ended()? {
                let child = self.child.take().context("it was running")?;
                self.guard.forget(child.id());
                anyhow::ensure!(status.success(), "{} ended with {status}", self.name);
                return Ok(started.elapsed());
            }
            thread::sleep(LOOK_EVERY);
        }
        self.kill()?;
        bail!("{} did not end within {STOP_MAX:?} of SIGTERM", self.name)
    }

    /// SIGSTOP.
    pub(crate) fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// SIGCONT.
    pub(crate) fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// How the process ended, if it did by itself.
    pub(crate) fn has_ended(&mut self) -> Result<Option<ExitStatus>> {
        match self.child.as_mut() {
            Some(child) => Ok(child.try_wait()?),
            None => Ok(None),
        }
    }

    /// The last lines of its output.
    pub(crate) fn log_end(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let shown = &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..];
        shown.iter().map(|line| format!("    {} | {line}\n", self.name)).collect()
    }

    /// How many lines of its output have `words` in them.
    pub(crate) fn log_count(&self, words: &str) -> usize {
        let text = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&text).lines().filter(|line| line.contains(words)).count()
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.pid().with_context(|| format!("{} is not running", self.name))?;
        let pid = Pid::from_raw(i32::try_from(pid)?).context("a process id is positive")?;
        kill_process(pid, signal).with_context(|| format!("{} cannot be signalled", self.name))
    }

    fn log_file(&self) -> Result<File> {
        let file = OpenOptions::new().create(true).append(true).open(&self.log);
        file.with_context(|| format!("cannot write {}", self.log.display()))
    }
}

fn is_option(variable: &std::ffi::OsStr) -> bool {
    variable.to_string_lossy().starts_with("WEALD_")
}

impl Drop for Node {
    fn drop(&mut self) {
        if self.is_running() {
            // The guard ends what this does not.
            let _ = self.kill();
        }
    }
}
