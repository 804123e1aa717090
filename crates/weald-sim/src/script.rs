//! Scripts: small stories of one cluster, line by line, kept with everything that happens in them.
//!
//! Lines, beside the commands of [`crate::command`]:
//!
//! ```text
//! world 3              the first line: so many voters, which start 10 ms after each other
//! wait 500ms           time passes
//! write 1 7 via B      register 1 gets the value 7; goes on when the client knows what came of it
//! try 1 7 via B        the same for 250 ms: the client goes on by itself
//! read 1 via B         a linearizable read
//! repeat 300           so many writes, one after the other, at any node
//! leader A within 2s   A coordinates by then; without a name, anybody
//! settled within 5s    all voters have applied all that is committed by then
//! # a remark
//! ```
//!
//! A line that holds in vain ends the story. At its end all faults do, and everybody has to agree
//! within 20 s. Messages take 1 ms, syncs 1 ms, clocks are right; timers draw from seed 1.

use std::fmt::Write;

use anyhow::{Context, Result, ensure};
use weald_cluster::{mutation::Mutation, replica::Config};

use crate::{
    client::{Client, What},
    command::{Command, parse::millis_of},
    disk::LogKind,
    machine::{Action, MachineKind},
    name::Name,
    network::Weather,
    world::{Settings, World},
};

/// Where the scripts are: `NAME.txt`, each with what happens in `NAME.expected`.
pub(crate) const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata");
/// How long a write or a read of a script may take, us.
const PATIENCE: u64 = 10_000_000;
/// How long `try` waits, us: less than a client does.
const TRIED: u64 = 250_000;
/// Clients of a script have ids from here on, and come around.
const FIRST_CLIENT: u8 = 100;

/// Plays a script, with a rule left out where one is named: everything that happens, line by line.
///
/// # Errors
/// When a line cannot be read.
fn play(mutation: Option<Mutation>, text: &str) -> Result<String> {
    let mut lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    let first = lines.next().context("an empty script")?;
    let voters = first.strip_prefix("world ").context("a script begins with `world N`")?;
    let mut play = Play::new(voters.parse()?, mutation);
    for line in lines {
        if play.world.violation.is_none() && play.failed.is_none() {
            play.line(line).with_context(|| format!("cannot read `{line}`"))?;
        }
    }
    Ok(play.end())
}

struct Play {
    world: World,
    told: usize,
    text: String,
    failed: Option<String>,
    client: u8,
}

impl Play {
    fn new(voters: u8, mutation: Option<Mutation>) -> Self {
        let mut settings = settings(voters);
        settings.config.mutation = mutation;
        let mut world = World::new(settings, 1);
        world.boot();
        let (told, text, failed, client) = (0, String::new(), None, FIRST_CLIENT);
        Self { world, told, text, failed, client }
    }

