//! Publishers and subscribers of a topic, each a process with a light node of its own. They tell what they do and
//! see as lines of JSON.

mod attacker;
mod publisher;
mod subscriber;

use std::env;
use std::fs::OpenOptions;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use tracing_subscriber::{
    Layer as _, filter::Targets, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

pub(crate) use attacker::attack;
pub(crate) use publisher::publish;
pub(crate) use subscriber::subscribe;

use crate::guard::Guard;

/// Between two looks at what a party has told.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// What is logged without a wish, as by a node.
const DEFAULT_LOG: &str = "warn,libp2p_kad::behaviour=error";
/// How long a party may take to end when it is asked to.
const END_MAX: Duration = Duration::from_secs(30);

/// The run's side of a party.
#[derive(Debug)]
pub(crate) struct Party {
    name: String,
    child: Child,
    guard: Arc<Guard>,
    input: Option<ChildStdin>,
    told: Arc<Mutex<Vec<Value>>>,
    reader: Option<JoinHandle<()>>,
}

impl Party {
    /// Starts this program with `words`. What goes wrong in it is found in `folder`.
    pub(crate) fn start(
        guard: &Arc<Guard>,
        folder: &Path,
        name: &str,
        words: &[String],
    ) -> Result<Self> {
        let program = std::env::current_exe().context("this program's path is unknown")?;
        let log = folder.join(format!("{name}.log"));
        let log = OpenOptions::new().create(true).append(true).open(log)?;
        let mut command = Command::new(program);
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().with_context(|| format!("{name} cannot be started"))?;
        guard.watch(child.id());
        let input = child.stdin.take();
        let output = child.stdout.take().context("its output is piped")?;
        let told = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&told);
        let reader = thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let value = serde_json::from_str(&line).unwrap_or(Value::String(line));
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(value);
            }
        });
        let (name, guard) = (name.to_owned(), Arc::clone(guard));
        Ok(Self { name, child, guard, input, told, reader: Some(reader) })
    }

    /// Tells it to go on.
    pub(crate) fn go(&mut self) -> Result<()> {
        let input = self.input.as_mut().context("it was told to end")?;
        writeln!(input, "go").with_context(|| format!("{} is gone", self.name))
    }

    /// What it has told so far.
    pub(crate) fn told(&self) -> Vec<Value> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for a line that has `key`; what the line says of it.
    pub(crate) fn wait_for(&mut self, key: &str, within: Duration) -> Result<Value> {
        let started = Instant::now();
        loop {
            if let Some(found) = self.told().iter().find_map(|line| line.get(key).cloned()) {
                return Ok(found);
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("{} has ended without {key}: {status}, {:?}", self.name, self.told().last());
            }
            ensure!(started.elapsed() < within, "{} does not tell {key}", self.name);
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits until it has ended by itself, well; all that it told.
    pub(crate) fn finish(mut self, within: Duration) -> Result<Vec<Value>> {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            ensure!(started.elapsed() < within, "{} does not end", self.name);
            thread::sleep(LOOK_EVERY);
        };
        self.read_out();
        ensure!(status.success(), "{}: {status}, {:?}", self.name, self.told().last());
        Ok(self.told())
    }

    /// Asks it to end; all that it told.
    pub(crate) fn end(mut self) -> Result<Vec<Value>> {
        self.input = None;
        self.finish(END_MAX)
    }

    /// Ends it with SIGKILL; all that it told.
    pub(crate) fn kill(mut self) -> Result<Vec<Value>> {
        self.child.kill()?;
        self.child.wait()?;
        self.read_out();
        Ok(self.told())
    }

    fn read_out(&mut self) {
        if let Some(reader) = self.reader.take() {
            // It ends with the pipe; what it has read is kept.
            let _ = reader.join();
        }
    }
}

impl Drop for Party {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.guard.forget(self.child.id());
    }
}

/// What a party runs on, and what it logs to its file: what `WEALD_LOG` asks for.
fn runtime() -> Result<Runtime> {
    let text = env::var("WEALD_LOG").unwrap_or_else(|_| DEFAULT_LOG.to_owned());
    let targets: Targets = text.parse().context("WEALD_LOG names no targets with levels")?;
    let lines = fmt::layer().with_writer(io::stderr).with_ansi(false).with_filter(targets);
    tracing_subscriber::registry().with(lines).try_init()?;
    Ok(Builder::new_multi_thread().worker_threads(1).enable_all().build()?)
}

/// Tells the run something.
#[expect(clippy::print_stdout, reason = "the run reads it")]
fn tell(line: &Value) {
    println!("{line}");
}

/// Waits for the next line of the run; whether there is one.
async fn next_word() -> bool {
    let read =
        tokio::task::spawn_blocking(|| std::io::stdin().lock().read_line(&mut String::new()));
    read.await.is_ok_and(|read| read.is_ok_and(|bytes| bytes > 0))
}
