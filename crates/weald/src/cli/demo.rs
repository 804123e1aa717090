//! `weald demo`: a writer is killed half way, and nothing that it was told is durable is lost.
//!
//! The demo starts this program again as the writer. Its callers each append to a diary and put into
//! a tree in one transaction, again and again, and print a line when a transaction is acknowledged.
//! The demo kills the writer with SIGKILL, opens the database and compares.

mod account;
mod writer;

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, Stdio},
    time::Instant,
};

use clap::Args;
use serde_json::json;
use weald::Weald;

use self::account::{Account, Acknowledged};
pub(crate) use self::writer::DemoWriter;
use super::{
    failure::{Class, Failure},
    output::Output,
    session,
};

/// The diary of the demo.
const JOURNAL: &str = "demo/journal";
/// The tree of the demo: each caller's last number.
const LATEST: &str = "demo/latest";

/// Writes, kills the writer, and shows that nothing is lost.
#[derive(Args, Debug)]
pub(crate) struct Demo {
    /// Callers that write at the same time
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=256))]
    callers: u32,
    /// Transactions after which the writer is killed
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    transactions: u32,
}

impl Demo {
    /// Runs the verb.
    pub(crate) async fn run(&self, output: &mut Output) -> Result<(), Failure> {
        let folder = Folder::new()?;
        let directory = folder.0.join("data");
        output.plain(&format!("1. {} callers write into {}", self.callers, directory.display()))?;
        output.plain("   each transaction appends to a diary and puts into a tree")?;
        output.flush()?;
        let (acknowledged, seconds) = self.write_and_kill(&directory)?;
        output.plain(&format!(
            "2. the writer is killed with SIGKILL after {} acknowledged transactions ({:.1} s)",
            acknowledged.total(),
            seconds
        ))?;
        let started = Instant::now();
        let account = session::opened(&directory, async |node| {
            let milliseconds = started.elapsed().as_millis();
            output
                .plain(&format!("3. the database is opened again ({milliseconds} ms) and read"))?;
            let account = Account::read(node, acknowledged).await?;
            write_on(node, &account).await?;
            Ok(account)
        })
        .await?;
        tell(&account, output)
    }

    /// Starts the writer, reads what it acknowledges, and kills it in the middle.
    fn write_and_kill(&self, directory: &Path) -> Result<(Acknowledged, f64), Failure> {
        let started = Instant::now();
        let mut writer = self.start(directory)?;
        let result = self.watch(&mut writer, started);
        // The writer must not outlive the demo, whatever happened.
        let _ = writer.kill();
        let _ = writer.wait();
        result
    }

    fn watch(&self, writer: &mut Child, started: Instant) -> Result<(Acknowledged, f64), Failure> {
        let pipe = writer.stdout.take().expect("the writer's output was made a pipe");
        let mut lines = BufReader::new(pipe);
        let mut acknowledged = Acknowledged::default();
        let mut line = String::new();
        while acknowledged.total() < u64::from(self.transactions) {
            line.clear();
            if lines.read_line(&mut line).unwrap_or(0) == 0 {
                return Err(ended_early(writer));
            }
            acknowledged.note(&line);
        }
        writer.kill().map_err(|error| {
            Failure::internal(format_args!("the writer cannot be killed: {error}"))
        })?;
        let seconds = started.elapsed().as_secs_f64();
        // What was acknowledged while the kill was on its way is still in the pipe.
        let mut rest = String::new();
        lines.read_to_string(&mut rest).map_err(|error| {
            Failure::internal(format_args!("the writer's output cannot be read: {error}"))
        })?;
        rest.split_inclusive('\n').for_each(|line| acknowledged.note(line));
        Ok((acknowledged, seconds))
    }

    fn start(&self, directory: &Path) -> Result<Child, Failure> {
        let started = std::env::current_exe().and_then(|program| {
            Command::new(program)
                .arg("--data-dir")
                .arg(directory)
                .args(["demo-writer", "--callers", &self.callers.to_string()])
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
        });
        started.map_err(|error| {
            Failure::internal(format_args!("the writer cannot be started: {error}"))
        })
    }
}

/// The writer ended before it was killed: its own line says why.
fn ended_early(writer: &mut Child) -> Failure {
    let mut told = String::new();
    if let Some(mut stderr) = writer.stderr.take() {
        // Without its words the failure stands all the same.
        let _ = stderr.read_to_string(&mut told);
    }
    Failure::internal(format_args!("the writer ended by itself: {told}"))
}

/// The database works on: one more transaction, read back.
async fn write_on(node: &Weald, account: &Account) -> Result<(), Failure> {
    writer::transact(node, 0, account.found_latest(0) + 1).await?;
    let latest = node.raw_tree(LATEST).open().await?.get(writer::key(0)).await?;
    let expected = (account.found_latest(0) + 1).to_string();
    if latest.as_deref() != Some(expected.as_bytes()) {
        return Err(Failure::internal("a write after the kill was not read back"));
    }
    Ok(())
}

fn tell(account: &Account, output: &mut Output) -> Result<(), Failure> {
    output.plain("4. one more transaction is written and read back\n")?;
    output.answer(
        || account.table(),
        || {
            json!({
                "acknowledged": account.acknowledged(),
                "found": account.found(),
                "lost": account.lost(),
                "torn": account.torn(),
            })
        },
    )?;
    if account.lost() == 0 && account.torn() == 0 {
        return output.plain("\nnothing acknowledged was lost, nothing is torn");
    }
    output.flush()?;
    let (lost, torn) = (account.lost(), account.torn());
    Err(Failure::new(Class::Storage, format_args!("lost={lost} torn={torn}: this is a defect")))
}

/// A temporary folder, removed when the demo ends.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new() -> Result<Self, Failure> {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let nanos = since.map_or(0, |since| since.as_nanos());
        let name = format!("weald-demo-{}-{nanos}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).map_err(|error| {
            let shown = path.display();
            Failure::new(Class::Storage, format_args!("{shown} cannot be made: {error}"))
        })?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is the system's to clean, like all that is temporary.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
