//! One `weald node` of the demo as a process.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use crate::cli::{
    database::{Client, Database},
    failure::{Class, Failure},
};

/// A node that is running, or was killed.
pub(super) struct Process {
    directory: PathBuf,
    child: Option<Child>,
}

/// What a running node tells of itself.
#[derive(Debug)]
pub(super) struct Card {
    pub(super) peer: String,
    /// Where other nodes reach it.
    pub(super) addresses: Vec<String>,
    /// Where its gateway listens, as a URL.
    http: String,
}

impl Process {
    /// A node with its data in `directory`, not started yet.
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory, child: None }
    }

    /// Starts it.
    pub(super) fn start(&mut self, arguments: &[String]) -> Result<(), Failure> {
        // A killed node leaves its card behind.
        let _ = fs::remove_file(self.directory.join("node.json"));
        let started = self.command().and_then(|mut command| command.args(arguments).spawn());
        let child = started.map_err(|error| {
            Failure::internal(format_args!("a node cannot be started: {error}"))
        })?;
        self.child = Some(child);
        Ok(())
    }

    fn command(&self) -> io::Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--data-dir").arg(&self.directory).arg("node");
        // The demo's nodes are what the demo says, whatever stands in the environment.
        let is_option = |name: &std::ffi::OsString| name.to_string_lossy().starts_with("WEALD_");
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_option(name)) {
            command.env_remove(name);
        }
        let log = File::create(self.log())?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        Ok(command)
    }

    /// The file with what the process says.
    fn log(&self) -> PathBuf {
        self.directory.with_extension("log")
    }

    /// Its card, once it has started.
    ///
    /// # Errors
    /// With its last words, if it has ended by itself.
    pub(super) fn card(&mut self) -> Result<Option<Card>, Failure> {
        let ended = self.child.as_mut().map(Child::try_wait).transpose();
        if !matches!(ended, Ok(Some(None))) {
            let told = fs::read_to_string(self.log()).unwrap_or_default();
            let last = told.lines().last().unwrap_or("nothing").to_owned();
            let message = format_args!("a node ended by itself; it said: {last}");
            return Err(Failure::new(Class::Storage, message));
        }
        Ok(Card::read(&self.directory))
    }

    /// Kills it with SIGKILL, without waiting for its end.
    pub(super) fn kill(&mut self) {
        if let Some(child) = &mut self.child {
            // One that has ended by itself is as dead.
            let _ = child.kill();
        }
    }

    /// Waits for the end of a killed process.
    pub(super) fn bury(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.wait();
        }
    }
}

/// No node outlives the demo.
impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        self.bury();
    }
}

impl Card {
    fn read(directory: &Path) -> Option<Self> {
        let text = fs::read_to_string(directory.join("node.json")).ok()?;
        let told: Value = serde_json::from_str(&text).ok()?;
        let addresses = told["addresses"].as_array()?.iter();
        Some(Self {
            peer: told["peer_id"].as_str()?.to_owned(),
            addresses: addresses.filter_map(Value::as_str).map(str::to_owned).collect(),
            http: told["http"].as_str()?.to_owned(),
        })
    }

    /// Where its gateway listens, as an address.
    pub(super) fn http_address(&self) -> &str {
        self.http.trim_start_matches("http://")
    }

    /// The database that the node serves.
    pub(super) fn database(&self) -> Result<Database, Failure> {
        Client::new(&self.http, None).map(Database::There)
    }
}