    fn line(&mut self, line: &str) -> Result<()> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["wait", time] => {
                let until = self.world.now.after(millis_of(time)? * 1000);
                self.world.run_until(until);
            }
            ["write", key, value, "via", node] => {
                let what = self.next_write(key.parse()?, value.parse()?);
                self.operate(line, what, (node.parse()?, PATIENCE));
            }
            ["try", key, value, "via", node] => {
                let what = self.next_write(key.parse()?, value.parse()?);
                self.operate(line, what, (node.parse()?, TRIED));
            }
            ["read", key, "via", node] => {
                self.next_client();
                let what = What::Read { key: key.parse()? };
                self.operate(line, what, (node.parse()?, PATIENCE));
            }
            ["repeat", count] => self.repeat(line, count.parse()?),
            ["leader", "within", time] => self.expect_leader(line, None, millis_of(time)?),
            ["leader", node, "within", time] => {
                self.expect_leader(line, Some(node.parse()?), millis_of(time)?);
            }
            ["settled", "within", time] => self.expect_settled(line, millis_of(time)?),
            _ => {
                let command: Command = line.parse()?;
                ensure!(line == command.to_string(), "write it as `{command}`");
                self.world.command(&command);
            }
        }
        self.take_trace();
        Ok(())
    }

    fn next_client(&mut self) {
        self.client = if self.client == u8::MAX { FIRST_CLIENT } else { self.client + 1 };
        let client = self.client;
        self.world.clients.entry(client).or_insert_with(|| Client::new(client)).is_active = false;
    }

    fn next_write(&mut self, key: u8, value: u32) -> What {
        self.next_client();
        let client = self.world.clients.get_mut(&self.client).expect("it was just made");
        What::Write(client.write(Action::Set { key, value }, 0))
    }

    fn operate(&mut self, line: &str, what: What, (node, patience): (Name, u64)) {
        let (id, until) = (self.client, self.world.now.after(patience));
        self.world.begin_at(id, what, Some(node));
        let begun = self.world.clients[&id].doing.is_some();
        assert!(begun, "an operation takes a while");
        let is_busy = |world: &World| world.clients[&id].doing.is_some();
        self.world.run_while(until, is_busy);
        let answer = match is_busy(&self.world) {
            true => String::from("no answer"),
            false => self.world.clients[&id].answer.clone(),
        };
        self.note(&format!("{line} = {answer}"));
    }

    fn repeat(&mut self, line: &str, count: u32) {
        for value in 0..count {
            let what = self.next_write(u8::try_from(value % 4).unwrap_or(0), 1_000 + value);
            let (id, until) = (self.client, self.world.now.after(PATIENCE));
            self.world.begin(id, what);
            self.world.run_while(until, |world| world.clients[&id].doing.is_some());
            if self.world.clients[&id].doing.is_some() {
                return self.vain(line);
            }
        }
        self.note(line);
    }

    fn expect_leader(&mut self, line: &str, wanted: Option<Name>, millis: u64) {
        let is_there = |world: &World| match (world.coordinator(), wanted) {
            (Some(found), Some(wanted)) => found == wanted,
            (found, _) => found.is_some(),
        };
        self.expect(line, millis, is_there);
    }

    fn expect_settled(&mut self, line: &str, millis: u64) {
        let least = self.world.oracle.ledger.last();
        self.expect(line, millis, |world| world.is_settled(least));
    }

    fn expect(&mut self, line: &str, millis: u64, holds: impl Fn(&World) -> bool) {
        let until = self.world.now.after(millis * 1000);
        self.world.run_while(until, |world| !holds(world));
        if holds(&self.world) { self.note(line) } else { self.vain(line) }
    }

    fn vain(&mut self, line: &str) {
        self.failed = Some(format!("in vain: {line}: {}", self.world.summary()));
    }

    fn note(&mut self, line: &str) {
        self.take_trace();
        let at = self.world.now;
        self.world.trace.line(at, || line.to_owned());
    }

    fn take_trace(&mut self) {
        for line in &self.world.trace.lines()[self.told..] {
            writeln!(self.text, "{line}").expect("a string takes it");
        }
        self.told = self.world.trace.lines().len();
    }

    fn end(mut self) -> String {
        if self.world.violation.is_none() && self.failed.is_none() {
            self.world.mend_all();
            self.repeat("repeat 3", 3);
            self.world.expect_progress(20_000_000);
        }
        self.take_trace();
        let verdict = match (&self.world.violation, &self.failed) {
            (Some(violation), _) => format!("VIOLATED {violation}"),
            (None, Some(failed)) => format!("FAILED {failed}"),
            (None, None) => String::from("well"),
        };
        let reached: Vec<_> = crate::coverage::Rare::ALL
            .into_iter()
            .filter(|rare| self.world.coverage.count(*rare) > 0)
            .map(|rare| format!("{rare:?}"))
            .collect();
        let summary = self.world.summary().replace("; ", "\n");
        let (reached, text) = (reached.join(" "), self.text);
        format!("{text}\n{summary}\nreached {reached}\n{verdict}\n")
    }
}

/// The names of all scripts, in order.
///
/// # Errors
/// When the folder cannot be read.
pub(crate) fn names() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for file in std::fs::read_dir(FOLDER).context("cannot read the folder of scripts")? {
        let file = file?.file_name().to_string_lossy().into_owned();
        names.extend(file.strip_suffix(".txt").map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

/// Plays the script of this name, and whether what happens is what is kept beside it.
///
/// # Errors
/// When there is none, or it cannot be read.
pub(crate) fn play_named(name: &str) -> Result<(String, bool)> {
    play_named_without(None, name)
}

/// The same with a rule left out.
///
/// # Errors
/// When there is none, or it cannot be read.
pub(crate) fn play_named_without(mutation: Option<Mutation>, name: &str) -> Result<(String, bool)> {
    let script = std::fs::read_to_string(format!("{FOLDER}/{name}.txt"))
        .with_context(|| format!("no script is called `{name}`"))?;
    let played = play(mutation, &script)?;
    let expected = std::fs::read_to_string(format!("{FOLDER}/{name}.expected"));
    let is_expected = expected.is_ok_and(|expected| expected == played);
    Ok((played, is_expected))
}

/// Keeps what happens in a script as what has to happen.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn keep(name: &str, played: &str) -> Result<()> {
    std::fs::write(format!("{FOLDER}/{name}.expected"), played).context("cannot keep it")
}

/// The world of a script.
pub(crate) fn settings(voters: u8) -> Settings {
    Settings {
        voters,
        config: Config::default(),
        weather: Weather::CALM,
        sync: (1_000, 1_000),
        stagger: 10,
        think: 20_000,
        drift: 0,
        checkpoint_every: 0,
        log: LogKind::Model,
        machine: MachineKind::Model,
        log_kept: 5,
        is_encoded: true,
        is_traced: true,
        is_verbose: false,
    }
}

#[cfg(test)]
mod tests;
