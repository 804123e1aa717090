//! `weald demo`: three nodes, a killed coordinator, a power cut, and nothing that was acknowledged is lost.
//!
//! The demo starts this program three times as `weald node`. Callers write through a node in the demo's
//! own process that keeps nothing: each transaction appends to a diary and puts into a tree; beside them,
//! numbers are published to a topic. The demo kills the coordinator in the middle and brings it back. Then a
//! subscriber joins, late, on another node that keeps nothing. The demo kills all three at once, brings them
//! back, and compares what is there, and what the subscriber was told, with what was acknowledged.

mod account;
mod callers;
mod news;
mod nodes;
mod process;

use std::{path::Path, time::Instant};

use clap::Args;
use serde_json::json;
use weald::Weald;

use self::{
    account::Account,
    callers::Callers,
    news::{LateJoiner, News, Newsroom},
    nodes::{NODES, Nodes},
};
use super::{
    failure::{Class, Failure},
    output::Output,
    stop::Stop,
};

/// The diary of the demo.
const JOURNAL: &str = "demo/journal";
/// Messages that are published to the topic after the power cut.
const NEWS_AFTER: usize = 20;
/// The tree of the demo: each caller's last number.
const LATEST: &str = "demo/latest";

/// Starts three nodes, writes, kills, and shows that nothing is lost.
#[derive(Args, Debug)]
pub(crate) struct Demo {
    /// Callers that write at the same time
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=256))]
    callers: u32,
    /// Transactions that are written while nodes are killed and brought back
    #[arg(long, default_value_t = 3000, value_parser = clap::value_parser!(u32).range(3..=1_000_000))]
    transactions: u32,
}

impl Demo {
    /// Runs the verb.
    pub(crate) async fn run(&self, output: &mut Output) -> Result<(), Failure> {
        // Nodes and folder go when this returns, also when the user has had enough.
        let stop = Stop::new()?;
        tokio::select! {
            played = self.play(output) => played,
            () = stop.asked() => {
                Err(Failure::new(Class::Unknown, "the demo was stopped before its end"))
            }
        }
    }

    async fn play(&self, output: &mut Output) -> Result<(), Failure> {
        let folder = Folder::new()?;
        let mut nodes = found(&folder.0, output).await?;
        let client = nodes.client().await?;
        let mut callers = Callers::start(&client, self.callers).await?;
        let mut newsroom = Newsroom::start(&client).await?;
        self.kill_coordinator(&mut nodes, &mut callers, output).await?;
        let joiner = join_late(&nodes, output).await?;
        let acknowledged = callers.stop().await;
        cut_power(&mut nodes, output).await?;
        let account = Account::read(&client, acknowledged).await?;
        write_on(&client, &account, output).await?;
        newsroom.go_on(NEWS_AFTER).await?;
        let acknowledged = newsroom.stop().await?;
        let news = News { acknowledged, received: joiner.leave().await? };
        nodes.wait_equal().await?;
        client.close().await?;
        tell(&account, &news, output)
    }

    /// Kills the coordinator while the callers write, and brings it back.
    async fn kill_coordinator(
        &self,
        nodes: &mut Nodes,
        callers: &mut Callers,
        output: &mut Output,
    ) -> Result<(), Failure> {
        let third = u64::from(self.transactions).div_ceil(3);
        output.plain(&format!(
            "2. {} callers write: each transaction appends to a diary and puts into a tree",
            self.callers
        ))?;
        output.plain("   beside them, numbers are published to a topic")?;
        output.flush()?;
        callers.reach(third).await?;
        let (node, partitions) = nodes.busiest().await?;
        output.plain(&format!(
            "3. node {} is killed (SIGKILL) after {} transactions; it coordinated {partitions} partitions",
            node + 1,
            callers.total(),
        ))?;
        output.flush()?;
        nodes.kill(node..node + 1);
        let pause = callers.reach(2 * third).await?;
        output.plain(&format!(
            "   the other two have elected among themselves: writes paused for {} ms",
            pause.as_millis()
        ))?;
        let started = Instant::now();
        nodes.restart(node..node + 1).await?;
        output.plain(&format!(
            "4. node {} is started again and takes part after {:.1} s, while the callers write on",
            node + 1,
            started.elapsed().as_secs_f64()
        ))?;
        output.flush()?;
        callers.reach(3 * third).await?;
        Ok(())
    }
}

