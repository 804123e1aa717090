//! The command line.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Real nodes under load and faults.
#[derive(Debug, Parser)]
#[command(name = "weald-mesh")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) task: Task,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Runs scenarios
    Test(TestOptions),
    /// Measures real nodes, beside what they are compared with
    #[command(subcommand)]
    Bench(Bench),
    /// Ends what a run leaves behind; a run starts it
    #[command(hide = true)]
    Guard { directory: PathBuf },
    /// Holds a network namespace; a run starts it
    #[command(hide = true)]
    Keeper,
    /// Publishes to a topic; a run starts it
    #[command(hide = true)]
    Publish(PublisherOptions),
    /// Attacks a topic; a run starts it
    #[command(hide = true)]
    Attack(AttackerOptions),
    /// Subscribes to a topic; a run starts it
    #[command(hide = true)]
    Subscribe(SubscriberOptions),
    /// Tries to connect from the namespace that it is started in; a run starts it
    #[command(hide = true)]
    Reach { address: std::net::SocketAddr },
}

/// What is measured.
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Puts and gets
    Mesh(BenchOptions),
    /// Topics: publishing, delivery, replay, fan-out, bytes, memory
    Topics(TopicBenchOptions),
}

/// What a publisher does.
#[derive(Args, Clone, Debug)]
pub(crate) struct PublisherOptions {
    #[arg(long)]
    pub(crate) bootstrap: Vec<String>,
    #[arg(long)]
    pub(crate) topic: String,
    /// Stands in each message
    #[arg(long)]
    pub(crate) label: usize,
    /// Messages
    #[arg(long)]
    pub(crate) count: usize,
    /// From one message to the next, at least and at most
    #[arg(long)]
    pub(crate) pause_min_ms: usize,
    #[arg(long)]
    pub(crate) pause_max_ms: usize,
    #[arg(long)]
    pub(crate) expires_ms: Option<u64>,
    /// Makes the topic with the policy `Available`
    #[arg(long)]
    pub(crate) available: bool,
    /// Messages that are handed over at a time
    #[arg(long, default_value_t = NonZeroUsize::MIN)]
    pub(crate) batch: NonZeroUsize,
    /// The gateway that is published through, `HOST:PORT`; a light node of its own without it
    #[arg(long)]
    pub(crate) through: Option<String>,
    #[arg(long)]
    pub(crate) seed: u64,
}

/// What an attacker does.
#[derive(Args, Clone, Debug)]
pub(crate) struct AttackerOptions {
    #[arg(long)]
    pub(crate) bootstrap: Vec<String>,
    #[arg(long)]
    pub(crate) topic: String,
    /// How often each attempt is made
    #[arg(long)]
    pub(crate) rounds: usize,
    /// Decides its key
    #[arg(long)]
    pub(crate) seed: u64,
}

/// What a subscriber does.
#[derive(Args, Clone, Debug)]
pub(crate) struct SubscriberOptions {
    #[arg(long)]
    pub(crate) bootstrap: Vec<String>,
    #[arg(long)]
    pub(crate) topic: String,
    /// The name of its cursor
    #[arg(long)]
    pub(crate) durable: Option<String>,
    /// The position that it has seen
    #[arg(long)]
    pub(crate) after: Option<u64>,
    #[arg(long)]
    pub(crate) lease_ms: Option<u64>,
}

