//! The command line: one file a verb, answers on standard output, one line on standard error when
//! something is wrong, an exit code for each class of failure.

mod collections;
mod config;
mod database;
mod demo;
mod diary;
mod export;
mod failure;
mod follow;
mod health;
mod import;
mod input;
mod leave;
mod members;
mod node;
mod operator;
mod options;
mod output;
mod progress;
mod recover;
mod resolve;
mod session;
#[path = "http/shape.rs"]
mod shape;
mod status;
mod stop;
mod text;
mod topic;
mod tree;
mod verify;

use std::{path::PathBuf, process::ExitCode};

use clap::{CommandFactory as _, Parser, Subcommand, error::ErrorKind};

use database::Client;
use failure::Failure;
use output::Output;
use session::Target;

const EXIT_CODES: &str = "\
Exit codes:
  0   done
  1   not found, or an expectation does not hold
  2   the command line or its input is wrong
  3   the write was refused; nothing of it happened
  4   the write may or may not have happened
  5   the data directory is damaged, full, locked by another process, or of a newer format; or
      the node cannot be reached or does not serve now
  70  a defect of this program
`weald health` has codes of its own.";

/// A database of trees, diaries and topics: in a directory, or of a node.
#[derive(Debug, Parser)]
#[command(name = "weald", version, after_help = EXIT_CODES, propagate_version = true)]
struct Cli {
    /// The directory of the database; made by the first write [default: ./weald-data] [env:
    /// WEALD_DATA_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Ask this node instead of opening a directory, as http://HOST:PORT [env: WEALD_NODE]; its
    /// token, if it has one, is in WEALD_TOKEN
    #[arg(long, global = true, value_name = "URL", conflicts_with = "data_dir")]
    node: Option<String>,
    /// Answer in JSON, one object a line
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Ordered keys and values
    #[command(subcommand)]
    Tree(tree::TreeVerb),
    /// Append-only logs
    #[command(subcommand)]
    Diary(diary::DiaryVerb),
    /// Persistent publish/subscribe
    #[command(subcommand)]
    Topic(topic::TopicVerb),
    /// List the collections
    Collections,
    /// Read everything that is stored and check it; names each file or block that is damaged
    Verify,
    /// Write collections as JSON lines
    Export(export::Export),
    /// Read JSON lines that `export` wrote; doing it again changes nothing
    Import(import::Import),
    /// Settle a write whose outcome is unknown, and tell what became of it
    Resolve(resolve::Resolve),
    /// Describe the database
    Status,
    /// Judge a node at one look: exit code 0 when it is well, 1 when it serves and somebody should look
    /// at it, 2 when it does not serve or cannot be reached
    Health,
    /// Serve the database to other programs until SIGTERM or Ctrl-C
    Node(node::Node),
    /// Tell what holds for a node, and from where
    Config(config::Config),
    /// List the peers that are connected
    Peers,
    /// List the nodes that keep the partitions of this one, and since when they run
    Members,
    /// List the partitions with their members
    Partitions(operator::Partitions),
    /// Tell who gives a partition's entries their places
    Leader(operator::Leader),
    /// Tell how far a partition's log has come
    Log(operator::Log),
    /// Tell the digest of everything that a partition has applied
    Digest(operator::Digest),
    /// Hand the coordination of a partition over
    Transfer(operator::Transfer),
    /// Hand over everything that a node does for its network
    Drain,
    /// Empty the directory of a stopped node, so that it may join another network
    Leave(leave::Leave),
    /// Go on alone with partitions that have lost their majority for good
    Recover(recover::Recover),
    /// Start three nodes, kill them while they are written to, and show that nothing is lost
    Demo(demo::Demo),
}

impl Cli {
    /// The directory that the command line names, else the environment, else the usual one.
    fn directory(&self) -> PathBuf {
        let named = self.data_dir.clone();
        named
            .or_else(|| std::env::var_os("WEALD_DATA_DIR").map(PathBuf::from))
            .unwrap_or_else(|| PathBuf::from("./weald-data"))
    }
}