/// Starts the nodes and waits for their network.
async fn found(folder: &Path, output: &mut Output) -> Result<Nodes, Failure> {
    let started = Instant::now();
    let nodes = Nodes::start(folder).await?;
    let partitions = nodes.wait_formed(0).await?;
    output.plain(&format!(
        "1. {NODES} nodes have formed a network in {:.1} s: {partitions} partitions with {NODES} voters each",
        started.elapsed().as_secs_f64()
    ))?;
    output.plain(&format!("   their data is in {}", folder.display()))?;
    Ok(nodes)
}

/// A subscriber comes late, on a node of its own.
async fn join_late(nodes: &Nodes, output: &mut Output) -> Result<LateJoiner, Failure> {
    let node = nodes.client().await?;
    let started = Instant::now();
    let (joiner, history) = LateJoiner::join(node).await?;
    output.plain(&format!(
        "5. a subscriber comes late: it is told {history} messages of the past in {} ms, and follows",
        started.elapsed().as_millis()
    ))?;
    output.flush()?;
    Ok(joiner)
}

/// Kills all nodes at once and starts them again.
async fn cut_power(nodes: &mut Nodes, output: &mut Output) -> Result<(), Failure> {
    output.plain("6. all of them are killed at once")?;
    output.flush()?;
    nodes.kill(0..NODES);
    let started = Instant::now();
    nodes.restart(0..NODES).await?;
    nodes.wait_equal().await?;
    output.plain(&format!(
        "7. started again, all of them hold the same after {:.1} s, by the digests of all partitions",
        started.elapsed().as_secs_f64()
    ))
}

/// The database works on: one more transaction, read back.
async fn write_on(client: &Weald, account: &Account, output: &mut Output) -> Result<(), Failure> {
    let next = account.found_latest(0) + 1;
    callers::write(client, 0, next).await?;
    let latest = client.raw_tree(LATEST).open().await?.get(callers::key(0)).await?;
    if latest.as_deref() != Some(next.to_string().as_bytes()) {
        return Err(Failure::internal("a write after the kills was not read back"));
    }
    output.plain("8. one more transaction is written and read back, and the topic goes on\n")
}

fn tell(account: &Account, news: &News, output: &mut Output) -> Result<(), Failure> {
    let (lost, doubled) = (account.lost() + news.lost(), account.doubled() + news.doubled());
    let torn = account.torn();
    output.answer(
        || {
            let (table, row) = (account.table(), news.row());
            format!("{table}\n{row}\nlost {lost}, doubled {doubled}, torn {torn}")
        },
        || {
            json!({
                "acknowledged": account.acknowledged(),
                "found": account.found(),
                "published": news.acknowledged.len(),
                "received": news.received.len(),
                "lost": lost,
                "doubled": doubled,
                "torn": torn,
            })
        },
    )?;
    if (lost, doubled, torn) == (0, 0, 0) {
        return output
            .plain("\nnothing acknowledged was lost, nothing came twice, nothing is torn");
    }
    output.flush()?;
    let message = format_args!("lost={lost} doubled={doubled} torn={torn}: this is a defect");
    Err(Failure::new(Class::Storage, message))
}

/// A temporary folder, removed when the demo ends.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new() -> Result<Self, Failure> {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let nanos = since.map_or(0, |since| since.as_nanos());
        let name = format!("weald-demo-{}-{nanos}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).map_err(|error| {
            let shown = path.display();
            Failure::new(Class::Storage, format_args!("{shown} cannot be made: {error}"))
        })?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is the system's to clean, like all that is temporary.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
