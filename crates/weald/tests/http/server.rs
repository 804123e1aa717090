//! Starts `weald node` and stops it.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::client::{Answer, Request};

/// A folder for a node, gone at the end of the test.
pub(crate) struct Place(tempfile::TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The program with these arguments on this folder.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        command(&self.data(), arguments)
    }

    /// A node on this folder.
    pub(crate) fn start(&self) -> Node {
        Node::start(self.command(&["--json", "node"]))
    }
}

pub(crate) fn command(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weald"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("WEALD_")) {
        command.env_remove(name);
    }
    command.env("WEALD_DATA_DIR", data).args(arguments).stdin(Stdio::null());
    command
}

/// A running node; killed when dropped.
pub(crate) struct Node {
    process: Child,
    pub(crate) card: Value,
    pub(crate) address: SocketAddr,
}

impl Node {
    /// Starts it, alone and with one partition, and waits until it serves.
    pub(crate) fn start(mut command: Command) -> Self {
        command.env("WEALD_LISTEN", "/ip4/127.0.0.1/tcp/0").env("WEALD_PARTITIONS", "1");
        command.env("WEALD_FOUND_AFTER_MS", "0");
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let card: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line:?}"));
        let http = card["http"].as_str().unwrap().strip_prefix("http://").unwrap();
        let address = http.parse().unwrap();
        let node = Self { process, card, address };
        let patience = Instant::now() + Duration::from_secs(30);
        while node.call("GET /readyz").status != 200 {
            assert!(Instant::now() < patience, "the node does not get ready");
            std::thread::sleep(Duration::from_millis(50));
        }
        node
    }

    pub(crate) fn call(&self, line: &str) -> Answer {
        Request::new(line).send(self.address)
    }

    pub(crate) fn send(&self, line: &str, body: impl Into<Vec<u8>>) -> Answer {
        Request::new(line).body(body).send(self.address)
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    /// Waits until it has ended.
    pub(crate) fn ended(mut self) -> ExitStatus {
        self.process.wait().unwrap()
    }

    /// Stops it as an operator does.
    pub(crate) fn stop(self) {
        self.signal("-TERM");
        assert!(self.ended().success());
    }

    /// Kills it.
    pub(crate) fn kill(self) {
        self.signal("-KILL");
        assert!(!self.ended().success());
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended already.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
