//! A running `weald node`.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::program::{Ended, Place};

/// A node on a place; killed when dropped.
pub(crate) struct Node {
    process: Child,
    pub(crate) url: String,
}

/// `weald node` on a place, alone and with one partition, founded at once.
pub(crate) fn command(place: &Place) -> Command {
    let mut command = place.command(&["--json", "node"]);
    command.env("WEALD_LISTEN", "/ip4/127.0.0.1/tcp/0").env("WEALD_PARTITIONS", "1");
    command.env("WEALD_FOUND_AFTER_MS", "0");
    command
}

impl Node {
    /// Starts it and waits until it serves.
    pub(crate) fn start(place: &Place) -> Self {
        let mut process = command(place).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let card: Value = serde_json::from_str(&line).unwrap();
        let node = Self { process, url: card["http"].as_str().unwrap().to_owned() };
        let patience = Instant::now() + Duration::from_secs(30);
        while node.run(place, &["collections"], b"").code != 0 {
            assert!(Instant::now() < patience, "the node does not get ready");
        }
        node
    }

    /// Runs a verb against it.
    pub(crate) fn run(&self, place: &Place, arguments: &[&str], input: &[u8]) -> Ended {
        let mut command = place.command(arguments);
        command.env_remove("WEALD_DATA_DIR").env("WEALD_NODE", &self.url);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // It may end before it has read.
        child.stdin.take().unwrap().write_all(input).ok();
        Ended::from(child.wait_with_output().unwrap())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
