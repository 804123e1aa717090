//! Opening and closing the database for one command, and what its errors mean here.

use std::{
    error::Error as _,
    fmt::Write as _,
    io,
    path::{Path, PathBuf},
};

use weald::{
    Config, Error, ErrorKind, NodeConfig, RecoveryOutcome, RecoveryRequest, Rejection,
    TopicRefusal, VerifyProgress, VerifyReport, Weald,
};

use super::{
    database::{Client, Database},
    failure::{Class, Failure},
};

/// What a command works on.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// The database in this directory.
    Directory(PathBuf),
    /// This node.
    Node(Client),
}

impl Target {
    /// What it is called, for people.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::Directory(directory) => directory.display().to_string(),
            Self::Node(client) => client.url().to_owned(),
        }
    }
}

/// Runs `command` on the database, which must be there: a command that only reads makes nothing.
pub(crate) async fn existing<T>(
    target: &Target,
    command: impl AsyncFnOnce(&Database) -> Result<T, Failure>,
) -> Result<T, Failure> {
    if let Target::Directory(directory) = target {
        is_there(directory)?;
    }
    made(target, command).await
}

fn is_there(directory: &Path) -> Result<(), Failure> {
    let is_empty = std::fs::read_dir(directory).map(|mut files| files.next().is_none());
    if is_empty.unwrap_or_else(|error| error.kind() == io::ErrorKind::NotFound) {
        return Err(Failure::usage(format_args!(
            "there is no database in {}; write something first, or name another with --data-dir",
            directory.display()
        )));
    }
    Ok(())
}

/// Checks everything in `directory`, be it a program's database or a stopped node's.
pub(crate) async fn verify(
    directory: &Path,
    progress: impl FnMut(VerifyProgress) + Send,
) -> Result<VerifyReport, Failure> {
    is_there(directory)?;
    started(directory, Weald::verify_directory(directory, Config::default(), progress).await)
}

/// Recovers partitions of the stopped node in a directory by force, or tells what that would do.
pub(crate) async fn recover(request: RecoveryRequest) -> Result<Vec<RecoveryOutcome>, Failure> {
    is_there(&request.directory)?;
    let directory = request.directory.clone();
    match Weald::recover(request).await {
        Err(error) if error.kind() == ErrorKind::Invalid => Err(Failure::usage(told(&error))),
        recovered => started(&directory, recovered),
    }
}

/// Runs `command` on the database; a directory is made if it is not there, and closed after. What
/// the command itself ran into counts more than what closing ran into.
pub(crate) async fn made<T>(
    target: &Target,
    command: impl AsyncFnOnce(&Database) -> Result<T, Failure>,
) -> Result<T, Failure> {
    match target {
        Target::Directory(directory) => {
            opened(directory, async |node| command(&Database::Here(node.clone())).await).await
        }
        Target::Node(client) => command(&Database::There(client.clone())).await,
    }
}

/// Runs `command` on the node in `directory`, which is made if it is not there, and closes it.
pub(crate) async fn opened<T>(
    directory: &Path,
    command: impl AsyncFnOnce(&Weald) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let node = open(directory).await?;
    let result = command(&node).await;
    let closed = node.close().await;
    let value = result?;
    closed?;
    Ok(value)
}

/// Opens the database in `directory`, making it if it is not there.
async fn open(directory: &Path) -> Result<Weald, Failure> {
    started(directory, Weald::builder().config(Config::default()).open(directory).await)
}

/// Starts a node of a network, with its data in the directory that the settings name.
pub(crate) async fn start_node(config: &NodeConfig) -> Result<Weald, Failure> {
    started(&config.data_dir, Weald::node(config.clone()).start().await)
}

/// What came of opening `directory`.
fn started<T>(directory: &Path, opened: weald::Result<T>) -> Result<T, Failure> {
    opened.map_err(|error| {
        let class = class(&error);
        let class = if class == Class::Usage { class } else { Class::Storage };
        let advice = match error.kind() {
            ErrorKind::Damaged => "; restore the named part, or the whole directory, from a copy",
            ErrorKind::DiskFull => "; free some space",
            // What is told says what to do.
            _ => "",
        };
        let (place, told) = (directory.display(), told(&error));
        Failure::new(class, format_args!("{place} cannot be opened: {told}{advice}"))
    })
}

/// An error of the opening or of a read, where the collection is not there.
pub(crate) fn absent(kind: &str, name: &str, error: Error) -> Failure {
    if error.kind() == ErrorKind::NotFound { not_there(kind, name) } else { error.into() }
}

/// A collection is not there.
pub(crate) fn not_there(kind: &str, name: &str) -> Failure {
    let next = match kind {
        "topic" => "the first `weald topic pub` makes it",
        _ => "`weald collections` lists what is there",
    };
    Failure::not_found(format_args!("there is no {kind} named {name}; {next}"))
}

fn class(error: &Error) -> Class {
    // A topic's rules are not those of the command line.
    let refusal = error.source().and_then(|source| source.downcast_ref());
    if let Some(TopicRefusal::TooLarge { .. } | TopicRefusal::Denied) = refusal {
        return Class::Rejected;
    }
    match (error.kind(), error.rejection()) {
        (_, Some(Rejection::Expectation { .. }))
        | (ErrorKind::NotFound | ErrorKind::AlreadyExists | ErrorKind::Gone, _) => Class::NotFound,
        (ErrorKind::Invalid, None) => Class::Usage,
        (ErrorKind::Invalid | ErrorKind::Conflict | ErrorKind::Identity | ErrorKind::Busy, _) => {
            Class::Rejected
        }
        (ErrorKind::Unknown, _) => Class::Unknown,
        (
            ErrorKind::DiskFull | ErrorKind::Unavailable | ErrorKind::Behind | ErrorKind::Damaged,
            _,
        ) => Class::Storage,
        _ => Class::Internal,
    }
}

/// The error, and what caused it where the text does not say so already.
fn told(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        let detail = source.to_string();
        if !text.contains(&detail) {
            let _ = write!(text, ": {detail}");
        }
        cause = source.source();
    }
    text
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(class(&error), format_args!("{}; {}", told(&error), error.advice()))
    }
}
