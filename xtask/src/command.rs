//! Programs run by tasks: what runs is printed before, how long it took after.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How a program ended, and everything it wrote (which was shown while it ran).
pub(crate) struct Finished {
    pub(crate) success: bool,
    pub(crate) output: String,
}

/// `cargo`, the one that runs this task, with `arguments`.
pub(crate) fn cargo<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments);
    forget_own_package(&mut command);
    command
}

/// Takes from `command` what cargo tells us of our own package: build scripts look at it, and whoever calls cargo
/// without us would build their crates again.
pub(crate) fn forget_own_package(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
}

/// Runs `command`, shows what it writes, and fails when it fails.
pub(crate) fn run(mut command: Command) -> Result<()> {
    let line = describe(&command);
    println!("$ {line}");
    let started = Instant::now();
    let status = command.status().with_context(|| format!("cannot start: {line}"))?;
    if !status.success() {
        bail!("failed: {line} ({status})");
    }
    println!("  done in {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// The pause between two looks at a program that may take only so long.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// [`run`] for a program that is ended, and has failed, after `most`.
pub(crate) fn run_within(mut command: Command, most: Duration) -> Result<()> {
    let line = describe(&command);
    println!("$ {line}");
    let started = Instant::now();
    let mut child = command.spawn().with_context(|| format!("cannot start: {line}"))?;
    let Some(status) = ended_within(&mut child, most)? else {
        bail!("not done within {most:?}: {line}");
    };
    if !status.success() {
        bail!("failed: {line} ({status})");
    }
    println!("  done in {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// How the program ended, if it did; otherwise it is ended.
fn ended_within(child: &mut Child, most: Duration) -> Result<Option<ExitStatus>> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if started.elapsed() > most {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Runs `command`, shows what it writes and keeps it. A failure of the program is in the answer.
pub(crate) fn run_kept(mut command: Command) -> Result<Finished> {
    let line = describe(&command);
    println!("$ {line}");
    let started = Instant::now();
    let spawned = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.with_context(|| format!("cannot start: {line}"))?;
    let stdout = child.stdout.take().context("standard output is piped")?;
    let stderr = child.stderr.take().context("standard error is piped")?;
    let reader = thread::spawn(move || show_and_keep(stderr));
    let mut output = show_and_keep(stdout);
    output.push_str(&reader.join().unwrap_or_default());
    let status = child.wait().with_context(|| format!("cannot wait for: {line}"))?;
    println!(
        "  {} in {:.1} s",
        if status.success() { "done" } else { "failed" },
        started.elapsed().as_secs_f64()
    );
    Ok(Finished { success: status.success(), output })
}

/// Standard output of `command`, which must succeed. Shows nothing.
pub(crate) fn output_of(mut command: Command) -> Result<String> {
    let line = describe(&command);
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start: {line}"))?;
    if !output.status.success() {
        bail!("failed: {line} ({})", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("not UTF-8: output of {line}"))
}

fn show_and_keep(stream: impl Read) -> String {
    let mut kept = String::new();
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        let text = String::from_utf8_lossy(&line);
        print!("{text}");
        kept.push_str(&text);
        line.clear();
    }
    kept
}

/// The command as one would type it, with the variables it sets.
fn describe(command: &Command) -> String {
    let mut line = String::new();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            let _ = write!(line, "{}={} ", name.to_string_lossy(), shown(value));
        }
    }
    let program = command.get_program().to_string_lossy();
    line.push_str(program.rsplit('/').next().unwrap_or(&program));
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&shown(argument));
    }
    line
}

fn shown(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    if word.contains(' ') { format!("'{word}'") } else { word.into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_takes_too_long_is_ended_and_has_failed() {
        let sleep = |seconds: &str| {
            let mut command = Command::new("sleep");
            command.arg(seconds);
            command
        };
        assert!(run_within(sleep("0"), Duration::from_secs(60)).is_ok());
        let error = run_within(sleep("600"), Duration::ZERO).unwrap_err();
        assert!(error.to_string().contains("not done within"), "{error}");
        let failed = run_within(Command::new("false"), Duration::from_secs(60)).unwrap_err();
        assert!(failed.to_string().contains("failed: false"), "{failed}");
    }
}
