//! The callers of the demo: each writes one transaction after the other, whatever happens to nodes meanwhile.

use std::time::{Duration, Instant};

use tokio::{sync::watch, task::JoinSet};
use weald::{Effect, TransactionId, TransactionStatus, Weald};

use super::{JOURNAL, LATEST, account::Acknowledged};
use crate::cli::failure::Failure;

/// How long a caller tries one transaction.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(20);

/// Callers at work.
pub(super) struct Callers {
    tasks: JoinSet<Result<(), Failure>>,
    acknowledged: watch::Receiver<Acknowledged>,
}

impl Callers {
    /// Makes the collections and sets `callers` to work.
    pub(super) async fn start(node: &Weald, callers: u32) -> Result<Self, Failure> {
        node.raw_diary(JOURNAL).open_or_create().await?;
        node.raw_tree(LATEST).open_or_create().await?;
        let (tell, acknowledged) = watch::channel(Acknowledged::default());
        let mut tasks = JoinSet::new();
        for caller in 0..callers {
            let (node, tell) = (node.clone(), tell.clone());
            tasks.spawn(async move {
                for number in 1_u64.. {
                    write(&node, caller, number).await?;
                    tell.send_modify(|acknowledged| acknowledged.note(caller, number));
                }
                Ok(())
            });
        }
        Ok(Self { tasks, acknowledged })
    }

    /// Acknowledged transactions so far.
    pub(super) fn total(&self) -> u64 {
        self.acknowledged.borrow().total()
    }

    /// Waits until `total` transactions are acknowledged; the longest time without one meanwhile.
    pub(super) async fn reach(&mut self, total: u64) -> Result<Duration, Failure> {
        let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
        while self.total() < total {
            tokio::select! {
                _ = self.acknowledged.changed() => {}
                Some(ended) = self.tasks.join_next() => {
                    ended.map_err(|error| {
                        Failure::internal(format_args!("a caller stopped: {error}"))
                    })??;
                }
            }
            longest = longest.max(last.elapsed());
            last = Instant::now();
        }
        Ok(longest)
    }

    /// Stops them, wherever they are; what they were told until then.
    pub(super) async fn stop(mut self) -> Acknowledged {
        self.tasks.shutdown().await;
        self.acknowledged.borrow().clone()
    }
}

/// One transaction, once: what did not happen is tried again, what is unknown is asked after.
pub(super) async fn write(node: &Weald, caller: u32, number: u64) -> Result<(), Failure> {
    let started = Instant::now();
    loop {
        let Err(error) = transact(node, caller, number).await else { return Ok(()) };
        let may_retry = match (error.effect(), error.transaction()) {
            (Effect::Unknown, Some(id)) if has_happened(node, id, started).await? => return Ok(()),
            // It never happens any more.
            (Effect::Unknown, Some(_)) => true,
            _ => error.is_retryable(),
        };
        if !may_retry || started.elapsed() > PATIENCE {
            return Err(error.into());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether a transaction of unknown outcome was committed after all; if not, it never will be.
async fn has_happened(node: &Weald, id: TransactionId, started: Instant) -> Result<bool, Failure> {
    loop {
        match node.resolve(id).await {
            Ok(TransactionStatus::Committed(_)) => return Ok(true),
            Ok(TransactionStatus::Rejected(_)) => return Ok(false),
            Ok(TransactionStatus::Pending | TransactionStatus::Forgotten) => {
                return Err(Failure::internal(format_args!("nobody knows of transaction {id}")));
            }
            Err(error) if started.elapsed() > PATIENCE => return Err(error.into()),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// An entry of the diary and a value of the tree, both or neither.
async fn transact(node: &Weald, caller: u32, number: u64) -> weald::Result<()> {
    node.transact(move |transaction| {
        transaction.raw_diary(JOURNAL)?.append(format!("{caller} {number}"))?;
        transaction.raw_tree(LATEST)?.put(key(caller), number.to_string())
    })
    .await
    .map(|_| ())
}

/// A caller's key in the tree.
pub(super) fn key(caller: u32) -> String {
    caller.to_string()
}
