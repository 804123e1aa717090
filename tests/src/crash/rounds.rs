//! Rounds of starting the writer, killing it and looking at what is left.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};

use super::{Ack, Checker, Found};

/// What the writer prints once it has opened the database.
pub const READY: &str = "ready";
/// How long a writer may take to open the database.
const READY_MAX: Duration = Duration::from_secs(60);
/// How long a writer writes before it is killed, at most.
const WRITING_MICROS: u64 = 120_000;

/// A run of kills.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The writer's program.
    pub writer: PathBuf,
    /// Decides when to kill; printed, so that a run can be repeated.
    pub seed: u64,
    /// How many kills.
    pub kills: u32,
    /// Concurrent callers of the writer.
    pub callers: u32,
    /// Bytes of a stored value, about.
    pub value_bytes: usize,
    /// Small log segments and a checkpoint every few hundred writes, so that kills meet both.
    pub restless: bool,
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Writers killed.
    pub kills: u32,
    /// Of those, killed before they had opened the database.
    pub kills_while_opening: u32,
    /// Writes acknowledged.
    pub acked: u64,
    /// Times that the database was opened and compared.
    pub checks: u32,
}

/// Kills `plan.kills` writers on the database in `directory`. After every second one, and after the
/// last, opens it in this process and compares; in between the next writer opens it.
///
/// # Errors
/// When a promise does not hold, or when a process or a file fails.
pub async fn run_rounds(plan: &Plan, directory: &Path) -> Result<Tally> {
    let mut tally = Tally::default();
    let mut checker = Checker::default();
    let mut random = Random(plan.seed);
    for round in 1..=plan.kills {
        let acks = kill_one(plan, round, directory, &mut random, &mut tally)?;
        for ack in &acks {
            checker.acknowledge(*ack);
        }
        tally.acked += acks.len() as u64;
        tally.kills += 1;
        if round % 2 == 0 || round == plan.kills {
            let context = || format!("seed={} round={round}", plan.seed);
            let found = Found::read(directory, plan.restless).await.with_context(context)?;
            if let Err(violations) = checker.check(&found) {
                bail!("{}: {violations:#?}", context());
            }
            tally.checks += 1;
        }
    }
    Ok(tally)
}

/// Starts a writer, kills it at a random moment and returns what it acknowledged.
fn kill_one(
    plan: &Plan,
    generation: u32,
    directory: &Path,
    random: &mut Random,
    tally: &mut Tally,
) -> Result<Vec<Ack>> {
    let mut writer = start(plan, generation, directory)?;
    let output = writer.stdout.take().context("the writer's output is a pipe")?;
    let (opened, is_open) = mpsc::channel();
    let reader = thread::spawn(move || read_acks(BufReader::new(output), &opened));
    // One in eight dies while it opens the database, which is where recovery runs.
    let early = random.below(8) == 0;
    if early {
        thread::sleep(Duration::from_millis(random.below(60)));
    } else if is_open.recv_timeout(READY_MAX).is_ok() {
        thread::sleep(Duration::from_micros(random.below(WRITING_MICROS)));
    }
    writer.kill().context("the writer cannot be killed")?;
    let status = writer.wait()?;
    let (opened, acks) = reader.join().map_err(|_| anyhow::anyhow!("the reader panicked"))?;
    if let Some(code) = status.code() {
        bail!("the writer ended by itself: seed={} round={generation} code={code}", plan.seed);
    }
    if !opened && !early {
        bail!("the writer never opened the database: seed={} round={generation}", plan.seed);
    }
    tally.kills_while_opening += u32::from(!opened);
    Ok(acks)
}

fn start(plan: &Plan, generation: u32, directory: &Path) -> Result<Child> {
    let mut command = Command::new(&plan.writer);
    command.arg(directory).arg(generation.to_string());
    command.arg(plan.callers.to_string()).arg(plan.value_bytes.to_string());
    command.arg(if plan.restless { "restless" } else { "calm" });
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command.spawn().with_context(|| format!("{} cannot be started", plan.writer.display()))
}

/// Reads until the pipe closes: whether the database was opened, and each whole acknowledgement.
fn read_acks(mut output: impl BufRead, is_open: &mpsc::Sender<()>) -> (bool, Vec<Ack>) {
    let mut opened = false;
    let mut acks = Vec::new();
    let mut line = String::new();
    while matches!(output.read_line(&mut line), Ok(count) if count > 0) {
        if line.trim_end() == READY {
            opened = true;
            // Nobody waits for a writer that is to die early.
            let _ = is_open.send(());
        } else {
            acks.extend(line.trim_end().parse::<Ack>());
        }
        line.clear();
    }
    (opened, acks)
}

/// xorshift64*: a few lines that give the same moments for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % bound
    }
}