/// What is run, and how.
#[derive(Args, Clone, Debug)]
pub(crate) struct TestOptions {
    /// Scenarios by name, or `all`, or `list`
    #[arg(default_value = "list")]
    pub(crate) scenarios: Vec<String>,
    /// The `weald` program
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) weald: PathBuf,
    /// Nodes of a mesh; each scenario has its own default
    #[arg(long, value_name = "N")]
    pub(crate) nodes: Option<usize>,
    /// Members of a partition
    #[arg(long, value_name = "K")]
    pub(crate) k: Option<usize>,
    /// Engine of the nodes
    #[arg(long, value_name = "ENGINE")]
    pub(crate) engine: Option<String>,
    /// Operations that a load has to reach; each scenario has its own default
    #[arg(long, value_name = "COUNT")]
    pub(crate) operations: Option<usize>,
    /// Rounds of kills and the like; each scenario has its own default
    #[arg(long, value_name = "COUNT")]
    pub(crate) rounds: Option<usize>,
    /// Decides what is killed when
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// What the nodes log: targets with levels, as in `WEALD_LOG`
    #[arg(long, value_name = "FILTER")]
    pub(crate) log: Option<String>,
    /// Leaves the directories of the nodes, which a failure does anyway
    #[arg(long)]
    pub(crate) keep: bool,
    /// Stays in the machine's own network; links between nodes cannot be cut then
    #[arg(long)]
    pub(crate) shared_network: bool,
}

/// What is measured, and how long.
#[derive(Args, Clone, Debug)]
#[command(args_override_self = true)]
pub(crate) struct BenchOptions {
    /// The `weald` program
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) weald: PathBuf,
    /// What to measure beside it: `etcd` where the machine has it, `floor` with --floor
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub(crate) peers: Vec<String>,
    /// The program of the bare log
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) floor: Option<PathBuf>,
    /// Clients at the same time
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64, 256])]
    pub(crate) clients: Vec<usize>,
    /// Length of one run
    #[arg(long, default_value_t = 3)]
    pub(crate) seconds: u64,
    /// Runs of each measurement; the one with the median rate is told
    #[arg(long, default_value_t = 3)]
    pub(crate) runs: usize,
    /// Leaves out the gateway and measures the Rust client alone
    #[arg(long)]
    pub(crate) rust_only: bool,
    /// Nodes of the mesh; none measures only what it is compared with
    #[arg(long, default_value_t = 3)]
    pub(crate) nodes: usize,
    /// Members of a partition
    #[arg(long)]
    pub(crate) k: Option<usize>,
    /// Looks first at what the nodes cost while nobody asks them anything
    #[arg(long)]
    pub(crate) idle: bool,
    /// Light clients that are connected then, besides
    #[arg(long, default_value_t = 0, requires = "idle", value_name = "N")]
    pub(crate) idle_clients: usize,
    /// Where the nodes keep their data: a real disk, or nothing is measured
    #[arg(long, default_value = ".")]
    pub(crate) directory: PathBuf,
}

/// What of topics is measured, and how long.
#[derive(Args, Clone, Debug)]
#[command(args_override_self = true)]
pub(crate) struct TopicBenchOptions {
    /// The `weald` program
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) weald: PathBuf,
    /// What to measure beside it: `nats` where the machine has it
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub(crate) peers: Vec<String>,
    /// The NATS server
    #[arg(long, default_value = "nats-server", value_name = "PROGRAM")]
    pub(crate) nats: PathBuf,
    /// Leaves out the other measurements: publish, deliver, replay, fan-out, follower, slow, bytes, many
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub(crate) only: Vec<String>,
    /// Length of one run of publishers
    #[arg(long, default_value_t = 2)]
    pub(crate) seconds: u64,
    /// Runs of publishers and of replays; the one with the median rate is told
    #[arg(long, default_value_t = 3)]
    pub(crate) runs: usize,
    /// Messages that a late joiner is given, and that are retained while bytes are counted
    #[arg(long, default_value_t = 10_000)]
    pub(crate) retained: usize,
    /// Subscribers of one topic
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1000], value_name = "COUNTS")]
    pub(crate) subscribers: Vec<usize>,
    /// Topics with a message a second each
    #[arg(long, default_value_t = 1000)]
    pub(crate) topics: usize,
    /// How long they are published to
    #[arg(long, default_value_t = 60)]
    pub(crate) topic_seconds: u64,
    /// Nodes of the mesh; none measures only what it is compared with
    #[arg(long, default_value_t = 3)]
    pub(crate) nodes: usize,
    /// Where the nodes keep their data: a real disk, or nothing is measured
    #[arg(long, default_value = ".")]
    pub(crate) directory: PathBuf,
}