impl Cli {
    /// The node that the command line or the environment names, else the directory.
    fn target(&self) -> Result<Target, Failure> {
        let variable = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
        let named = self.node.clone();
        let is_directory = self.data_dir.is_some();
        match named.or_else(|| variable("WEALD_NODE").filter(|_| !is_directory)) {
            Some(url) => Ok(Target::Node(Client::new(&url, variable("WEALD_TOKEN"))?)),
            None => Ok(Target::Directory(self.directory())),
        }
    }
}

/// Parses the command line, runs the verb and gives the exit code.
pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    let json = cli.json;
    let result = tokio::runtime::Runtime::new()
        .map_err(|error| Failure::internal(format_args!("no threads can be started: {error}")))
        .and_then(|runtime| {
            let result = runtime.block_on(run(cli));
            // A read that is still waiting for another node keeps nobody from ending.
            runtime.shutdown_background();
            result
        });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(json),
    }
}

async fn run(cli: Cli) -> Result<(), Failure> {
    let mut output = Output::new(cli.json);
    let target = &cli.target()?;
    match cli.verb {
        Verb::Node(node) => node.run(cli.data_dir.as_deref(), &mut output).await?,
        Verb::Config(config) => config.run(cli.data_dir.as_deref(), &mut output)?,
        Verb::Tree(verb) => verb.run(target, &mut output).await?,
        Verb::Diary(verb) => verb.run(target, &mut output).await?,
        Verb::Topic(verb) => verb.run(target, &mut output).await?,
        Verb::Collections => collections::run(target, &mut output).await?,
        Verb::Verify => verify::run(target, &mut output).await?,
        Verb::Export(export) => export.run(target, &mut output).await?,
        Verb::Import(import) => import.run(target, &mut output).await?,
        Verb::Resolve(resolve) => resolve.run(target, &mut output).await?,
        Verb::Status => status::run(target, &mut output).await?,
        Verb::Health => health::run(target, &mut output).await?,
        Verb::Peers => operator::peers(target, &mut output).await?,
        Verb::Members => members::run(target, &mut output).await?,
        Verb::Partitions(partitions) => partitions.run(target, &mut output).await?,
        Verb::Leader(leader) => leader.run(target, &mut output).await?,
        Verb::Log(log) => log.run(target, &mut output).await?,
        Verb::Digest(digest) => digest.run(target, &mut output).await?,
        Verb::Transfer(transfer) => transfer.run(target, &mut output).await?,
        Verb::Drain => operator::drain(target, &mut output).await?,
        Verb::Leave(leave) => leave.run(target, &mut output)?,
        Verb::Recover(recover) => recover.run(target, &mut output).await?,
        Verb::Demo(demo) => demo.run(&mut output).await?,
    }
    output.flush()
}

/// Help and version go to standard output; anything else is one line that says what to do.
fn refuse(error: &clap::Error) -> ExitCode {
    let json = std::env::args_os().any(|argument| argument == "--json");
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A reader that went away has seen enough of the help.
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Failure::usage("a command is needed; `weald --help` lists them").report(json)
        }
        _ => Failure::usage(first_paragraph(&error.to_string())).report(json),
    }
}

/// The part of clap's message that says what is wrong, without the usage block.
fn first_paragraph(message: &str) -> String {
    let told = message.strip_prefix("error: ").unwrap_or(message);
    let told = told.split("\n\nUsage:").next().unwrap_or(told);
    let told = told.split("\n\nFor more").next().unwrap_or(told);
    format!("{told}; see `{} --help`", Cli::command().get_name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_exit_codes_in_the_help_are_those_of_the_classes() {
        use failure::Class;
        for class in [
            Class::NotFound,
            Class::Usage,
            Class::Rejected,
            Class::Unknown,
            Class::Storage,
            Class::Internal,
        ] {
            let line = format!("\n  {:<3} ", class.code());
            assert!(EXIT_CODES.contains(&line), "{class:?}");
        }
    }
}
