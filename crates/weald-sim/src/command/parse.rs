//! Commands as they are written.

use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};

use super::{Command, DiskState, Dropping};
use crate::name::Name;

impl FromStr for Command {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (verb, rest) = words.split_first().context("an empty command")?;
        parse(verb, rest).with_context(|| format!("cannot read `{text}`"))
    }
}

fn parse(verb: &str, rest: &[&str]) -> Result<Command> {
    Ok(match (verb, rest) {
        ("cut", [link]) => link_of(link).map(|(from, to)| Command::Cut(from, to))?,
        ("mend", [link]) => link_of(link).map(|(from, to)| Command::Mend(from, to))?,
        ("heal", []) => Command::Heal,
        ("drop", [message, rest @ ..]) => Command::Drop(dropping(message, rest)?),
        ("partition", [side]) => Command::Partition(names_of(side)?),
        ("voters", [voters]) => Command::Voters(names_of(voters)?),
        ("disk", [node, state @ ..]) => Command::Disk(node.parse()?, disk_state(state)?),
        ("clock", [node, jump]) => Command::Clock(node.parse()?, jump_of(jump)?),
        ("load", [clients]) => Command::Load(clients.parse()?),
        ("reorder", [percent]) => Command::Reorder(percent_of(percent)?),
        ("loss", [percent]) => Command::Loss(percent_of(percent)?),
        (verb, [node]) => of_node(verb, node.parse()?)?,
        ("rot", [node, back]) => Command::Rot(node.parse()?, back.parse()?),
        ("checkpoint", [node, kept]) => Command::Checkpoint(node.parse()?, kept.parse()?),
        _ => bail!("no such command"),
    })
}

/// Makes a command of the node it is done to.
type OfNode = fn(Name) -> Command;

fn of_node(verb: &str, node: Name) -> Result<Command> {
    let known: [(&str, OfNode); 14] = [
        ("isolate", Command::Isolate),
        ("crash", Command::Crash),
        ("restart", Command::Restart),
        ("pause", Command::Pause),
        ("resume", Command::Resume),
        ("wipe", Command::Wipe),
        ("backup", Command::Backup),
        ("rollback", Command::Rollback),
        ("add", Command::Add),
        ("transfer", Command::Transfer),
        ("forge", Command::Forge),
        ("corrupt", Command::Corrupt),
        ("recover", Command::Recover),
        ("usurp", Command::Usurp),
    ];
    let found = known.into_iter().find(|(name, _)| *name == verb);
    found.map(|(_, make)| make(node)).context("no such command")
}

fn link_of(text: &str) -> Result<(Name, Name)> {
    let (from, to) = text.split_once("->").context("a link is `A->B`")?;
    Ok((from.parse()?, to.parse()?))
}

/// Reads `A,B,C`.
pub(crate) fn names_of(text: &str) -> Result<Vec<Name>> {
    text.split(',').map(str::parse).collect()
}

/// Reads `250ms` or `2s`, in ms.
pub(crate) fn millis_of(text: &str) -> Result<u64> {
    if let Some(millis) = text.strip_suffix("ms") {
        return Ok(millis.parse()?);
    }
    let seconds: u64 = text.strip_suffix('s').context("a time is `250ms` or `2s`")?.parse()?;
    Ok(seconds * 1000)
}

fn jump_of(text: &str) -> Result<i64> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.trim_start_matches('+')),
    };
    Ok(sign * i64::try_from(millis_of(rest)?)?)
}

fn percent_of(text: &str) -> Result<u8> {
    let percent = text.strip_suffix('%').context("a share is `30%`")?.parse()?;
    ensure!(percent <= 100, "more than everything");
    Ok(percent)
}

fn disk_state(words: &[&str]) -> Result<DiskState> {
    Ok(match words {
        ["normal"] => DiskState::Normal,
        ["full"] => DiskState::Full,
        ["failing"] => DiskState::Failing,
        ["slow", time] => DiskState::Slow(millis_of(time)?),
        _ => bail!("a disk is normal, slow TIME, full or failing"),
    })
}

fn dropping(message: &str, rest: &[&str]) -> Result<Dropping> {
    let message = (message != "any").then(|| message.to_owned());
    let mut dropping = Dropping { message, from: None, to: None, count: None, millis: 1_000_000 };
    let mut words = rest.iter();
    while let Some(word) = words.next() {
        let mut next = || words.next().context("a word is missing at the end");
        match *word {
            "from" => dropping.from = Some(next()?.parse()?),
            "to" => dropping.to = Some(next()?.parse()?),
            "for" => dropping.millis = millis_of(next()?)?,
            count => dropping.count = Some(count.parse()?),
        }
    }
    Ok(dropping)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_back() {
        let lines = [
            "cut A->B",
            "mend B->A",
            "isolate C",
            "partition A,B",
            "heal",
            "drop any for 5000ms",
            "drop Heartbeat from A to B 5 for 2000ms",
            "crash A",
            "restart B",
            "pause C",
            "resume C",
            "wipe A",
            "rot B 3",
            "backup A",
            "rollback A",
            "disk A normal",
            "disk B slow 300ms",
            "disk C full",
            "disk C failing",
            "clock A +3600000ms",
            "clock A -5ms",
            "checkpoint A 5",
            "add D",
            "voters A,B,D",
            "transfer B",
            "forge A",
            "corrupt B",
            "recover C",
            "usurp A",
            "load 3",
            "reorder 30%",
            "loss 1%",
        ];
        for line in lines {
            assert_eq!(line.parse::<Command>().unwrap().to_string(), line);
        }
        for wrong in ["", "explode A", "crash Z", "disk A tired", "drop", "cut A", "loss 101%"] {
            assert!(wrong.parse::<Command>().is_err(), "{wrong}");
        }
    }
}
