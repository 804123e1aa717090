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
    /// What it has told of itself.
    pub(crate) card: Value,
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
        let node = Self::begin(&mut command(place));
        let patience = Instant::now() + Duration::from_secs(30);
        while node.run(place, &["collections"], b"").code != 0 {
            assert!(Instant::now() < patience, "the node does not get ready");
        }
        node
    }

    /// Starts it and waits until it has told where it is.
    pub(crate) fn begin(command: &mut Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let card: Value = serde_json::from_str(&line).unwrap();
        let url = card["http"].as_str().unwrap().to_owned();
        Self { process, url, card }
    }

    /// Stops it as an operator does, and waits until it has ended well.
    pub(crate) fn stop(mut self) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        assert!(self.process.wait().unwrap().success());
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

    /// The body that it answers to a GET, if it does and says that all is well.
    pub(crate) fn get(&self, path: &str) -> Option<String> {
        let mut answer = ureq::get(format!("{}{path}", self.url)).call().ok()?;
        answer.body_mut().read_to_string().ok()
    }

    /// What it answers to a POST; the status and the body.
    pub(crate) fn post(&self, path: &str, body: &str) -> (u16, String) {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut answer = agent.post(format!("{}{path}", self.url)).send(body).unwrap();
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
