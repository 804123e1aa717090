//! A network namespace for each node, joined by a bridge in the run's own, with links that can be cut one by one.
//!
//! A link is cut by a wrong hardware address in the neighbour table: packets leave and reach nobody, as on a broken
//! line, and nothing on the sending host knows.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::isolation::run;

const BRIDGE: &str = "weald0";
/// Nobody has it.
const NOWHERE: &str = "02:00:00:00:ff:ff";
/// What a keeper prints once its namespace is there.
pub(crate) const KEEPER_READY: &str = "ready";

/// The bridge and the namespaces, which end with this.
#[derive(Debug, Default)]
pub(crate) struct Namespaces {
    keepers: Vec<Child>,
}

/// One direction between two nodes, by their places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) from: usize,
    pub(crate) to: usize,
}

impl Namespaces {
    /// `count` namespaces.
    pub(crate) fn create(count: usize) -> Result<Self> {
        ensure!(crate::isolation::is_isolated(), "the run has no network of its own");
        run("ip", &["link", "add", BRIDGE, "type", "bridge"])?;
        run("ip", &["address", "add", &format!("{}/24", address(253)), "dev", BRIDGE])?;
        run("ip", &["link", "set", BRIDGE, "up"])?;
        let mut namespaces = Self::default();
        for place in 0..count {
            namespaces.add(place)?;
        }
        Ok(namespaces)
    }

    fn add(&mut self, place: usize) -> Result<()> {
        let keeper = keeper()?;
        let pid = keeper.id().to_string();
        self.keepers.push(keeper);
        let outer = format!("weald-{place}");
        let peer = ["type", "veth", "peer", "name", "eth0", "netns", &pid];
        run("ip", &[&["link", "add", outer.as_str()], &peer[..]].concat())?;
        run("ip", &["link", "set", &outer, "master", BRIDGE, "up"])?;
        self.inside(place, &["link", "set", "lo", "up"])?;
        self.inside(place, &["address", "add", &format!("{}/24", address(place)), "dev", "eth0"])?;
        self.inside(place, &["link", "set", "eth0", "up"])
    }

    /// The words that run a program in the namespace of the node at `place`.
    pub(crate) fn prefix(&self, place: usize) -> Vec<String> {
        let pid = self.keepers[place].id().to_string();
        ["nsenter", "-t", &pid, "-n", "--"].map(str::to_owned).to_vec()
    }

    /// Nothing arrives over these links from here on.
    pub(crate) fn cut(&self, links: &[Link]) -> Result<()> {
        for link in links {
            let neighbour = ["neighbour", "replace", &address(link.to), "lladdr", NOWHERE];
            self.inside(
                link.from,
                &[&neighbour[..], &["dev", "eth0", "nud", "permanent"]].concat(),
            )?;
        }
        Ok(())
    }

    /// What [`Self::cut`] cut is whole again.
    pub(crate) fn heal(&self, links: &[Link]) -> Result<()> {
        for link in links {
            self.inside(link.from, &["neighbour", "delete", &address(link.to), "dev", "eth0"])?;
        }
        Ok(())
    }

    /// Whether a connection from the node at `place` to `HOST:PORT` comes about.
    pub(crate) fn reaches(&self, place: usize, address: &str) -> Result<bool> {
        let program = std::env::current_exe().context("this program's path is unknown")?;
        let prefix = self.prefix(place);
        let mut command = Command::new(&prefix[0]);
        command.args(&prefix[1..]).arg(program).args(["reach", address]);
        Ok(command.status().context("nsenter cannot be started")?.success())
    }

    fn inside(&self, place: usize, arguments: &[&str]) -> Result<()> {
        let prefix = self.prefix(place);
        let words: Vec<&str> = prefix.iter().skip(1).map(String::as_str).chain(["ip"]).collect();
        run(&prefix[0], &[&words[..], arguments].concat())
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for keeper in &mut self.keepers {
            // A keeper ends when its input does.
            drop(keeper.stdin.take());
            let _ = keeper.wait();
        }
        let _ = run("ip", &["link", "delete", BRIDGE]);
    }
}

/// All links between the two groups, both ways.
pub(crate) fn between(one: &[usize], other: &[usize]) -> Vec<Link> {
    let pairs = one.iter().flat_map(|from| other.iter().map(move |to| (*from, *to)));
    pairs.flat_map(|(from, to)| [Link { from, to }, Link { from: to, to: from }]).collect()
}

/// The address of the node at `place` in its namespace.
pub(crate) fn address(place: usize) -> String {
    format!("10.77.0.{}", place + 1)
}

fn keeper() -> Result<Child> {
    let program = std::env::current_exe().context("this program's path is unknown")?;
    let mut command = Command::new("unshare");
    command.args(["-n", "--"]).arg(program).arg("keeper");
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut keeper = spawned.context("unshare cannot be started")?;
    let output = keeper.stdout.take().context("the keeper's output is a pipe")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    ensure!(line.trim() == KEEPER_READY, "a namespace cannot be made");
    Ok(keeper)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_between_groups_are_cut_both_ways() {
        let link = |from, to| Link { from, to };
        assert_eq!(between(&[0], &[1, 2]), [link(0, 1), link(1, 0), link(0, 2), link(2, 0)]);
        assert_eq!(between(&[], &[1, 2]), []);
        assert_eq!(address(0), "10.77.0.1");
    }
}
